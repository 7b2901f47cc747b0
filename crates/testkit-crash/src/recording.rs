//! What `strace` wrote down, as operations on the files of one folder, with marks of the program between them.
//!
//! A change counts from the moment at which its system call ended; a sync covers
//! only what had ended when it began. Calls of threads that overlap are so taken
//! at their worst. A call that changes a watched file in a way that is not
//! modelled ends the test: a model that overlooks writes would prove nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What marks begin with, on the program's standard output.
pub const MARK: &str = "mark ";

/// One thing that happened. Paths are names within the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A file that was not there was made.
    Create {
        /// Its name.
        path: String,
    },
    /// Bytes were written.
    Write {
        /// Of which file.
        path: String,
        /// From which byte on.
        offset: usize,
        /// What.
        data: Vec<u8>,
    },
    /// The file got another size.
    Resize {
        /// Which file.
        path: String,
        /// Its size in bytes.
        size: usize,
    },
    /// Everything before operation number `began` is durable.
    Sync {
        /// Of which file.
        path: String,
        /// How many operations there were when the sync began.
        began: usize,
    },
    /// The sync said that it failed.
    SyncFailed {
        /// Of which file.
        path: String,
    },
    /// The folder's names, as they were when `began` operations had happened, are durable.
    SyncNames {
        /// How many.
        began: usize,
    },
    /// A file lost its name.
    Remove {
        /// Which.
        path: String,
    },
    /// A file got another name, and whoever had that lost it.
    Rename {
        /// The old name.
        from: String,
        /// The new one.
        to: String,
    },
    /// A file got one more name.
    Link {
        /// The name that it has.
        from: String,
        /// One that nobody had.
        to: String,
    },
    /// The program said something.
    Mark(String),
}

/// Reads the output of one or several runs, one after the other, on the same folder.
#[derive(Debug)]
pub struct Recording {
    folder: PathBuf,
    operations: Vec<Operation>,
    names: BTreeSet<String>,
    /// Where the next plain write goes, and whether that is always the end.
    positions: BTreeMap<String, (usize, bool)>,
    sizes: BTreeMap<String, usize>,
}

/// A call whose end has not been seen: its text so far, and how many operations there were.
type Begun = (String, usize);

/// A path in quotation marks, after the descriptor of the folder that it may be relative to, if that was told.
type Told<'a> = (&'a str, &'a str);

impl Recording {
    /// Nothing yet; the folder is empty.
    pub fn of(folder: &Path) -> Self {
        let (names, positions, sizes) = Default::default();
        Self { folder: folder.to_owned(), operations: Vec::new(), names, positions, sizes }
    }

    /// What happened, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Adds a run.
    pub fn read(&mut self, told: &str) {
        let mut begun: BTreeMap<&str, Begun> = BTreeMap::new();
        for line in told.lines() {
            let (thread, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = rest.trim_start();
            if rest.starts_with("+++") || rest.starts_with("---") {
                continue;
            }
            if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
                begun.insert(thread, (start.to_owned(), self.operations.len()));
            } else if let Some(resumed) = rest.strip_prefix("<... ") {
                let (_, end) = resumed.split_once(" resumed>").unwrap_or_else(|| panic!("not a resumed call: {line}"));
                let (start, began) = begun.remove(thread).unwrap_or_else(|| panic!("it never began: {line}"));
                self.call(&(start + end), began);
            } else {
                self.call(rest, self.operations.len());
            }
        }
    }

