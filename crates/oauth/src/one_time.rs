//! Identifiers that may be used once. The store's commit uses them up; this
//! crate only says which and for how long.

use bailiwick_model::digest::Digest;
use jiff::Timestamp;

/// Bytes of one `jti`.
pub const JTI_BYTES_MAX: usize = 256;

/// The `jti` of a proof or an assertion, to be used up by what it authenticates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OneTimeIdentifier {
    /// Whose: `dpop:<thumbprint>` or `assertion:<client>`.
    pub scope: String,
    /// The digest of the `jti`, so that its length is bounded.
    pub jti: Digest,
    /// From when on it may be forgotten, since what carries it is too old by then.
    pub forget_at: Timestamp,
}

impl OneTimeIdentifier {
    pub(crate) fn new(scope: String, jti: &str, forget_at: Timestamp) -> Self {
        Self { scope, jti: Digest::of(jti.as_bytes()), forget_at }
    }
}

/// Whether a `jti` is neither empty nor too long.
pub(crate) fn jti_fits(jti: &str) -> bool {
    !jti.is_empty() && jti.len() <= JTI_BYTES_MAX
}
