//! An account of another provider by which a user signs in.

use jiff::Timestamp;

use crate::name::UserId;

/// One account: issuer and subject together name it, and nothing else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The provider.
    pub issuer: String,
    /// Who there.
    pub subject: String,
    /// Who here.
    pub user: UserId,
    /// Since when.
    pub created_at: Timestamp,
}
