//! The token endpoint's answer (RFC 6749 §5.1). A refresh token comes where a user agreed, never with client credentials
//! (RFC 6749 §4.4.3).

use std::collections::BTreeSet;

use bailiwick_model::name::Scope;
use serde::{Deserialize, Serialize};

use crate::{id_jag, presented::Scheme, token_request::ACCESS_TOKEN_TYPE};

/// The body of a successful answer. Send it with `Cache-Control: no-store`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenResponse {
    /// The token.
    pub access_token: String,
    /// `DPoP` or `Bearer`.
    pub token_type: String,
    /// Seconds that it lives.
    pub expires_in: u64,
    /// What came of an exchange (RFC 8693 §2.2.1); no other grant says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<String>,
    /// What was granted, always said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// What was granted of tools and arguments, and the task that was made (RFC 9396 §7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<serde_json::Value>,
    /// What renews access once, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Who gave their consent, where the request was an `OpenID` one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

impl TokenResponse {
    /// An answer with a token.
    pub fn new(access_token: String, scheme: Scheme, expires_in_s: u64, scopes: &BTreeSet<Scope>) -> Self {
        let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        Self {
            access_token,
            token_type: scheme.as_str().to_owned(),
            expires_in: expires_in_s,
            issued_token_type: None,
            scope: scopes.join(" "),
            authorization_details: None,
            refresh_token: None,
            id_token: None,
        }
    }

    /// The same with what was granted of `authorization_details`.
    #[must_use]
    pub fn detailed(self, authorization_details: Option<serde_json::Value>) -> Self {
        Self { authorization_details, ..self }
    }

    /// An answer with an assertion for another domain, which is no access token (RFC 8693 §2.2.1).
    pub fn vouching(assertion: String, expires_in_s: u64, scopes: &BTreeSet<Scope>) -> Self {
        let issued_token_type = Some(id_jag::TOKEN_TYPE.to_owned());
        Self {
            token_type: "N_A".to_owned(),
            issued_token_type,
            ..Self::new(assertion, Scheme::Bearer, expires_in_s, scopes)
        }
    }

    /// The same with who gave their consent.
    #[must_use]
    pub fn of_user(self, id_token: Option<String>) -> Self {
        Self { id_token, ..self }
    }

    /// The same with what renews it.
    #[must_use]
    pub fn renewed_by(mut self, refresh_token: Option<String>) -> Self {
        self.refresh_token = refresh_token;
        self
    }

    /// The same as the answer to an exchange.
    #[must_use]
    pub fn exchanged(self) -> Self {
        Self { issued_token_type: Some(ACCESS_TOKEN_TYPE.to_owned()), ..self }
    }
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse")
            .field("token_type", &self.token_type)
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
