//! One broker with one upstream and as many agents as a test wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::serve::ListenerExt as _;
use bailiwick_audit_log::leaf::{BootNonce, ReplicaId};
use bailiwick_engine::{
    agents::{self, Registration},
    broker::{Broker, FACT_WINDOW, Ports, Settings},
    bundles,
    connections::NoToken,
    definitions, start,
    tasks::{self, TaskAsk, Work},
    tokens::{self, Audience, TokenAsk},
};
use bailiwick_gateway::{
    mcp,
    upstream::{Pool, PoolLimits, SecretUnavailable, Secrets, Target},
};
use bailiwick_keys::{
    agent_key::{AgentKey, ProofSubject},
    chance::{SystemClock, SystemEntropy},
    file_vault::FileVault,
    key_encryption::KeyEncryptionKey,
    token_keys::TokenKeys,
};
use bailiwick_model::{
    agent::{Authenticator, Environment, KeyProtection},
    bundle::BundleFiles,
    confirmation::Confirmation,
    digest::Digest,
    id::TaskId,
    jwk::{SigningAlgorithm, Thumbprint},
    name::{AgentName, Scope, SecretName, SystemName, UserId},
    principal::Principal,
    secret::Secret,
    task::ToolGrant,
};
use bailiwick_oauth::{certificate_path::Authorities, key_policy::KeyPolicy};
use bailiwick_pdp::{catalogue::OauthClient, definition};
use bailiwick_ports::{chance::random, store::Store, upstreams::Upstreams as _};
use bailiwick_store::{Identity, Options, SqliteStore};
use bailiwick_web::{address::DeclaredProxies, entrance::Entrance};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::upstream::{self, Seen};

pub(crate) const STATELESS: &str = "2026-07-28";
pub(crate) const HANDSHAKE: &str = "2025-11-25";

pub(crate) struct Bench {
    pub(crate) broker: Arc<Broker>,
    pub(crate) pool: Pool,
    pub(crate) seen: Arc<Seen>,
    pub(crate) http: reqwest::Client,
    /// Whether callers come from another network zone from now on.
    pub(crate) elsewhere: Arc<AtomicBool>,
    pub(crate) issuer: String,
    upstream: String,
    _folder: TempDir,
}

struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn reveal(&self, name: &SecretName) -> Result<Secret<String>, SecretUnavailable> {
        Err(SecretUnavailable(format!("no secret `{name}`")))
    }

    async fn own_token(
        &self,
        _: &SystemName,
        _: (&OauthClient, Digest),
        _: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken> {
        Err(NoToken::Unavailable)
    }

    async fn account_token(
        &self,
        _: &SystemName,
        _: &UserId,
        _: Option<&Secret<String>>,
    ) -> Result<Secret<String>, NoToken> {
        Err(NoToken::NotConnected)
    }
}

/// Who operates the broker in tests.
pub(crate) fn operator() -> Principal {
    Principal::Operator("root".parse().unwrap())
}

fn toml(upstream: &str) -> String {
    let lines = [
        ("read_note", "class = \"read\"\nnormalise = { path = \"path\" }\neffect = { records = 1, reversible = true }"),
        ("write_note", "class = \"write\"\neffect = { records = \"input:times\" }"),
        ("delete_note", "class = \"delete\""),
        ("find_contacts", "class = \"read\"\nfield_classes = { pii = [\"contacts.*.email\"] }"),
        ("slow", "class = \"read\""),
        ("ask", "class = \"read\""),
        ("big", "class = \"read\""),
        ("mirrored", "class = \"read\""),
        ("fails", "class = \"read\""),
    ];
    let tools = upstream::tools();
    let mut text = format!("title = \"Notes\"\nenvironment = \"development\"\n[upstream]\nurl = \"{upstream}\"\n");
    for (name, entry) in lines {
        let whole = tools.as_array().unwrap().iter().find(|tool| tool["name"] == name).unwrap();
        text.push_str(&format!("[tools.{name}]\n{entry}\ndefinition = \"{}\"\n", definition::digest(whole)));
    }
    text
}

