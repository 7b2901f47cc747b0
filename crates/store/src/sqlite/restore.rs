//! Puts a backup in the place of a database that nobody uses. What was there is kept beside it.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::open::{OpenError, failed, take};

/// Restores `backup` to `database` while holding the lock that a running server holds. Returns the files that were put
/// aside, their names ending in `.before-<stamp>`.
pub fn restore(database: &Path, backup: &Path, stamp: i64) -> Result<Vec<PathBuf>, OpenError> {
    let _lock = take(database)?;
    let beside = named(database, ".restoring");
    let copied = copy(backup, &beside);
    if let Err(error) = copied {
        let _ = fs::remove_file(&beside);
        return Err(failed(backup)(error));
    }
    let mut kept = Vec::new();
    for suffix in ["", "-wal", "-shm"] {
        let old = named(database, suffix);
        if old.exists() {
            let aside = named(&old, &format!(".before-{stamp}"));
            fs::rename(&old, &aside).map_err(failed(&old))?;
            kept.push(aside);
        }
    }
    fs::rename(&beside, database).map_err(failed(database))?;
    Ok(kept)
}

/// Copies into a new file that its owner alone may read, never through a link that was laid there.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = fs::File::open(from)?;
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
    use super::*;

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
