//! Keys that sign. Private keys stay behind this trait.

use bailiwick_model::jwk::PublicKey;

/// A signature that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SignError(pub String);

/// Signs JWTs with the issuer's current key.
pub trait TokenSigner: Send + Sync {
    /// The key that signs now.
    fn current(&self) -> PublicKey;
    /// All keys to publish: next, current, and retired ones whose tokens may still live.
    fn published(&self) -> Vec<PublicKey>;
    /// All of those, and the ones that rotated out of use in good order: what outlives every token (the boundary of a
    /// bundle) is verified by these. Never a key that was given up after a compromise.
    fn trusted_for_long(&self) -> Vec<PublicKey> {
        self.published()
    }
    /// The JWS signature over `signing_input` (RFC 7515 §5.1) with the current key.
    fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, SignError>;
    /// The same with the published key of that name, so that a rotation between
    /// naming the key and signing with it does no harm.
    fn sign_as(&self, kid: &str, signing_input: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.current().kid != kid {
            return Err(SignError(format!("key `{kid}` is not the current one")));
        }
        self.sign(signing_input)
    }
}

/// Signs checkpoints with Ed25519 (C2SP signed-note). Never the key that signs tokens.
pub trait CheckpointSigner: Send + Sync {
    /// The name in the note's signature line: the log's origin.
    fn origin(&self) -> String;
    /// The 32-byte Ed25519 public key.
    fn public_key(&self) -> [u8; 32];
    /// The 64-byte signature.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// A private key that its device never gives away. It signs for ES256.
pub trait DeviceKey: Send + Sync {
    /// The signature over `message`: r and s of 32 bytes each.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}