const POLICIES: &str = r#"
@id("no-secrets") @reason("secrets are not for agents") @help("ask for another note")
forbid (principal, action == Bailiwick::Action::"notes.read_note", resource)
when { context.input.path like "/secret/*" };

@id("find-masked") @obligation("mask=pii")
permit (principal in Bailiwick::Role::"worker", action == Bailiwick::Action::"notes.find_contacts", resource);

@id("big-bounded") @obligation("result_bytes_max=500")
permit (principal in Bailiwick::Role::"worker", action == Bailiwick::Action::"notes.big", resource);

@id("bulk-needs-approval") @reason("it changes more than a hundred notes") @approvers("group:owners") @quorum("1") @expires("30m")
forbid (principal is Bailiwick::Agent, action == Bailiwick::Action::"notes.write_note", resource)
when { context.effect.records > 100 }
unless { context.approvals.contains("bulk-needs-approval") };
"#;

fn files(upstream: &str) -> BTreeMap<String, Vec<u8>> {
    let lock = json!({
        "protocol_version": HANDSHAKE, "server_info": { "name": "notes" }, "instructions": "Be brief.",
        "tools": upstream::tools(), "prompts": [{ "name": "summarise" }],
    });
    let mut files = BTreeMap::new();
    let mut add = |path: &str, text: String| files.insert(path.to_owned(), text.into_bytes());
    add("systems/notes.toml", toml(upstream));
    add("systems/notes.tools.json", lock.to_string());
    add("policies/organisation/notes.cedar", POLICIES.to_owned());
    add("roles/worker.toml", "purpose = \"Keep notes\"\nallow = [\"notes:read\", \"notes:write\"]\n".to_owned());
    add("roles/idle.toml", "purpose = \"Do nothing\"\nallow = []\n".to_owned());
    files
}

impl Bench {
    /// With an upstream of 2025-11-25.
    pub(crate) async fn new() -> Self {
        Self::with(false).await
    }

    pub(crate) async fn with(stateless_upstream: bool) -> Self {
        Self::patient(stateless_upstream, mcp::RESUMABLE_FOR).await
    }

