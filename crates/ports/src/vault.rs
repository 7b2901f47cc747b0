//! Sealing and opening: envelope encryption with one data key per subject.

use async_trait::async_trait;
use bailiwick_model::secret::Secret;

/// Why sealing or opening failed. Never says what was inside.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The subject's key was erased, or never was.
    #[error("the key of `{0}` does not exist: it was erased, or nothing was ever sealed under it")]
    NoKey(String),
    /// Wrong key, altered bytes, or bytes of another subject or purpose.
    #[error("sealed bytes of `{0}` do not open: they were altered or belong elsewhere")]
    Altered(String),
    /// The key-encryption key or the store is out of reach.
    #[error("the vault is out of reach: {0}")]
    Unavailable(String),
}

/// Seals under a data key per subject, which itself is wrapped by the key-encryption key.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Seals `plaintext` under `subject`'s key, made on first use, bound to `purpose`.
    async fn seal(&self, subject: &str, purpose: &str, plaintext: &[u8]) -> Result<Vec<u8>, VaultError>;
    /// Opens what [`Self::seal`] made for the same subject and purpose.
    async fn open(&self, subject: &str, purpose: &str, ciphertext: &[u8]) -> Result<Secret<Vec<u8>>, VaultError>;
}
