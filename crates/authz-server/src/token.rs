//! `POST /oauth/token`: client credentials with `private_key_jwt` (RFC 6749
//! §4.4, RFC 7523), for one resource (RFC 8707), bound to a key (RFC 9449).
//!
//! What failed is told only as far as the sender has proved who it is: before
//! that, every failure of client authentication reads the same.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Request, State},
    response::Response,
};
use bailiwick_engine::{
    alerts::{Alert, AlertKind},
    tokens::{self, Audience, TokenAsk, TokenRefusal},
};
use bailiwick_model::{agent::Agent, jwk::PublicKey, name::AgentName};
use bailiwick_oauth::{
    client_assertion::{AssertionError, AssertionExpectation, UnverifiedAssertion, VerifiedAssertion},
    dpop::{self, DpopError, NonceRule, ProofExpectation, VerifiedProof},
    error::ErrorCode,
    metadata::TOKEN_PATH,
    presented::Scheme,
    token_request::{FORM_BYTES_MAX, TokenRequest},
    token_response::TokenResponse,
};
use bailiwick_web::{
    address::Peer,
    entrance::Entrance,
    throttle::{Allowance, Throttle, Throttled},
    verify::{DPOP, spent},
};
use http::{StatusCode, header, request::Parts};

use self::failure::{Failure, Why};

mod failure;

/// Failures that one address may have; all clients behind it share them.
const PER_ADDRESS: Allowance = Allowance { burst: 30, refill_s: 2, keys_max: 65_536 };
/// Failures that one client may have from one address.
const PER_CLIENT: Allowance = Allowance { burst: 10, refill_s: 6, keys_max: 65_536 };
/// Where alerts say that somebody knocked.
const AT: &str = "token endpoint";

/// The endpoint with its memory of failures.
pub(crate) struct TokenEndpoint {
    entrance: Arc<Entrance>,
    per_address: Throttle,
    per_client: Throttle,
}

impl TokenEndpoint {
    pub(crate) fn new(entrance: Arc<Entrance>) -> Self {
        Self { entrance, per_address: Throttle::new(PER_ADDRESS), per_client: Throttle::new(PER_CLIENT) }
    }
}

pub(crate) async fn token(State(endpoint): State<Arc<TokenEndpoint>>, message: Request) -> Response {
    let entrance = &endpoint.entrance;
    let (parts, body) = message.into_parts();
    let address = entrance.client_address(parts.extensions.get::<Peer>().copied(), &parts.headers);
    let now = entrance.broker().now();
    let from = throttle_key(address);
    if let Err(Throttled { retry_after_s }) = endpoint.per_address.admit(&from, now) {
        return Failure::throttled(retry_after_s).respond(entrance);
    }
    let Ok(body) = axum::body::to_bytes(body, FORM_BYTES_MAX).await else {
        return Failure::new(Why::Form, ErrorCode::InvalidRequest, "the body is too large or was cut off")
            .respond(entrance);
    };
    let mut attempt = Attempt { endpoint: &endpoint, parts: &parts, address, client: None };
    match attempt.run(&body).await {
        Ok(response) => response,
        Err(failure) => attempt.refuse(failure, &from).await,
    }
}