    /// With a time for which streams wait for their clients.
    pub(crate) async fn patient(stateless_upstream: bool, resumable_for: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, seen) = upstream::start(stateless_upstream).await;
        let upstream = format!("http://{upstream}/mcp");
        let entropy = Arc::new(SystemEntropy);
        let identity = Identity {
            replica: ReplicaId::from_bytes(random::<16>(entropy.as_ref())),
            boot: BootNonce::from_bytes(random::<16>(entropy.as_ref())),
        };
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(":memory:".as_ref(), identity, &Options::default()).unwrap());
        let key = Arc::new(KeyEncryptionKey::create(&folder.path().join("kek"), entropy.as_ref()).unwrap());
        let signer = TokenKeys::create(&folder.path().join("keys"), jiff::Timestamp::now()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = format!("http://{address}");
        let ports = Ports {
            store: Arc::clone(&store),
            clock: Arc::new(SystemClock),
            entropy: entropy.clone(),
            token_signer: Arc::new(signer),
            vault: Arc::new(FileVault::new(Arc::clone(&key), store, entropy)),
        };
        let elsewhere = Arc::new(AtomicBool::new(false));
        let moved = Arc::clone(&elsewhere);
        let settings = Settings {
            issuer: issuer.clone(),
            environment: None,
            zone_of: Arc::new(move |_| if moved.load(Ordering::SeqCst) { "cafe" } else { "unknown" }.to_owned()),
            fact_window: FACT_WINDOW,
            sign_in_classes: BTreeSet::new(),
            directory_users_max: 10,
            agent_algorithms: SigningAlgorithm::ALL.to_vec(),
            attestation_roots: Authorities::default(),
        };
        let broker = start::start(ports, settings).await.unwrap();
        bundles::publish(&broker, &operator(), BundleFiles::new(files(&upstream)).unwrap(), true).await.unwrap();
        let pool = Pool::new(Arc::new(NoSecrets), PoolLimits::default()).unwrap();
        let entrance = Entrance::new(Arc::clone(&broker), key.nonce_secret(), DeclaredProxies::default()).unwrap();
        let entrance = Arc::new(entrance);
        let gateway = mcp::Gateway::new(Arc::clone(&entrance), pool.clone(), resumable_for);
        let rooms = mcp::router(gateway).merge(bailiwick_api::Scim::new(Arc::clone(&entrance)).router());
        let router = bailiwick_web::listener::around(&entrance, rooms);
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let bench = Self { broker, pool, seen, http, elsewhere, issuer, upstream, _folder: folder };
        bench.configure();
        bench.look().await;
        bench
    }

    /// The files of its bundle.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.upstream)
    }

    /// Publishes other files.
    pub(crate) async fn publish(&self, files: BTreeMap<String, Vec<u8>>) {
        bundles::publish(&self.broker, &operator(), BundleFiles::new(files).unwrap(), true).await.unwrap();
    }

    fn configure(&self) {
        let live = self.broker.live();
        let systems = live.policy.iter().flat_map(|policy| policy.catalogue().systems());
        self.pool.configure(systems.map(|system| (system.name.clone(), Target::from(system))));
    }

    /// Compares the definitions, as the server does in the background.
    pub(crate) async fn look(&self) {
        let system: SystemName = "notes".parse().unwrap();
        let discovered = self.pool.discover(&system).await.unwrap();
        definitions::observe(&self.broker, &system, &discovered).await.unwrap();
    }

    /// Registers a promoted agent of a role and gives it a token for `path` (`/mcp/notes`).
    pub(crate) async fn agent(&self, name: &str, role: &str, path: &str, scopes: Option<&[&str]>) -> Caller {
        let key = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
        let public = KeyPolicy::default().jwk(key.public_jwk()).unwrap();
        let thumbprint = public.thumbprint;
        let name: AgentName = name.parse().unwrap();
        let ask = Registration {
            name: name.clone(),
            owner: "team".to_owned(),
            purpose: "tests".to_owned(),
            environment: Environment::Development,
            role: role.parse().unwrap(),
            authenticators: vec![Authenticator::Key(public)],
            systems: Vec::new(),
            scopes: Vec::new(),
            redirect_uris: Vec::new(),
            bearer_tokens_allowed: false,
            task_required: false,
            token_ttl_s: None,
            lifetime_days: None,
            review_days: None,
            attestation: None,
            key_protection: KeyProtection::Any,
        };
        agents::register(&self.broker, &operator(), ask).await.unwrap();
        agents::promote(&self.broker, &operator(), &name, "tests").await.unwrap();
        let scopes = scopes.map(|scopes| scopes.iter().map(|scope| scope.parse().unwrap()).collect::<BTreeSet<_>>());
        self.token(name, thumbprint, key, &format!("{}{path}", self.issuer), scopes).await
    }

    /// The same agent with a token that another key must prove.
    pub(crate) async fn other_key(&self, of: &Caller) -> Caller {
        let credential = KeyPolicy::default().jwk(of.key.public_jwk()).unwrap().thumbprint;
        let key = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
        self.token(of.name.clone(), credential, key, &of.url, None).await
    }

    async fn token(
        &self,
        name: AgentName,
        credential: Thumbprint,
        key: AgentKey,
        url: &str,
        scopes: Option<BTreeSet<Scope>>,
    ) -> Caller {
        let confirmation = Some(Confirmation::Key(KeyPolicy::default().jwk(key.public_jwk()).unwrap().thumbprint));
        let audience = Audience::of_resource(&self.issuer, url).unwrap();
        let agent = name.clone();
        let (grant, task, spent) = (None, None, Vec::new());
        let ask = TokenAsk { agent, credential, grant, audience, scopes, details: None, task, confirmation, spent };
        let token = tokens::issue(&self.broker, ask).await.unwrap().token.expose().clone();
        let url = url.to_owned();
        let nonce = self.http.post(&url).send().await.unwrap().headers()["dpop-nonce"].to_str().unwrap().to_owned();
        Caller { name, key, token, url, nonce, http: self.http.clone(), proofs: AtomicUsize::new(0), session: None }
    }

    /// Another token of the same agent and key.
    pub(crate) async fn another_token(&self, of: &Caller, scopes: Option<&[&str]>, task: Option<TaskId>) -> String {
        let credential = KeyPolicy::default().jwk(of.key.public_jwk()).unwrap().thumbprint;
        let ask = TokenAsk {
            agent: of.name.clone(),
            credential,
            grant: None,
            audience: Audience::of_resource(&self.issuer, &of.url).unwrap(),
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| scope.parse().unwrap()).collect()),
            details: None,
            task,
            confirmation: Some(Confirmation::Key(credential)),
            spent: Vec::new(),
        };
        tokens::issue(&self.broker, ask).await.unwrap().token.expose().clone()
    }

    /// A task in which an agent may call one tool.
    pub(crate) async fn task(&self, of: &Caller, action: &str) -> TaskId {
        let ask = TaskAsk {
            agent: of.name.clone(),
            purpose: "tests".to_owned(),
            prompt: None,
            work: Work::Tools(vec![ToolGrant { action: action.parse().unwrap(), pins: BTreeMap::new() }]),
            lifetime_s: None,
        };
        tasks::create(&self.broker, &operator(), ask).await.unwrap().id
    }

    /// The usual agent.
    pub(crate) async fn worker(&self) -> Caller {
        self.agent("worker", "worker", "/mcp/notes", None).await
    }
}

