//! Files and their names, as a recording leaves them, and what a power cut leaves of both.
//!
//! A name is durable once its folder was synced. Names change in the order in
//! which they were changed (file systems keep a journal of them), the bytes of
//! files in no order at all.

use std::collections::BTreeMap;

use crate::{
    chance::Chance,
    file::{Change, File},
    recording::Operation,
    surviving::Surviving,
};

/// Which file, whatever it is called.
type Number = usize;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Naming {
    Name(String, Number),
    Unname(String),
    /// One step: both names never, and none never.
    Rename(String, String, Number),
}

/// The files that a recording is about.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: Vec<File>,
    /// As a program sees them.
    names: BTreeMap<String, Number>,
    /// As the disk has them.
    durable_names: BTreeMap<String, Number>,
    pending_names: Vec<(usize, Naming)>,
    /// How many operations there were.
    applied: usize,
}

/// The files that are left, by their names.
pub type Left = BTreeMap<String, Vec<u8>>;

impl Disk {
    /// Does what was recorded.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { path } => {
                if !self.names.contains_key(path) {
                    self.files.push(File::default());
                    self.name(path, self.files.len() - 1);
                }
            }
            Operation::Write { path, offset, data } => {
                let (change, at) = (Change::Write { offset: *offset, data: data.clone() }, self.applied);
                self.file(path).change(change, at);
            }
            Operation::Resize { path, size } => {
                let at = self.applied;
                self.file(path).change(Change::Resize(*size), at);
            }
            Operation::Sync { path, began } => self.file(path).sync(*began),
            Operation::SyncFailed { path } => self.file(path).fail_sync(),
            Operation::SyncNames { began } => {
                let covered = self.pending_names.iter().take_while(|(at, _)| at < began).count();
                for (_, naming) in self.pending_names.drain(..covered) {
                    rename(&mut self.durable_names, naming);
                }
            }
            Operation::Remove { path } => {
                self.names.remove(path).unwrap_or_else(|| panic!("`{path}` was removed and never made"));
                self.pending_names.push((self.applied, Naming::Unname(path.clone())));
            }
            Operation::Link { from, to } => {
                let number = *self.names.get(from).unwrap_or_else(|| panic!("`{from}` was linked and never made"));
                self.name(to, number);
            }
            Operation::Rename { from, to } => {
                let number = self.names.remove(from).unwrap_or_else(|| panic!("`{from}` was renamed and never made"));
                self.names.insert(to.clone(), number);
                self.pending_names.push((self.applied, Naming::Rename(from.clone(), to.clone(), number)));
            }
            Operation::Mark(_) => {}
        }
        self.applied += 1;
    }

    /// The state that is left.
    pub fn after_power_cut(&self, surviving: Surviving, chance: &mut Chance) -> Left {
        let mut names = self.durable_names.clone();
        let count = self.pending_names.len();
        let kept = match surviving {
            Surviving::Nothing => 0,
            Surviving::Everything => count,
            _ => chance.up_to(count),
        };
        self.pending_names.iter().take(kept).cloned().for_each(|(_, naming)| rename(&mut names, naming));
        names.into_iter().map(|(name, number)| (name, surviving.of(self.numbered(number), chance))).collect()
    }

    fn numbered(&self, number: Number) -> &File {
        self.files.get(number).expect("files are never forgotten")
    }

    fn file(&mut self, path: &str) -> &mut File {
        let number = *self.names.get(path).unwrap_or_else(|| panic!("`{path}` was used and never made"));
        self.files.get_mut(number).expect("files are never forgotten")
    }

    fn name(&mut self, path: &str, number: Number) {
        self.names.insert(path.to_owned(), number);
        self.pending_names.push((self.applied, Naming::Name(path.to_owned(), number)));
    }
}

fn rename(names: &mut BTreeMap<String, Number>, naming: Naming) {
    match naming {
        Naming::Name(path, number) => drop(names.insert(path, number)),
        Naming::Unname(path) => drop(names.remove(&path)),
        Naming::Rename(from, to, number) => {
            names.remove(&from);
            names.insert(to, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(operations: &[Operation]) -> Disk {
        let mut disk = Disk::default();
        operations.iter().for_each(|operation| disk.apply(operation));
        disk
    }

    fn create(path: &str) -> Operation {
        Operation::Create { path: path.into() }
    }

    fn write(path: &str, data: &[u8]) -> Operation {
        Operation::Write { path: path.into(), offset: 0, data: data.to_vec() }
    }

    fn sync(path: &str) -> Operation {
        Operation::Sync { path: path.into(), began: usize::MAX }
    }

    fn states(disk: &Disk) -> Vec<Left> {
        let mut chance = Chance::new(3);
        let mut found: Vec<Left> =
            (0..400).map(|n| disk.after_power_cut(Surviving::KINDS[n % Surviving::KINDS.len()], &mut chance)).collect();
        found.sort();
        found.dedup();
        found
    }

    fn left(files: &[(&str, &[u8])]) -> Left {
        files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
    }

    /// Bytes without a name are lost, and a name without its bytes is an empty file.
    #[test]
    fn a_name_lasts_once_its_folder_was_synced() {
        let new = [create("a"), write("a", b"x"), sync("a")];
        assert_eq!(states(&disk(&new)), [left(&[]), left(&[("a", b"x")])]);
        let named = [create("a"), Operation::SyncNames { began: usize::MAX }, write("a", b"x")];
        assert_eq!(states(&disk(&named)), [left(&[("a", b"")]), left(&[("a", b"x")])]);
        let both = [create("a"), write("a", b"x"), sync("a"), Operation::SyncNames { began: usize::MAX }];
        assert_eq!(states(&disk(&both)), [left(&[("a", b"x")])]);
    }

    /// The way in which every file of ours is replaced leaves the old one or the new one.
    #[test]
    fn a_replaced_file_is_the_old_or_the_new_one() {
        let old = [create("a"), write("a", b"old"), sync("a"), Operation::SyncNames { began: usize::MAX }];
        let new = [create("b"), write("b", b"new"), sync("b"), Operation::Rename { from: "b".into(), to: "a".into() }];
        let replaced = disk(&[&old[..], &new[..]].concat());
        let found = states(&replaced);
        assert!(found.iter().all(|state| [&b"old"[..], b"new"].contains(&state["a"].as_slice())), "{found:?}");
        assert!(found.contains(&left(&[("a", b"new")])));
        // Without the sync of its bytes, the new name may stand on nothing.
        let hasty = disk(&[&old[..], &new[..2], &new[3..]].concat());
        assert!(states(&hasty).iter().any(|state| state["a"].is_empty()));
    }

    #[test]
    fn a_removed_file_may_come_back_until_its_folder_is_synced() {
        let gone = [
            create("a"),
            write("a", b"x"),
            sync("a"),
            Operation::SyncNames { began: usize::MAX },
            Operation::Remove { path: "a".into() },
        ];
        assert_eq!(states(&disk(&gone)), [left(&[]), left(&[("a", b"x")])]);
        // A file of the same name is another file.
        let again = disk(&[&gone[..], &[create("a")]].concat());
        assert!(states(&again).contains(&left(&[("a", b"")])));
    }
}
