//! Puts a backup in the place of a database that nobody uses. What was there is kept beside it.
//!
//! Several files change places, so the decision is one rename: from then on the
//! copy has a name that says when it was decided, and whoever next takes the
//! database finishes. A crash leaves the old database or leads to the new one.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    evidence::sync_folder,
    open::{OpenError, failed, lock},
};

/// What follows the database's name in that of a copy that takes its place; the stamp follows.
const DECIDED: &str = ".restored-";
/// What follows it in those of its files. The log goes first: a database without its log is older than it was, but a log
/// of another database is poison.
const SUFFIXES: [&str; 3] = ["-shm", "-wal", ""];

/// Restores `backup` to `database` while holding the lock that a running server holds. Returns the files that were put
/// aside, their names ending in `.before-<stamp>`.
pub fn restore(database: &Path, backup: &Path, stamp: i64) -> Result<Vec<PathBuf>, OpenError> {
    let _lock = lock(database)?;
    // One that was decided before and cut off comes first: left for later, it would undo this one.
    let mut kept = finish(database).map_err(failed(database))?;
    let stamp = free(database, stamp);
    let draft = named(database, ".restoring");
    let copied = copy(backup, &draft);
    if let Err(error) = copied {
        let _ = fs::remove_file(&draft);
        return Err(failed(backup)(error));
    }
    let decided = named(database, &format!("{DECIDED}{stamp}"));
    fs::rename(&draft, &decided).and_then(|()| sync_folder(database)).map_err(failed(&decided))?;
    kept.extend(carry_out(database, &decided, stamp).map_err(failed(database))?);
    Ok(kept)
}

/// Finishes a restore that was decided and cut off, if there is one, and returns the files that were put aside. The caller
/// holds the lock, and has not made a database where there is none.
pub(super) fn finish(database: &Path) -> io::Result<Vec<PathBuf>> {
    let mut waiting = decided(database)?;
    let Some((stamp, last)) = waiting.pop_last() else { return Ok(Vec::new()) };
    for (stamp, overtaken) in waiting {
        tracing::warn!(stamp, path = %overtaken.display(), "a restore that a later one overtook was dropped");
        fs::remove_file(overtaken)?;
    }
    sync_folder(database)?;
    let kept = carry_out(database, &last, stamp)?;
    tracing::warn!(stamp, path = %database.display(), "a restore that was cut off is finished");
    Ok(kept)
}

/// Puts a decided copy in the database's place.
fn carry_out(database: &Path, decided: &Path, stamp: i64) -> io::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for suffix in SUFFIXES {
        let (old, aside) = (named(database, suffix), aside(database, suffix, stamp));
        if old.exists() {
            fs::rename(&old, &aside)?;
        }
        if aside.exists() {
            kept.push(aside);
        }
    }
    sync_folder(database)?;
    fs::rename(decided, database)?;
    sync_folder(database)?;
    Ok(kept)
}

/// The first stamp from this one on under which nothing was put aside: two restores may fall into one second.
fn free(database: &Path, stamp: i64) -> i64 {
    let taken = |stamp: &i64| SUFFIXES.iter().any(|suffix| aside(database, suffix, *stamp).exists());
    (stamp..).find(|stamp| !taken(stamp)).unwrap_or(stamp)
}

fn aside(database: &Path, suffix: &str, stamp: i64) -> PathBuf {
    named(database, &format!("{suffix}.before-{stamp}"))
}

/// The copies that were decided to take the place, by their stamps.
fn decided(database: &Path) -> io::Result<BTreeMap<i64, PathBuf>> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let start = database.file_name().map(|name| format!("{}{DECIDED}", name.to_string_lossy())).unwrap_or_default();
    let mut all = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name();
        if let Some(stamp) = name.to_string_lossy().strip_prefix(&start).and_then(|stamp| stamp.parse().ok()) {
            all.insert(stamp, file.path());
        }
    }
    Ok(all)
}

/// Copies into a new file that its owner alone may read, never through a link that was laid there.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = fs::File::open(from)?;
    match fs::remove_file(to) {
        // An earlier restore was cut off before it was decided.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::{super::open::take, *};

    #[test]
    fn a_database_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (database, backup) = (folder.path().join("a.db"), folder.path().join("b.db"));
        fs::write(&backup, "backup").unwrap();
        fs::write(&database, "old").unwrap();
        let lock = take(&database).unwrap();
        assert!(matches!(restore(&database, &backup, 1), Err(OpenError::InUse(_))));
        assert_eq!(fs::read_to_string(&database).unwrap(), "old");
        drop(lock);
        let kept = restore(&database, &backup, 2).unwrap();
        assert_eq!(fs::read_to_string(&database).unwrap(), "backup");
        assert_eq!(kept.len(), 1);
        assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "old");
    }

    /// A restore that was cut off right after it was decided.
    fn cut_off(database: &Path, stamp: i64, text: &str) {
        fs::write(named(database, &format!("{DECIDED}{stamp}")), text).unwrap();
    }

    #[test]
    fn a_restore_that_was_told_as_done_is_not_undone_by_an_earlier_one() {
        // Also within one second, and where the clock was set back in between.
        for (earlier, stamp) in [(5, 7), (7, 7), (7, 5)] {
            let folder = tempfile::tempdir().unwrap();
            let (database, backup) = (folder.path().join("a.db"), folder.path().join("b.db"));
            fs::write(&database, "old").unwrap();
            fs::write(&backup, "told").unwrap();
            cut_off(&database, earlier, "earlier");
            let kept = restore(&database, &backup, stamp).unwrap();
            let texts: Vec<String> = kept.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
            assert_eq!(texts, ["old", "earlier"], "each is kept");
            drop(take(&database).unwrap());
            assert_eq!(fs::read_to_string(&database).unwrap(), "told");
        }
    }

    #[test]
    fn of_several_that_were_cut_off_the_last_one_holds() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        fs::write(&database, "old").unwrap();
        for stamp in [9, 10, 2] {
            cut_off(&database, stamp, &stamp.to_string());
        }
        for _ in 0..3 {
            drop(take(&database).unwrap());
            assert_eq!(fs::read_to_string(&database).unwrap(), "10");
        }
        assert_eq!(fs::read_to_string(folder.path().join("a.db.before-10")).unwrap(), "old");
    }
}
