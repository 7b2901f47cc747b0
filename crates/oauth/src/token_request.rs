//! The body of a token request: who asks, and by which grant.

use std::collections::BTreeSet;

use bailiwick_model::{id::TaskId, name::Scope, secret::Secret};

use crate::{
    authorization_details::AuthorizationDetails,
    client_authentication::ClientAuthentication,
    error::{ErrorCode, OAuthError},
    form::{Form, invalid},
    id_jag,
    pkce::CodeVerifier,
};

mod vouching;

pub use self::vouching::{HeldToken, JWT_BEARER, JwtBearer, REFRESH_TOKEN_TYPE, Vouch};

/// The grants that there are, by the value of `grant_type`.
pub const GRANT_TYPES: [&str; 7] =
    [CLIENT_CREDENTIALS, AUTHORIZATION_CODE, REFRESH_TOKEN, TOKEN_EXCHANGE, JWT_BEARER, DEVICE_CODE, CIBA];
/// A client acts for itself (RFC 6749 §4.4).
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// A client renews what a user allowed it (RFC 6749 §6).
pub const REFRESH_TOKEN: &str = "refresh_token";
/// A client exchanges a token (RFC 8693 §2.1).
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The one type of token that is exchanged, and that comes of it (RFC 8693 §3).
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// A client acts for a user who consented (RFC 6749 §4.1.3).
pub const AUTHORIZATION_CODE: &str = "authorization_code";
/// A client asks whether its user answered on another device (RFC 8628 §3.4).
pub const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// A client asks whether its user answered what came by the back channel (CIBA §10.1).
pub const CIBA: &str = "urn:openid:params:grant-type:ciba";
/// Bytes of one code, of which ours need fewer.
pub const CODE_BYTES_MAX: usize = 256;

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
    /// Token exchange.
    TokenExchange(TokenExchange),
    /// `authorization_code`.
    AuthorizationCode(AuthorizationCode),
    /// An assertion of another domain.
    JwtBearer(JwtBearer),
    /// Token exchange for an assertion to another domain.
    Vouch(Vouch),
    /// The device grant: the `device_code`.
    DeviceCode(Secret<String>),
    /// CIBA: the `auth_req_id`.
    Ciba(Secret<String>),
}

/// A client that redeems a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// The code.
    pub code: Secret<String>,
    /// The redirect URI that it was sent to, byte for byte.
    pub redirect_uri: String,
    /// What meets the challenge of its request.
    pub verifier: CodeVerifier,
    /// The resource that it was asked for, if that is said again.
    pub resource: Option<String>,
    /// The tools and arguments that it is to be for at most (RFC 9396); `None` is all that there is a claim to.
    pub details: Option<AuthorizationDetails>,
}

/// A client that acts for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// The resource that the token is to be for, byte for byte.
    pub resource: String,
    /// The scopes that are asked for; empty means the server chooses.
    pub scopes: BTreeSet<Scope>,
    /// The tools and arguments that it is to be for at most (RFC 9396), and a task that is made for it.
    pub details: Option<AuthorizationDetails>,
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
    /// The tools and arguments that it is to be for at most (RFC 9396); `None` is all that there is a claim to.
    pub details: Option<AuthorizationDetails>,
}

/// A client that exchanges a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenExchange {
    /// The token that is exchanged; nothing is known of it.
    pub subject_token: Secret<String>,
    /// The resource that the new token is to be for, byte for byte.
    pub resource: String,
    /// The scopes that are asked for; empty means all that was handed over and can be used there.
    pub scopes: BTreeSet<Scope>,
    /// The tools and arguments that it is to be for at most (RFC 9396); `None` is all that there is a claim to.
    pub details: Option<AuthorizationDetails>,
    /// A task of the client that narrows it further.
    pub task: Option<TaskId>,
}

