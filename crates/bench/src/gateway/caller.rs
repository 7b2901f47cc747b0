//! A client of MCP 2025-11-25 on one connection, with a token and a fresh proof per call where they are wanted.

use std::sync::Arc;

use bailiwick_keys::agent_key::ProofSubject;
use bailiwick_testkit_broker::broker::Agent;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    load::Asks,
    upstream::DONE,
    wire::{Answer, Connection},
};

const REVISION: &str = "2025-11-25";

/// What a proof is made of.
pub(crate) struct Proofs {
    agent: Arc<Agent>,
    uri: String,
    token: String,
    authorization: String,
}

impl Proofs {
    pub(crate) fn new(agent: Arc<Agent>, uri: &str, token: &str) -> Self {
        Self { agent, uri: uri.to_owned(), token: token.to_owned(), authorization: format!("DPoP {token}") }
    }

    /// A fresh proof.
    pub(crate) fn sign(&self, nonce: Option<&str>) -> String {
        let subject = ProofSubject { method: "POST", uri: &self.uri, nonce, access_token: Some(&self.token) };
        self.agent.key.sign_dpop(&subject, Timestamp::now(), &Uuid::new_v4().to_string()).expect("a signature")
    }

    pub(crate) fn authorization(&self) -> &str {
        &self.authorization
    }
}

/// Proofs that are signed already, and the nonce that they carry.
#[derive(Default)]
pub(crate) struct Signed {
    nonce: Option<String>,
    ready: Vec<String>,
}

impl Signed {
    pub(crate) fn prepare(&mut self, proofs: &Proofs, count: usize) {
        self.ready = (0..count).map(|_| proofs.sign(self.nonce.as_deref())).collect();
    }

    pub(crate) fn next(&mut self, proofs: &Proofs) -> String {
        self.ready.pop().unwrap_or_else(|| proofs.sign(self.nonce.as_deref()))
    }

    /// Keeps a nonce that came. Whether the answer says that this one is to be used instead.
    pub(crate) fn learn(&mut self, answer: &Answer) -> bool {
        let Some(nonce) = answer.header("dpop-nonce") else { return false };
        if self.nonce.as_ref() != Some(&nonce) {
            self.nonce = Some(nonce);
            self.ready.clear();
        }
        answer.status == http::StatusCode::UNAUTHORIZED
    }
}

/// One client.
pub(crate) struct Caller {
    connection: Connection,
    session: Option<String>,
    tool: String,
    proofs: Option<Arc<Proofs>>,
    signed: Signed,
    last_id: u64,
}

impl Caller {
    /// Opens a connection and a session.
    pub(crate) async fn connect(url: &str, tool: &str, proofs: Option<Arc<Proofs>>) -> Self {
        let connection = Connection::open(url).await;
        let signed = Signed::default();
        let mut caller = Self { connection, session: None, tool: tool.to_owned(), proofs, signed, last_id: 0 };
        let params = json!({
            "protocolVersion": REVISION, "capabilities": {}, "clientInfo": { "name": "load", "version": "1" },
        });
        let answer = caller.request("initialize", &params).await;
        assert!(answer.status.is_success(), "initialize at {url}: {} {}", answer.status, answer.text());
        caller.session = answer.header("mcp-session-id");
        let answer = caller.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        assert!(answer.status.is_success(), "initialized at {url}: {} {}", answer.status, answer.text());
        caller
    }

    /// Sends a request.
    pub(crate) async fn request(&mut self, method: &str, params: &Value) -> Answer {
        self.last_id += 1;
        self.post(&json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params })).await
    }

    /// Sends a message, once more if another nonce is wanted.
    async fn post(&mut self, message: &Value) -> Answer {
        let body = hyper::body::Bytes::from(message.to_string());
        let answer = self.send(body.clone()).await;
        if self.signed.learn(&answer) { self.send(body).await } else { answer }
    }

    async fn send(&mut self, body: hyper::body::Bytes) -> Answer {
        let proof = self.proofs.as_ref().map(|proofs| self.signed.next(proofs));
        let mut headers = vec![("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        if let Some(session) = &self.session {
            headers.extend([("mcp-session-id", session.as_str()), ("mcp-protocol-version", REVISION)]);
        }
        if let (Some(proofs), Some(proof)) = (&self.proofs, &proof) {
            headers.extend([("authorization", proofs.authorization()), ("dpop", proof.as_str())]);
        }
        self.connection.post(&headers, body).await
    }
}

impl Asks for Caller {
    async fn ask(&mut self) {
        let params = json!({ "name": self.tool, "arguments": { "id": self.last_id.to_string() } });
        let answer = self.request("tools/call", &params).await;
        let text = answer.text();
        assert!(answer.status.is_success() && text.contains(DONE), "{}: {} {text}", self.tool, answer.status);
    }

    fn prepare(&mut self, questions: usize) {
        if let Some(proofs) = &self.proofs {
            self.signed.prepare(proofs, questions);
        }
    }
}