/// An agent with a token.
pub(crate) struct Caller {
    pub(crate) name: AgentName,
    pub(crate) key: AgentKey,
    pub(crate) token: String,
    pub(crate) url: String,
    pub(crate) nonce: String,
    pub(crate) session: Option<String>,
    http: reqwest::Client,
    proofs: AtomicUsize,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answered {
    /// The one message, whether it came as JSON or as the last event.
    pub(crate) fn message(&self) -> Value {
        match serde_json::from_str(&self.text) {
            Ok(message) => message,
            Err(_) => self.events().pop().unwrap_or_else(|| panic!("no message in {self:?}")),
        }
    }

    /// All messages of a stream.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// The code of the JSON-RPC error; 0 is none.
    pub(crate) fn code(&self) -> i64 {
        self.message()["error"]["code"].as_i64().unwrap_or(0)
    }
}

impl Caller {
    /// A fresh proof.
    pub(crate) fn proof(&self, method: &str) -> String {
        self.proof_for(method, &self.url)
    }

    fn proof_for(&self, method: &str, uri: &str) -> String {
        let number = self.proofs.fetch_add(1, Ordering::SeqCst);
        let jti = format!("{}-{number}-{}", self.name, uuid());
        let subject = ProofSubject { method, uri, nonce: Some(&self.nonce), access_token: Some(&self.token) };
        self.key.sign_dpop(&subject, jiff::Timestamp::now(), &jti).unwrap()
    }

    /// Asks what it may do where it calls.
    pub(crate) fn permissions(&self) -> reqwest::RequestBuilder {
        let url = self.url.replace("/mcp", "/permissions/v1");
        self.with_proof(self.http.get(&url), &self.proof_for("GET", &url))
    }

    /// A POST, ready but for its body.
    pub(crate) fn post(&self) -> reqwest::RequestBuilder {
        self.with_proof(self.http.post(&self.url), &self.proof("POST"))
    }

