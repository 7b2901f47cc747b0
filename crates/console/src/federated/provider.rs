//! One provider: what the operator decided about it, what it says of itself, and what we ask of it.

use std::{collections::BTreeMap, sync::Arc};

use bailiwick_engine::{broker::Broker, identities::Admission, secrets};
use bailiwick_fetch::Fetcher;
use bailiwick_model::{
    digest::Digest,
    jwk::SigningAlgorithm,
    name::{Acr, SecretName},
    secret::Secret,
};
use bailiwick_oauth::{
    client_assertion::ASSERTION_TYPE,
    foreign_keys::{DISCOVERY_BYTES_MAX, ForeignKeys, KEY_SET_BYTES_MAX, Purpose},
    json::parse_object_within,
    jws::{SigningInput, TokenType},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::flows::{self, Flow};

/// Bytes of one answer of a token endpoint.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// How long what a provider says of itself is believed.
const METADATA_LIVES: SignedDuration = SignedDuration::from_mins(5);
/// Seconds that an assertion of ours lives.
const ASSERTION_LIVES_S: i64 = 60;

/// How we prove who we are.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// `private_key_jwt` with the broker's own signing key, which lies at its `jwks_uri`. The audience is the provider's
    /// issuer, unless it wants another one.
    OwnKey {
        /// What the provider wants as audience instead.
        audience: Option<String>,
    },
    /// `client_secret_basic` with what lies in the vault under this name, opened only for the message that carries it.
    Secret(SecretName),
}

/// What the operator decided about a provider.
#[derive(Debug, Clone)]
pub struct ProviderRules {
    /// Its name in URLs.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Its issuer, byte for byte.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// How we prove it.
    pub authentication: ClientAuthentication,
    /// Scopes besides `openid`.
    pub scopes: Vec<String>,
    /// What its ID tokens may be signed with.
    pub algorithms: Vec<SigningAlgorithm>,
    /// Claims that must have a value, such as a tenant or a group.
    pub require: BTreeMap<String, String>,
    /// Authentication context classes about which it is believed, and what each counts as here.
    pub acr: BTreeMap<Acr, Acr>,
    /// Methods about which it is believed, and the class that each counts as where it says no class of those.
    pub amr: BTreeMap<String, Acr>,
    /// Groups about which it is believed.
    pub groups: Option<GroupRules>,
    /// Who is let in.
    pub admission: Admission,
}

/// How groups of a provider become groups here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRules {
    /// The claim that lists them.
    pub claim: String,
    /// What each is called here. Those that are not named are nothing.
    pub map: BTreeMap<String, String>,
}

/// All providers, with the client that reaches them.
#[derive(Debug, Clone, Default)]
pub struct Providers(pub(crate) Arc<Vec<Provider>>);

impl Providers {
    /// Made once at start.
    pub fn new(rules: Vec<ProviderRules>, fetcher: &Fetcher) -> Self {
        let provider = |rules| Provider { rules, fetcher: fetcher.clone(), metadata: Mutex::default() };
        Self(Arc::new(rules.into_iter().map(provider).collect()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter()
    }
}

/// One provider.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) rules: ProviderRules,
    fetcher: Fetcher,
    metadata: Mutex<Option<(Timestamp, Metadata)>>,
}

/// What a provider says of itself (OpenID Connect Discovery §3).
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    /// Whether each of its answers says who gives it (RFC 9207 §3).
    pub(super) says_issuer: bool,
}

/// Why a sign-in with a provider goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The provider cannot be reached, or does not answer as it should.
    Unreachable,
    /// We cannot prove to it who we are.
    Unready,
    /// What it answered is not to be believed.
    Unfit,
}

