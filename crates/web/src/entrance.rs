//! What all listeners share, made once: the broker, its public URL, nonces,
//! declared proxies, alerts. Holds no state of callers.

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use bailiwick_engine::{
    alerts::{Alert, Alerts},
    broker::Broker,
    inspection::Presented,
};
use bailiwick_model::{
    jwk::{PublicKey, Thumbprint},
    name::AgentName,
    secret::Secret,
};
use bailiwick_oauth::{
    access_token::{AccessTokenClaims, AccessTokenError},
    client_attestation::Attesters,
    dpop_nonce::NonceSecret,
    jws::{TokenType, UnverifiedToken},
    key_policy::KeyError,
    verifying_key::KeySet,
};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use url::Url;

use crate::{
    address::{DeclaredProxies, Peer},
    certificate::{CertificateRules, ClientCertificate, OverMutualTls},
    known_tokens::KnownTokens,
    origin::OwnNames,
};

/// A public URL that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be the public URL: write `https://host` or `http://localhost:port`, without path or slash at its end"
)]
pub struct PublicUrlError(String);

/// The way in, shared by every listener.
pub struct Entrance {
    broker: Arc<Broker>,
    own_names: OwnNames,
    page_origin: String,
    proxies: DeclaredProxies,
    certificates: CertificateRules,
    attesters: Attesters,
    nonces: NonceSecret,
    alerts: Alerts,
    published: RwLock<Published>,
    known_tokens: KnownTokens,
}

/// Our published keys, made ready for verifying once per change.
#[derive(Default)]
struct Published {
    keys: Vec<PublicKey>,
    set: Arc<KeySet>,
}

impl Entrance {
    /// Made once at start.
    pub fn new(broker: Arc<Broker>, nonces: NonceSecret, proxies: DeclaredProxies) -> Result<Self, PublicUrlError> {
        let issuer = &broker.settings().issuer;
        let refused = || PublicUrlError(issuer.clone());
        let url: Url = issuer.parse().map_err(|_| refused())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && !issuer.ends_with('/')
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !plain {
            return Err(refused());
        }
        let (own_names, alerts, published) = (OwnNames::of(&url), Alerts::default(), RwLock::default());
        let known_tokens = KnownTokens::default();
        let page_origin = page_origin(&url);
        let certificates = CertificateRules::default();
        let attesters = Attesters::default();
        Ok(Self {
            broker,
            own_names,
            page_origin,
            proxies,
            certificates,
            attesters,
            nonces,
            alerts,
            published,
            known_tokens,
        })
    }

    /// The same, and certificates of clients count.
    #[must_use]
    pub fn with_certificates(mut self, rules: CertificateRules) -> Self {
        if let Some(url) = &rules.listener {
            self.own_names = self.own_names.and_for_certificates(url);
        }
        self.certificates = rules;
        self
    }

    /// The same, and attesters of clients are believed.
    #[must_use]
    pub fn with_attesters(mut self, attesters: Attesters) -> Self {
        self.attesters = attesters;
        self
    }

    /// The attesters of clients that are believed; none unless the operator says so.
    pub const fn attesters(&self) -> &Attesters {
        &self.attesters
    }

    /// Which certificates count.
    pub const fn certificates(&self) -> &CertificateRules {
        &self.certificates
    }

    /// The proxies that say which certificate a client showed.
    pub(crate) fn certifying_proxies(&self) -> DeclaredProxies {
        if self.certificates.from_proxies { self.proxies.clone() } else { DeclaredProxies::default() }
    }

    /// The URL that the sender of a message has used, without its query: what its proof names. Listeners differ in it.
    pub fn url_of(&self, parts: &Parts) -> String {
        let path = parts.uri.path();
        match parts.extensions.get::<OverMutualTls>().and_then(|_| self.certificates.listener_origin()) {
            Some(origin) => format!("{origin}{path}"),
            None => self.external_url(path),
        }
    }

    /// The certificate that the sender of a message has shown, if it is valid now.
    pub fn shown_certificate(&self, parts: &Parts) -> Option<Thumbprint> {
        parts.extensions.get::<ClientCertificate>().and_then(|shown| shown.thumbprint(self.broker.now()))
    }

    /// The use cases' dependencies.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The same, to keep.
    pub fn shared_broker(&self) -> Arc<Broker> {
        Arc::clone(&self.broker)
    }

