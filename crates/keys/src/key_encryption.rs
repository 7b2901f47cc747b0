//! The key-encryption key: 32 random bytes outside the database, in a file of
//! mode 0600 or a systemd credential. Whoever has the database without it has
//! nothing. Losing it loses every sealed value, so back it up apart.

use std::path::Path;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use bailiwick_model::secret::Secret;
use bailiwick_oauth::dpop_nonce::NonceSecret;
use bailiwick_ports::chance::{Entropy, random};

use crate::{
    envelope::{SealingKey, Unopened, Unsealed},
    secret_file::{self, Access, SecretFileError},
};

const EXPECTED: &str = "a key-encryption key";
const SALT: &[u8] = b"bailiwick-key-encryption-key-v1";
const WRAP_LABEL: &str = "bailiwick-data-key-v1";

/// The key-encryption key. What is used is derived from it, one key per purpose.
#[derive(Debug)]
pub struct KeyEncryptionKey {
    wrapping: SealingKey,
    nonce_secret: NonceSecret,
    fingerprint: [u8; 8],
}

impl KeyEncryptionKey {
    /// Makes a new key in a new file.
    pub fn create(path: &Path, entropy: &dyn Entropy) -> Result<Self, SecretFileError> {
        let bytes = Secret::new(random::<32>(entropy));
        secret_file::create(path, bytes.expose())?;
        Self::of(path, &bytes)
    }

    /// Loads the key of a file that only its owner can read.
    pub fn load(path: &Path) -> Result<Self, SecretFileError> {
        Self::read(path, Access::Owner)
    }

    /// Loads the key of a systemd credential: `$CREDENTIALS_DIRECTORY/<name>`.
    pub fn load_systemd_credential(path: &Path) -> Result<Self, SecretFileError> {
        Self::read(path, Access::SystemdCredential)
    }

    fn read(path: &Path, access: Access) -> Result<Self, SecretFileError> {
        let bytes = secret_file::read(path, access)?;
        let key = <[u8; 32]>::try_from(bytes.expose().as_slice())
            .map_err(|_| SecretFileError::content(path, EXPECTED, &"it has not 32 bytes"))?;
        Self::of(path, &Secret::new(key))
    }

    fn of(path: &Path, bytes: &Secret<[u8; 32]>) -> Result<Self, SecretFileError> {
        let unfit = |reason: &str| SecretFileError::content(path, EXPECTED, &reason);
        if bytes.expose().iter().all(|byte| *byte == 0) {
            return Err(unfit("it is all zeros"));
        }
        Self::derive(bytes).ok_or_else(|| unfit("nothing can be derived from it"))
    }

    fn derive(bytes: &Secret<[u8; 32]>) -> Option<Self> {
        let root = Salt::new(HKDF_SHA256, SALT).extract(bytes.expose());
        let [a, b, c, d, e, f, g, h, ..] = *expand(&root, b"fingerprint")?.expose();
        Some(Self {
            wrapping: SealingKey::new(&expand(&root, b"wrap")?).ok()?,
            nonce_secret: NonceSecret::new(expand(&root, b"dpop-nonce")?),
            fingerprint: [a, b, c, d, e, f, g, h],
        })
    }

    /// The secret of DPoP nonces, the same after every restart and on every replica.
    pub fn nonce_secret(&self) -> NonceSecret {
        self.nonce_secret.clone()
    }

    /// Tells one key-encryption key from another without telling anything about it.
    pub const fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }

    /// Wraps a subject's data key.
    pub(crate) fn wrap(
        &self,
        subject: &str,
        data_key: &Secret<[u8; 32]>,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Unsealed> {
        self.wrapping.seal(&[WRAP_LABEL, subject], data_key.expose(), entropy)
    }

    /// Unwraps a subject's data key.
    pub(crate) fn unwrap(&self, subject: &str, wrapped: &[u8]) -> Result<Secret<[u8; 32]>, Unopened> {
        let bytes = self.wrapping.open(&[WRAP_LABEL, subject], wrapped)?;
        <[u8; 32]>::try_from(bytes.expose().as_slice()).map(Secret::new).map_err(|_| Unopened)
    }
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

fn expand(root: &Prk, purpose: &[u8]) -> Option<Secret<[u8; 32]>> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    root.expand(&[purpose], KeyLength).ok()?.fill(bytes.as_mut_slice()).ok()?;
    Some(Secret::new(*bytes))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::chance::SystemEntropy;

    #[test]
    fn a_restart_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        let made = KeyEncryptionKey::create(&path, &SystemEntropy).unwrap();
        let loaded = KeyEncryptionKey::load(&path).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(made.nonce_secret().nonce(now), loaded.nonce_secret().nonce(now));
        assert_eq!(made.fingerprint(), loaded.fingerprint());
        let data_key = Secret::new([5; 32]);
        let wrapped = made.wrap("agent:a", &data_key, &SystemEntropy).unwrap();
        assert_eq!(loaded.unwrap("agent:a", &wrapped), Ok(data_key));
        assert_eq!(loaded.unwrap("agent:b", &wrapped), Err(Unopened), "a row moved to another subject");
        let other = KeyEncryptionKey::create(&folder.path().join("other"), &SystemEntropy).unwrap();
        assert_eq!(other.unwrap("agent:a", &wrapped), Err(Unopened));
        assert_ne!(other.fingerprint(), made.fingerprint());
        assert_ne!(other.nonce_secret().nonce(now), made.nonce_secret().nonce(now));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("short", vec![1; 31]), ("long", vec![1; 33]), ("zeros", vec![0; 32]), ("none", vec![])] {
            let path = folder.path().join(name);
            secret_file::create(&path, &bytes).unwrap();
            assert!(KeyEncryptionKey::load(&path).is_err(), "{name}");
        }
    }

    #[test]
    fn a_key_never_prints() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyEncryptionKey::create(&folder.path().join("kek"), &SystemEntropy).unwrap();
        let text = format!("{key:?}");
        assert!(text.contains("wrapping: SealingKey(****), nonce_secret: NonceSecret(****), "), "{text}");
    }
}
