//! Requests by which one domain vouches for a user to another (ID-JAG): a client asks for such an assertion by token
//! exchange, or presents one that it got elsewhere (RFC 7523 §2.1).

use std::collections::BTreeSet;

use bailiwick_model::{name::Scope, secret::Secret};

use super::ACCESS_TOKEN_TYPE;
use crate::{
    authorization_details::AuthorizationDetails,
    error::{ErrorCode, OAuthError},
    form::{Form, RESOURCE_BYTES_MAX, invalid},
    jws::TOKEN_BYTES_MAX,
};

/// A client presents what another issuer signed (RFC 7523 §2.1).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A refresh token, as the subject of an exchange (RFC 8693 §3).
pub const REFRESH_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:refresh_token";

/// A client for whose user another domain vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtBearer {
    /// The assertion; nothing is known of it.
    pub assertion: Secret<String>,
    /// The resource that the token is to be for; `None` where the assertion names one alone.
    pub resource: Option<String>,
    /// The scopes that are asked for; empty means all that the assertion names and can be used there.
    pub scopes: BTreeSet<Scope>,
    /// The tools and arguments that it is to be for at most (RFC 9396); `None` is all that there is a claim to.
    pub details: Option<AuthorizationDetails>,
}

impl JwtBearer {
    pub(super) fn take(form: &mut Form) -> Result<Self, OAuthError> {
        let assertion = Secret::new(form.require("assertion")?);
        if assertion.expose().len() > TOKEN_BYTES_MAX {
            return Err(OAuthError::new(ErrorCode::InvalidGrant, "`assertion` is too long"));
        }
        let details = form.tool_details()?;
        Ok(Self { assertion, details, scopes: form.scopes()?, resource: form.optional_resource()? })
    }
}

/// What a client holds of a user's grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldToken {
    /// An access token of it.
    Access(Secret<String>),
    /// The refresh token that renews it.
    Refresh(Secret<String>),
}

/// A client that wants us to vouch for its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouch {
    /// What shows that the user allowed it; nothing is known of it.
    pub held: HeldToken,
    /// The issuer of the authorization server that the assertion is for, byte for byte.
    pub audience: String,
    /// The resource there; `None` where the client may have one alone.
    pub resource: Option<String>,
    /// The scopes there; empty means all that the client may have.
    pub scopes: BTreeSet<Scope>,
}

impl Vouch {
    pub(super) fn take(form: &mut Form) -> Result<Self, OAuthError> {
        let token = Secret::new(form.require("subject_token")?);
        let held = match form.require("subject_token_type")?.as_str() {
            ACCESS_TOKEN_TYPE => HeldToken::Access(token),
            REFRESH_TOKEN_TYPE => HeldToken::Refresh(token),
            _ => {
                let description =
                    format!("`subject_token_type` must be `{REFRESH_TOKEN_TYPE}` or `{ACCESS_TOKEN_TYPE}`");
                return Err(invalid(&description));
            }
        };
        if form.take("actor_token").is_some() || form.take("actor_token_type").is_some() {
            return Err(invalid("`actor_token` is not taken\nhint: the client that authenticates is the actor"));
        }
        if form.take("authorization_details").is_some() {
            return Err(invalid("`authorization_details` are not vouched for\nhint: name scopes"));
        }
        let missing = "`audience` is missing\nhint: name the issuer of the server that the assertion is for";
        let audience = form.take("audience").ok_or_else(|| OAuthError::new(ErrorCode::InvalidTarget, missing))?;
        if audience.len() > RESOURCE_BYTES_MAX {
            return Err(OAuthError::new(ErrorCode::InvalidTarget, "`audience` is too long"));
        }
        Ok(Self { held, audience, scopes: form.scopes()?, resource: form.optional_resource()? })
    }
}