    /// `public_url` without a slash at its end.
    pub fn issuer(&self) -> &str {
        &self.broker.settings().issuer
    }

    /// The URL that callers use for `path` (which starts with a slash): never made from a `Host` header.
    pub fn external_url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    /// The origin that people's pages are at: the issuer's, or `localhost` where the issuer is a loopback address, as
    /// browsers keep passkeys for names only.
    pub fn page_origin(&self) -> &str {
        &self.page_origin
    }

    /// Hosts and origins that are ours.
    pub fn own_names(&self) -> &OwnNames {
        &self.own_names
    }

    /// The address that a message comes from.
    pub fn client_address(&self, peer: Option<Peer>, headers: &HeaderMap) -> Option<IpAddr> {
        self.proxies.client(peer.map(|peer| peer.0.ip()), headers)
    }

    /// Records something to look at.
    pub async fn alert(&self, alert: Alert) {
        self.alerts.raise(&self.broker, alert).await;
    }

    /// The secret that nonces are made from.
    pub fn nonces(&self) -> &NonceSecret {
        &self.nonces
    }

    /// The `DPoP-Nonce` to hand out now (RFC 9449 §8).
    pub fn nonce(&self) -> HeaderValue {
        let nonce = self.nonces.nonce(self.broker.now());
        // Base64url is always a header value; an empty one would only ask for another round.
        HeaderValue::from_str(&nonce).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Reads an access token that one of our published keys has signed; whether it holds is still to be checked. `None`
    /// is our own keys that cannot be used.
    pub fn read_token(&self, token: &str) -> Option<Result<AccessTokenClaims, AccessTokenError>> {
        let keys = self.published_keys().ok()?;
        Some(self.read_token_with(token, &keys))
    }

    /// The same with keys that are at hand.
    pub(crate) fn read_token_with(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
    ) -> Result<AccessTokenClaims, AccessTokenError> {
        self.known_tokens.read(token, keys, self.broker.now())
    }

    /// What somebody names by presenting it: an access token that we signed, or anything else. Nothing is said of whether
    /// it holds, nor of who may know. `None` is our own keys that cannot be used: then nobody can tell.
    pub fn inspect(&self, token: Secret<String>) -> Option<Presented> {
        Some(match self.read_token(token.expose())? {
            Ok(claims) if claims.issuer == self.issuer() => Presented::Access(Box::new(claims)),
            Ok(_) | Err(_) => Presented::Other(token),
        })
    }

    /// Our published keys, ready for verifying.
    pub fn published_keys(&self) -> Result<Arc<KeySet>, KeyError> {
        let keys = self.broker.token_signer().published();
        {
            let known = self.published.read().unwrap_or_else(PoisonError::into_inner);
            if known.keys == keys {
                return Ok(Arc::clone(&known.set));
            }
        }
        let set = Arc::new(KeySet::new(&keys)?);
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Published { keys, set: Arc::clone(&set) };
        Ok(set)
    }

    /// Who a message claims to come from, for alerts and for nothing else: nothing of it was verified.
    pub fn claimed_agent(&self, headers: &HeaderMap) -> Option<AgentName> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let token = UnverifiedToken::parse(
            bailiwick_oauth::presented::Presented::parse(value).ok()?.token,
            TokenType::AccessToken,
        )
        .ok()?;
        let claims = token.unverified_claims();
        let named = |claim| claims.optional_parsed::<AgentName>(claim, "an agent").ok().flatten();
        named("client_id").or_else(|| named("sub"))
    }
}

/// Where a one-time link of a user leads to; its token follows.
pub const SETUP_PATH: &str = "/setup";
/// Where people type in the code that a device shows them.
pub const DEVICE_PATH: &str = "/device";

/// The link that carries a token of an invitation.
pub fn setup_url(issuer: &str, token: &Secret<String>) -> String {
    let origin = issuer.parse().map_or_else(|_| issuer.to_owned(), |url| page_origin(&url));
    format!("{origin}{SETUP_PATH}/{}", token.expose())
}

fn page_origin(issuer: &Url) -> String {
    let loopback = match issuer.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    let mut url = issuer.clone();
    if loopback && url.set_host(Some("localhost")).is_err() {
        return issuer.origin().ascii_serialization();
    }
    url.origin().ascii_serialization()
}
