//! The broker and everything that tests need to speak to it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bailiwick_audit_log::{
    event::AuditEvent,
    leaf::{self, BootNonce, ReplicaId},
};
use bailiwick_engine::{
    agents::{self, Registration},
    authorization,
    broker::{Broker, FACT_WINDOW, Ports, Settings},
    bundles, definitions, start,
    tokens::{self, Audience, TokenAsk},
};
use bailiwick_keys::{
    agent_key::{AgentKey, ProofSubject},
    chance::SystemEntropy,
    checkpoint_key::CheckpointKey,
    file_vault::FileVault,
    key_encryption::KeyEncryptionKey,
    token_keys::TokenKeys,
};
use bailiwick_model::{
    agent::{Authenticator, Environment, KeyProtection},
    bundle::BundleFiles,
    confirmation::Confirmation,
    jwk::SigningAlgorithm,
    name::{AgentName, SystemName},
    principal::Principal,
};
use bailiwick_oauth::dpop_nonce::NonceSecret;
use bailiwick_ports::{
    chance::{Clock as _, random},
    signer::TokenSigner as _,
    store::{EntryFilter, Store},
    upstreams::{DiscoverError, Discovered, Upstreams},
};
use bailiwick_store::{Identity, Options, SqliteStore};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{bundle, clock::TestClock, device::Maker};

/// The issuer.
pub const ISSUER: &str = "https://broker.test";

/// Users whom a directory may provision in these tests.
pub const DIRECTORY_USERS_MAX: usize = 300;

/// A broker without wires.
pub struct World {
    /// The use cases.
    pub broker: Arc<Broker>,
    /// Its clock.
    pub clock: Arc<TestClock>,
    /// The issuer's keys.
    pub token_keys: Arc<TokenKeys>,
    /// Signs checkpoints.
    pub checkpoint: Arc<CheckpointKey>,
    /// The maker of devices that is trusted.
    pub maker: Maker,
    keys: BTreeMap<&'static str, AgentKey>,
    nonces: NonceSecret,
    numbers: AtomicU64,
    _folder: tempfile::TempDir,
}

impl World {
    /// A broker with the bundle published and three agents registered.
    pub async fn new() -> Self {
        Self::at(ISSUER, TestClock::default()).await
    }

