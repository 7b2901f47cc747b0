//! MCP over HTTP as an agent that does its OAuth itself: `private_key_jwt` for a
//! token, one DPoP proof per request, nonces as they come. Every part can be
//! sent wrongly on purpose: that is what half of the stories do.

use bailiwick_keys::agent_key::{AgentKey, ProofSubject};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::broker::{Agent, Broker};

const MODERN: &str = "2026-07-28";
const HANDSHAKE: &str = "2025-11-25";

/// Which revision a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// 2025-11-25, with its handshake.
    Handshake,
    /// 2026-07-28, stateless.
    Stateless,
}

impl Revision {
    /// As written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => HANDSHAKE,
            Self::Stateless => MODERN,
        }
    }
}

/// An agent's client of one resource.
#[derive(Debug)]
pub struct HttpClient<'a> {
    http: Client,
    agent: &'a Agent,
    issuer: String,
    resource: String,
    revision: Revision,
    task: Option<String>,
    scope: Option<String>,
    nonce: Option<String>,
    session: Option<String>,
    last_id: u64,
    /// `authorization_details` of token requests, as JSON.
    pub details: Option<String>,
    /// How far this client's clock, and the broker's, are ahead of the real time.
    pub ahead: SignedDuration,
    /// The access token in use.
    pub token: String,
}

/// The headers of one message that say who sends it.
#[derive(Debug)]
pub struct Credentials {
    /// `Authorization`.
    pub authorization: String,
    /// `DPoP`.
    pub proof: String,
}

/// What came back.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl HttpAnswer {
    /// All messages of the body, be it JSON or an event stream.
    pub fn messages(&self) -> Vec<Value> {
        if let Ok(message) = serde_json::from_str(&self.body) {
            return vec![message];
        }
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data:"));
        data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
    }

    /// The message that answers: it has a result or an error.
    pub fn message(&self) -> Value {
        let answers = |message: &Value| message.get("result").is_some() || message.get("error").is_some();
        self.messages()
            .into_iter()
            .find(answers)
            .unwrap_or_else(|| panic!("no answer in {} {}: {}", self.status, self.resource_hint(), self.body))
    }

    /// One header as text.
    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }

    fn resource_hint(&self) -> String {
        self.header("www-authenticate").unwrap_or_default()
    }
}

impl<'a> HttpClient<'a> {
    /// Gets a token for `/mcp/<system>` and, in the older revision, opens a session.
    pub async fn connect(broker: &Broker, agent: &'a Agent, system: &str, revision: Revision) -> Self {
        Self::connect_in(broker, agent, system, revision, None).await
    }

    /// The same, bound to a task.
    pub async fn connect_in(
        broker: &Broker,
        agent: &'a Agent,
        system: &str,
        revision: Revision,
        task: Option<&str>,
    ) -> Self {
        let path = format!("/mcp/{system}");
        let mut client = Self::of(broker, agent, path.trim_end_matches('/'), revision, task);
        client.take_token().await;
        if revision == Revision::Handshake {
            client.open_session().await;
        }
        client
    }

    /// Has no token yet.
    pub fn without_token(broker: &Broker, agent: &'a Agent, system: &str) -> Self {
        Self::of(broker, agent, &format!("/mcp/{system}"), Revision::Stateless, None)
    }

    /// Gets a token for another resource of the broker, such as `/access/v1`.
    pub async fn connect_at(broker: &Broker, agent: &'a Agent, path: &str) -> Self {
        let mut client = Self::of(broker, agent, path, Revision::Stateless, None);
        client.take_token().await;
        client
    }

    /// Gets a token that hands some of the agent's scope over to another agent.
    pub async fn hand_over(broker: &Broker, agent: &'a Agent, to: &str, scope: &str) -> String {
        let mut client = Self::of(broker, agent, &format!("/agents/{to}"), Revision::Stateless, None);
        client.scope = Some(scope.to_owned());
        client.take_token().await;
        client.token
    }

    /// A client that has asked for nothing yet.
    pub fn idle(broker: &Broker, agent: &'a Agent, system: &str) -> Self {
        Self::of(broker, agent, &format!("/mcp/{system}"), Revision::Stateless, None)
    }

    fn of(broker: &Broker, agent: &'a Agent, path: &str, revision: Revision, task: Option<&str>) -> Self {
        let issuer = broker.url();
        Self {
            http: Client::new(),
            agent,
            resource: format!("{issuer}{path}"),
            issuer,
            revision,
            task: task.map(str::to_owned),
            scope: None,
            nonce: None,
            session: None,
            last_id: 0,
            details: None,
            ahead: SignedDuration::ZERO,
            token: String::new(),
        }
    }

    /// Gets a new token.
    pub async fn take_token(&mut self) {
        let answer = self.ask_token().await;
        let body = answer.message_or_body();
        let token = body.get("access_token").and_then(Value::as_str);
        token.unwrap_or_else(|| panic!("no token: {} {}", answer.status, answer.body)).clone_into(&mut self.token);
    }

    async fn open_session(&mut self) {
        let params = json!({
            "protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": { "name": "testkit", "version": "1" },
        });
        let answer = self.ask("initialize", params).await;
        assert!(answer.message().get("result").is_some(), "initialize: {}", answer.body);
        self.session = answer.header("mcp-session-id");
        let notice = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let answer = self.post(notice.to_string()).await;
        assert!(answer.status.is_success(), "initialized: {} {}", answer.status, answer.body);
    }