    pub(crate) fn with_proof(&self, builder: reqwest::RequestBuilder, proof: &str) -> reqwest::RequestBuilder {
        let builder = builder
            .header("authorization", format!("DPoP {}", self.token))
            .header("dpop", proof)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        match &self.session {
            Some(session) => builder.header("mcp-session-id", session),
            None => builder,
        }
    }

    /// Sends a body as it is.
    pub(crate) async fn raw(&self, body: impl Into<reqwest::Body>) -> Answered {
        read(self.post().body(body)).await
    }

    /// Sends one stateless message with the headers that it needs.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Answered {
        read(self.stateless(method, params)).await
    }

    pub(crate) fn stateless(&self, method: &str, params: Value) -> reqwest::RequestBuilder {
        self.stateless_able(method, params, json!({}))
    }

    /// The same from a client that declares capabilities.
    pub(crate) fn stateless_able(
        &self,
        method: &str,
        mut params: Value,
        capabilities: Value,
    ) -> reqwest::RequestBuilder {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(STATELESS);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        let mut builder = self.post().header("mcp-protocol-version", STATELESS).header("mcp-method", method);
        if let Some(name) = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str) {
            builder = builder.header("mcp-name", name);
        }
        builder.body(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string())
    }

    /// Calls a tool, statelessly.
    pub(crate) async fn tool(&self, name: &str, arguments: Value) -> Answered {
        self.call("tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    /// Opens a session of 2025-11-25.
    pub(crate) async fn open_session(&mut self, capabilities: Value) -> Answered {
        let params = json!({ "protocolVersion": HANDSHAKE, "capabilities": capabilities, "clientInfo": { "name": "t", "version": "1" } });
        let answer =
            self.raw(json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }).to_string()).await;
        self.session = answer.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        answer
    }

    /// Sends one message inside the session.
    pub(crate) async fn in_session(&self, id: u64, method: &str, params: Value) -> Answered {
        self.raw(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()).await
    }

    pub(crate) fn get(&self) -> reqwest::RequestBuilder {
        self.with_proof(self.http.get(&self.url), &self.proof("GET"))
    }

    /// A GET that takes a stream up again.
    pub(crate) fn take_up(&self, after: &str) -> reqwest::RequestBuilder {
        self.get().header("mcp-protocol-version", HANDSHAKE).header("last-event-id", after)
    }

    pub(crate) fn delete(&self) -> reqwest::RequestBuilder {
        self.with_proof(self.http.delete(&self.url), &self.proof("DELETE"))
    }
}

fn uuid() -> String {
    hex::encode(random::<8>(&SystemEntropy))
}

pub(crate) async fn read(builder: reqwest::RequestBuilder) -> Answered {
    let response = builder.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    Answered { status, headers, text: response.text().await.unwrap() }
}

/// The events of a stream, one by one.
pub(crate) struct Events {
    body: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
    /// The id of the newest event that had one.
    pub(crate) last_id: Option<String>,
    /// How long to wait before taking it up again.
    pub(crate) retry: Option<String>,
}

impl Events {
    pub(crate) async fn open(builder: reqwest::RequestBuilder) -> Self {
        let response = builder.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { body: response.bytes_stream().boxed(), text: String::new(), last_id: None, retry: None }
    }

    /// The next message; `None` when the stream ends.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let data = field("data: ");
                self.last_id = field("id: ").or(self.last_id.take());
                self.retry = field("retry: ").or(self.retry.take());
                self.text = rest.to_owned();
                match data {
                    Some(data) => return Some(serde_json::from_str(&data).unwrap()),
                    None => continue,
                }
            }
            let chunk =
                tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("a stream that goes on");
            self.text.push_str(std::str::from_utf8(&chunk?.ok()?).unwrap());
        }
    }
}

/// Waits for something that happens in the background.
pub(crate) async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came true: {what}");
}
