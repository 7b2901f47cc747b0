//! Files that hold secrets: mode 0600, made whole or not at all, refused when
//! anybody else could read or write them. Says nothing about what they hold.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use bailiwick_model::secret::Secret;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Bytes of one secret file.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1_024;

/// A secret file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read or written.
    #[error("`{path}`: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is there already and will not be overwritten.
    #[error("`{0}` exists already and is not overwritten")]
    Exists(PathBuf),
    /// Others may read or write it.
    #[error("`{path}` is open to others (mode {mode:04o})\nhint: chmod 600 {path}")]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("`{path}` belongs to user {owner}\nhint: run as that user, or chown the file")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// The owner's id.
        owner: u32,
    },
    /// It is a folder, a socket or the like.
    #[error("`{0}` is not a regular file")]
    NotAFile(PathBuf),
    /// More than [`SECRET_FILE_BYTES_MAX`].
    #[error("`{0}` has more than {SECRET_FILE_BYTES_MAX} bytes")]
    TooLarge(PathBuf),
    /// It does not hold what it should.
    #[error("`{path}` does not hold {expected}: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why it does not.
        reason: String,
    },
}

impl SecretFileError {
    /// A complaint about what is inside.
    pub fn content(path: &Path, expected: &'static str, reason: &dyn std::fmt::Display) -> Self {
        Self::Content { path: path.to_owned(), expected, reason: reason.to_string() }
    }

    fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Io { path: path.to_owned(), error }
    }
}

/// Who may have access besides the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    Owner,
    /// Nobody, but the group bits may show `r` on a file of root:root: systemd
    /// grants a service its credential by an access list, whose mask shows there.
    SystemdCredential,
}

/// Reads a secret file whole, after checking on the open file who else may have access.
pub fn read(path: &Path, access: Access) -> Result<Secret<Vec<u8>>, SecretFileError> {
    let mut file = File::open(path).map_err(SecretFileError::io(path))?;
    let metadata = file.metadata().map_err(SecretFileError::io(path))?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile(path.to_owned()));
    }
    let mode = metadata.mode() & 0o777;
    let of_root = metadata.uid() == 0 && metadata.gid() == 0;
    let others = match access {
        Access::SystemdCredential if of_root => mode & 0o037,
        Access::Owner | Access::SystemdCredential => mode & 0o077,
    };
    if others != 0 {
        return Err(SecretFileError::Exposed { path: path.to_owned(), mode });
    }
    if metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(SecretFileError::Foreign { path: path.to_owned(), owner: metadata.uid() });
    }
    let mut bytes = Vec::new();
    (&mut file).take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(SecretFileError::io(path))?;
    let bytes = Secret::new(bytes);
    if u64::try_from(bytes.expose().len()).is_ok_and(|length| length > SECRET_FILE_BYTES_MAX) {
        return Err(SecretFileError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// Makes a new secret file; refuses if there is one. A reader sees all of it or none.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    let draft = Draft::write(path, bytes)?;
    // A hard link, unlike a rename, never replaces what is there.
    std::fs::hard_link(&draft.0, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => SecretFileError::Exists(path.to_owned()),
        _ => SecretFileError::Io { path: path.to_owned(), error },
    })?;
    drop(draft);
    sync_folder(path)
}

/// Replaces a secret file, or makes it. A reader sees the old or the new one, whole.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    let draft = Draft::write(path, bytes)?;
    std::fs::rename(&draft.0, path).map_err(SecretFileError::io(path))?;
    sync_folder(path)
}

/// Removes a secret file if it is there.
pub fn remove(path: &Path) -> Result<(), SecretFileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SecretFileError::Io { path: path.to_owned(), error })
        }
        _ => sync_folder(path),
    }
}

/// Makes a folder of mode 0700 with its parents, unless it is there.
pub fn create_folder(path: &Path) -> Result<(), SecretFileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(SecretFileError::io(path))
}

/// A file beside its final place, removed when dropped.
struct Draft(PathBuf);

impl Draft {
    fn write(path: &Path, bytes: &[u8]) -> Result<Self, SecretFileError> {
        let error = SecretFileError::io(path);
        let mut suffix = [0; 12];
        rand::fill(&mut suffix).map_err(|_| error(io::Error::other("no randomness")))?;
        let draft = folder(path).join(format!(".draft-{}", URL_SAFE_NO_PAD.encode(suffix)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(&error)?;
        let draft = Self(draft);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(&error)?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename it is gone already; what else could be done about a failure here?
        let _ = std::fs::remove_file(&self.0);
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Makes a file's name durable.
pub fn sync_folder(path: &Path) -> Result<(), SecretFileError> {
    File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(SecretFileError::io(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_new_file_is_for_its_owner_alone_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path, Access::Owner).unwrap().expose(), b"secret");
        assert!(matches!(create(&path, b"other"), Err(SecretFileError::Exists(_))));
        assert_eq!(read(&path, Access::Owner).unwrap().expose(), b"secret");
        replace(&path, b"other").unwrap();
        assert_eq!(read(&path, Access::Owner).unwrap().expose(), b"other");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no drafts stay behind");
    }

    #[test]
    fn a_file_that_others_can_reach_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666, 0o777] {
            set_mode(&path, mode);
            let error = read(&path, Access::Owner).unwrap_err();
            assert!(matches!(error, SecretFileError::Exposed { .. }), "{mode:o}: {error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        for mode in [0o600, 0o400] {
            set_mode(&path, mode);
            assert!(read(&path, Access::Owner).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_systemd_credential_may_show_its_access_list_as_group_bits_of_root_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"secret").unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        let of_root = metadata.uid() == 0 && metadata.gid() == 0;
        set_mode(&path, 0o440);
        assert!(read(&path, Access::Owner).is_err());
        assert_eq!(read(&path, Access::SystemdCredential).is_ok(), of_root);
        for mode in [0o444, 0o460, 0o450] {
            set_mode(&path, mode);
            assert!(read(&path, Access::SystemdCredential).is_err(), "{mode:o}");
        }
    }

    #[test]
    fn a_folder_and_a_huge_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        set_mode(folder.path(), 0o700);
        assert!(matches!(read(folder.path(), Access::Owner), Err(SecretFileError::NotAFile(_))));
        let path = folder.path().join("key");
        create(&path, &vec![0; usize::try_from(SECRET_FILE_BYTES_MAX).unwrap() + 1]).unwrap();
        assert!(matches!(read(&path, Access::Owner), Err(SecretFileError::TooLarge(_))));
        assert!(matches!(read(&folder.path().join("none"), Access::Owner), Err(SecretFileError::Io { .. })));
    }
}
