//! How a caller that is not let in learns why: a problem document and the
//! challenges of RFC 6750, RFC 9449 and RFC 9728. Names no secret and nobody else.

use std::collections::BTreeSet;

use axum::response::{IntoResponse, Response};
use bailiwick_model::name::Scope;
use bailiwick_oauth::{
    challenge::Challenge,
    error::{ErrorCode, OAuthError},
    metadata::protected_resource_metadata_url,
    presented::Scheme,
};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::{entrance::Entrance, problem::Problem};

/// The header with the nonce for the next proof (RFC 9449 §8).
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What a caller wants to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedResource {
    /// Its resource indicator: the one audience of its tokens.
    pub audience: String,
    /// The scopes to ask for when nothing is known of the call yet.
    pub scopes: BTreeSet<Scope>,
    /// Whether its tokens can only ask, never act: such a one need not be bound to a key.
    pub only_asks: bool,
    /// For alerts: where somebody knocked, one of our own constant phrases.
    pub at: &'static str,
}

/// A caller that was not let in.
#[derive(Debug, Clone)]
pub struct Refused {
    problem: Problem,
    challenges: Vec<Challenge>,
    nonce: Option<HeaderValue>,
}

impl Refused {
    /// Nothing was presented: says where to get a token and how to present it, and names no error (RFC 6750 §3.1).
    pub(crate) fn unauthenticated(entrance: &Entrance, resource: &ProtectedResource) -> Self {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "an access token is required")
            .with_hint("get one from the authorization server that `resource_metadata` names");
        let challenge = |scheme| challenge(entrance, resource, scheme, &resource.scopes, None);
        // Bearer first: clients that read only one challenge look for it to find the metadata.
        let challenges = vec![challenge(Scheme::Bearer), challenge(Scheme::Dpop)];
        Self { problem, challenges, nonce: Some(entrance.nonce()) }
    }

    /// What was presented does not hold.
    pub(crate) fn of_error(
        entrance: &Entrance,
        resource: &ProtectedResource,
        scheme: Scheme,
        error: OAuthError,
    ) -> Self {
        let status = StatusCode::from_u16(error.code.resource_status()).unwrap_or(StatusCode::UNAUTHORIZED);
        let problem = Problem::new(status, error.code.as_str(), error.description.clone());
        let of_proof = matches!(error.code, ErrorCode::InvalidDpopProof | ErrorCode::UseDpopNonce);
        let challenge = |scheme, error| challenge(entrance, resource, scheme, &resource.scopes, error);
        let challenges = match scheme {
            Scheme::Bearer if !of_proof => vec![challenge(Scheme::Bearer, Some(error)), challenge(Scheme::Dpop, None)],
            Scheme::Bearer | Scheme::Dpop => vec![challenge(Scheme::Dpop, Some(error))],
        };
        Self { problem, challenges, nonce: Some(entrance.nonce()) }
    }

    /// Whoever it is may not act at all: a new token would not help, so none is asked for.
    pub(crate) const fn inactive(problem: Problem) -> Self {
        Self { problem, challenges: Vec::new(), nonce: None }
    }

    /// The token lacks a scope: names all that the call needs (RFC 6750 §3.1), so that one new token suffices.
    pub fn insufficient_scope(
        entrance: &Entrance,
        resource: &ProtectedResource,
        scheme: Scheme,
        scopes: &BTreeSet<Scope>,
        problem: Problem,
    ) -> Self {
        let error = OAuthError::new(ErrorCode::InsufficientScope, problem.detail());
        Self { problem, challenges: vec![challenge(entrance, resource, scheme, scopes, Some(error))], nonce: None }
    }

    /// The token is bound to a task that has ended.
    pub fn task_ended(entrance: &Entrance, resource: &ProtectedResource, scheme: Scheme) -> Self {
        let error = "access token: its task has ended\nhint: ask for access anew";
        Self::of_error(entrance, resource, scheme, OAuthError::new(ErrorCode::InvalidToken, error))
    }

    /// The problem document alone.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.problem.status()
    }

    /// The headers that go with it, whatever body a binding prefers.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let challenges = self.challenges.iter().filter_map(|challenge| {
            let value = HeaderValue::from_str(&challenge.header()).ok()?;
            Some((header::WWW_AUTHENTICATE, value))
        });
        challenges.chain(self.nonce.clone().map(|nonce| (DPOP_NONCE, nonce))).collect()
    }
}

fn challenge(
    entrance: &Entrance,
    resource: &ProtectedResource,
    scheme: Scheme,
    scopes: &BTreeSet<Scope>,
    error: Option<OAuthError>,
) -> Challenge {
    let resource_metadata = protected_resource_metadata_url(entrance.issuer(), &resource.audience).unwrap_or_default();
    Challenge { scheme, resource_metadata, scopes: scopes.clone(), step_up: None, error }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let headers = self.headers();
        let mut response = self.problem.into_response();
        for (name, value) in headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}
