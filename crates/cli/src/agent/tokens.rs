//! Gets access tokens, keeps them until shortly before they end, signs a proof per call where a key is what they are
//! bound to.

use std::time::Duration;

use bailiwick_keys::{
    agent_key::ProofSubject,
    chance::{SystemClock, SystemEntropy},
};
use bailiwick_model::{name::AgentName, secret::Secret};
use bailiwick_ports::chance::{Clock as _, Entropy as _};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use super::identity::Identity;
use crate::exit::{Exit, Failure};

/// Seconds before its end at which a token is replaced.
const RENEW_BEFORE_S: i64 = 60;
/// How long the broker may take over a token.
pub(crate) const TOKEN_TIME_MAX: Duration = Duration::from_secs(15);
/// Answers that only ask for a fresh nonce before one of them counts as a refusal.
const NONCE_ROUNDS_MAX: u32 = 2;

/// Where tokens are asked for, below the issuer.
pub(crate) const TOKEN_PATH: &str = "/oauth/token";

/// Why the broker gave nothing.
pub(crate) enum NotGiven {
    /// It says no: an error code (RFC 6749 §5.2), and why.
    Refused {
        /// The code.
        error: String,
        /// Why, with its hint.
        why: String,
    },
    /// It could not be asked.
    Failed(Failure),
}

impl From<Failure> for NotGiven {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What tokens are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The broker, as it calls itself.
    pub(crate) issuer: String,
    /// The resource.
    pub(crate) resource: String,
    /// The agent.
    pub(crate) agent: AgentName,
    /// Its task.
    pub(crate) task: Option<String>,
    /// Scopes to ask for.
    pub(crate) scope: Option<String>,
    /// Whether to ask for a plain bearer token.
    pub(crate) bearer: bool,
}

/// A token as the broker gave it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// The compact JWT.
    pub(crate) value: Secret<String>,
    /// `DPoP` or `Bearer`.
    pub(crate) kind: String,
    /// Its scopes.
    pub(crate) scope: String,
    /// Seconds that it lives.
    pub(crate) expires_in_s: i64,
    renew_at_s: i64,
}

/// An agent and the tokens that it gets.
pub(crate) struct Tokens {
    identity: Identity,
    /// Where it asks, once it has asked where.
    origin: OnceCell<String>,
    target: Target,
    current: Mutex<Option<Token>>,
    nonce: Mutex<Option<String>>,
}

/// The broker that serves a resource: its scheme, host and port.
pub(crate) fn issuer_of(resource: &str) -> Result<String, Failure> {
    let url = Url::parse(resource).map_err(|error| Failure::new(format!("`{resource}` is not a URL: {error}")))?;
    let origin = url.origin();
    if !origin.is_tuple() || !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::new(format!("`{resource}` is not an HTTP URL")));
    }
    let issuer = origin.ascii_serialization();
    if url.scheme() == "http" && !is_here(&issuer) {
        return Err(Failure::new(format!("`{resource}` would send tokens in the clear")).hint("use `https://`"));
    }
    Ok(issuer)
}