    fn call(&mut self, text: &str, began: usize) {
        let Some((call, result)) = text.split_once(") ") else { return };
        let result = result.trim_start_matches([' ', '=']);
        let Some((name, arguments)) = call.split_once('(') else { return };
        // `?`: the process ended within the call.
        let result: Option<i64> = result.split([' ', '<']).next().and_then(|number| number.parse().ok());
        let arguments: Vec<&str> = arguments.split(", ").collect();
        let argument = |place: usize| arguments.get(place).copied().unwrap_or_default();
        let first = argument(0);
        match (name, result) {
            ("fsync" | "fdatasync", Some(result)) => self.synced(first, result, began),
            (_, None | Some(i64::MIN..0)) => {}
            ("write", Some(count)) if first.starts_with("1<") || first == "1" => self.said(argument(1), count),
            ("write", Some(count)) => self.wrote(first, None, argument(1), count),
            ("pwrite64", Some(count)) => self.wrote(first, number(argument(3)), argument(1), count),
            ("ftruncate", _) => {
                let size = number(argument(1)).unwrap_or_else(|| panic!("not a size: {text}"));
                if let Some(path) = self.made(first) {
                    self.sizes.insert(path.clone(), size);
                    self.operations.push(Operation::Resize { path, size });
                }
            }
            ("openat", _) => self.opened((first, argument(1)), argument(2)),
            ("open", _) => self.opened(("", first), argument(1)),
            ("unlink", _) => self.removed(("", first)),
            ("unlinkat", _) => self.removed((first, argument(1))),
            ("link", _) => self.linked(("", first), ("", argument(1))),
            ("linkat", _) => self.linked((first, argument(1)), (argument(2), argument(3))),
            ("rename", _) => self.renamed(("", first), ("", argument(1))),
            ("renameat" | "renameat2", _) => self.renamed((first, argument(1)), (argument(2), argument(3))),
            _ => {
                let quoted = |argument: &&&str| argument.starts_with('"');
                let named = arguments.iter().filter(quoted).any(|argument| self.named((first, argument)).is_some());
                let described = arguments.iter().any(|argument| self.described(argument).is_some());
                assert!(!named && !described, "`{name}` changes a file in a way that is not modelled: {text}");
            }
        }
    }

    fn said(&mut self, data: &str, count: i64) {
        let data = bytes(data);
        let data = data.get(..usize::try_from(count).unwrap_or_default()).unwrap_or_default();
        let text = String::from_utf8_lossy(data);
        let marks = text.lines().filter_map(|line| line.strip_prefix(MARK));
        self.operations.extend(marks.map(|mark| Operation::Mark(mark.to_owned())));
    }

    fn wrote(&mut self, descriptor: &str, offset: Option<usize>, data: &str, count: i64) {
        let Some(path) = self.made(descriptor) else { return };
        let mut data = bytes(data);
        data.truncate(usize::try_from(count).unwrap_or_default());
        let size = self.sizes.get(&path).copied().unwrap_or_default();
        let (position, appends) = self.positions.get(&path).copied().unwrap_or_default();
        let start = offset.unwrap_or(if appends { size } else { position });
        let end = start + data.len();
        if offset.is_none() {
            self.positions.insert(path.clone(), (end, appends));
        }
        self.sizes.insert(path.clone(), size.max(end));
        self.operations.push(Operation::Write { path, offset: start, data });
    }

    fn opened(&mut self, path: Told<'_>, flags: &str) {
        let Some(path) = self.named(path) else { return };
        let flags: Vec<&str> = flags.split('|').collect();
        if flags.contains(&"O_CREAT") && self.names.insert(path.clone()) {
            self.sizes.insert(path.clone(), 0);
            self.operations.push(Operation::Create { path: path.clone() });
        }
        if flags.contains(&"O_TRUNC") && self.sizes.insert(path.clone(), 0) != Some(0) {
            self.operations.push(Operation::Resize { path: path.clone(), size: 0 });
        }
        self.positions.insert(path, (0, flags.contains(&"O_APPEND")));
    }

    fn synced(&mut self, descriptor: &str, result: i64, began: usize) {
        if self.place(descriptor).is_some_and(|path| path == self.folder) {
            if result == 0 {
                self.operations.push(Operation::SyncNames { began });
            }
        } else if let Some(path) = self.made(descriptor) {
            let operation = if result == 0 { Operation::Sync { path, began } } else { Operation::SyncFailed { path } };
            self.operations.push(operation);
        }
    }

    fn removed(&mut self, path: Told<'_>) {
        let Some(path) = self.named(path) else { return };
        self.names.remove(&path);
        self.operations.push(Operation::Remove { path });
    }

    fn linked(&mut self, from: Told<'_>, to: Told<'_>) {
        let Some((from, to)) = self.both(from, to) else { return };
        self.names.insert(to.clone());
        self.sizes.insert(to.clone(), self.sizes.get(&from).copied().unwrap_or_default());
        self.operations.push(Operation::Link { from, to });
    }

