//! An MCP client over Streamable HTTP that adds token and proof to every message, for either protocol revision.
//!
//! It looks into a message only for what the headers must mirror; bodies go through as they are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use super::tokens::{Tokens, unreachable};
use crate::exit::{Exit, Failure};

/// The first message of an answer may take this long (a call may wait for its upstream).
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3_700);
/// A document may take this long.
const DOCUMENT_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes of one answer that is not streamed, and of one streamed message.
const MESSAGE_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Attempts of one message: the first, one with a fresh nonce, one with a fresh token.
const ATTEMPTS_MAX: u32 = 3;
const META_VERSION: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";

/// A connection to one MCP endpoint of the broker.
pub(crate) struct Connection {
    http: reqwest::Client,
    url: String,
    tokens: Arc<Tokens>,
    session: Mutex<Session>,
    answers: mpsc::Sender<Bytes>,
}

#[derive(Default)]
struct Session {
    /// `Mcp-Session-Id` of the 2025-11-25 revision.
    id: Option<String>,
    /// The version that the handshake settled on.
    version: Option<String>,
    /// Per tool, arguments that a header must mirror: argument to header name.
    mirrored: BTreeMap<String, BTreeMap<String, String>>,
}

impl Connection {
    /// A connection whose received messages go to `answers`.
    pub(crate) fn new(http: reqwest::Client, url: String, tokens: Arc<Tokens>, answers: mpsc::Sender<Bytes>) -> Self {
        Self { http, url, tokens, session: Mutex::default(), answers }
    }

    /// Sends one message and passes on all that is answered to it.
    pub(crate) async fn send(&self, message: Bytes) -> Result<(), Failure> {
        let parsed: Value = serde_json::from_slice(&message)
            .map_err(|error| Failure::new(format!("the client's message is not JSON: {error}")))?;
        let answer = self.post(&parsed, message).await?;
        let headers = answer.headers().clone();
        if let Some(id) = headers.get("mcp-session-id").and_then(|value| value.to_str().ok()) {
            self.session.lock().await.id = Some(id.to_owned());
        }
        let streamed = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        if streamed {
            return self.pass_events(answer).await;
        }
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| unreachable(&self.url, &error))?;
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(Failure::new("the answer is too large"));
        }
        if !body.is_empty() && is_message(&body) {
            return self.pass(body).await;
        }
        if status.is_success() {
            return Ok(());
        }
        Err(refused(status, &body))
    }

    /// Listens for messages that the server starts (2025-11-25); returns when it ends or is not offered.
    pub(crate) async fn listen(&self) -> Result<(), Failure> {
        let answer = self.attempt(|| self.http.get(&self.url).header("accept", "text/event-stream"), "GET").await?;
        if answer.status().is_success() { self.pass_events(answer).await } else { Ok(()) }
    }

    /// Reads the document that stands at the connection's address.
    pub(crate) async fn document(&self) -> Result<Value, Failure> {
        let build = || self.http.get(&self.url).timeout(DOCUMENT_TIME_MAX).header("accept", "application/json");
        let answer = self.attempt(build, "GET").await?;
        let status = answer.status();
        let mut body = BytesMut::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk.map_err(|error| unreachable(&self.url, &error))?);
            if body.len() > MESSAGE_BYTES_MAX {
                return Err(Failure::new("the answer is too large"));
            }
        }
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| Failure::new(format!("the broker's answer is not JSON: {error}")))
    }

    /// Ends the session, if there is one.
    pub(crate) async fn close(&self) {
        if self.session.lock().await.id.is_some() {
            let _ = self.attempt(|| self.http.delete(&self.url), "DELETE").await;
        }
    }

    async fn post(&self, parsed: &Value, message: Bytes) -> Result<reqwest::Response, Failure> {
        let headers = self.mirror(parsed).await;
        let build = || {
            let mut request = self
                .http
                .post(&self.url)
                .timeout(ANSWER_TIME_MAX)
                .header("content-type", "application/json")
                .header("accept", "application/json, text/event-stream")
                .body(message.clone());
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            request
        };
        self.attempt(build, "POST").await
    }

    /// Sends with token and proof; once more when the broker wants a fresh nonce or a fresh token.
    async fn attempt(
        &self,
        build: impl Fn() -> reqwest::RequestBuilder,
        method: &str,
    ) -> Result<reqwest::Response, Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (authorization, proof) = self.tokens.headers(method, &self.url).await?;
            let mut request = build().header("authorization", authorization);
            if let Some(proof) = proof {
                request = request.header("DPoP", proof);
            }
            if let Some(id) = &self.session.lock().await.id {
                request = request.header("mcp-session-id", id);
            }
            let answer = request.send().await.map_err(|error| unreachable(&self.url, &error))?;
            self.tokens.note_nonce(answer.headers()).await;
            let all = answer.headers().get_all("www-authenticate");
            let challenged = |error: &str| all.iter().any(|value| value.to_str().is_ok_and(|v| v.contains(error)));
            let again = match answer.status() {
                reqwest::StatusCode::UNAUTHORIZED => true,
                // An agent that was promoted meanwhile gets more from a new token.
                reqwest::StatusCode::FORBIDDEN => attempts == 1 && challenged("insufficient_scope"),
                _ => false,
            };
            if !again || attempts >= ATTEMPTS_MAX {
                return Ok(answer);
            }
            if !challenged("use_dpop_nonce") {
                self.tokens.forget().await;
            }
        }
    }

    /// The headers that mirror the body: of the revision that the message itself names, or the settled one.
    async fn mirror(&self, parsed: &Value) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        let method = parsed.get("method").and_then(Value::as_str);
        let Some(version) = parsed.pointer(META_VERSION).and_then(Value::as_str) else {
            if let Some(version) = &self.session.lock().await.version
                && method != Some("initialize")
            {
                headers.push(("mcp-protocol-version".to_owned(), version.clone()));
            }
            return headers;
        };
        headers.push(("mcp-protocol-version".to_owned(), version.to_owned()));
        if let Some(method) = method {
            headers.push(("mcp-method".to_owned(), method.to_owned()));
        }
        let name = parsed.pointer("/params/name").or_else(|| parsed.pointer("/params/uri")).and_then(Value::as_str);
        if let Some(name) = name {
            headers.push(("mcp-name".to_owned(), header_value(name)));
        }
        let session = self.session.lock().await;
        for (argument, header) in name.and_then(|name| session.mirrored.get(name)).into_iter().flatten() {
            let value = parsed.pointer("/params/arguments").and_then(|arguments| arguments.get(argument));
            let value = match value {
                Some(Value::String(text)) => header_value(text),
                Some(Value::Bool(flag)) => flag.to_string(),
                Some(Value::Number(number)) => number.to_string(),
                _ => continue,
            };
            headers.push((format!("mcp-param-{}", header.to_ascii_lowercase()), value));
        }
        headers
    }

    async fn pass_events(&self, answer: reqwest::Response) -> Result<(), Failure> {
        let mut stream = answer.bytes_stream();
        let mut buffer = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| unreachable(&self.url, &error))?;
            buffer.extend_from_slice(&chunk);
            while let Some(end) = event_end(&buffer) {
                let event = buffer.split_to(end);
                if let Some(data) = event_data(&event) {
                    self.pass(data).await?;
                }
            }
            if buffer.len() > MESSAGE_BYTES_MAX {
                return Err(Failure::new("a streamed message is too large"));
            }
        }
        Ok(())
    }

    /// Learns from a message what later headers need, and passes it on.
    async fn pass(&self, message: Bytes) -> Result<(), Failure> {
        if let Ok(parsed) = serde_json::from_slice::<Value>(&message) {
            let mut session = self.session.lock().await;
            if let Some(version) = parsed.pointer("/result/protocolVersion").and_then(Value::as_str) {
                session.version = Some(version.to_owned());
            }
            for tool in parsed.pointer("/result/tools").and_then(Value::as_array).into_iter().flatten() {
                if let Some(name) = tool.get("name").and_then(Value::as_str) {
                    session.mirrored.insert(name.to_owned(), mirrored_arguments(tool));
                }
            }
        }
        self.answers.send(message).await.map_err(|_| Failure::new("the client went away"))
    }
}

