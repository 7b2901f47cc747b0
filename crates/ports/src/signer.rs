//! Keys that sign. Private keys stay behind this trait.

use bailiwick_model::jwk::PublicKey;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A signature that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SignError(pub String);

/// Keys that could not be changed; they are as they were.
#[derive(Debug, thiserror::Error)]
#[error("the issuer's keys cannot be changed: {0}")]
pub struct KeyChangeError(pub String);

/// What a key of the issuer's is good for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenKeyState {
    /// Published, does not sign yet.
    Next {
        /// Since when.
        since: Timestamp,
    },
    /// Signs.
    Current {
        /// Since when.
        since: Timestamp,
    },
    /// Signs no more; its tokens may still live.
    Retired {
        /// Since when.
        since: Timestamp,
    },
}

/// What a step of a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// A next key was made and is published.
    Published {
        /// Its name.
        kid: String,
    },
    /// The next key signs from now on.
    Promoted {
        /// Its name.
        kid: String,
    },
    /// A key's private half was destroyed.
    Destroyed {
        /// Its name.
        kid: String,
    },
}

impl Rotation {
    /// The step as recorded, and the key's name.
    pub const fn told(&self) -> (&'static str, &String) {
        match self {
            Self::Published { kid } => ("published", kid),
            Self::Promoted { kid } => ("promoted", kid),
            Self::Destroyed { kid } => ("destroyed", kid),
        }
    }
}

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
    /// Every published key with its state, the current one first.
    fn states(&self) -> Vec<(PublicKey, TokenKeyState)>;
    /// Makes and publishes a next key; `None` if there is one.
    fn begin_rotation(&self, now: Timestamp) -> Result<Option<Rotation>, KeyChangeError>;
    /// Does what is due: promotes a next key that was published long enough, destroys a retired one whose tokens have
    /// ended, begins a rotation when the current key is old. Call it every minute or so.
    fn advance(&self, now: Timestamp) -> Result<Vec<Rotation>, KeyChangeError>;
    /// After a compromise, first: makes a next key that nobody has seen, in the place of another next one. Nothing changes
    /// for tokens; what outlives them is signed anew with it, by [`Self::sign_ahead`].
    fn prepare_replacement(&self, now: Timestamp) -> Result<PublicKey, KeyChangeError>;
    /// Signs with the next key of that name what outlives tokens; never a token.
    fn sign_ahead(&self, kid: &str, signing_input: &[u8]) -> Result<Vec<u8>, SignError>;
    /// Then: that next key signs at once, and all others, those of the past included, verify nothing any more and are
    /// destroyed. Every token issued so far is refused from now on.
    fn replace_all(&self, kid: &str, now: Timestamp) -> Result<Vec<Rotation>, KeyChangeError>;
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
