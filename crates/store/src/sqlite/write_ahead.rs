//! SQLite's write-ahead log: when it moves to the database file, and whom a failure of that concerns.
//!
//! SQLite moves it by itself, after a commit, and keeps quiet if that fails. But
//! an operating system that could not write a page may drop it and say so only
//! once; a later sync then succeeds without it. So the store moves the log itself
//! and stops at an I/O error.

use rusqlite::{Connection, config::DbConfig};

/// Pages of the log from which on it is moved: SQLite's own default, 4 MB.
const PAGES_MAX: i64 = 1_000;

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
