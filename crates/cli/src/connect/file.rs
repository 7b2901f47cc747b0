//! Reads and replaces a file that somebody else owns: whole or not at all, with its permissions, with a copy of what
//! was there before.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Bytes of a file that we change: some clients keep their history beside their settings.
const FILE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// What the copy of a file is called: its own name and this.
const BACKUP: &str = ".before-bailiwick";
/// Of a file that was not there: the owner's alone, as it says which agent works here with which key.
const MODE: u32 = 0o600;

/// The file that is meant: the end of a chain of links, which stay what they are.
pub(crate) fn real(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(path.to_owned()),
        other => other,
    }
}

/// The file's text; `None` where there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is over {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Puts `text` in the place of what the file holds, provided that it still holds `before`.
pub(crate) fn replace(path: &Path, before: Option<&str>, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    let mode = std::fs::metadata(path).map_or(MODE, |found| found.permissions().mode() & 0o7777);
    new.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    if read(path)?.as_deref() != before {
        return Err(io::Error::other("it changed meanwhile; nothing was written"));
    }
    match before {
        Some(_) => new.persist(path)?,
        // Whoever made it meanwhile keeps it.
        None => new.persist_noclobber(path)?,
    };
    std::fs::File::open(folder)?.sync_all()
}

/// Removes a file, provided that it still holds `before`.
pub(crate) fn remove(path: &Path, before: Option<&str>) -> io::Result<()> {
    if read(path)?.as_deref() != before {
        return Err(io::Error::other("it changed meanwhile; it was not removed"));
    }
    std::fs::remove_file(path)
}

/// Where the copy of a file lies.
pub(crate) fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(BACKUP);
    PathBuf::from(name)
}

/// Keeps what the file holds, unless there is a copy already: that one is older, so it is what there was before us.
pub(crate) fn keep(path: &Path, text: &str) -> io::Result<()> {
    let backup = backup_of(path);
    if read(&backup)?.is_some() {
        return Ok(());
    }
    replace(&backup, None, text)?;
    std::fs::set_permissions(&backup, std::fs::metadata(path)?.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/settings.json");
        replace(&path, None, "{}").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((read(&path).unwrap().as_deref(), mode(&path)), (Some("{}"), 0o600));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        keep(&path, "{}").unwrap();
        replace(&path, Some("{}"), "{\"a\":1}").unwrap();
        assert_eq!((mode(&path), mode(&backup_of(&path))), (0o640, 0o640));
        assert_eq!(read(&backup_of(&path)).unwrap().as_deref(), Some("{}"));
        keep(&path, "{\"a\":1}").unwrap();
        assert_eq!(read(&backup_of(&path)).unwrap().as_deref(), Some("{}"), "the first copy stays");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn what_somebody_wrote_meanwhile_is_neither_overwritten_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        std::fs::write(&path, "theirs").unwrap();
        assert!(replace(&path, Some("before"), "ours").is_err());
        assert!(replace(&path, None, "ours").is_err());
        assert!(remove(&path, Some("before")).is_err());
        assert_eq!(read(&path).unwrap().as_deref(), Some("theirs"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path, Some("theirs")).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("dotfiles.json"), folder.path().join("settings.json"));
        std::fs::write(&target, "{}").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let real = real(&link).unwrap();
        replace(&real, Some("{}"), "{\"a\":1}").unwrap();
        assert!(link.is_symlink());
        assert_eq!(read(&link).unwrap().as_deref(), Some("{\"a\":1}"));
    }
}