    fn renamed(&mut self, from: Told<'_>, to: Told<'_>) {
        let Some((from, to)) = self.both(from, to) else { return };
        self.names.remove(&from);
        self.names.insert(to.clone());
        let size = self.sizes.remove(&from).unwrap_or_default();
        self.sizes.insert(to.clone(), size);
        self.operations.push(Operation::Rename { from, to });
    }

    /// The watched file of a path.
    fn named(&self, (folder, quoted): Told<'_>) -> Option<String> {
        let path = path(quoted);
        if path.is_absolute() {
            return self.within(&path);
        }
        let folder =
            self.place(folder).unwrap_or_else(|| panic!("`{}` is relative to an unknown folder", path.display()));
        self.within(&folder.join(path))
    }

    /// Two names of which none is watched, or both are.
    fn both(&self, from: Told<'_>, to: Told<'_>) -> Option<(String, String)> {
        match (self.named(from), self.named(to)) {
            (Some(from), Some(to)) => Some((from, to)),
            (None, None) => None,
            (from, to) => panic!("a file enters or leaves the folder, which is not modelled: {from:?} to {to:?}"),
        }
    }

    /// The watched file that a descriptor, `7<path>`, is open on.
    fn described(&self, descriptor: &str) -> Option<String> {
        self.place(descriptor).and_then(|path| self.within(&path))
    }

    /// The same, of a file that is used: it must have been seen being made.
    fn made(&self, descriptor: &str) -> Option<String> {
        let path = self.described(descriptor)?;
        assert!(self.names.contains(&path), "`{path}` is used, and its making was not seen");
        Some(path)
    }

    fn place(&self, descriptor: &str) -> Option<PathBuf> {
        let (_, rest) = descriptor.split_once('<')?;
        // A file that lost its name can be written, and nobody will find it.
        rest.strip_suffix('>').map(path)
    }

    fn within(&self, path: &Path) -> Option<String> {
        let name = path.strip_prefix(&self.folder).ok()?.to_str()?;
        (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
    }
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok()
}

pub(crate) fn path(hex: &str) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&bytes(hex)).into_owned())
}

