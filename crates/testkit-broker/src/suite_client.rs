//! A client of MCP as an agent's framework would be one: it knows the protocol
//! and its server's URL, and nothing of tokens, which [`crate::shim`] adds. It
//! answers what servers ask with the defaults that they propose.

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Map, Value, json};

use crate::http_client::Revision;

const PROTOCOL_VERSION: &str = "mcp-protocol-version";
const SESSION_ID: &str = "mcp-session-id";

/// A client with a server.
#[derive(Debug)]
pub struct SuiteClient {
    http: Client,
    url: String,
    revision: Revision,
    session: Option<String>,
    last_id: u64,
}

impl SuiteClient {
    /// Introduces itself in the way of the revision.
    pub async fn open(url: &str, revision: Revision) -> Self {
        let http = Client::builder().no_proxy().build().expect("a client");
        let mut client = Self { http, url: url.to_owned(), revision, session: None, last_id: 0 };
        let greeting = match revision {
            Revision::Stateless => client.ask("server/discover", json!({})).await,
            Revision::Handshake => {
                let params = json!({
                    "protocolVersion": revision.as_str(), "capabilities": { "elicitation": {} },
                    "clientInfo": { "name": "testkit", "version": "1" },
                });
                let greeting = client.ask("initialize", params).await;
                client.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
                greeting
            }
        };
        assert!(greeting.get("result").is_some(), "the introduction: {greeting}");
        client
    }

    /// All items of a list.
    pub async fn list(&mut self, method: &str, member: &str) -> Vec<Value> {
        let answer = self.ask(method, json!({})).await;
        let items = answer.pointer(&format!("/result/{member}")).and_then(Value::as_array).cloned();
        items.unwrap_or_else(|| panic!("{method}: {answer}"))
    }

    /// Calls a tool, as often as it wants input. Gives the message that answers.
    pub async fn tool(&mut self, name: &str, arguments: &Value) -> Value {
        let first = self.ask("tools/call", json!({ "name": name, "arguments": arguments })).await;
        self.with_input(name, arguments, first).await
    }

    /// Gives a tool the input that it asked for, until it has enough.
    pub async fn with_input(&mut self, name: &str, arguments: &Value, mut answer: Value) -> Value {
        for _ in 0..4 {
            if answer.pointer("/result/resultType") != Some(&json!("input_required")) {
                break;
            }
            let asked = answer.pointer("/result/inputRequests").and_then(Value::as_object).cloned().unwrap_or_default();
            let given: Map<String, Value> = asked.iter().map(|(key, ask)| (key.clone(), accepted(ask))).collect();
            let mut params = json!({ "name": name, "arguments": arguments, "inputResponses": given });
            if let (Some(state), Some(params)) = (answer.pointer("/result/requestState"), params.as_object_mut()) {
                params.insert("requestState".to_owned(), state.clone());
            }
            answer = self.ask("tools/call", params).await;
        }
        answer
    }

    /// Calls a method and waits for the message that answers.
    pub async fn ask(&mut self, method: &str, mut params: Value) -> Value {
        self.last_id += 1;
        if let (Revision::Stateless, Some(params)) = (self.revision, params.as_object_mut()) {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": self.revision.as_str(),
                "io.modelcontextprotocol/clientInfo": { "name": "testkit", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
            });
            params.insert("_meta".to_owned(), meta);
        }
        let message = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params });
        let response = self.post(&message).send().await.expect("the gateway answers");
        if method == "initialize" {
            let session = response.headers().get(SESSION_ID).and_then(|id| id.to_str().ok());
            self.session = session.map(str::to_owned);
        }
        let streams = response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
        if streams { self.follow(response).await } else { response.json().await.expect("an answer in JSON") }
    }

    /// Reads events until the answer comes, and answers what is asked before it.
    async fn follow(&self, mut response: Response) -> Value {
        let mut text = String::new();
        while let Some(chunk) = response.chunk().await.expect("a stream that goes on") {
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let message: Option<Value> = data.and_then(|data| serde_json::from_str(data).ok());
                text = rest.to_owned();
                let Some(message) = message else { continue };
                match (message.get("method"), message.get("id")) {
                    (None, Some(_)) => return message,
                    (Some(_), Some(id)) => {
                        self.tell(&json!({ "jsonrpc": "2.0", "id": id, "result": accepted(&message) })).await;
                    }
                    _ => {}
                }
            }
        }
        panic!("the stream ended without an answer");
    }

    /// Sends what wants no answer.
    async fn tell(&self, message: &Value) {
        let response = self.post(message).send().await.expect("the gateway answers");
        assert!(response.status().is_success(), "{message}: {}", response.status());
    }

    fn post(&self, message: &Value) -> RequestBuilder {
        let mut ask = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        let text = |place: &str| message.pointer(place).and_then(Value::as_str);
        match (self.revision, &self.session) {
            (Revision::Stateless, _) => {
                ask = ask.header(PROTOCOL_VERSION, self.revision.as_str());
                ask = ask.header("mcp-method", text("/method").unwrap_or_default());
                if let Some(name) = text("/params/name").or_else(|| text("/params/uri")) {
                    ask = ask.header("mcp-name", name);
                }
            }
            (Revision::Handshake, Some(session)) => {
                ask = ask.header(PROTOCOL_VERSION, self.revision.as_str()).header(SESSION_ID, session);
            }
            (Revision::Handshake, None) => {}
        }
        ask.body(message.to_string())
    }
}

/// The answer to an elicitation: every field as its default has it, and yes where there is none.
fn accepted(ask: &Value) -> Value {
    let fields = ask.pointer("/params/requestedSchema/properties").and_then(Value::as_object);
    let content: Map<String, Value> = fields
        .into_iter()
        .flatten()
        .filter_map(|(name, schema)| {
            let yes = (schema.get("type") == Some(&json!("boolean"))).then_some(json!(true));
            Some((name.clone(), schema.get("default").cloned().or(yes)?))
        })
        .collect();
    json!({ "action": "accept", "content": content })
}
