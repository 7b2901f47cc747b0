//! Puts a backup in the place of a database that nobody uses. What was there is kept beside it.
//!
//! Several files change places, so the decision is one rename: from then on the
//! copy has a name that says when it was decided, and whoever next takes the
//! database finishes. A crash leaves the old database or leads to the new one.

use std::{
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

/// Restores `backup` to `database` while holding the lock that a running server holds. Returns the files that were put
/// aside, their names ending in `.before-<stamp>`.
pub fn restore(database: &Path, backup: &Path, stamp: i64) -> Result<Vec<PathBuf>, OpenError> {
    let _lock = lock(database)?;
    let draft = named(database, ".restoring");
    let copied = copy(backup, &draft);
    if let Err(error) = copied {
        let _ = fs::remove_file(&draft);
        return Err(failed(backup)(error));
    }
    let decided = named(database, &format!("{DECIDED}{stamp}"));
    fs::rename(&draft, &decided).and_then(|()| sync_folder(database)).map_err(failed(&decided))?;
    finish(database).map_err(failed(database))
}

/// Finishes a restore that was decided, if there is one, and returns the files that were put aside. The caller holds the
/// lock, and has not made a database where there is none.
pub(super) fn finish(database: &Path) -> io::Result<Vec<PathBuf>> {
    let Some((decided, stamp)) = decided(database)? else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    // The log first: a database without its log is older than it was, but a log of another database is poison.
    for suffix in ["-shm", "-wal", ""] {
        let (old, aside) = (named(database, suffix), named(database, &format!("{suffix}.before-{stamp}")));
        if old.exists() {
            fs::rename(&old, &aside)?;
        }
        if aside.exists() {
            kept.push(aside);
        }
    }
    sync_folder(database)?;
    fs::rename(&decided, database)?;
    sync_folder(database)?;
    Ok(kept)
}

/// The copy that was decided to take the place, and its stamp.
fn decided(database: &Path) -> io::Result<Option<(PathBuf, String)>> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let start = database.file_name().map(|name| format!("{}{DECIDED}", name.to_string_lossy())).unwrap_or_default();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if let Some(stamp) = file.file_name().to_string_lossy().strip_prefix(&start) {
            return Ok(Some((file.path(), stamp.to_owned())));
        }
    }
    Ok(None)
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
}
