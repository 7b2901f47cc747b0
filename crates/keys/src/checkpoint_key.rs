//! The key that signs checkpoints of the audit log: Ed25519, in a file of its
//! own, never the key that signs tokens.

use std::path::Path;

use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_ports::signer::{CheckpointSigner, SignError};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    secret_file::{self, Access, SecretFileError},
    signing_key::SigningKey,
};

const EXPECTED: &str = "an Ed25519 private key in PKCS#8";

/// The checkpoint key with the log's name.
#[derive(Debug)]
pub struct CheckpointKey {
    key: SigningKey,
    public_key: [u8; 32],
    origin: String,
}

impl CheckpointKey {
    /// Makes a new key in a new file.
    pub fn create(path: &Path, origin: String) -> Result<Self, SecretFileError> {
        let unfit = |error: crate::signing_key::SigningKeyError| SecretFileError::content(path, EXPECTED, &error);
        let key = SigningKey::generate(SigningAlgorithm::EdDSA).map_err(unfit)?;
        secret_file::create(path, key.to_pem().map_err(unfit)?.expose().as_bytes())?;
        Self::of(path, key, origin)
    }

    /// Loads the key of a file.
    pub fn load(path: &Path, origin: String) -> Result<Self, SecretFileError> {
        let bytes = secret_file::read(path, Access::Owner)?;
        let text = std::str::from_utf8(bytes.expose()).map_err(|e| SecretFileError::content(path, EXPECTED, &e))?;
        let key = SigningKey::from_pem(text).map_err(|error| SecretFileError::content(path, EXPECTED, &error))?;
        Self::of(path, key, origin)
    }

    fn of(path: &Path, key: SigningKey, origin: String) -> Result<Self, SecretFileError> {
        let unfit = || SecretFileError::content(path, EXPECTED, &"it is of another kind");
        if key.public().algorithm != SigningAlgorithm::EdDSA {
            return Err(unfit());
        }
        let jwk: serde_json::Value = serde_json::from_str(&key.public().jwk).map_err(|_| unfit())?;
        let x = jwk.get("x").and_then(serde_json::Value::as_str).ok_or_else(unfit)?;
        let public_key = URL_SAFE_NO_PAD.decode(x).ok().and_then(|x| x.try_into().ok()).ok_or_else(unfit)?;
        Ok(Self { key, public_key, origin })
    }
}

impl CheckpointSigner for CheckpointKey {
    fn origin(&self) -> String {
        self.origin.clone()
    }

    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.key.sign(message)?;
        signature.try_into().map_err(|_| SignError("the signature has not 64 bytes".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn signs_with_the_same_key_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.pem");
        let made = CheckpointKey::create(&path, "b.example/log".to_owned()).unwrap();
        let loaded = CheckpointKey::load(&path, "b.example/log".to_owned()).unwrap();
        assert_eq!(made.public_key(), loaded.public_key());
        let signature = loaded.sign(b"note").unwrap();
        UnparsedPublicKey::new(&ED25519, made.public_key()).verify(b"note", &signature).unwrap();
        assert!(CheckpointKey::create(&path, String::new()).is_err(), "never overwritten");
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.pem");
        let key = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        secret_file::create(&path, key.to_pem().unwrap().expose().as_bytes()).unwrap();
        assert!(CheckpointKey::load(&path, String::new()).is_err());
    }
}
