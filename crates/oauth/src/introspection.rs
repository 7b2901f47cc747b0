//! The answer to whether a token holds: plain (RFC 7662 §2.2), or signed for the one who asked (RFC 9701 §5).

use bailiwick_model::{jwk::PublicKey, name::AgentName};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    access_token::AccessTokenClaims,
    jws::{SigningInput, TokenType},
    presented::Scheme,
};

/// The media type of the signed form.
pub const SIGNED_MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// What is said of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introspection(Value);

impl Introspection {
    /// Of one that holds, what it says itself, and how it is presented.
    pub fn active(claims: &AccessTokenClaims) -> Self {
        let scheme = Scheme::of(claims.confirmation);
        let mut members = claims.to_map();
        members.insert("active".to_owned(), true.into());
        members.insert("token_type".to_owned(), scheme.as_str().into());
        Self(members.into())
    }

    /// Of any other, whatever it is: this and nothing else.
    pub fn inactive() -> Self {
        Self(json!({ "active": false }))
    }

    /// The plain form.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }

    /// What the owner of `key` signs for `audience`. It has neither `sub` nor `exp` of its own, so that it can pass as no
    /// other token (RFC 9701 §5).
    pub fn signing_input(&self, issuer: &str, audience: &AgentName, key: &PublicKey, now: Timestamp) -> SigningInput {
        let claims = json!({
            "iss": issuer, "aud": audience.as_str(), "iat": now.as_second(), "token_introspection": self.0,
        });
        SigningInput::new(TokenType::IntrospectionResponse, key, &claims.to_string())
    }
}