    /// Asks the token endpoint, once more if it wants its nonce in the proof.
    pub async fn ask_token(&mut self) -> HttpAnswer {
        let answer = self.ask_token_with(&self.assertion()).await;
        if self.learn_nonce(&answer) { self.ask_token_with(&self.assertion()).await } else { answer }
    }

    /// Asks the token endpoint once, with this assertion and a fresh proof.
    pub async fn ask_token_with(&self, assertion: &str) -> HttpAnswer {
        let endpoint = format!("{}/oauth/token", self.issuer);
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
            ("resource", &self.resource),
        ];
        if let Some(task) = &self.task {
            form.push(("bailiwick_task", task));
        }
        if let Some(scope) = &self.scope {
            form.push(("scope", scope));
        }
        if let Some(details) = &self.details {
            form.push(("authorization_details", details));
        }
        let proof = self.proof("POST", &endpoint, None);
        send(self.http.post(&endpoint).form(&form).header("dpop", proof)).await
    }

    fn now(&self) -> Timestamp {
        Timestamp::now() + self.ahead
    }

    /// A fresh assertion of who this client is.
    pub fn assertion(&self) -> String {
        let name = self.agent.name.parse().expect("an agent's name");
        let jti = Uuid::new_v4().to_string();
        self.agent.key.sign_client_assertion(&self.issuer, &name, self.now(), &jti).expect("a signature")
    }

    /// A fresh proof of possession by the agent's own key.
    pub fn proof(&self, method: &str, uri: &str, token: Option<&str>) -> String {
        self.proof_by(&self.agent.key, method, uri, token)
    }

    /// A fresh proof by whatever key.
    pub fn proof_by(&self, key: &AgentKey, method: &str, uri: &str, token: Option<&str>) -> String {
        let subject = ProofSubject { method, uri, nonce: self.nonce.as_deref(), access_token: token };
        key.sign_dpop(&subject, self.now(), &Uuid::new_v4().to_string()).expect("a signature")
    }

    /// What one message has to carry: the token, and a fresh proof for it.
    pub fn credentials(&self, method: &str, uri: &str) -> Credentials {
        let proof = self.proof(method, uri, Some(&self.token));
        Credentials { authorization: format!("DPoP {}", self.token), proof }
    }

    /// Keeps the nonce that came, if one did.
    pub fn learn_nonce_of(&mut self, headers: &HeaderMap) {
        if let Some(nonce) = headers.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok()) {
            self.nonce = Some(nonce.to_owned());
        }
    }

    /// Keeps the nonce that came, and says whether the answer was "use it".
    pub fn learn_nonce(&mut self, answer: &HttpAnswer) -> bool {
        let Some(nonce) = answer.header("dpop-nonce") else { return false };
        self.nonce = Some(nonce);
        let refused = answer.status == StatusCode::UNAUTHORIZED || answer.status == StatusCode::BAD_REQUEST;
        let told = answer.header("www-authenticate").unwrap_or_default();
        refused && (told.contains("use_dpop_nonce") || answer.body.contains("use_dpop_nonce"))
    }

    /// The resource that the token is for: where its calls go.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// A message of this client's revision, as JSON text with its next id.
    pub fn message(&mut self, method: &str, mut params: Value) -> String {
        self.last_id += 1;
        if self.revision == Revision::Stateless
            && let Some(params) = params.as_object_mut()
        {
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "testkit", "version": "1" });
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params }).to_string()
    }

    /// A request with this body and the headers that the revision wants of it; no token and no proof yet.
    pub fn bare(&self, body: String) -> RequestBuilder {
        let message: Value = serde_json::from_str(&body).unwrap_or_default();
        let mut ask = self
            .http
            .post(&self.resource)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        let member = |place: &str| message.pointer(place).and_then(Value::as_str);
        match self.revision {
            Revision::Stateless => {
                ask = ask.header("mcp-protocol-version", MODERN);
                if let Some(method) = member("/method") {
                    ask = ask.header("mcp-method", method);
                }
                if let Some(name) = member("/params/name").or_else(|| member("/params/uri")) {
                    ask = ask.header("mcp-name", name);
                }
            }
            Revision::Handshake => {
                if let Some(session) = &self.session {
                    ask = ask.header("mcp-protocol-version", HANDSHAKE).header("mcp-session-id", session);
                }
            }
        }
        ask.body(body)
    }

    /// Sends a body with token and proof, once more if the broker wants its nonce.
    pub async fn post(&mut self, body: String) -> HttpAnswer {
        for last in [false, true] {
            let proof = self.proof("POST", &self.resource, Some(&self.token));
            let ask = self.bare(body.clone()).header("authorization", format!("DPoP {}", self.token));
            let answer = send(ask.header("dpop", proof)).await;
            if last || !self.learn_nonce(&answer) {
                return answer;
            }
        }
        unreachable!("the last round returns")
    }

    /// Calls a method.
    pub async fn ask(&mut self, method: &str, params: Value) -> HttpAnswer {
        let body = self.message(method, params);
        self.post(body).await
    }

    /// Calls a tool and gives the message that answers.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await.message()
    }
}

impl HttpAnswer {
    /// The body as JSON, or null.
    pub fn message_or_body(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(ask: RequestBuilder) -> HttpAnswer {
    let answer = ask.send().await.expect("the broker answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.text().await.expect("a readable body");
    HttpAnswer { status, headers, body }
}