impl Provider {
    /// What it says of itself, read anew every few minutes.
    pub(super) async fn metadata(&self, now: Timestamp) -> Result<Metadata, Failure> {
        let mut kept = self.metadata.lock().await;
        if let Some((at, metadata)) = kept.as_ref()
            && now.duration_since(*at) < METADATA_LIVES
        {
            return Ok(metadata.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.rules.issuer.trim_end_matches('/'));
        let url = url.parse().map_err(|_| Failure::Unfit)?;
        let body = self.get(&url, DISCOVERY_BYTES_MAX).await?;
        let metadata = Metadata::read(&body, &self.rules.issuer).ok_or_else(|| {
            tracing::warn!(provider = self.rules.name, "what a provider says of itself cannot be used");
            Failure::Unfit
        })?;
        *kept = Some((now, metadata.clone()));
        Ok(metadata)
    }

    /// Where a browser is sent.
    pub(super) fn authorization_url(&self, flow: &Flow, state: &Secret<String>, redirect_uri: &str) -> String {
        let mut scope = vec!["openid"];
        scope.extend(self.rules.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid"));
        let challenge = URL_SAFE_NO_PAD.encode(Digest::of(flow.verifier.expose().as_bytes()).as_bytes());
        let mut url = flow.metadata.authorization_endpoint.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.rules.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &scope.join(" "))
            .append_pair("state", state.expose())
            .append_pair("nonce", flow.nonce.expose())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if flow.anew {
            query.append_pair("prompt", "login").append_pair("max_age", "0");
        }
        if !self.rules.acr.is_empty() {
            let classes: Vec<&str> = self.rules.acr.keys().map(Acr::as_str).collect();
            query.append_pair("acr_values", &classes.join(" "));
        }
        drop(query);
        url.into()
    }

    /// Redeems a code for an ID token.
    pub(super) async fn redeem(
        &self,
        broker: &Broker,
        flow: &Flow,
        (code, redirect_uri): (&str, &str),
    ) -> Result<String, Failure> {
        let assertion;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", flow.verifier.expose().as_str()),
        ];
        let mut headers = HeaderMap::new();
        match &self.rules.authentication {
            ClientAuthentication::Secret(secret) => {
                let basic = self.basic(broker, secret).await.ok_or(Failure::Unready)?;
                headers.insert(header::AUTHORIZATION, basic);
            }
            ClientAuthentication::OwnKey { audience } => {
                assertion = self.assertion(broker, audience.as_deref()).ok_or(Failure::Unready)?;
                form.push(("client_id", self.rules.client_id.as_str()));
                form.push(("client_assertion_type", ASSERTION_TYPE));
                form.push(("client_assertion", assertion.expose().as_str()));
            }
        }
        let answer = self.fetcher.post_form(&flow.metadata.token_endpoint, &form, headers, ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        let read = parse_object_within(&answer.body, ANSWER_BYTES_MAX).unwrap_or_default();
        if answer.status != 200 {
            let error =
                read.get("error").and_then(Value::as_str).unwrap_or_default().chars().take(80).collect::<String>();
            tracing::warn!(provider = self.rules.name, status = answer.status, error, "a provider gave no token");
            return Err(if answer.status >= 500 { Failure::Unreachable } else { Failure::Unfit });
        }
        read.get("id_token").and_then(Value::as_str).map(str::to_owned).ok_or(Failure::Unfit)
    }

    /// The keys that it signs with.
    pub(super) async fn keys(&self, flow: &Flow) -> Result<ForeignKeys, Failure> {
        let body = self.get(&flow.metadata.jwks_uri, KEY_SET_BYTES_MAX).await?;
        ForeignKeys::read(&body, &self.rules.algorithms, Purpose::Signatures).map_err(|error| {
            tracing::warn!(provider = self.rules.name, %error, "a provider's keys cannot be used");
            Failure::Unfit
        })
    }

    async fn get(&self, url: &Url, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let fetched = self.fetcher.get(url, "application/json", bytes_max).await;
        let fetched = fetched.map_err(|error| self.unreachable(&error))?;
        if fetched.status != 200 {
            tracing::warn!(
                provider = self.rules.name,
                status = fetched.status,
                "a provider does not answer as it should"
            );
            return Err(Failure::Unreachable);
        }
        Ok(fetched.body.to_vec())
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> Failure {
        tracing::warn!(provider = self.rules.name, %error, "a provider cannot be reached");
        Failure::Unreachable
    }

    /// The client's secret, as it is sent.
    async fn basic(&self, broker: &Broker, name: &SecretName) -> Option<HeaderValue> {
        match secrets::open_for_sign_in(broker, name).await {
            Ok(secret) => basic(&self.rules.client_id, &secret),
            Err(error) => {
                tracing::error!(provider = self.rules.name, %error, "the secret for a provider cannot be opened");
                None
            }
        }
    }

    /// An assertion by the key that signs our tokens (RFC 7523 §2.2).
    fn assertion(&self, broker: &Broker, audience: Option<&str>) -> Option<Secret<String>> {
        let (signer, now) = (broker.token_signer(), broker.now().as_second());
        let key = signer.current();
        let claims = json!({
            "iss": self.rules.client_id, "sub": self.rules.client_id, "aud": audience.unwrap_or(&self.rules.issuer),
            "iat": now, "exp": now + ASSERTION_LIVES_S, "jti": flows::secret(broker).expose(),
        });
        let input = SigningInput::new(TokenType::ClientAssertion, &key, &claims.to_string());
        let signature = signer.sign_as(&key.kid, input.as_bytes()).ok()?;
        Some(Secret::new(input.assemble(&signature)))
    }
}

impl Metadata {
    /// Reads a document that must name the issuer byte for byte.
    fn read(document: &[u8], issuer: &str) -> Option<Self> {
        let document = parse_object_within(document, DISCOVERY_BYTES_MAX).ok()?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer) {
            return None;
        }
        let url = |name: &str| text(name)?.parse::<Url>().ok();
        // Browsers are sent there: nowhere that others on the way could read.
        let to_browse = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
        Some(Self {
            authorization_endpoint: url("authorization_endpoint").filter(to_browse)?,
            token_endpoint: url("token_endpoint")?,
            jwks_uri: url("jwks_uri")?,
            says_issuer: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Id and secret as RFC 6749 §2.3.1 wants them: each encoded as in a form, then together.
fn basic(client_id: &str, secret: &Secret<Vec<u8>>) -> Option<HeaderValue> {
    let encoded = |bytes: &[u8]| Secret::new(form_urlencoded::byte_serialize(bytes).collect::<String>());
    let (id, secret) = (encoded(client_id.as_bytes()), encoded(secret.expose()));
    let both = Secret::new(format!("{}:{}", id.expose(), secret.expose()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(both.expose()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
