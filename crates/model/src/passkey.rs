//! What people sign in with, and the one-time links by which they get there.

use jiff::Timestamp;

use crate::{digest::Digest, name::UserId};

/// A user's passkey: its public half only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// The credential id that its authenticator made.
    pub credential: Vec<u8>,
    /// Whose it is.
    pub user: UserId,
    /// What they call it.
    pub name: String,
    /// Public key, counter and flags, as whoever verifies with it writes them.
    pub record: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last signed somebody in.
    pub last_used_at: Option<Timestamp>,
}

/// A one-time link that lets its user add a passkey without signing in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The digest of the token in the link.
    pub token: Digest,
    /// Who is invited.
    pub user: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends unused.
    pub expires_at: Timestamp,
}
