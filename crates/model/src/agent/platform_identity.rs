//! An agent as the platform knows it on which it runs: GitHub Actions, Kubernetes and their like, which sign tokens for their
//! workloads. Says whose tokens count; which of them are the agent's stands in the bundle.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::name::{AgentName, NameError, serde_by_str};

/// Bytes of an issuer's identifier at most.
const ISSUER_BYTES_MAX: usize = 2_048;

/// The issuer of a platform's tokens as they name it in `iss`, compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformIssuer(String);

/// An agent that a platform's tokens may prove. The agent is part of it, so that no two agents have one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformIdentity {
    /// Who signs the tokens.
    pub issuer: PlatformIssuer,
    /// The agent that they prove.
    pub agent: AgentName,
}

impl PlatformIssuer {
    /// As tokens have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlatformIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PlatformIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.agent, self.issuer)
    }
}

impl FromStr for PlatformIssuer {
    type Err = NameError;

    /// The bundle, which says where its keys are, judges the URL.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        let plain = |b: u8| b.is_ascii_graphic() && !b"?#@\"\\".contains(&b);
        match !rest.is_empty() && text.len() <= ISSUER_BYTES_MAX && rest.bytes().all(plain) {
            true => Ok(Self(text.to_owned())),
            false => {
                let expected = "write it as its tokens have it in `iss`: `https://token.actions.githubusercontent.com`";
                Err(NameError::new("issuer of workloads", text, expected))
            }
        }
    }
}

serde_by_str!(PlatformIssuer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_a_url_and_stays_as_it_is_written() {
        for fits in ["https://token.actions.githubusercontent.com", "https://a.example/", "http://127.0.0.1:80/x"] {
            assert_eq!(fits.parse::<PlatformIssuer>().unwrap().as_str(), fits);
        }
        for bad in ["", "https://", "a.example", "ftp://a", "https://a b", "https://u@a", "https://a?b", "https://a#b"]
        {
            assert!(bad.parse::<PlatformIssuer>().is_err(), "{bad}");
        }
        assert!(format!("https://{}", "a".repeat(ISSUER_BYTES_MAX)).parse::<PlatformIssuer>().is_err());
    }
}
