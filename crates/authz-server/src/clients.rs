//! The door for clients: every endpoint at which a client authenticates lets it in here.
//!
//! What failed is told only as far as the sender has proved who it is: before
//! that, every failure of client authentication reads the same.

mod attested;
mod platform;
mod public;
mod svid;

use std::{net::IpAddr, sync::Arc};

use axum::{body::Bytes, extract::Request, response::Response};
use bailiwick_engine::{
    alerts::{Alert, AlertKind},
    hardware::{self, Held},
    tokens,
};
use bailiwick_fetch::Fetcher;
use bailiwick_model::{
    agent::Agent,
    confirmation::Confirmation,
    jwk::{PublicKey, Thumbprint},
    name::AgentName,
    secret::Secret,
};
use bailiwick_oauth::{
    client_assertion::{AssertionError, AssertionExpectation, UnverifiedAssertion, VerifiedAssertion},
    client_authentication::ClientAuthentication,
    dpop::{self, NonceRule, ProofExpectation, VerifiedProof},
    error::ErrorCode,
    foreign_keys::ForeignKeys,
    form::FORM_BYTES_MAX,
};
use bailiwick_pdp::issuers::Issuer;
use bailiwick_ports::store::Spent;
use bailiwick_web::{
    address::Peer,
    certificate::ClientCertificate,
    entrance::Entrance,
    throttle::{Allowance, Throttle, Throttled, address_key},
    verify::{DPOP, shown_key, spent},
};
use http::{header, request::Parts};

use crate::{
    failure::{Failure, Why},
    issuer_keys::IssuerKeys,
    uses::Uses,
};

/// Failures that one address may have; all clients behind it share them.
pub(crate) const PER_ADDRESS: Allowance = Allowance { burst: 30, refill_s: 2, keys_max: 65_536 };
/// Failures that one client may have from one address.
pub(crate) const PER_CLIENT: Allowance = Allowance { burst: 10, refill_s: 6, keys_max: 65_536 };

/// Revocations of one client. Each has every open stream looked at again, so nobody may make them without end; a client
/// that cleans up after a crowd of tasks has room.
pub(crate) const REVOCATIONS: Allowance = Allowance { burst: 120, refill_s: 1, keys_max: 65_536 };

/// Tasks that one client makes with its tokens. Each changes what everybody's decisions are made on, one at a time.
pub(crate) const TASKS: Allowance = Allowance { burst: 120, refill_s: 1, keys_max: 65_536 };

/// Questions that one client puts to users apart from itself: each may ring at somebody's.
pub(crate) const QUESTIONS: Allowance = Allowance { burst: 60, refill_s: 2, keys_max: 65_536 };

/// The door with its memory of failures, shared by all endpoints: what fails at one counts at the others.
pub(crate) struct ClientDoor {
    entrance: Arc<Entrance>,
    issuer_keys: IssuerKeys,
    per_address: Throttle,
    per_client: Throttle,
    revocations: Throttle,
    tasks: Throttle,
    questions: Throttle,
    uses: Uses,
}

/// One request of a client under way.
pub(crate) struct Visit<'a> {
    door: &'a ClientDoor,
    parts: Parts,
    address: Option<IpAddr>,
    /// Where, for alerts: one of our own constant phrases.
    at: &'static str,
    /// Who it claims to come from.
    client: Option<AgentName>,
    /// The key of the client's instance, if an attester vouched for one: what comes of this is bound to it.
    instance: Option<Thumbprint>,
}

/// What a client proved to hold beside who it is, which the token that it asks for is bound to.
pub(crate) struct Possession {
    /// `None` is nothing: it asks for a bearer token.
    pub(crate) confirmation: Option<Confirmation>,
    /// What must be used up in the commit of what it asked for: a proof, if there was one.
    pub(crate) once: Option<Spent>,
}

/// A client that has proved who it is.
pub(crate) struct Client {
    /// As registered.
    pub(crate) agent: Arc<Agent>,
    /// What authenticated it.
    pub(crate) credential: Thumbprint,
    /// What must be used up in the commit of what it asked for: an assertion, if one proved it.
    pub(crate) once: Option<Spent>,
}

