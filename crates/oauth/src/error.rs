//! OAuth errors as the wire knows them (RFC 6749 §5.2, RFC 6750 §3.1, RFC 8707
//! §2, RFC 9449 §5 and §7.1). What the log gets to know is the cause itself.

use std::fmt;

use crate::{
    access_token::AccessTokenError, client_assertion::AssertionError, client_attestation::ClientAttestationError,
    dpop::DpopError,
};

/// An error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Malformed, incomplete or repeated parameters.
    InvalidRequest,
    /// The client could not prove who it is.
    InvalidClient,
    /// A grant that does not hold.
    InvalidGrant,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// A grant type that does not exist here.
    UnsupportedGrantType,
    /// A scope that is malformed, unknown or too much.
    InvalidScope,
    /// `authorization_details` that are malformed, unknown or too much (RFC 9396 §5).
    InvalidAuthorizationDetails,
    /// A resource that is missing, repeated, malformed or unknown.
    InvalidTarget,
    /// A proof of possession that does not hold.
    InvalidDpopProof,
    /// The proof needs the nonce that comes with the answer.
    UseDpopNonce,
    /// The proof of an attested client needs the challenge that comes with the answer.
    UseAttestationChallenge,
    /// The attestation of a client is over, or too old.
    UseFreshAttestation,
    /// An access token that does not hold.
    InvalidToken,
    /// The access token lacks a scope.
    InsufficientScope,
    /// The user proved who they are too weakly, or too long ago (RFC 9470 §3).
    InsufficientUserAuthentication,
    /// A pushed request that is not there (RFC 9126, RFC 9101 §6.3).
    InvalidRequestUri,
    /// A signed request (RFC 9101).
    RequestNotSupported,
    /// An answer other than a code.
    UnsupportedResponseType,
    /// The user said no.
    AccessDenied,
    /// The user would have to sign in, and must not be asked to.
    LoginRequired,
    /// The user would have to consent, and must not be asked to.
    ConsentRequired,
    /// No way of signing in here is of the class that was asked for.
    UnmetAuthenticationRequirements,
    /// Metadata of a client that cannot be registered (RFC 7591 §3.2.2).
    InvalidClientMetadata,
    /// A redirect URI that cannot be registered.
    InvalidRedirectUri,
    /// A software statement of somebody whom nobody trusts here.
    UnapprovedSoftwareStatement,
    /// Nobody answered yet (RFC 8628 §3.5, CIBA §11).
    AuthorizationPending,
    /// The same, and the client asks too often.
    SlowDown,
    /// Nobody answered in time.
    ExpiredToken,
    /// Nobody is called as the hint says (CIBA §13).
    UnknownUserId,
    /// A message that its user could not read as it is (CIBA §13).
    InvalidBindingMessage,
    /// We failed.
    ServerError,
    /// We cannot at the moment.
    TemporarilyUnavailable,
}

