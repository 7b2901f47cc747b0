//! `checkpoint.note` beside the database: the last checkpoint that was signed.
//!
//! A database that was replaced by an older copy would sign another history
//! over the same indexes. The note outlives the database file, so a copy that is
//! behind it, or another, is refused before anything is written.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use bailiwick_audit_log::{
    checkpoint::UnverifiedNote,
    merkle::{Hash, TreeHead},
};
use bailiwick_ports::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use super::{
    evidence::sync_folder,
    open::{OpenError, private_file},
    statements,
};

/// The file's name.
const NAME: &str = "checkpoint.note";
const HINT: &str = "the database was restored from a backup or replaced: put back the one that signed this note; to go \
    on with the older one, keep `checkpoint.note` as evidence elsewhere and start a log under a new origin";

/// Where the note lies. Nowhere for a database in memory.
pub(crate) struct CheckpointNote {
    path: Option<PathBuf>,
}

impl CheckpointNote {
    pub(crate) const fn none() -> Self {
        Self { path: None }
    }

    /// Refuses a database that is older than its note or of another history; writes the note if it is behind.
    pub(crate) fn beside(database: &Path, connection: &Connection) -> Result<Self, OpenError> {
        let path = database.with_file_name(NAME);
        let forked = |problem: String| OpenError::Forked { path: database.to_owned(), problem, hint: HINT };
        let failed = |source: io::Error| OpenError::File { path: path.clone(), source };
        let published = read(&path).map_err(failed)?;
        let size: i64 = connection.query_row(statements::TREE, [], |row| row.get(0))?;
        if let Some(note) = &published {
            let tree = parse(note).map_err(forked)?;
            let root: Option<Hash> = match i64::try_from(tree.size) {
                Ok(size) => connection.query_row(statements::CHECKPOINT_ROOT, [size], |row| row.get(0)).optional()?,
                Err(_) => None,
            };
            if u64::try_from(size).is_ok_and(|size| size < tree.size) {
                return Err(forked(format!("`{NAME}` signs {} entries, the database has {size}", tree.size)));
            }
            if root != Some(tree.root) {
                return Err(forked(format!("`{NAME}` signs another history of {} entries", tree.size)));
            }
        }
        let newest: Option<String> = connection.query_row(statements::CHECKPOINT, [], |row| row.get(0)).optional()?;
        match newest {
            Some(newest) if published.as_ref() != Some(&newest) => {
                if published.is_none() {
                    tracing::warn!(path = %path.display(), "the note of the last checkpoint was missing");
                }
                replace(&path, &newest).map_err(failed)?;
            }
            _ => {}
        }
        Ok(Self { path: Some(path) })
    }

    /// Refuses a tree that is not larger than the published one.
    pub(crate) fn allows(&self, tree: TreeHead) -> Result<(), StoreError> {
        let Some(path) = &self.path else { return Ok(()) };
        let refused = |problem: String| Err(StoreError::Unavailable(format!("`{NAME}`: {problem}")));
        match read(path).map(|note| note.map(|note| parse(&note))) {
            Ok(None) => Ok(()),
            Ok(Some(Ok(published))) if published.size < tree.size => Ok(()),
            Ok(Some(Ok(published))) => {
                refused(format!("{} entries were signed already, {} would be now", published.size, tree.size))
            }
            Ok(Some(Err(problem))) => refused(problem),
            Err(error) => refused(error.to_string()),
        }
    }

    /// Puts the note of a checkpoint that is durable in place of the one before.
    pub(crate) fn publish(&self, tree: TreeHead, note: &str) -> Result<(), StoreError> {
        let Some(path) = &self.path else { return Ok(()) };
        self.allows(tree)?;
        replace(path, note).map_err(|error| StoreError::Unavailable(format!("`{NAME}`: {error}")))
    }
}

fn parse(note: &str) -> Result<TreeHead, String> {
    let unverified: UnverifiedNote = note.parse().map_err(|error| format!("`{NAME}` cannot be read: {error}"))?;
    Ok(unverified.claimed().tree)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the file as a whole: a crash leaves the old one or the new one.
fn replace(path: &Path, note: &str) -> io::Result<()> {
    let draft = path.with_extension("note.new");
    let mut file = private_file(&draft)?;
    file.set_len(0)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_folder(path)
}
