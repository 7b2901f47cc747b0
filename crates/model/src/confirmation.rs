//! What a token is bound to (RFC 7800): whoever presents it proves that it holds the private key.

use std::{fmt, str::FromStr};

use crate::{
    jwk::Thumbprint,
    name::{NameError, serde_by_str},
};

/// What stands before a certificate's thumbprint, as the claim of RFC 8705 §3.1 is called.
const OF_CERTIFICATE: &str = "x5t#S256:";

/// The key or certificate that a token is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confirmation {
    /// A key, proved by a DPoP proof (RFC 9449 §6.1).
    Key(Thumbprint),
    /// A certificate, proved by the connection (RFC 8705 §3.1).
    Certificate(Thumbprint),
}

impl Confirmation {
    /// The key, if it is one.
    pub const fn key(self) -> Option<Thumbprint> {
        match self {
            Self::Key(thumbprint) => Some(thumbprint),
            Self::Certificate(_) => None,
        }
    }
}

impl fmt::Display for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(thumbprint) => thumbprint.fmt(f),
            Self::Certificate(thumbprint) => write!(f, "{OF_CERTIFICATE}{thumbprint}"),
        }
    }
}

impl FromStr for Confirmation {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix(OF_CERTIFICATE) {
            Some(thumbprint) => thumbprint.parse().map(Self::Certificate),
            None => text.parse().map(Self::Key),
        }
    }
}

serde_by_str!(Confirmation);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_a_certificate_are_never_taken_for_each_other() {
        let thumbprint = Thumbprint::of_der(b"either");
        for one in [Confirmation::Key(thumbprint), Confirmation::Certificate(thumbprint)] {
            assert_eq!(one.to_string().parse::<Confirmation>().unwrap(), one);
        }
        assert_eq!(Confirmation::Key(thumbprint).to_string(), thumbprint.to_string(), "as it was stored before");
        assert!("x5t#S256:short".parse::<Confirmation>().is_err());
    }
}
