//! A request of a client that is refused: the answer of RFC 6749 §5.2, and the
//! constant phrase that evidence keeps.

use axum::response::{IntoResponse as _, Response};
use bailiwick_engine::tokens::TokenRefusal;
use bailiwick_oauth::{
    client_attestation,
    error::{ErrorCode, OAuthError},
};
use bailiwick_web::{entrance::Entrance, refused::DPOP_NONCE};
use http::{HeaderName, HeaderValue, StatusCode, header};

/// The header with the next challenge for attested clients. A challenge is made as a nonce for proofs is, and is as good.
const CHALLENGE: HeaderName = HeaderName::from_static(client_attestation::CHALLENGE_HEADER);

/// What failed, as evidence says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The message itself.
    Form,
    /// A shared secret was tried.
    SharedSecret,
    /// The assertion, before or after its signature held.
    Assertion,
    /// Who asks could not be established, or may not have tokens.
    Client,
    /// What an attester said of a client, or the proof of its instance.
    Attestation,
    /// What the token was to be issued from.
    Grant,
    /// What another issuer signed.
    ForeignAssertion,
    /// The token that was to be exchanged.
    SubjectToken,
    /// The proof of possession.
    Proof,
    /// A key that is not in hardware, where that is demanded.
    Unprotected,
    /// What lets a client register, or manages what it registered.
    RegistrationToken,
    /// The resource.
    Target,
    /// The scopes.
    Scope,
    /// The `authorization_details`.
    Details,
    /// The user who is named, or how their answer is asked for.
    User,
    /// What its user answered, or that they have not, or that too many wait for them: nothing that a client does wrong.
    Answer,
    /// Too many failures before.
    Throttled,
    /// Our own inability.
    Unavailable,
}

impl Why {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "malformed request",
            Self::SharedSecret => "shared secret",
            Self::Assertion => "client assertion",
            Self::Client => "client",
            Self::Attestation => "client attestation",
            Self::Grant => "grant",
            Self::ForeignAssertion => "assertion of another issuer",
            Self::SubjectToken => "subject token",
            Self::Proof => "proof of possession",
            Self::Unprotected => "key not in hardware",
            Self::RegistrationToken => "registration token",
            Self::Target => "resource",
            Self::Scope => "scope",
            Self::Details => "authorization details",
            Self::User => "user",
            Self::Answer => "answer of the user",
            Self::Throttled => "too many failures",
            Self::Unavailable => "broker unavailable",
        }
    }
}

/// Why a client does not get what it asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    why: Why,
    error: OAuthError,
    basic: bool,
    retry_after_s: Option<u32>,
}

impl Failure {
    pub(crate) fn new(why: Why, code: ErrorCode, description: &str) -> Self {
        Self::of(why, OAuthError::new(code, description))
    }

    pub(crate) const fn of(why: Why, error: OAuthError) -> Self {
        Self { why, error, basic: false, retry_after_s: None }
    }

    /// The one answer to everybody who has not proved who it is.
    pub(crate) fn unauthenticated() -> Self {
        let description = "client authentication failed\nhint: compare name, key and `kid` with the registration";
        Self::new(Why::Client, ErrorCode::InvalidClient, description)
    }

    /// Neither an assertion nor a client's id came.
    pub(crate) fn without_credential() -> Self {
        let description = "`client_assertion` is missing\nhint: authenticate by `private_key_jwt`, or send `client_id` over \
                           a connection with a certificate";
        Self::new(Why::Client, ErrorCode::InvalidClient, description)
    }

    /// A client's id came alone, over a connection without a certificate.
    pub(crate) fn without_certificate() -> Self {
        let description = "`client_id` alone proves nothing on this connection\nhint: send `client_assertion` by \
                           `private_key_jwt`, or use the endpoints of `mtls_endpoint_aliases` with your certificate";
        Self::new(Why::Client, ErrorCode::InvalidClient, description)
    }