/// Whether a broker of that address is on this machine: only there a token may go in the clear, or a hook ask.
pub(crate) fn is_here(issuer: &str) -> bool {
    let url = Url::parse(issuer).ok();
    match url.as_ref().and_then(Url::host) {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Now.
pub(crate) fn now() -> jiff::Timestamp {
    SystemClock.now()
}

/// An identifier that nobody used before.
pub(crate) fn fresh_id() -> String {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Tokens {
    /// Tokens for one target.
    pub(crate) fn new(identity: Identity, target: Target) -> Self {
        Self { identity, origin: OnceCell::new(), target, current: Mutex::new(None), nonce: Mutex::new(None) }
    }

    /// The client that calls with them.
    pub(crate) fn http(&self) -> reqwest::Client {
        self.identity.http.clone()
    }

    /// The URL at which an address of the issuer is called: tokens that are bound to a certificate are good on the
    /// listener for certificates alone.
    pub(crate) async fn called(&self, url: &str) -> Result<String, Failure> {
        let path = url.strip_prefix(&self.target.issuer).unwrap_or_default();
        Ok(format!("{}{path}", self.origin().await?))
    }

    async fn origin(&self) -> Result<&String, Failure> {
        self.origin.get_or_try_init(|| self.identity.origin(&self.target.issuer)).await
    }

    /// A token that still lives a while.
    pub(crate) async fn current(&self) -> Result<Token, Failure> {
        let mut slot = self.current.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| now().as_second() < token.renew_at_s) {
            return Ok(token.clone());
        }
        let token = self.fetch().await?;
        *slot = Some(token.clone());
        Ok(token)
    }

    /// Forgets the token: the broker refused it.
    pub(crate) async fn forget(&self) {
        *self.current.lock().await = None;
    }

    /// Notes the nonce that the broker wants in the next proof (RFC 9449 §8).
    pub(crate) async fn note_nonce(&self, headers: &reqwest::header::HeaderMap) {
        if let Some(nonce) = headers.get("dpop-nonce").and_then(|value| value.to_str().ok()) {
            *self.nonce.lock().await = Some(nonce.to_owned());
        }
    }

    /// The two headers of one call: `Authorization`, and `DPoP` unless the token is a bearer token.
    pub(crate) async fn headers(&self, method: &str, url: &str) -> Result<(String, Option<String>), Failure> {
        let token = self.current().await?;
        let authorization = format!("{} {}", token.kind, token.value.expose());
        if token.kind != "DPoP" {
            return Ok((authorization, None));
        }
        let proof = self.proof(method, url, Some(token.value.expose())).await?;
        Ok((authorization, Some(proof)))
    }

    async fn proof(&self, method: &str, url: &str, token: Option<&str>) -> Result<String, Failure> {
        let nonce = self.nonce.lock().await.clone();
        let subject = ProofSubject { method, uri: url, nonce: nonce.as_deref(), access_token: token };
        let Some(key) = self.identity.proof_key() else {
            return Err(Failure::new("the broker bound the token to a key, and this agent has a certificate"));
        };
        key.sign_dpop(&subject, now(), &fresh_id()).map_err(|error| Failure::new(error.to_string()))
    }

    async fn fetch(&self) -> Result<Token, Failure> {
        let mut fields = vec![("grant_type", "client_credentials"), ("resource", self.target.resource.as_str())];
        if let Some(scope) = &self.target.scope {
            fields.push(("scope", scope));
        }
        if let Some(task) = &self.target.task {
            fields.push(("bailiwick_task", task));
        }
        match self.ask(TOKEN_PATH, &fields).await {
            Ok(body) => token(&body),
            Err(NotGiven::Refused { error, why }) => Err(self.refused(&error, &why)),
            Err(NotGiven::Failed(failure)) => Err(failure),
        }
    }

    /// What tokens are asked for.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Keeps a token that came in another way.
    pub(crate) async fn hold(&self, body: &Value) -> Result<(), Failure> {
        *self.current.lock().await = Some(token(body)?);
        Ok(())
    }

    /// Asks an endpoint of the broker as the agent, and again where it wants its nonce in the proof.
    pub(crate) async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Result<Value, NotGiven> {
        let endpoint = format!("{}{path}", self.origin().await?);
        let mut round = 0;
        loop {
            let answer = self.send(&endpoint, fields).await?;
            self.note_nonce(answer.headers()).await;
            let status = answer.status();
            let body: Value = answer.json().await.map_err(|error| unreachable(&self.target.issuer, &error))?;
            if status.is_success() {
                return Ok(body);
            }
            let error = body.get("error").and_then(Value::as_str).unwrap_or("refused");
            if error == "use_dpop_nonce" && round < NONCE_ROUNDS_MAX {
                round += 1;
                continue;
            }
            let why = body.get("error_description").and_then(Value::as_str).unwrap_or("no reason was given");
            return Err(NotGiven::Refused { error: error.to_owned(), why: crate::output::clean(why) });
        }
    }

    /// A refusal with the next step: the broker's own, else by its code (RFC 6749 §5.2, RFC 8707 §2).
    pub(crate) fn refused(&self, error: &str, why: &str) -> Failure {
        let (why, hint) = match why.split_once(" hint: ") {
            Some((why, hint)) => (why, hint.to_owned()),
            None if error == "invalid_target" => {
                let resource = &self.target.resource;
                (why, format!("is `{resource}` spelled right, its system published, and open to this agent?"))
            }
            None => (why, format!("`bailiwick agents show {}` tells an operator more", self.target.agent)),
        };
        Failure::new(format!("the broker gave no token: {error}: {why}")).hint(hint).exit(Exit::Denied)
    }

    async fn send(&self, endpoint: &str, fields: &[(&str, &str)]) -> Result<reqwest::Response, Failure> {
        let mut form: Vec<(&str, String)> = self.identity.authentication(&self.target.issuer, &self.target.agent)?;
        form.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut message = self.identity.http.post(endpoint).timeout(TOKEN_TIME_MAX).form(&form);
        if !self.target.bearer && self.identity.proof_key().is_some() {
            message = message.header("DPoP", self.proof("POST", endpoint, None).await?);
        }
        message.send().await.map_err(|error| unreachable(&self.target.issuer, &error))
    }
}

fn token(body: &Value) -> Result<Token, Failure> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(value), Some(kind)) = (text("access_token"), text("token_type")) else {
        return Err(Failure::new("the broker's token answer lacks `access_token` or `token_type`"));
    };
    let expires_in_s = body.get("expires_in").and_then(Value::as_i64).unwrap_or(0);
    let renew_at_s =
        now().as_second().saturating_add(expires_in_s).saturating_sub(RENEW_BEFORE_S.min(expires_in_s / 2));
    Ok(Token { value: Secret::new(value), kind, scope: text("scope").unwrap_or_default(), expires_in_s, renew_at_s })
}

/// A broker that does not answer.
pub(crate) fn unreachable(issuer: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    // The outermost error says only that sending failed; the innermost says why.
    let cause = std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error);
    let hint = match cause.to_string() {
        text if text.contains("certificate") => {
            "name the certificate authority that it trusts in `SSL_CERT_FILE`, a PEM file"
        }
        _ => "is `bailiwick serve` running there?",
    };
    Failure::new(format!("the broker at `{issuer}` does not answer: {cause}")).hint(hint).exit(Exit::Unreachable)
}
