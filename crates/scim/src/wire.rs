//! Where the interface is, and what its messages are.

/// Path of the interface below the issuer.
pub const BASE_PATH: &str = "/scim/v2";
/// The media type of every message (RFC 7644 §8.1).
pub const MEDIA_TYPE: &str = "application/scim+json";