impl ClientDoor {
    pub(crate) fn new(entrance: Arc<Entrance>, fetcher: Fetcher) -> Self {
        let [per_address, per_client, revocations, tasks, questions] =
            [PER_ADDRESS, PER_CLIENT, REVOCATIONS, TASKS, QUESTIONS].map(Throttle::new);
        let issuer_keys = IssuerKeys::new(fetcher);
        Self { entrance, issuer_keys, per_address, per_client, revocations, tasks, questions, uses: Uses::default() }
    }

    /// Takes a request in, has it answered, and refuses it if that fails. `at` says where, for alerts.
    pub(crate) async fn open(
        &self,
        message: Request,
        at: &'static str,
        answer: impl AsyncFnOnce(&mut Visit<'_>, &[u8]) -> Result<Response, Failure>,
    ) -> Response {
        let (mut visit, body) = match self.admit(message, at).await {
            Ok(admitted) => admitted,
            Err(answer) => return answer,
        };
        match answer(&mut visit, &body).await {
            Ok(response) => response,
            Err(failure) => visit.refuse(failure).await,
        }
    }

    /// Takes a request in and reads its body, unless its address has failed too often.
    async fn admit(&self, message: Request, at: &'static str) -> Result<(Visit<'_>, Bytes), Response> {
        let (parts, body) = message.into_parts();
        let address = self.entrance.client_address(parts.extensions.get::<Peer>().copied(), &parts.headers);
        let now = self.entrance.broker().now();
        if let Err(Throttled { retry_after_s }) = self.per_address.admit(&address_key(address), now) {
            return Err(Failure::throttled(retry_after_s).respond(&self.entrance));
        }
        let body = axum::body::to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| {
            Failure::new(Why::Form, ErrorCode::InvalidRequest, "the body is too large or was cut off")
                .respond(&self.entrance)
        })?;
        Ok((Visit { door: self, parts, address, at, client: None, instance: None }, body))
    }
}

