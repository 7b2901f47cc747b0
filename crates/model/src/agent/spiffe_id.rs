//! The id of a workload in a SPIFFE trust domain (SPIFFE-ID §2).

use std::{fmt, str::FromStr};

use crate::name::{NameError, serde_by_str};

/// Bytes of a SPIFFE id at most (SPIFFE-ID §2.3).
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;
/// Bytes of a trust domain's name at most (SPIFFE-ID §2.1).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
const SCHEME: &str = "spiffe://";

/// `spiffe://<trust domain>/<path>`, compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId(String);

/// A trust domain's name: lower-case letters, digits, `.`, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl SpiffeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain that it is of.
    pub fn trust_domain(&self) -> TrustDomain {
        let rest = self.0.get(SCHEME.len()..).unwrap_or_default();
        TrustDomain(rest.split('/').next().unwrap_or_default().to_owned())
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SpiffeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let segment = |segment: &str| {
            !segment.is_empty()
                && !matches!(segment, "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        };
        let fits = || {
            let (domain, path) = text.strip_prefix(SCHEME)?.split_once('/')?;
            domain.parse::<TrustDomain>().ok()?;
            (text.len() <= SPIFFE_ID_BYTES_MAX && path.split('/').all(segment)).then_some(())
        };
        let expected = "write `spiffe://<trust domain>/<path>` of one workload, byte for byte";
        fits().map(|()| Self(text.to_owned())).ok_or_else(|| NameError::new("SPIFFE id", text, expected))
    }
}

serde_by_str!(SpiffeId);

impl TrustDomain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = !text.is_empty()
            && text.len() <= TRUST_DOMAIN_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b));
        let expected = "use lower-case letters, digits, `.`, `-` and `_`";
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::new("trust domain", text, expected)) }
    }
}

serde_by_str!(TrustDomain);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id: SpiffeId = "spiffe://prod.example/ns/bots/sa/reader".parse().unwrap();
        assert_eq!(id.trust_domain().as_str(), "prod.example");
        for bad in [
            "",
            "spiffe://prod.example",
            "spiffe://prod.example/",
            "spiffe:///reader",
            "SPIFFE://prod.example/reader",
            "spiffe://Prod.example/reader",
            "spiffe://prod.example:8443/reader",
            "spiffe://user@prod.example/reader",
            "spiffe://prod.example/a//b",
            "spiffe://prod.example/a/../b",
            "spiffe://prod.example/a/",
            "spiffe://prod.example/a%2fb",
            "spiffe://prod.example/a?x",
            "spiffe://prod.example/a#x",
            "https://prod.example/a",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
        assert!(format!("spiffe://p/{}", "a".repeat(SPIFFE_ID_BYTES_MAX)).parse::<SpiffeId>().is_err());
    }
}