impl ErrorCode {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidAuthorizationDetails => "invalid_authorization_details",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::UseAttestationChallenge => "use_attestation_challenge",
            Self::UseFreshAttestation => "use_fresh_attestation",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::RequestNotSupported => "request_not_supported",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::UnapprovedSoftwareStatement => "unapproved_software_statement",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::UnknownUserId => "unknown_user_id",
            Self::InvalidBindingMessage => "invalid_binding_message",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// The HTTP status at the token endpoint.
    pub const fn token_endpoint_status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            Self::InvalidRequest
            | Self::InvalidGrant
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::InvalidScope
            | Self::InvalidAuthorizationDetails
            | Self::InvalidTarget
            | Self::InvalidDpopProof
            | Self::UseDpopNonce
            | Self::UseAttestationChallenge
            | Self::UseFreshAttestation
            | Self::InvalidToken
            | Self::InsufficientScope
            | Self::InsufficientUserAuthentication
            | Self::InvalidRequestUri
            | Self::RequestNotSupported
            | Self::UnsupportedResponseType
            | Self::AccessDenied
            | Self::AuthorizationPending
            | Self::SlowDown
            | Self::ExpiredToken
            | Self::UnknownUserId
            | Self::InvalidBindingMessage
            | Self::LoginRequired
            | Self::ConsentRequired
            | Self::UnmetAuthenticationRequirements
            | Self::InvalidClientMetadata
            | Self::InvalidRedirectUri
            | Self::UnapprovedSoftwareStatement => 400,
        }
    }

    /// The HTTP status at a protected resource.
    pub const fn resource_status(self) -> u16 {
        match self {
            Self::InsufficientScope => 403,
            Self::InvalidRequest => 400,
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            Self::InvalidClient
            | Self::InvalidGrant
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::InvalidScope
            | Self::InvalidAuthorizationDetails
            | Self::InvalidTarget
            | Self::InvalidDpopProof
            | Self::UseDpopNonce
            | Self::UseAttestationChallenge
            | Self::UseFreshAttestation
            | Self::InvalidToken
            | Self::InsufficientUserAuthentication
            | Self::InvalidRequestUri
            | Self::RequestNotSupported
            | Self::UnsupportedResponseType
            | Self::AccessDenied
            | Self::AuthorizationPending
            | Self::SlowDown
            | Self::ExpiredToken
            | Self::UnknownUserId
            | Self::InvalidBindingMessage
            | Self::LoginRequired
            | Self::ConsentRequired
            | Self::UnmetAuthenticationRequirements
            | Self::InvalidClientMetadata
            | Self::InvalidRedirectUri
            | Self::UnapprovedSoftwareStatement => 401,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with words for the developer of the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {description}")]
pub struct OAuthError {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what is wrong and what would help.
    pub description: String,
}

impl OAuthError {
    /// Takes words; characters that a description may not hold are replaced.
    pub fn new(code: ErrorCode, description: &str) -> Self {
        Self { code, description: described(description) }
    }

    /// The body of the token endpoint's answer.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "error": self.code.as_str(), "error_description": self.description }).to_string()
    }
}

impl From<AssertionError> for OAuthError {
    fn from(error: AssertionError) -> Self {
        Self::new(ErrorCode::InvalidClient, &error.to_string())
    }
}

impl From<ClientAttestationError> for OAuthError {
    fn from(error: ClientAttestationError) -> Self {
        let code = match error {
            ClientAttestationError::UseChallenge => ErrorCode::UseAttestationChallenge,
            ClientAttestationError::Stale => ErrorCode::UseFreshAttestation,
            _ => ErrorCode::InvalidClient,
        };
        Self::new(code, &format!("client attestation: {error}"))
    }
}

impl From<DpopError> for OAuthError {
    fn from(error: DpopError) -> Self {
        let code = match error {
            DpopError::UseNonce => ErrorCode::UseDpopNonce,
            _ => ErrorCode::InvalidDpopProof,
        };
        Self::new(code, &error.to_string())
    }
}

impl From<AccessTokenError> for OAuthError {
    fn from(error: AccessTokenError) -> Self {
        Self::new(ErrorCode::InvalidToken, &error.to_string())
    }
}

/// Only what `error_description` may hold (RFC 6749 §5.2): printable ASCII
/// without quote and backslash.
fn described(text: &str) -> String {
    const DESCRIPTION_CHARACTERS_MAX: usize = 400;
    text.chars()
        .take(DESCRIPTION_CHARACTERS_MAX)
        .map(|c| match c {
            '\n' => ' ',
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_cannot_break_out_of_a_header() {
        let error = OAuthError::new(ErrorCode::InvalidScope, "`a\"b\\c`\r\nSet-Cookie: x\nhint: é");
        assert_eq!(error.description, "`a'b/c`? Set-Cookie: x hint: ?");
        assert!(OAuthError::new(ErrorCode::InvalidScope, &"x".repeat(10_000)).description.len() <= 400);
    }

    #[test]
    fn a_stale_nonce_asks_for_a_fresh_one() {
        assert_eq!(OAuthError::from(DpopError::UseNonce).code, ErrorCode::UseDpopNonce);
        assert_eq!(OAuthError::from(DpopError::Method).code, ErrorCode::InvalidDpopProof);
    }
}
