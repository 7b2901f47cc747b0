//! MCP over stdio: starts a program (the bridge, or a server directly) and talks
//! lines of JSON to it. Answers come in any order; notifications are kept.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::broker::{Agent, Broker};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A client with a session of 2025-11-25.
#[derive(Debug)]
pub struct StdioClient {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    last_id: u64,
    /// What the server said without being asked.
    pub notifications: Vec<Value>,
}

impl StdioClient {
    /// Starts the bridge of one system for one agent, and opens a session through it.
    pub async fn bridge(broker: &Broker, agent: &Agent, system: &str, flags: &[&str]) -> Self {
        let key = agent.key_file.to_string_lossy().into_owned();
        let mut words = vec!["bridge", system, "--agent", &agent.name, "--key", &key];
        words.extend(flags);
        Self::start(broker.command(&words).into()).await
    }

    /// Starts a program and opens a session with it.
    pub async fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut client = Self { child, input, output, last_id: 0, notifications: Vec::new() };
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "testkit", "version": "1" },
        });
        let answer = client.ask("initialize", params).await;
        assert!(answer.get("result").is_some(), "initialize: {answer}");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        client
    }

    /// Sends one message.
    pub async fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.input.write_all(line.as_bytes()).await.expect("the program reads");
        self.input.flush().await.expect("the program reads");
    }

    /// Sends a call and gives its id, without waiting.
    pub async fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        id
    }

    /// Waits for the answer to one call: a message with `result` or `error`.
    pub async fn answer(&mut self, id: u64) -> Value {
        loop {
            let line = timeout(ANSWER_WITHIN, self.output.next_line()).await;
            let line = line.expect("an answer in time").expect("a readable pipe").expect("the program still runs");
            let message: Value = serde_json::from_str(&line).expect("a line of JSON");
            let answers = message.get("id").is_some_and(|answered| *answered == id) && message.get("method").is_none();
            if answers {
                return message;
            }
            self.notifications.push(message);
        }
    }

    /// Calls a method and waits.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params).await;
        self.answer(id).await
    }

    /// Calls a tool and waits.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// The names of the tools that are listed.
    pub async fn tools(&mut self) -> Vec<String> {
        let answer = self.ask("tools/list", json!({})).await;
        names(&answer)
    }

    /// Ends the program's input and waits for it to end by itself.
    pub async fn close(self) -> Option<i32> {
        let Self { mut child, input, .. } = self;
        drop(input);
        timeout(ANSWER_WITHIN, child.wait()).await.expect("it ends with its input").expect("a child").code()
    }
}

/// The names in the answer to `tools/list`.
pub fn names(answer: &Value) -> Vec<String> {
    let tools = answer.pointer("/result/tools").and_then(Value::as_array);
    let tools = tools.unwrap_or_else(|| panic!("no list of tools: {answer}"));
    tools.iter().filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())).collect()
}

/// The text of a tool's result, which must have succeeded.
pub fn succeeded(answer: &Value) -> String {
    let result = answer.get("result").unwrap_or_else(|| panic!("not a result: {answer}"));
    assert_ne!(result.get("isError"), Some(&Value::Bool(true)), "the call failed: {answer}");
    text(answer)
}

/// The structured denial of a tool call, which must have been denied.
pub fn denial(answer: &Value) -> Value {
    let places = ["/result/_meta/bailiwick~1denial", "/error/data/bailiwick~1denial"];
    let found = places.iter().find_map(|place| answer.pointer(place));
    found.cloned().unwrap_or_else(|| panic!("not a denial: {answer}"))
}

/// The reason codes of a denied call.
pub fn codes(answer: &Value) -> Vec<String> {
    let denial = denial(answer);
    let reasons = denial.get("reasons").and_then(Value::as_array).cloned().unwrap_or_default();
    reasons.iter().filter_map(|reason| Some(reason.get("code")?.as_str()?.to_owned())).collect()
}

/// All text of a tool's result.
pub fn text(answer: &Value) -> String {
    let content = answer.pointer("/result/content").and_then(Value::as_array).cloned().unwrap_or_default();
    content.iter().filter_map(|item| item.get("text")?.as_str()).collect()
}
