//! What a directory provisions over SCIM 2.0 (RFC 7643): its side of users, and its groups.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    id::DirectoryGroupId,
    name::WorkloadName,
    user::{RESERVED_GROUPS, User},
};

/// What a directory says of a user whom it provisioned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryEntry {
    /// `userName`: one of a kind among those who have not left, whatever its case.
    pub user_name: String,
    /// `externalId`: the directory's own key.
    pub external_id: Option<String>,
    /// `name.givenName`.
    pub given_name: Option<String>,
    /// `name.familyName`.
    pub family_name: Option<String>,
    /// `displayName`, which people are called by before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `name.formatted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatted_name: Option<String>,
    /// What the directory calls the address that is kept: `emails.type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_type: Option<String>,
    /// Whether the directory prefers that address to others of theirs: `emails.primary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_primary: Option<bool>,
    /// Whether the directory lets them act at all. What operators say stands beside it; both must.
    pub active: bool,
}

/// A group of the directory. Who is in it is said by the users' own groups, by its display name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryGroup {
    /// Its id.
    pub id: DirectoryGroupId,
    /// `displayName`: the name that policy knows it by; one of a kind.
    pub display_name: String,
    /// `externalId`: the directory's own key.
    pub external_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts changes of it and of who is in it.
    pub version: u64,
}

/// A credential by which a directory provisions that can send nothing but a static bearer token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningToken {
    /// What operators call it, and what the evidence names.
    pub name: WorkloadName,
    /// The digest of the token.
    pub token: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Whether a group is given by who runs the broker alone. A directory neither names nor imitates one.
pub fn is_reserved(group: &str) -> bool {
    let prefix = group.trim_start().get(..RESERVED_GROUPS.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_GROUPS))
}

impl User {
    /// What its directory says of it; `None` is a user of this broker alone, or one who left.
    pub fn provisioned(&self) -> Option<&DirectoryEntry> {
        self.directory.as_ref().filter(|_| !self.has_left())
    }
}