impl TokenExchange {
    fn take(form: &mut Form) -> Result<Self, OAuthError> {
        let type_of = |form: &mut Form, name: &str| match form.take(name) {
            Some(kind) if kind != ACCESS_TOKEN_TYPE => {
                let description = format!("`{name}` must be `{ACCESS_TOKEN_TYPE}`");
                Err(OAuthError::new(ErrorCode::InvalidRequest, &description))
            }
            kind => Ok(kind),
        };
        let subject_token = Secret::new(form.require("subject_token")?);
        if type_of(form, "subject_token_type")?.is_none() {
            return Err(OAuthError::new(ErrorCode::InvalidRequest, "`subject_token_type` is missing"));
        }
        type_of(form, "requested_token_type")?;
        if form.take("actor_token").is_some() || form.take("actor_token_type").is_some() {
            let description =
                "`actor_token` is not taken\nhint: leave it out; the client that authenticates is the actor";
            return Err(OAuthError::new(ErrorCode::InvalidRequest, description));
        }
        if form.take("audience").is_some() {
            let description = "`audience` is not taken\nhint: name the URL that the token is for in `resource`";
            return Err(OAuthError::new(ErrorCode::InvalidTarget, description));
        }
        Ok(Self {
            subject_token,
            task: form.parsed("bailiwick_task", "a task id")?,
            details: form.tool_details()?,
            scopes: form.scopes()?,
            resource: form.resource()?,
        })
    }
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
                details: form.tool_details()?,
                resource: form.optional_resource()?,
            }),
            JWT_BEARER => GrantRequest::JwtBearer(JwtBearer::take(&mut form)?),
            TOKEN_EXCHANGE if form.take_if("requested_token_type", id_jag::TOKEN_TYPE) => {
                GrantRequest::Vouch(Vouch::take(&mut form)?)
            }
            TOKEN_EXCHANGE => GrantRequest::TokenExchange(TokenExchange::take(&mut form)?),
            AUTHORIZATION_CODE => GrantRequest::AuthorizationCode(AuthorizationCode::take(&mut form)?),
            DEVICE_CODE => GrantRequest::DeviceCode(held(&mut form, "device_code")?),
            CIBA => GrantRequest::Ciba(held(&mut form, "auth_req_id")?),
            _ => GrantRequest::ClientCredentials(ClientCredentials::take(&mut form)?),
        };
        Ok(Self { client, grant })
    }
}

/// What a client was given when it asked, and presents to learn whether its user answered.
fn held(form: &mut Form, name: &str) -> Result<Secret<String>, OAuthError> {
    let text = form.require(name)?;
    match text.len() <= CODE_BYTES_MAX {
        true => Ok(Secret::new(text)),
        false => Err(OAuthError::new(ErrorCode::InvalidGrant, &format!("`{name}` is none of ours"))),
    }
}

impl ClientCredentials {
    fn take(form: &mut Form) -> Result<Self, OAuthError> {
        let task = form.parsed("bailiwick_task", "a task id")?;
        let details = form.authorization_details()?;
        if task.is_some() && details.as_ref().is_some_and(|details| details.task.is_some()) {
            return Err(invalid(
                "`bailiwick_task` names a task that exists, and `authorization_details` ask for another",
            ));
        }
        Ok(Self { task, details, scopes: form.scopes()?, resource: form.resource()? })
    }
}

impl AuthorizationCode {
    fn take(form: &mut Form) -> Result<Self, OAuthError> {
        let code = form.require("code")?;
        if code.len() > CODE_BYTES_MAX {
            return Err(OAuthError::new(ErrorCode::InvalidGrant, "`code` is none of ours"));
        }
        let verifier = CodeVerifier::parse(form.require("code_verifier")?)
            .ok_or_else(|| invalid("`code_verifier` must be 43 to 128 letters, digits, `-`, `.`, `_`, `~`"))?;
        Ok(Self {
            code: Secret::new(code),
            redirect_uri: form.require("redirect_uri")?,
            verifier,
            details: form.tool_details()?,
            resource: form.optional_resource()?,
        })
    }
}

#[cfg(test)]
mod tests;
