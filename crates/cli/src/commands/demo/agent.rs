//! The scripted agent: an ordinary MCP client (revision 2025-11-25) with its own key.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::stage::{AGENT, Stage};
use crate::{
    agent::{
        connection::Connection,
        identity::Identity,
        tokens::{Target, Tokens},
    },
    exit::Failure,
};

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// An agent with a session.
pub(crate) struct Agent {
    connection: Arc<Connection>,
    answers: mpsc::Receiver<Bytes>,
    next_id: u64,
}

impl Agent {
    /// Gets a token for the help desk, within a task if there is one, and shakes hands.
    pub(crate) async fn connect(stage: &Stage, task: Option<String>) -> Result<Self, Failure> {
        let resource = format!("{}/mcp/helpdesk", stage.issuer);
        let target = Target {
            issuer: stage.issuer.clone(),
            resource: resource.clone(),
            agent: AGENT.parse().map_err(|error| Failure::new(format!("{error}")))?,
            task,
            scope: None,
            bearer: false,
        };
        let tokens = Arc::new(Tokens::new(Identity::of_key(&stage.key)?, target));
        let (sender, answers) = mpsc::channel(64);
        let connection = Arc::new(Connection::new(tokens.http(), resource, tokens, sender));
        let mut agent = Self { connection, answers, next_id: 0 };
        agent
            .ask(
                "initialize",
                &json!({
                    "protocolVersion": "2025-11-25", "capabilities": {},
                    "clientInfo": {"name": "demo-agent", "version": env!("CARGO_PKG_VERSION")},
                }),
            )
            .await?;
        agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(agent)
    }

    /// The tools that it is shown.
    pub(crate) async fn tools(&mut self) -> Result<Vec<String>, Failure> {
        let answer = self.ask("tools/list", &json!({})).await?;
        let tools = answer.pointer("/result/tools").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(tools.iter().filter_map(|tool| tool.get("name")?.as_str().map(str::to_owned)).collect())
    }

    /// Calls a tool; the answer's `result`.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, Failure> {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments})).await?;
        answer.get("result").cloned().ok_or_else(|| Failure::new(format!("unexpected answer: {answer}")))
    }

    async fn ask(&mut self, method: &str, params: &Value) -> Result<Value, Failure> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        loop {
            let answer = tokio::time::timeout(ANSWER_TIME_MAX, self.answers.recv()).await;
            let Ok(Some(answer)) = answer else { return Err(Failure::new(format!("no answer to {method}"))) };
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            if answer.get("id").and_then(Value::as_u64) == Some(id) {
                return Ok(answer);
            }
        }
    }

    async fn send(&self, message: &Value) -> Result<(), Failure> {
        self.connection.send(Bytes::from(message.to_string())).await
    }
}
