//! Whether the database file is still where it was opened.
//!
//! A file that was removed or replaced can be written to for ever: every record
//! would be durable in a file that nobody will find. So it is looked for.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file as it was opened.
pub(crate) struct Presence {
    path: PathBuf,
    id: FileId,
}

/// Tells files apart on one machine.
#[cfg(unix)]
type FileId = (u64, u64);
/// Only whether there is one.
#[cfg(not(unix))]
type FileId = ();

impl Presence {
    /// Remembers the file at `path`.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: id(path)? })
    }

    /// Why nothing more may be written, if the file is another one or gone.
    pub(crate) fn check(&self) -> Result<(), String> {
        match id(&self.path) {
            Ok(found) if found == self.id => Ok(()),
            Ok(_) => Err(format!("`{}` was replaced while it was open\nhint: restart", self.path.display())),
            Err(error) => Err(format!("`{}` is gone: {error}\nhint: restart", self.path.display())),
        }
    }
}

#[cfg(unix)]
fn id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|_| ())
}