    /// Our own keys cannot be used, so nothing can be said of a token: to call it unknown would leave it standing.
    pub(crate) fn without_keys() -> Self {
        let description = "the broker's own keys cannot be used now\nhint: try again shortly";
        Self::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description)
    }

    /// Another issuer cannot be asked for its keys: nothing can be said of what it signed, and it may be asked later.
    pub(crate) fn without_issuer() -> Self {
        let description = "the keys of the assertion's issuer cannot be had now\nhint: try again shortly";
        Self::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description)
    }

    pub(crate) fn throttled(retry_after_s: u32) -> Self {
        let description = "too many requests\nhint: wait as `Retry-After` says";
        let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, description);
        Self { retry_after_s: Some(retry_after_s), ..Self::of(Why::Throttled, error) }
    }

    /// The client tried HTTP Basic: RFC 6749 §5.2 wants its scheme named.
    pub(crate) const fn answering_basic(mut self) -> Self {
        self.basic = true;
        self
    }

    pub(crate) const fn code(&self) -> ErrorCode {
        self.error.code
    }

    pub(crate) const fn why(&self) -> Why {
        self.why
    }

    /// Whether it counts against the client and is evidence: a first proof without a nonce is an ordinary step of the
    /// protocol, and so is whatever its user answers or leaves open; our own inability is nobody's failure, and a throttled
    /// try was not looked at.
    pub(crate) fn is_refusal(&self) -> bool {
        let step = matches!(self.error.code, ErrorCode::UseDpopNonce | ErrorCode::UseAttestationChallenge);
        !step && !matches!(self.why, Why::Unavailable | Why::Throttled | Why::Answer)
    }

    pub(crate) fn respond(&self, entrance: &Entrance) -> Response {
        let status = match self.why {
            Why::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Why::RegistrationToken => StatusCode::UNAUTHORIZED,
            _ => StatusCode::from_u16(self.error.code.token_endpoint_status()).unwrap_or(StatusCode::BAD_REQUEST),
        };
        let mut response = answer(entrance, status, &self.error.to_json());
        if self.basic {
            let basic = HeaderValue::from_static("Basic realm=\"bailiwick\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        if self.why == Why::RegistrationToken {
            let bearer = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        if self.error.code == ErrorCode::UseAttestationChallenge {
            response.headers_mut().insert(CHALLENGE, entrance.nonce());
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The engine's refusals; its client has proved who it is by then.
pub(crate) fn of_engine(refusal: TokenRefusal) -> Failure {
    let (why, code) = match &refusal {
        TokenRefusal::Client(_) => (Why::Client, ErrorCode::InvalidClient),
        TokenRefusal::Grant(_) => (Why::Grant, ErrorCode::InvalidGrant),
        TokenRefusal::Target(_) => (Why::Target, ErrorCode::InvalidTarget),
        TokenRefusal::Scope(_) => (Why::Scope, ErrorCode::InvalidScope),
        TokenRefusal::Details(_) => (Why::Details, ErrorCode::InvalidAuthorizationDetails),
        TokenRefusal::Proof(_) => (Why::Proof, ErrorCode::InvalidDpopProof),
        TokenRefusal::Subject(_) => (Why::SubjectToken, ErrorCode::InvalidRequest),
        TokenRefusal::Request(_) => (Why::Form, ErrorCode::InvalidRequest),
        TokenRefusal::Unavailable(cause) => {
            tracing::error!(error = cause, "a client cannot be served");
            let description = "the broker cannot record this now\nhint: try again shortly";
            return Failure::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description);
        }
    };
    Failure::new(why, code, &refusal.to_string())
}

/// A JSON answer that nobody keeps, with a nonce for the next proof.
pub(crate) fn answer(entrance: &Entrance, status: StatusCode, json: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
        (DPOP_NONCE, entrance.nonce()),
    ];
    (status, headers, json.to_owned()).into_response()
}
