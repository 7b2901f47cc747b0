//! SQLite's write-ahead log: when it moves to the database file, and whom a failure of that concerns.
//!
//! SQLite moves it by itself, after a commit, and keeps quiet if that fails. But
//! an operating system that could not write a page may drop it and say so only
//! once; a later sync then succeeds without it. So the store moves the log itself
//! and stops at an I/O error.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use rusqlite::{Connection, config::DbConfig};

/// Pages of the log from which on it is moved: SQLite's own default, 4 MB.
const PAGES_MAX: i64 = 1_000;
/// Bytes of the log that are written again at once.
const WRITTEN_AT_ONCE: usize = 1_024 * 1_024;

/// Writes the bytes that a run before left in the log once more, where they are. Its last sync may have failed: then some
/// of what can be read is not on the disk, and no sync brings it there. A disk that has only the log's beginning would
/// play that back over a database into which all of it was moved.
pub(crate) fn write_again(database: &Path) -> io::Result<()> {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    let mut log = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut buffer = vec![0; WRITTEN_AT_ONCE];
    loop {
        let at = log.stream_position()?;
        let count = log.read(&mut buffer)?;
        if count == 0 {
            return log.sync_all();
        }
        log.seek(SeekFrom::Start(at))?;
        log.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}

/// Takes over from SQLite, and writes whatever a run before left in the log once more. Its last sync may have failed:
/// then pages that can be read are not on the disk, and what is appended after them would be lost with them.
///
/// Whether that was possible: a program that reads the log keeps it, and SQLite tells that in the row, not as an error.
pub(crate) fn take_over(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// Moves the log to the database file if it is long.
pub(crate) fn move_if_long(connection: &Connection) -> Result<(), rusqlite::Error> {
    let pages: i64 = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| row.get(1))?;
    if pages < PAGES_MAX {
        return Ok(());
    }
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))
}

/// Leaves the log where it is when the connection closes: after a failed sync, moving it could hide what is lost.
pub(crate) fn leave(connection: &Connection) {
    // Whatever this refuses, the error that led here was told.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}