/// `"\x00\x61"`, with or without quotation marks.
fn bytes(text: &str) -> Vec<u8> {
    assert!(!text.ends_with("..."), "strace cut a string off");
    text.trim_matches('"')
        .split("\\x")
        .skip(1)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("not a byte: `{byte}`")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    /// Lines with readable names in `{}` become what strace writes with `-xx`.
    fn read(told: &str) -> Vec<Operation> {
        let mut text = String::new();
        for (index, part) in told.split(['{', '}']).enumerate() {
            text.push_str(&if index % 2 == 1 { hex(part) } else { part.to_owned() });
        }
        let mut recording = Recording::of(Path::new("/f"));
        recording.read(&text);
        recording.operations
    }

    fn wrote(offset: usize, data: &[u8]) -> Operation {
        Operation::Write { path: "a".into(), offset, data: data.to_vec() }
    }

    #[test]
    fn a_run_is_read() {
        let made = r#"1 openat(AT_FDCWD<{/}>, "{/f/a}", O_RDWR|O_CREAT, 0600) = 3<{/f/a}>"#;
        let told = format!(
            "{made}\n{made}\n\
             1 openat(AT_FDCWD<{{/}}>, \"{{/g/a}}\", O_RDWR|O_CREAT, 0600) = 4<{{/g/a}}>\n\
             1 pwrite64(4<{{/g/a}}>, \"{{x}}\", 1, 0) = 1\n\
             1 pwrite64(3<{{/f/a}}>, \"{{abc}}\", 3, 5) = 2\n\
             1 write(3<{{/f/a}}>, \"{{h}}\", 1)            = 1\n\
             1 write(3<{{/f/a}}>, \"{{i}}\", 1)            = 1\n\
             1 write(1<{{pipe}}>, \"{{mark one\nno\n}}\", 1000)            = 12\n\
             1 ftruncate(3<{{/f/a}}>, 3) = 0\n\
             1 fsync(3<{{/f/a}}>) = -1 EIO (Input/output error) (INJECTED)\n\
             1 pwrite64(3<{{/f/a}}>, \"{{abc}}\", 3, 5) = -1 ENOSPC (No space) (INJECTED)\n\
             1 rename(\"{{/f/a}}\", \"{{/f/b}}\") = 0\n\
             1 fsync(7<{{/f}}>) = 0\n\
             1 unlink(\"{{/f/b}}\") = 0\n\
             1 fsync(3<{{/f/b}}>(deleted)) = 0\n\
             1 fdatasync(3<{{/f/b}}>) = ?\n\
             1 +++ killed by SIGKILL +++\n"
        );
        let expected = [
            Operation::Create { path: "a".into() },
            wrote(5, b"ab"),
            wrote(0, b"h"),
            wrote(1, b"i"),
            Operation::Mark("one".into()),
            Operation::Resize { path: "a".into(), size: 3 },
            Operation::SyncFailed { path: "a".into() },
            Operation::Rename { from: "a".into(), to: "b".into() },
            Operation::SyncNames { began: 8 },
            Operation::Remove { path: "b".into() },
        ];
        assert_eq!(read(&told), expected);
    }

    /// What another thread wrote while a sync ran is not covered by it.
    #[test]
    fn a_sync_covers_what_had_ended_when_it_began() {
        let told = "\
            1 open(\"{/f/a}\", O_RDWR|O_CREAT, 0600) = 3<{/f/a}>\n\
            1 fsync(3<{/f/a}> <unfinished ...>\n\
            2 pwrite64(3<{/f/a}>, \"{x}\", 1, 0 <unfinished ...>\n\
            2 <... pwrite64 resumed>)             = 1\n\
            1 <... fsync resumed>)                = 0\n";
        let sync = Operation::Sync { path: "a".into(), began: 1 };
        assert_eq!(read(told), [Operation::Create { path: "a".into() }, wrote(0, b"x"), sync]);
    }

    #[test]
    #[should_panic(expected = "not modelled")]
    fn what_is_not_modelled_ends_the_test() {
        read("1 open(\"{/f/a}\", O_CREAT, 0600) = 3<{/f/a}>\n1 fallocate(3<{/f/a}>, 0, 0, 9) = 0\n");
    }

    /// What the model would have to leave out ends the test, each by itself.
    #[test]
    fn nothing_is_overlooked() {
        let made = "1 open(\"{/f/a}\", O_RDWR|O_CREAT, 0600) = 3<{/f/a}>\n";
        let cases = [
            ("leaves", "1 rename(\"{/f/a}\", \"{/g/a}\") = 0\n"),
            ("leaves", "1 renameat(AT_FDCWD<{/}>, \"{/g/b}\", AT_FDCWD<{/}>, \"{/f/b}\") = 0\n"),
            ("leaves", "1 link(\"{/f/sub/b}\", \"{/f/b}\") = 0\n"),
            ("not seen", "1 pwrite64(4<{/f/b}>, \"{x}\", 1, 0) = 1\n"),
            ("not seen", "1 write(4<{/f/b}>, \"{x}\", 1) = 1\n"),
            ("not seen", "1 ftruncate(4<{/f/b}>, 3) = 0\n"),
            ("not seen", "1 fsync(4<{/f/b}>) = 0\n"),
            ("not seen", "1 fdatasync(4<{/f/b}>) = -1 EIO (Input/output error)\n"),
            ("relative", "1 unlink(\"{a}\") = 0\n"),
        ];
        for (expected, line) in cases {
            let panicked = std::panic::catch_unwind(|| read(&format!("{made}{line}"))).unwrap_err();
            let told = panicked.downcast_ref::<String>().cloned().unwrap_or_default();
            assert!(told.contains(expected), "{line}: {told}");
        }
    }

    /// A name may be told from a folder that is open.
    #[test]
    fn a_name_is_taken_from_its_folder() {
        let told = "\
            1 openat(5<{/f}>, \"{a}\", O_RDWR|O_CREAT, 0600) = 3<{/f/a}>\n\
            1 renameat2(5<{/f}>, \"{a}\", AT_FDCWD<{/f}>, \"{b}\", RENAME_NOREPLACE) = 0\n\
            1 unlinkat(5<{/f}>, \"{b}\", 0) = 0\n\
            1 openat(6<{/g}>, \"{a}\", O_RDWR|O_CREAT, 0600) = 3<{/g/a}>\n";
        let expected = [
            Operation::Create { path: "a".into() },
            Operation::Rename { from: "a".into(), to: "b".into() },
            Operation::Remove { path: "b".into() },
        ];
        assert_eq!(read(told), expected);
    }
}
