//! How clients register by themselves (RFC 7591): on terms that an operator fixed beforehand.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    agent::Environment,
    digest::Digest,
    id::RegistrationTokenId,
    name::{AgentName, RoleName, SystemName},
};

/// Bytes of the beginning of a name: the rest of the 64 is made by chance.
pub const NAME_PREFIX_BYTES_MAX: usize = 40;

/// What a client that registers by itself is, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// How its name begins; itself a name, so that every longer one is one too.
    pub name_prefix: AgentName,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// Where it runs.
    pub environment: Environment,
    /// Its job.
    pub role: RoleName,
    /// Systems it may ask tokens for; empty means all that its role can reach.
    pub systems: Vec<SystemName>,
    /// Days that it lives.
    pub lifetime_days: u32,
}

/// An initial access token (RFC 7591 §3): lets so many clients register on its terms, until its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationToken {
    /// Its id, which opens nothing.
    pub id: RegistrationTokenId,
    /// The digest of what its holder presents.
    pub digest: Digest,
    /// On which terms.
    pub terms: Terms,
    /// How many registered by it.
    pub uses: u64,
    /// How many may.
    pub uses_max: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

impl RegistrationToken {
    /// Whether one more client may register by it at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.uses < self.uses_max
    }
}
