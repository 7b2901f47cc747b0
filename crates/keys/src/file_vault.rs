//! The vault over a key-encryption key at hand: one data key per subject,
//! wrapped in the store, so that erasing one row erases everything that was
//! ever sealed for that subject, backups of the other rows included.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bailiwick_model::secret::Secret;
use bailiwick_ports::{
    chance::{Entropy, random},
    store::{Store, StoreError},
    vault::{Vault, VaultError},
};

use crate::{envelope::SealingKey, key_encryption::KeyEncryptionKey};

/// Unwrapped data keys that are kept in memory.
pub const DATA_KEYS_CACHED_MAX: usize = 1_024;
/// Seconds after which a cached data key is looked up again before anything is
/// sealed with it, so that a replica soon learns that it was erased elsewhere.
pub const DATA_KEY_CACHED_S_MAX: u64 = 60;
/// Bytes of one subject or purpose.
pub const LABEL_BYTES_MAX: usize = 256;

const SEAL_LABEL: &str = "bailiwick-sealed-v1";

/// The vault.
pub struct FileVault {
    key_encryption: Arc<KeyEncryptionKey>,
    rows: Box<dyn DataKeyRows>,
    entropy: Arc<dyn Entropy>,
    data_keys: Mutex<BTreeMap<String, DataKey>>,
}

#[derive(Clone)]
struct DataKey {
    wrapped: Arc<[u8]>,
    key: Arc<SealingKey>,
    seen_at: Instant,
}

/// The little that the vault needs of the store; its tests keep the rows at hand.
#[async_trait]
trait DataKeyRows: Send + Sync {
    /// As [`Store::data_key`].
    async fn data_key(&self, subject: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// As [`Store::keep_data_key`].
    async fn keep_data_key(&self, subject: &str, wrapped: Vec<u8>) -> Result<Vec<u8>, StoreError>;
}

struct RowsOfStore(Arc<dyn Store>);

#[async_trait]
impl DataKeyRows for RowsOfStore {
    async fn data_key(&self, subject: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.data_key(subject).await
    }

    async fn keep_data_key(&self, subject: &str, wrapped: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        self.0.keep_data_key(subject, wrapped).await
    }
}

impl std::fmt::Debug for FileVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileVault").finish_non_exhaustive()
    }
}

impl FileVault {
    /// A vault whose wrapped data keys lie in `store`.
    pub fn new(key_encryption: Arc<KeyEncryptionKey>, store: Arc<dyn Store>, entropy: Arc<dyn Entropy>) -> Self {
        Self::over(key_encryption, Box::new(RowsOfStore(store)), entropy)
    }

    fn over(key_encryption: Arc<KeyEncryptionKey>, rows: Box<dyn DataKeyRows>, entropy: Arc<dyn Entropy>) -> Self {
        Self { key_encryption, rows, entropy, data_keys: Mutex::new(BTreeMap::new()) }
    }

    /// Forgets a subject's data key in memory, as whoever erases its row must.
    pub fn forget(&self, subject: &str) {
        self.cache().remove(subject);
    }

    /// The key to seal with: from memory while it is fresh, else from the store, else a new one.
    async fn sealing_key(&self, subject: &str) -> Result<Arc<SealingKey>, VaultError> {
        if let Some(fresh) = self.cached(subject).filter(|key| key.seen_at.elapsed() < cached_for()) {
            return Ok(fresh.key);
        }
        let kept = match self.rows.data_key(subject).await.map_err(unavailable)? {
            Some(wrapped) => wrapped,
            None => {
                let data_key = Secret::new(random::<32>(self.entropy.as_ref()));
                let wrapped = self
                    .key_encryption
                    .wrap(subject, &data_key, self.entropy.as_ref())
                    .map_err(|error| VaultError::Unavailable(error.to_string()))?;
                // Somebody else may have been quicker: then theirs is the key.
                self.rows.keep_data_key(subject, wrapped).await.map_err(unavailable)?
            }
        };
        self.unwrapped(subject, kept)
    }

    /// The key of a wrapped row, from memory if it was unwrapped before.
    fn unwrapped(&self, subject: &str, wrapped: Vec<u8>) -> Result<Arc<SealingKey>, VaultError> {
        let known = self.cached(subject).filter(|key| *key.wrapped == *wrapped).map(|key| key.key);
        let key = match known {
            Some(key) => key,
            None => {
                let altered = || VaultError::Altered(subject.to_owned());
                let bytes = self.key_encryption.unwrap(subject, &wrapped).map_err(|_| altered())?;
                Arc::new(SealingKey::new(&bytes).map_err(|_| altered())?)
            }
        };
        let entry = DataKey { wrapped: wrapped.into(), key: Arc::clone(&key), seen_at: Instant::now() };
        let mut cache = self.cache();
        if cache.len() >= DATA_KEYS_CACHED_MAX && !cache.contains_key(subject) {
            let oldest = cache.iter().min_by_key(|(_, key)| key.seen_at).map(|(subject, _)| subject.clone());
            if let Some(oldest) = oldest {
                cache.remove(&oldest);
            }
        }
        cache.insert(subject.to_owned(), entry);
        Ok(key)
    }

    fn cached(&self, subject: &str) -> Option<DataKey> {
        self.cache().get(subject).cloned()
    }

    fn cache(&self) -> MutexGuard<'_, BTreeMap<String, DataKey>> {
        // A map is whole even if somebody panicked while holding it.
        self.data_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Vault for FileVault {
    async fn seal(&self, subject: &str, purpose: &str, plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
        check_labels(subject, purpose)?;
        let key = self.sealing_key(subject).await?;
        key.seal(&[SEAL_LABEL, subject, purpose], plaintext, self.entropy.as_ref())
            .map_err(|error| VaultError::Unavailable(error.to_string()))
    }

    async fn open(&self, subject: &str, purpose: &str, ciphertext: &[u8]) -> Result<Secret<Vec<u8>>, VaultError> {
        check_labels(subject, purpose)?;
        // Always asked, never only remembered: an erased key opens nothing from this moment on.
        let Some(wrapped) = self.rows.data_key(subject).await.map_err(unavailable)? else {
            self.forget(subject);
            return Err(VaultError::NoKey(subject.to_owned()));
        };
        let key = self.unwrapped(subject, wrapped)?;
        key.open(&[SEAL_LABEL, subject, purpose], ciphertext).map_err(|_| VaultError::Altered(subject.to_owned()))
    }
}

const fn cached_for() -> Duration {
    Duration::from_secs(DATA_KEY_CACHED_S_MAX)
}

fn check_labels(subject: &str, purpose: &str) -> Result<(), VaultError> {
    if [subject, purpose].iter().any(|label| label.is_empty() || label.len() > LABEL_BYTES_MAX) {
        return Err(VaultError::Unavailable(format!("a subject and a purpose have 1 to {LABEL_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn unavailable(error: StoreError) -> VaultError {
    VaultError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests;
