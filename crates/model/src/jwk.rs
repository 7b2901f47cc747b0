//! Public keys as the registry and the wire carry them. Whether a key is fit for use is `oauth`'s key policy.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::name::{NameError, serde_by_str};

/// A SHA-256 thumbprint: of a public JWK (RFC 7638), or of the DER of a certificate (RFC 8705 §3.1) or of its public key.
/// Base64url without padding when written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint of the canonical JSON that RFC 7638 §3 asks for.
    pub fn of_canonical_json(json: &str) -> Self {
        Self(Sha256::digest(json.as_bytes()).into())
    }

    /// The thumbprint of a certificate or of its public key, by its DER.
    pub fn of_der(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| NameError::new("thumbprint", text, "write 32 bytes in base64url without padding"))
    }
}

serde_by_str!(Thumbprint);

/// The signature algorithms that an agent's key may be registered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519 (RFC 8037, RFC 9864).
    EdDSA,
    /// RSASSA-PSS with SHA-256, 2048 bits at least.
    PS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits at least: for clients that sign their assertions with nothing newer.
    RS256,
}

impl SigningAlgorithm {
    /// All that there are.
    pub const ALL: [Self; 4] = [Self::ES256, Self::EdDSA, Self::PS256, Self::RS256];
}

/// A public key that passed the key policy: made only by `oauth::key_policy`, stored and compared by everyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// What the key set calls it; unique within one agent.
    pub kid: String,
    /// The one algorithm that it may verify, fixed at registration and never read from a token's header.
    pub algorithm: SigningAlgorithm,
    /// RFC 7638.
    pub thumbprint: Thumbprint,
    /// The public members of the JWK in canonical JSON.
    pub jwk: String,
}