    /// The same under another issuer and at another time, for clients that have a clock of their own.
    pub async fn at(issuer: &str, clock: TestClock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(clock);
        let entropy = Arc::new(SystemEntropy);
        let identity = Identity {
            replica: ReplicaId::from_bytes(random(entropy.as_ref())),
            boot: BootNonce::from_bytes(random(entropy.as_ref())),
        };
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(Path::new(":memory:"), identity, &Options::default()).unwrap());
        let token_keys = Arc::new(TokenKeys::create(&folder.path().join("tokens"), clock.now()).unwrap());
        let checkpoint = CheckpointKey::create(&folder.path().join("checkpoint"), "broker.test/log".to_owned());
        let encryption = KeyEncryptionKey::create(&folder.path().join("encryption"), entropy.as_ref()).unwrap();
        let encryption = Arc::new(encryption);
        let nonces = encryption.nonce_secret();
        let vault = FileVault::new(encryption, Arc::clone(&store), entropy.clone());
        let maker = Maker::default();
        let settings = Settings {
            issuer: issuer.to_owned(),
            environment: Some(Environment::Production),
            zone_of: Arc::new(|_| "unknown".to_owned()),
            fact_window: FACT_WINDOW,
            sign_in_classes: std::collections::BTreeSet::new(),
            agent_algorithms: SigningAlgorithm::ALL.to_vec(),
            directory_users_max: DIRECTORY_USERS_MAX,
            attestation_roots: maker.trusted(),
        };
        let ports =
            Ports { store, clock: clock.clone(), entropy, token_signer: token_keys.clone(), vault: Arc::new(vault) };
        let broker = start::start(ports, settings).await.unwrap();
        let mut world = Self {
            broker,
            clock,
            token_keys,
            checkpoint: Arc::new(checkpoint.unwrap()),
            maker,
            keys: BTreeMap::new(),
            nonces,
            numbers: AtomicU64::new(0),
            _folder: folder,
        };
        world.publish(bundle::files()).await;
        world.verify_definitions().await;
        for (name, bearer) in [("reader", false), ("scripted", true), ("gate", false)] {
            world.register(name, "reader", bearer).await;
        }
        world
    }

    /// Registers and promotes another agent, for a role of the active bundle.
    pub async fn enlist(&mut self, name: &'static str, role: &str) {
        self.register(name, role, false).await;
        agents::promote(&self.broker, &operator(), &name.parse().unwrap(), "test").await.unwrap();
    }

    /// Makes another bundle the active one.
    pub async fn publish(&self, files: BundleFiles) {
        if let Err(refusal) = bundles::publish(&self.broker, &operator(), files, true).await {
            panic!("{refusal:?}");
        }
    }

    /// Compares the definitions again, as the control connection does.
    pub async fn verify_definitions(&self) {
        definitions::observe(&self.broker, &bundle::system(), &bundle::discovered()).await.unwrap();
    }

    async fn register(&mut self, name: &'static str, role: &str, bearer: bool) {
        let key = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
        let scopes = match name {
            "gate" => vec![tokens::ACCESS_EVALUATE.parse().unwrap()],
            "support" | "writer" => vec![authorization::apart::USER_ASK.parse().unwrap()],
            _ => Vec::new(),
        };
        let ask = Registration {
            name: name.parse().unwrap(),
            owner: "team@broker.test".to_owned(),
            purpose: "tests".to_owned(),
            environment: Environment::Production,
            role: role.parse().unwrap(),
            authenticators: vec![Authenticator::Key(key.public().clone())],
            systems: Vec::new(),
            scopes,
            redirect_uris: Vec::new(),
            bearer_tokens_allowed: bearer,
            task_required: false,
            token_ttl_s: None,
            lifetime_days: None,
            review_days: None,
            attestation: None,
            key_protection: KeyProtection::Any,
        };
        agents::register(&self.broker, &operator(), ask).await.unwrap();
        self.keys.insert(name, key);
    }

    /// An agent's private key.
    pub fn key(&self, agent: &str) -> &AgentKey {
        self.keys.get(agent).unwrap()
    }

    /// The secret that nonces are made from.
    pub fn nonces(&self) -> NonceSecret {
        self.nonces.clone()
    }

    /// The nonce that is good now.
    pub fn nonce(&self) -> String {
        self.nonces.nonce(self.clock.now())
    }

    /// A fresh identifier.
    pub fn jti(&self) -> String {
        format!("jti-{}", self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// An access token, bound to the agent's key or plain.
    pub async fn token(&self, agent: &str, audience: Audience, bound: bool) -> String {
        let thumbprint = self.key(agent).public().thumbprint;
        let ask = TokenAsk {
            agent: agent.parse().unwrap(),
            credential: thumbprint,
            grant: None,
            audience,
            scopes: None,
            details: None,
            task: None,
            confirmation: bound.then_some(Confirmation::Key(thumbprint)),
            spent: Vec::new(),
        };
        tokens::issue(&self.broker, ask).await.unwrap().token.expose().clone()
    }

    /// A proof by an agent's key for one message and its token.
    pub fn proof(&self, agent: &str, method: &str, url: &str, token: Option<&str>) -> String {
        let nonce = self.nonce();
        let subject = ProofSubject { method, uri: url, nonce: Some(&nonce), access_token: token };
        self.key(agent).sign_dpop(&subject, self.clock.now(), &self.jti()).unwrap()
    }

    /// An assertion by an agent's key.
    pub fn assertion(&self, agent: &str) -> String {
        let name: AgentName = agent.parse().unwrap();
        let issuer = &self.broker.settings().issuer;
        self.key(agent).sign_client_assertion(issuer, &name, self.clock.now(), &self.jti()).unwrap()
    }

    /// A token with any header and claims, signed with the issuer's own key: what only a mistake of ours could make.
    pub fn sign_as_issuer(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let signature = self.token_keys.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// All evidence of one kind, oldest first.
    pub async fn events(&self, kind: &str) -> Vec<AuditEvent> {
        let filter = EntryFilter { kind: Some(kind.to_owned()), limit: 1_000, ..EntryFilter::default() };
        let entries = self.broker.store().entries(filter).await.unwrap();
        entries.iter().map(|entry| leaf::decode(&entry.leaf).unwrap().event).collect()
    }
}

/// Who administrates in these tests.
pub fn operator() -> Principal {
    Principal::Operator("tester".parse().unwrap())
}

/// The part of a token: 0 header, 1 claims.
pub fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Control connections that always find what the bundle pins.
pub struct TestUpstreams;

#[async_trait]
impl Upstreams for TestUpstreams {
    async fn discover(&self, system: &SystemName) -> Result<Discovered, DiscoverError> {
        if *system == bundle::system() {
            Ok(bundle::discovered())
        } else {
            Err(DiscoverError { system: system.clone(), reason: "it is not configured".to_owned() })
        }
    }

    fn secret_changed(&self, _: &SystemName) {}
}
