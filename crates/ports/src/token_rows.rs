//! What a store keeps of tokens beside their issue: refresh tokens, and how issued tokens are listed. No row holds what
//! somebody could present.

use bailiwick_model::{
    confirmation::Confirmation,
    digest::Digest,
    grant::GrantKind,
    id::{GrantId, TokenId},
    name::AgentName,
};
use jiff::Timestamp;

use crate::store::IssuedToken;

/// A refresh token, by the digest of what its client holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// The digest of the whole token, which is random and so cannot be guessed from it.
    pub digest: Digest,
    /// The grant that it renews access under.
    pub grant: GrantId,
    /// How many were used up before it under the same grant.
    pub number: u64,
    /// The key that it is bound to; `None` is bound to its client alone.
    pub confirmation: Option<Confirmation>,
    /// When it was given.
    pub issued_at: Timestamp,
    /// When it was used up; who presents it again has a copy, or lost the answer.
    pub used_at: Option<Timestamp>,
    /// When it ends: the end of its grant.
    pub expires_at: Timestamp,
}

/// One refresh token is used up, and the next one of its grant takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The one that was presented.
    pub used: Digest,
    /// The next one.
    pub next: RefreshToken,
}

/// An issued access token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedToken {
    /// The token, by its identifiers.
    pub token: IssuedToken,
    /// The kind of its grant; `None` is its client acting for itself.
    pub kind: Option<GrantKind>,
    /// Whether it was revoked before its end. Its grant, task or agent may have ended all the same.
    pub revoked: bool,
}

/// Which access tokens to list, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFilter {
    /// Only those that end after this moment.
    pub unexpired_at: Timestamp,
    /// Only those after this one: one of an earlier page, or one that tells when the oldest can have been issued.
    pub after: TokenId,
    /// Only those of this client.
    pub client: Option<AgentName>,
    /// Only those of this grant.
    pub grant: Option<GrantId>,
    /// At most so many.
    pub limit: usize,
}
