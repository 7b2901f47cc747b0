//! A published policy: files with one digest.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::{
    digest::Digest,
    limits::{BUNDLE_BYTES_MAX, BUNDLE_FILES_MAX},
};

/// The revision of a bundle: the digest of all its files.
pub type BundleRevision = Digest;

/// The files of a bundle by their relative path with `/`, such as `policies/roles/support.cedar`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BundleFiles(BTreeMap<String, Vec<u8>>);

/// Files that cannot be a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Absolute, empty, or with `.`, `..`, a backslash or a NUL in it.
    #[error("`{0}` is not a relative path inside the bundle")]
    Path(String),
    /// Too many.
    #[error("a bundle holds at most {BUNDLE_FILES_MAX} files")]
    TooManyFiles,
    /// Too large.
    #[error("a bundle holds at most {BUNDLE_BYTES_MAX} bytes")]
    TooLarge,
}

impl BundleFiles {
    /// Checks paths and sizes and takes the files.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Result<Self, BundleError> {
        if files.len() > BUNDLE_FILES_MAX {
            return Err(BundleError::TooManyFiles);
        }
        if files.values().map(Vec::len).sum::<usize>() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        for path in files.keys() {
            let plain = |part: &str| !matches!(part, "" | "." | "..");
            if !path.split('/').all(plain) || path.contains(['\\', '\0']) {
                return Err(BundleError::Path(path.clone()));
            }
        }
        Ok(Self(files))
    }

    /// All files, in path order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The files under one folder, in path order.
    pub fn under<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.iter().filter(move |(path, _)| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    }

    /// One file.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// The digest of all files: SHA-256 over, per file in path order, the
    /// lengths of path and content as 8 bytes big-endian, then both.
    pub fn revision(&self) -> BundleRevision {
        Self::digest(self.iter())
    }

    /// The digest, made the same way, of the files of `policies/boundary` alone.
    pub fn boundary_digest(&self) -> Digest {
        Self::digest(self.under("policies/boundary"))
    }

    fn digest<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Digest {
        let mut hasher = Sha256::new();
        for (path, bytes) in files {
            hasher.update((path.len() as u64).to_be_bytes());
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(path.as_bytes());
            hasher.update(bytes);
        }
        Digest::from_bytes(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_refuses_paths_that_leave_it() {
        for bad in ["/etc/passwd", "a/../b", "./a", "a//b", "", "a\\b"] {
            let files = BTreeMap::from([(bad.to_owned(), vec![])]);
            assert!(BundleFiles::new(files).is_err(), "{bad:?}");
        }
    }
}
