//! A person whom agents act for.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{agent::Inactive, directory::DirectoryEntry, name::UserId};

/// The group of those who administer the broker.
pub const ADMINISTRATORS: &str = "bailiwick:administrators";
/// Groups that begin so are given by who runs the broker, never by a directory.
pub const RESERVED_GROUPS: &str = "bailiwick:";

/// What a user's state allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum UserStatus {
    /// May sign in, and agents may act for them.
    Active,
    /// Stopped, can be resumed.
    Suspended {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Left for good: grants, sessions and credentials ended with it.
    Left {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl UserStatus {
    /// One word for tables and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended { .. } => "suspended",
            Self::Left { .. } => "left",
        }
    }
}

/// A person as registered. Only `id` and `groups` ever enter policy or evidence in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The pseudonym.
    pub id: UserId,
    /// What people call them.
    pub name: String,
    /// Where to reach them.
    pub email: Option<String>,
    /// Groups that policy may rely on, from the directory or an operator.
    pub groups: BTreeSet<String>,
    /// Their state, as operators say it.
    pub status: UserStatus,
    /// What a directory says of them, if one provisioned them.
    pub directory: Option<DirectoryEntry>,
    /// When they were first known.
    pub created_at: Timestamp,
    /// Counts changes; a change names the version it saw.
    pub version: u64,
}

impl User {
    /// Whether agents may act for them. Says why not.
    pub const fn standing(&self) -> Result<(), Inactive> {
        match (&self.status, &self.directory) {
            (UserStatus::Left { .. }, _) => Err(Inactive::Retired),
            (UserStatus::Suspended { .. }, _) | (_, Some(DirectoryEntry { active: false, .. })) => {
                Err(Inactive::Suspended)
            }
            (UserStatus::Active, _) => Ok(()),
        }
    }

    /// Whether they have rights over the broker itself.
    pub fn administers(&self) -> bool {
        self.groups.iter().any(|group| group.starts_with(RESERVED_GROUPS))
    }

    /// Whether they left for good.
    pub const fn has_left(&self) -> bool {
        matches!(self.status, UserStatus::Left { .. })
    }
}
