//! A user who is signed in, in one browser.

use jiff::Timestamp;

use crate::{authentication::Authentication, digest::Digest, id::BrowserSessionId, name::UserId};

/// One session. It is bound to nothing but its token, of which only the digest is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, which opens nothing.
    pub id: BrowserSessionId,
    /// The digest of the token that its browser brings.
    pub token: Digest,
    /// Who is signed in.
    pub user: UserId,
    /// When and how they proved who they are.
    pub authentication: Authentication,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends if its browser stays away.
    pub idle_ends_at: Timestamp,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
}

impl Session {
    /// Whether it is open at `now`, as far as it alone can tell: its user must stand, too.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < self.idle_ends_at && now < self.ends_at
    }
}
