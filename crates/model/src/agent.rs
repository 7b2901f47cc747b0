//! A registered agent and its life.

mod attestation;
mod client_url;
mod credential;
mod distinguished_name;
mod platform_identity;
mod spiffe_id;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    name::{AgentName, RoleName, Scope, SystemName},
    redirect_uri::RedirectUri,
};

pub use self::{
    attestation::{ATTESTATION_CERTIFICATE_BYTES_MAX, ATTESTATION_CERTIFICATES_MAX, Attestation, KeyProtection},
    client_url::{CLIENT_URL_BYTES_MAX, ClientUrl},
    credential::{AttestedClient, Authenticator, CertificateName, Credential, PinnedCertificate},
    distinguished_name::{ATTRIBUTE_TYPES, ATTRIBUTES_MAX, DISTINGUISHED_NAME_BYTES_MAX, DistinguishedName},
    platform_identity::{PlatformIdentity, PlatformIssuer},
    spiffe_id::{SPIFFE_ID_BYTES_MAX, SpiffeId, TrustDomain},
};

/// Where an agent runs. A token of one environment is refused by a broker of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// A developer's machine.
    Development,
    /// A rehearsal of production.
    Staging,
    /// The real thing.
    Production,
}

impl Environment {
    /// As written in configuration and policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Environment {
    type Err = crate::name::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "development" => Ok(Self::Development),
            "staging" => Ok(Self::Staging),
            "production" => Ok(Self::Production),
            _ => Err(crate::name::NameError::new("environment", text, "use `development`, `staging` or `production`")),
        }
    }
}

/// What an agent's state allows. Each state carries its own times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum AgentStatus {
    /// May act.
    Active,
    /// Stopped, can be resumed.
    Suspended {
        /// Since when.
        at: Timestamp,
        /// Why, in an operator's words.
        reason: String,
    },
    /// Ended for good; its name is never given again.
    Retired {
        /// Since when.
        at: Timestamp,
        /// Why, in an operator's words.
        reason: String,
    },
}

impl AgentStatus {
    /// One word for tables and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended { .. } => "suspended",
            Self::Retired { .. } => "retired",
        }
    }
}

/// A registered agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its identity, its OAuth `client_id` and `sub`.
    pub name: AgentName,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// Where it runs.
    pub environment: Environment,
    /// Its job, which gives it its permits.
    pub role: RoleName,
    /// Systems it may ask tokens for; empty means all that its role can reach.
    pub systems: Vec<SystemName>,
    /// Scopes beyond systems (such as `access:evaluate`) that it may ask for.
    pub scopes: Vec<Scope>,
    /// Where users whom it asks for consent are sent back to; with none it acts for itself alone.
    pub redirect_uris: Vec<RedirectUri>,
    /// Whether it is past its read-only start.
    pub promoted: bool,
    /// Whether its tokens may be plain bearer tokens instead of DPoP-bound ones.
    pub bearer_tokens_allowed: bool,
    /// Whether it may act only within an explicit task.
    pub task_required: bool,
    /// How its keys must be kept, by its registration; its role may ask for more.
    pub key_protection: KeyProtection,
    /// Seconds its access tokens live.
    pub token_ttl_s: u64,
    /// What it proves itself by.
    pub credentials: Vec<Credential>,
    /// Its state.
    pub status: AgentStatus,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When the whole registration ends.
    pub expires_at: Timestamp,
    /// From when on it may not act unless somebody reviewed it before.
    pub review_by: Timestamp,
    /// Its owner left: from when on it may not act unless somebody else took it over before.
    pub successor_by: Option<Timestamp>,
    /// Counts changes; a change names the version it saw.
    pub version: u64,
}

impl Agent {
    /// Whether it may act at `now`: active, not past its expiry, reviewed and owned in time. Says why not.
    pub fn standing(&self, now: Timestamp) -> Result<(), Inactive> {
        match &self.status {
            AgentStatus::Active => self.overdue(now).map_or(Ok(()), Err),
            AgentStatus::Suspended { .. } => Err(Inactive::Suspended),
            AgentStatus::Retired { .. } => Err(Inactive::Retired),
        }
    }

    /// What it would need before it may act at `now`, whatever its state.
    pub fn overdue(&self, now: Timestamp) -> Option<Inactive> {
        if now >= self.expires_at {
            Some(Inactive::Expired)
        } else if now >= self.review_by {
            Some(Inactive::Unreviewed)
        } else if self.successor_by.is_some_and(|by| now >= by) {
            Some(Inactive::Ownerless)
        } else {
            None
        }
    }

    /// The URL of the document that it is a client by, if it is one without a key.
    pub fn documented_by(&self) -> Option<&ClientUrl> {
        self.credentials.iter().find_map(|credential| match &credential.authenticator {
            Authenticator::Document(url) => Some(url),
            _ => None,
        })
    }

    /// Until when it may act if nobody does anything.
    pub fn active_until(&self) -> Timestamp {
        let until = self.expires_at.min(self.review_by);
        self.successor_by.map_or(until, |by| until.min(by))
    }
}

/// Why a principal may not act at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inactive {
    /// Nobody registered it.
    #[error("it is not registered")]
    Unknown,
    /// An operator stopped it.
    #[error("it is suspended")]
    Suspended,
    /// It ended for good.
    #[error("it is retired")]
    Retired,
    /// Its registration ran out.
    #[error("its registration has expired")]
    Expired,
    /// Nobody reviewed it in time.
    #[error("nobody reviewed it in time")]
    Unreviewed,
    /// Its owner left, and nobody took it over in time.
    #[error("its owner left, and nobody took it over")]
    Ownerless,
    /// It is known by a document that no rule of the active bundle names any more.
    #[error("no rule takes its document any more")]
    Undocumented,
    /// It is known by a document, and its rule says something else of it since it was last there.
    #[error("its rule says something else since its last visit")]
    Outdated,
    /// It is registered for an environment that this broker does not serve.
    #[error("it belongs to another environment than this broker serves")]
    Elsewhere,
}
