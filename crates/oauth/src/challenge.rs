//! The `WWW-Authenticate` header of a protected resource (RFC 6750 §3, RFC
//! 9449 §7.1, RFC 9728 §5.1): what is wrong, what would do, where to ask.

use std::collections::BTreeSet;

use bailiwick_model::{
    authentication::StepUp,
    name::{Acr, Scope},
};

use crate::{
    error::{ErrorCode, OAuthError},
    metadata::SIGNING_ALGORITHMS,
    presented::Scheme,
};

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// How a token is to be presented.
    pub scheme: Scheme,
    /// Where the resource describes itself.
    pub resource_metadata: String,
    /// All scopes that the call needs, not only the missing ones.
    pub scopes: BTreeSet<Scope>,
    /// What the user has to prove anew (RFC 9470 §3).
    pub step_up: Option<StepUp>,
    /// What was wrong; `None` where nothing was presented (RFC 6750 §3.1).
    pub error: Option<OAuthError>,
}

impl Challenge {
    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        self.error.as_ref().map_or(401, |error| error.code.resource_status())
    }

    /// The header's value.
    pub fn header(&self) -> String {
        let mut parameters = vec![quoted("resource_metadata", &self.resource_metadata)];
        if let Some(error) = &self.error {
            // RFC 6750 knows no other words; a stale proof is a matter of DPoP only.
            let code = match (self.scheme, error.code) {
                (Scheme::Bearer, ErrorCode::InvalidDpopProof | ErrorCode::UseDpopNonce) => ErrorCode::InvalidToken,
                (_, code) => code,
            };
            parameters.push(quoted("error", code.as_str()));
            parameters.push(quoted("error_description", &error.description));
        }
        if !self.scopes.is_empty() {
            let scopes: Vec<&str> = self.scopes.iter().map(Scope::as_str).collect();
            parameters.push(quoted("scope", &scopes.join(" ")));
        }
        if let Some(StepUp { acr, max_age_s }) = &self.step_up {
            if !acr.is_empty() {
                let classes: Vec<&str> = acr.iter().map(Acr::as_str).collect();
                parameters.push(quoted("acr_values", &classes.join(" ")));
            }
            parameters.extend(max_age_s.map(|seconds| quoted("max_age", &seconds.to_string())));
        }
        if self.scheme == Scheme::Dpop {
            parameters.push(quoted("algs", &SIGNING_ALGORITHMS.join(" ")));
        }
        format!("{} {}", self.scheme.as_str(), parameters.join(", "))
    }
}

/// A quoted string (RFC 9110 §5.6.4) of printable ASCII.
fn quoted(name: &str, value: &str) -> String {
    let mut text = format!("{name}=\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => text.push('?'),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(scheme: Scheme, error: Option<OAuthError>) -> Challenge {
        Challenge {
            scheme,
            resource_metadata: "https://b.example/.well-known/oauth-protected-resource/mcp/files".to_owned(),
            scopes: ["files:read", "files:write"].iter().map(|s| s.parse().unwrap()).collect(),
            step_up: None,
            error,
        }
    }

    #[test]
    fn nothing_presented_is_no_error() {
        let challenge = challenge(Scheme::Dpop, None);
        assert_eq!(challenge.status(), 401);
        assert_eq!(
            challenge.header(),
            "DPoP resource_metadata=\"https://b.example/.well-known/oauth-protected-resource/mcp/files\", \
             scope=\"files:read files:write\", algs=\"ES256 EdDSA Ed25519 PS256\""
        );
    }

    #[test]
    fn a_missing_scope_is_a_403_that_names_the_full_set() {
        let error = OAuthError::new(ErrorCode::InsufficientScope, "`files:write` is missing");
        let challenge = challenge(Scheme::Bearer, Some(error));
        assert_eq!(challenge.status(), 403);
        let header = challenge.header();
        assert!(header.starts_with("Bearer ") && header.contains("error=\"insufficient_scope\""), "{header}");
        assert!(header.ends_with("scope=\"files:read files:write\""), "{header}");
    }

    #[test]
    fn a_weak_proof_is_a_401_that_says_what_would_do() {
        let error = OAuthError::new(ErrorCode::InsufficientUserAuthentication, "prove who you are");
        let mut challenge = challenge(Scheme::Bearer, Some(error));
        challenge.scopes = BTreeSet::new();
        challenge.step_up = Some(StepUp { acr: ["phr".parse().unwrap()].into(), max_age_s: Some(300) });
        assert_eq!(challenge.status(), 401);
        let header = challenge.header();
        let expected = "error=\"insufficient_user_authentication\", error_description=\"prove who you are\", \
                        acr_values=\"phr\", max_age=\"300\"";
        assert!(header.ends_with(expected), "{header}");
    }

    #[test]
    fn a_value_cannot_break_out_of_its_quotes() {
        let mut challenge = challenge(Scheme::Bearer, None);
        challenge.resource_metadata = "x\", realm=\"y\r\nSet-Cookie: z".to_owned();
        let header = challenge.header();
        assert!(header.contains(r#"resource_metadata="x\", realm=\"y??Set-Cookie: z""#), "{header}");
        assert!(!header.contains(['\r', '\n']));
    }
}
