//! An account of another provider by which a user signs in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::UserId;

/// How an account came to be a user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkedBy {
    /// An operator said so.
    Operator,
    /// A name or an address led to the user. Never worth enough for whoever administers.
    Match,
    /// The user was made known by it.
    Creation,
    /// An operator took it away: it signs nobody in, and leads to nobody, until an operator adds it again.
    Removed,
}

impl LinkedBy {
    /// One word for tables and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Match => "match",
            Self::Creation => "creation",
            Self::Removed => "removed",
        }
    }
}

/// One account: issuer and subject together name it, and nothing else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The provider.
    pub issuer: String,
    /// Who there.
    pub subject: String,
    /// Who here.
    pub user: UserId,
    /// How it came to be theirs.
    pub linked_by: LinkedBy,
    /// Since when.
    pub created_at: Timestamp,
}