/// The key under which failures of an address are counted: of IPv6 the network that one household or host has.
fn throttle_key(address: Option<IpAddr>) -> String {
    match address {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// One token request under way.
struct Attempt<'a> {
    endpoint: &'a TokenEndpoint,
    parts: &'a Parts,
    address: Option<IpAddr>,
    /// Who it claims to come from.
    client: Option<AgentName>,
}

impl Attempt<'_> {
    async fn run(&mut self, body: &Bytes) -> Result<Response, Failure> {
        let entrance = &self.endpoint.entrance;
        let broker = entrance.broker();
        self.check_head()?;
        let asked = TokenRequest::parse(body).map_err(|error| Failure::of(Why::Form, error))?;
        let assertion = UnverifiedAssertion::parse(&asked.client_assertion)
            .map_err(|error| Failure::of(Why::Assertion, error.into()))?;
        let claimed = assertion.claimed_client().clone();
        self.client = Some(claimed.clone());
        if asked.client.as_ref().is_some_and(|client| *client != claimed) {
            return Err(Failure::unauthenticated());
        }
        if let Err(Throttled { retry_after_s }) = self.endpoint.per_client.admit(&self.client_key(), broker.now()) {
            return Err(Failure::throttled(retry_after_s));
        }
        let agent = broker.agent(&claimed);
        let VerifiedAssertion { client, credential, once } = self.authenticate(assertion, agent.as_deref()).await?;
        let Some(agent) = agent else { return Err(Failure::unauthenticated()) };
        let audience = Audience::of_resource(entrance.issuer(), &asked.resource);
        let proof = self.prove(&agent, audience.as_ref())?;
        let Some(audience) = audience else {
            return Err(Failure::new(Why::Target, ErrorCode::InvalidTarget, "no such resource for this client"));
        };
        let confirmation = proof.as_ref().map(VerifiedProof::thumbprint);
        let used = std::iter::once(once).chain(proof.map(|proof| proof.once)).map(spent).collect();
        let scopes = (!asked.scopes.is_empty()).then_some(asked.scopes);
        let ask = TokenAsk { agent: client, credential, audience, scopes, task: asked.task, confirmation, spent: used };
        let issued = tokens::issue(broker, ask).await.map_err(of_engine)?;
        let scheme = if confirmation.is_some() { Scheme::Dpop } else { Scheme::Bearer };
        let answer = TokenResponse::new(issued.token.expose().clone(), scheme, issued.expires_in_s, &issued.scopes);
        Ok(failure::answer(entrance, StatusCode::OK, &serde_json::to_string(&answer).unwrap_or_default()))
    }

    /// What is wrong whoever asks: another content type, credentials in the URL or in a header.
    fn check_head(&self) -> Result<(), Failure> {
        let headers = &self.parts.headers;
        if headers.contains_key(header::AUTHORIZATION) {
            let description = "shared secrets are not accepted\nhint: authenticate by `private_key_jwt` in the body";
            return Err(Failure::new(Why::SharedSecret, ErrorCode::InvalidClient, description).answering_basic());
        }
        if self.parts.uri.query().is_some() {
            let description = "parameters must stand in the body, never in the URL";
            return Err(Failure::new(Why::Form, ErrorCode::InvalidRequest, description));
        }
        let form = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if form {
            Ok(())
        } else {
            let description = "the body must be sent as `application/x-www-form-urlencoded`";
            Err(Failure::new(Why::Form, ErrorCode::InvalidRequest, description))
        }
    }

    /// Verifies the assertion with the client's unexpired keys.
    async fn authenticate(
        &self,
        assertion: UnverifiedAssertion<'_>,
        agent: Option<&Agent>,
    ) -> Result<VerifiedAssertion, Failure> {
        let entrance = &self.endpoint.entrance;
        let now = entrance.broker().now();
        let Some(agent) = agent else {
            let alert = Alert {
                kind: AlertKind::UnregisteredCaller,
                agent: self.client.clone(),
                address: self.address,
                at: AT,
            };
            entrance.alert(alert).await;
            return Err(Failure::unauthenticated());
        };
        let keys: Vec<PublicKey> = agent
            .credentials
            .iter()
            .filter(|credential| now < credential.expires_at)
            .map(|credential| credential.key.clone())
            .collect();
        let expected = AssertionExpectation { issuer: entrance.issuer(), token_endpoint: None };
        assertion.verify(&keys, &expected, now).map_err(|error| match error {
            // The signature does not hold, so whoever sent it learns nothing.
            AssertionError::Token(_) | AssertionError::Key(_) | AssertionError::UnknownKey => {
                Failure::unauthenticated()
            }
            // It holds: the client's developer may know what else is wrong.
            AssertionError::Claim(_)
            | AssertionError::NotSelfIssued
            | AssertionError::Audience { .. }
            | AssertionError::Expired
            | AssertionError::TooLong
            | AssertionError::Clock(_)
            | AssertionError::Identifier => Failure::of(Why::Assertion, error.into()),
        })
    }

    /// Verifies the proof; without one only a client that may use bearer tokens goes on.
    fn prove(&self, agent: &Agent, audience: Option<&Audience>) -> Result<Option<VerifiedProof>, Failure> {
        let entrance = &self.endpoint.entrance;
        let of_proof = |error: DpopError| Failure::of(Why::Proof, error.into());
        let values = self.parts.headers.get_all(DPOP).iter().map(|value| value.to_str().unwrap_or_default());
        let Some(proof) = dpop::sole_header(values).map_err(of_proof)? else {
            let unbound = agent.bearer_tokens_allowed || audience.is_some_and(Audience::only_asks);
            return if unbound { Ok(None) } else { Err(of_proof(DpopError::Missing)) };
        };
        let expected = ProofExpectation {
            method: self.parts.method.as_str(),
            uri: &entrance.external_url(TOKEN_PATH),
            access_token: None,
            nonce: NonceRule::Required(entrance.nonces()),
        };
        dpop::verify(proof, &expected, entrance.broker().now()).map(Some).map_err(of_proof)
    }

    fn client_key(&self) -> String {
        let client = self.client.as_ref().map_or("", AgentName::as_str);
        format!("{client}@{}", throttle_key(self.address))
    }

    /// Records a refusal, counts it, and answers.
    async fn refuse(&self, failure: Failure, from: &str) -> Response {
        let entrance = &self.endpoint.entrance;
        if failure.is_refusal() {
            let now = entrance.broker().now();
            self.endpoint.per_address.failed(from, now);
            self.endpoint.per_client.failed(&self.client_key(), now);
            let registered = self.client.as_ref().filter(|client| entrance.broker().agent(client).is_some());
            tokens::refused(entrance.broker(), registered, failure.code().as_str(), failure.why().as_str(), Vec::new())
                .await;
        }
        failure.respond(entrance)
    }
}

/// The engine's refusals; its client has proved who it is by then.
fn of_engine(refusal: TokenRefusal) -> Failure {
    let (why, code) = match &refusal {
        TokenRefusal::Client(_) => (Why::Client, ErrorCode::InvalidClient),
        TokenRefusal::Target(_) => (Why::Target, ErrorCode::InvalidTarget),
        TokenRefusal::Scope(_) => (Why::Scope, ErrorCode::InvalidScope),
        TokenRefusal::Proof(_) => (Why::Proof, ErrorCode::InvalidDpopProof),
        TokenRefusal::Request(_) => (Why::Form, ErrorCode::InvalidRequest),
        TokenRefusal::Unavailable(cause) => {
            tracing::error!(error = cause, "no token can be issued");
            let description = "the broker cannot record a token now\nhint: try again shortly";
            return Failure::new(Why::Unavailable, ErrorCode::TemporarilyUnavailable, description);
        }
    };
    Failure::new(why, code, &refusal.to_string())
}

#[cfg(test)]
mod tests;