impl Visit<'_> {
    pub(crate) fn entrance(&self) -> &Entrance {
        &self.door.entrance
    }

    /// Where the request came from.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// What is wrong whoever asks: another content type, credentials in the URL or in a header.
    pub(crate) fn check_head(&self) -> Result<(), Failure> {
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

    /// The one bearer token of the head: what lets a client register, or manages it.
    pub(crate) fn bearer(&self) -> Result<Secret<String>, Failure> {
        let mut sent = self.parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(sent), None) = (sent.next(), sent.next()) else { return Err(no_bearer()) };
        let (scheme, token) = sent.to_str().ok().and_then(|sent| sent.split_once(' ')).ok_or_else(no_bearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(no_bearer());
        }
        Ok(Secret::new(token.trim().to_owned()))
    }

    /// The body is JSON, and nothing stands in the URL.
    pub(crate) fn check_json(&self) -> Result<(), Failure> {
        let kind = self.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if self.parts.uri.query().is_none() && essence.eq_ignore_ascii_case("application/json") {
            return Ok(());
        }
        let description = "the body must be sent as `application/json`, and nothing in the URL";
        Err(Failure::new(Why::Form, ErrorCode::InvalidRequest, description))
    }

    /// The keys of another issuer, among which a token names one.
    pub(crate) async fn keys_of(&self, issuer: &Issuer, kid: Option<&str>) -> Result<Arc<ForeignKeys>, Failure> {
        let now = self.entrance().broker().now();
        self.door.issuer_keys.of(issuer, kid, now).await.map_err(|_| Failure::without_issuer())
    }

    /// Verifies who asks, by a key in hardware where that is demanded. Whether it may have what it asks for is still to be
    /// decided.
    pub(crate) async fn authenticate(&mut self, sent: &ClientAuthentication) -> Result<Client, Failure> {
        let client = self.identify(sent).await?;
        let held = match sent {
            _ if self.instance.is_some() => self.instance.map_or(Held::Nothing, Held::Key),
            ClientAuthentication::Assertion { .. } => Held::Key(client.credential),
            ClientAuthentication::Certificate { .. } => shown_key(&self.parts),
            // What others signed proves no key, whoever brings it.
            ClientAuthentication::JwtSvid { .. }
            | ClientAuthentication::Public { .. }
            | ClientAuthentication::Elsewhere => Held::Nothing,
        };
        hardware::check(self.entrance().broker(), &client.agent, held).map_err(|unprotected| {
            Failure::new(Why::Unprotected, ErrorCode::InvalidClient, &unprotected.to_string())
        })?;
        Ok(client)
    }

    async fn identify(&mut self, sent: &ClientAuthentication) -> Result<Client, Failure> {
        // Copies of one workload run in many places at once: that is no sign of theft.
        if self.is_attested() {
            return self.attested(sent).await;
        }
        if let ClientAuthentication::JwtSvid { svid, client } = sent {
            return self.svid(svid, client.as_ref()).await;
        }
        if let ClientAuthentication::Assertion { assertion, client } = sent
            && let Some(token) = platform::parse(assertion)
        {
            return self.platform(token, client.as_ref()).await;
        }
        let client = self.prove(sent).await?;
        let (address, now) = (address_key(self.address), self.entrance().broker().now());
        if self.door.uses.is_shared(&client.credential.to_string(), &address, now) {
            self.alert(AlertKind::SharedCredential).await;
        }
        Ok(client)
    }

    async fn prove(&mut self, sent: &ClientAuthentication) -> Result<Client, Failure> {
        match sent {
            ClientAuthentication::Assertion { assertion, client } => {
                let assertion =
                    UnverifiedAssertion::parse(assertion).map_err(|error| Failure::of(Why::Assertion, error.into()))?;
                let claimed = assertion.claimed_client().clone();
                let agent = self.claimed(&claimed).await;
                if client.as_ref().is_some_and(|client| *client != claimed) {
                    return Err(Failure::unauthenticated());
                }
                let agent = agent?;
                let VerifiedAssertion { client: _, credential, once } = self.verify(assertion, &agent)?;
                Ok(Client { agent, credential, once: Some(spent(once)) })
            }
            ClientAuthentication::Certificate { client } => {
                // Before anybody looks the client up: whether there is such a one is nobody's business.
                let shown = self.parts.extensions.get::<ClientCertificate>().cloned();
                let shown = shown.ok_or_else(Failure::without_certificate)?;
                let agent = self.claimed(client).await?;
                let entrance = self.entrance();
                let found = entrance.certificates().credential(&agent, &shown, entrance.broker().now());
                let credential = found.ok_or_else(Failure::unauthenticated)?;
                Ok(Client { agent, credential, once: None })
            }
            ClientAuthentication::JwtSvid { .. } | ClientAuthentication::Public { .. } => {
                Err(Failure::unauthenticated())
            }
            ClientAuthentication::Elsewhere => Err(Failure::without_credential()),
        }
    }

    /// The agent that somebody claims to be, unless its name has failed too often from here.
    async fn claimed(&mut self, claimed: &AgentName) -> Result<Arc<Agent>, Failure> {
        let broker = self.entrance().broker();
        let (agent, now) = (broker.agent(claimed), broker.now());
        self.client = Some(claimed.clone());
        if let Err(Throttled { retry_after_s }) = self.door.per_client.admit(&self.client_key(), now) {
            return Err(Failure::throttled(retry_after_s));
        }
        let Some(agent) = agent else {
            self.alert(AlertKind::UnregisteredCaller).await;
            return Err(Failure::unauthenticated());
        };
        Ok(agent)
    }

    /// Verifies the assertion with the client's keys that are neither expired nor for an algorithm that the operator no
    /// longer admits.
    fn verify(&self, assertion: UnverifiedAssertion<'_>, agent: &Agent) -> Result<VerifiedAssertion, Failure> {
        let broker = self.entrance().broker();
        let (now, algorithms) = (broker.now(), &broker.settings().agent_algorithms);
        let keys: Vec<PublicKey> = agent
            .credentials
            .iter()
            .filter(|credential| now < credential.expires_at)
            .filter_map(|credential| credential.authenticator.key())
            .filter(|key| algorithms.contains(&key.algorithm))
            .cloned()
            .collect();
        let expected = AssertionExpectation { issuer: self.entrance().issuer(), token_endpoint: None };
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

    /// Counts a revocation by a client that was let in, which has to wait when it made too many.
    pub(crate) fn count_revocation(&self, client: &AgentName) -> Result<(), Failure> {
        self.count(&self.door.revocations, client)
    }

    /// The same of a task that it is about to make.
    pub(crate) fn count_task(&self, client: &AgentName) -> Result<(), Failure> {
        self.count(&self.door.tasks, client)
    }

    /// The same of a question to a user.
    pub(crate) fn count_question(&self, client: &AgentName) -> Result<(), Failure> {
        self.count(&self.door.questions, client)
    }

    fn count(&self, of: &Throttle, client: &AgentName) -> Result<(), Failure> {
        let now = self.entrance().broker().now();
        let admitted = of.admit(client.as_str(), now);
        admitted.map_err(|Throttled { retry_after_s }| Failure::throttled(retry_after_s))?;
        of.failed(client.as_str(), now);
        Ok(())
    }

    /// What the token that is asked for is to be bound to: the key of a proof, else the certificate of the connection.
    pub(crate) fn possession(&self) -> Result<Possession, Failure> {
        let (held, possession) = match self.proof()? {
            Some(proof) => {
                let key = proof.thumbprint();
                let confirmation = Some(Confirmation::Key(key));
                (Held::Key(key), Possession { confirmation, once: Some(spent(proof.once)) })
            }
            None => {
                let shown = self.entrance().shown_certificate(&self.parts);
                let held = if shown.is_some() { shown_key(&self.parts) } else { Held::Nothing };
                (held, Possession { confirmation: shown.map(Confirmation::Certificate), once: None })
            }
        };
        if self.instance.is_some_and(|instance| held != Held::Key(instance)) {
            let description =
                "tokens of an attested client are bound to its instance's key\nhint: send a DPoP proof by it";
            return Err(Failure::new(Why::Proof, ErrorCode::InvalidDpopProof, description));
        }
        let broker = self.entrance().broker();
        if let Some(agent) = self.client.as_ref().and_then(|client| broker.agent(client)) {
            hardware::check(broker, &agent, held).map_err(|unprotected| {
                Failure::new(Why::Unprotected, ErrorCode::InvalidDpopProof, &unprotected.to_string())
            })?;
        }
        Ok(possession)
    }

    /// Verifies the proof of possession, if one was sent.
    pub(crate) fn proof(&self) -> Result<Option<VerifiedProof>, Failure> {
        let of_proof = |error: dpop::DpopError| Failure::of(Why::Proof, error.into());
        let values = self.parts.headers.get_all(DPOP).iter().map(|value| value.to_str().unwrap_or_default());
        let Some(proof) = dpop::sole_header(values).map_err(of_proof)? else { return Ok(None) };
        let entrance = self.entrance();
        let expected = ProofExpectation {
            method: self.parts.method.as_str(),
            uri: &entrance.url_of(&self.parts),
            access_token: None,
            nonce: NonceRule::Required(entrance.nonces()),
        };
        dpop::verify(proof, &expected, entrance.broker().now()).map(Some).map_err(of_proof)
    }

    fn client_key(&self) -> String {
        let client = self.client.as_ref().map_or("", AgentName::as_str);
        format!("{client}@{}", address_key(self.address))
    }

    /// Records something to look at about the client that asks.
    pub(crate) async fn alert(&self, kind: AlertKind) {
        let alert = Alert { kind, agent: self.client.clone(), address: self.address, at: self.at };
        self.entrance().alert(alert).await;
    }

    /// Records something to look at about the address alone.
    async fn alert_about_address(&self, kind: AlertKind) {
        let alert = Alert { kind, agent: None, address: self.address, at: self.at };
        self.entrance().alert(alert).await;
    }

    /// Records a refusal, counts it, and answers.
    pub(crate) async fn refuse(self, failure: Failure) -> Response {
        let entrance = self.entrance();
        if failure.is_refusal() {
            let now = entrance.broker().now();
            self.door.per_address.failed(&address_key(self.address), now);
            self.door.per_client.failed(&self.client_key(), now);
            if let Some(client) = &self.client
                && self.door.uses.is_spraying(&address_key(self.address), client, now)
            {
                self.alert_about_address(AlertKind::Spraying).await;
            }
            let registered = self.client.as_ref().filter(|client| entrance.broker().agent(client).is_some());
            tokens::refused(entrance.broker(), registered, failure.code().as_str(), failure.why().as_str(), Vec::new())
                .await;
        }
        failure.respond(entrance)
    }
}

fn no_bearer() -> Failure {
    let hint = "an `Authorization: Bearer` header is needed\nhint: `bailiwick registration-tokens create` makes one";
    Failure::new(Why::RegistrationToken, ErrorCode::InvalidToken, hint)
}