/// The arguments of a tool that its schema wants in headers (`x-mcp-header`).
fn mirrored_arguments(tool: &Value) -> BTreeMap<String, String> {
    let properties = tool.pointer("/inputSchema/properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter_map(|(name, schema)| Some((name.clone(), schema.get("x-mcp-header")?.as_str()?.to_owned())))
        .collect()
}

fn is_message(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|value| value.get("jsonrpc").is_some())
}

fn refused(status: reqwest::StatusCode, body: &[u8]) -> Failure {
    let problem: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = ["detail", "error_description", "title", "error"]
        .iter()
        .find_map(|name| problem.get(*name).and_then(Value::as_str))
        .map_or_else(|| format!("the broker answered {status}"), crate::output::clean);
    let failure = Failure::new(text).exit(Exit::Denied);
    match problem.get("hint").and_then(Value::as_str) {
        Some(hint) => failure.hint(crate::output::clean(hint)),
        None => failure,
    }
}

/// A header value as the 2026-07-28 revision writes it: plain where it can be, `=?base64?…?=` where not.
fn header_value(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}

/// Where the first whole event of a stream ends: after its blank line.
fn event_end(buffer: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(line_end) = buffer.get(at..)?.iter().position(|byte| *byte == b'\n') {
        let line = buffer.get(at..at + line_end)?;
        at += line_end + 1;
        if line.is_empty() || line == b"\r" {
            return Some(at);
        }
    }
    None
}

/// The data of one event; `None` for comments and priming events.
fn event_data(event: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(event).ok()?;
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| data.strip_prefix(' ').unwrap_or(data))
        .collect();
    let data = lines.join("\n");
    (!data.trim().is_empty()).then(|| Bytes::from(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_at_blank_lines_of_either_kind() {
        let stream = b"id: 1\r\ndata: {\"a\":1}\r\n\r\n: ping\n\ndata: {\"b\":\ndata: 2}\n\npart";
        let mut rest = &stream[..];
        let mut seen = Vec::new();
        while let Some(end) = event_end(rest) {
            seen.push(event_data(&rest[..end]).map(|data| String::from_utf8_lossy(&data).into_owned()));
            rest = &rest[end..];
        }
        assert_eq!(seen, [Some("{\"a\":1}".to_owned()), None, Some("{\"b\":\n2}".to_owned())]);
        assert_eq!(rest, b"part");
    }

    #[test]
    fn header_values_survive_whatever_a_name_holds() {
        assert_eq!(header_value("read_file"), "read_file");
        for odd in ["résumé", " led", "a\nb", "=?base64?eA==?="] {
            assert!(header_value(odd).starts_with("=?base64?"), "{odd}");
        }
    }
}
