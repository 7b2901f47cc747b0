//! The body of a token request: who asks, and by which grant.

use std::collections::BTreeSet;

use bailiwick_model::{id::TaskId, name::Scope, secret::Secret};

use crate::{
    client_authentication::ClientAuthentication,
    error::{ErrorCode, OAuthError},
    form::Form,
};

/// The grants that there are, by the value of `grant_type`.
pub const GRANT_TYPES: [&str; 2] = [CLIENT_CREDENTIALS, REFRESH_TOKEN];
/// A client acts for itself (RFC 6749 §4.4).
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// A client renews what a user allowed it (RFC 6749 §6).
pub const REFRESH_TOKEN: &str = "refresh_token";

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Who asks.
    pub client: ClientAuthentication,
    /// On what ground.
    pub grant: GrantRequest,
}

/// The ground on which a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantRequest {
    /// `client_credentials`.
    ClientCredentials(ClientCredentials),
    /// `refresh_token`.
    RefreshToken(Refresh),
}

/// A client that acts for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// The resource that the token is to be for, byte for byte.
    pub resource: String,
    /// The scopes that are asked for; empty means the server chooses.
    pub scopes: BTreeSet<Scope>,
    /// The task that the token is to be bound to.
    pub task: Option<TaskId>,
}

/// A client that renews its access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The refresh token; nothing is known of it.
    pub token: Secret<String>,
    /// The resource that the access token is to be for; `None` where the grant names one alone (RFC 8707 §2.2).
    pub resource: Option<String>,
    /// The scopes that are asked for; empty means all that were granted.
    pub scopes: BTreeSet<Scope>,
}

impl TokenRequest {
    /// Parses a body of the type `application/x-www-form-urlencoded`.
    pub fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        let mut form = Form::parse(body)?;
        let grant_type = form.require("grant_type")?;
        if !GRANT_TYPES.contains(&grant_type.as_str()) {
            let description = format!("this grant does not exist here\nhint: there is `{}`", GRANT_TYPES.join("`, `"));
            return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, &description));
        }
        let client = ClientAuthentication::take(&mut form)?;
        let grant = match grant_type.as_str() {
            REFRESH_TOKEN => GrantRequest::RefreshToken(Refresh {
                token: Secret::new(form.require("refresh_token")?),
                scopes: form.scopes()?,
                resource: form.optional_resource()?,
            }),
            _ => GrantRequest::ClientCredentials(ClientCredentials {
                task: form.parsed("bailiwick_task", "a task id")?,
                scopes: form.scopes()?,
                resource: form.resource()?,
            }),
        };
        Ok(Self { client, grant })
    }
}

#[cfg(test)]
mod tests;
