//! Care of an installation whose broker does not run.

use std::path::{Path, PathBuf};

use bailiwick_store::OpenError;

use crate::config::Config;

/// Puts a backup in the place of the database and returns what was put aside. Refuses while anybody uses the database.
pub fn restore(config: &Config, backup: &Path, stamp: i64) -> Result<Vec<PathBuf>, OpenError> {
    bailiwick_store::restore(&config.store, backup, stamp)
}
