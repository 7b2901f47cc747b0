//! The bridge as a client starts it: what it lists, and whether it is told no.

use std::{path::Path, process::Stdio};

use bailiwick_model::id::EvaluationId;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{ANSWER_WITHIN, CONNECT_AGAIN, CORRECT_IT, Denials, NO_TOOL, REPORT_IT, START_IT, Trouble, cited, read};
use crate::{
    agent::tokens::issuer_of,
    connect::{
        client::{Client, is_our_server},
        document,
    },
};

/// What helps where an agent may not even see its list.
const MAY_IT: &str =
    "`bailiwick permissions AGENT` says what it may use; `bailiwick policy publish`, if the system is not in it yet";

/// Probes every bridge that a file of servers names; one that cannot be read may name any.
pub(super) async fn probe_all(client: Client, path: &Path) -> Vec<(String, Result<Denials, Trouble>)> {
    let servers = match servers(client, path) {
        Ok(servers) => servers,
        Err(trouble) => return vec![("servers".to_owned(), Err(trouble))],
    };
    let mut found = Vec::new();
    for (name, entry) in servers.as_ref().and_then(Value::as_object).into_iter().flatten() {
        if is_our_server(name) {
            found.push((name.clone(), probe(entry).await));
        }
    }
    found
}

fn servers(client: Client, path: &Path) -> Result<Option<Value>, Trouble> {
    let text = read(path)?.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(None);
    }
    let servers = document::member(&text, client.dialect(), client.servers_member());
    servers.map_err(|why| Trouble::new(why, CORRECT_IT))
}

/// Speaks MCP through the bridge as the client would start it.
async fn probe(entry: &Value) -> Result<Denials, Trouble> {
    let wrong = |why: String| Trouble::new(why, CONNECT_AGAIN);
    let arguments: Vec<&str> = entry
        .get("args")
        .and_then(Value::as_array)
        .and_then(|words| words.iter().map(Value::as_str).collect())
        .ok_or_else(|| wrong("its entry has no arguments".to_owned()))?;
    let program = entry.get("command").and_then(Value::as_str).unwrap_or_default();
    let here = std::env::current_exe().map_err(|error| wrong(format!("where is this program? {error}")))?;
    // A project's file may come from anybody: only this very program is started on its word.
    if Path::new(program).canonicalize().ok().as_deref() != Some(here.as_path()) {
        return Err(wrong(format!("it starts `{program}`, which is not this program, so it was not tried")));
    }
    if arguments.first() != Some(&"bridge") {
        return Err(wrong("it does not start the bridge".to_owned()));
    }
    let url = arguments.iter().skip_while(|word| **word != "--url").nth(1);
    let url = url.ok_or_else(|| wrong("its entry names no broker".to_owned()))?;
    let issuer = issuer_of(url).map_err(|failure| wrong(failure.message))?;
    let mut bridge = Bridge::start(&here, &arguments)?;
    let told = tokio::time::timeout(ANSWER_WITHIN, bridge.probe()).await;
    let (told, evaluations) = told.unwrap_or_else(|_| Err(Trouble::new("it did not answer in time", START_IT)))?;
    Ok(Denials { issuer, told, evaluations })
}

struct Bridge {
    // Killed when dropped.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Bridge {
    fn start(program: &Path, arguments: &[&str]) -> Result<Self, Trouble> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let not = |why: String| Trouble::new(format!("the bridge does not start: {why}"), CONNECT_AGAIN);
        let mut child = command.spawn().map_err(|error| not(error.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(not("it has no streams".to_owned()));
        };
        Ok(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    async fn probe(&mut self) -> Result<(String, Vec<EvaluationId>), Trouble> {
        let about = json!({"name": "bailiwick-doctor", "version": env!("CARGO_PKG_VERSION")});
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about});
        self.ask(1, "initialize", &hello).await?;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        let listed = self.ask(2, "tools/list", &json!({})).await?;
        let tools = listed.pointer("/result/tools").and_then(Value::as_array);
        let tools = tools.ok_or_else(|| Trouble::new(format!("its list was refused: {}", brief(&listed)), MAY_IT))?;
        let names: Vec<&str> = tools.iter().filter_map(|tool| tool.get("name")?.as_str()).collect();
        let mut systems: Vec<&str> = names.iter().filter_map(|name| Some(name.split_once("__")?.0)).collect();
        systems.dedup();
        let probes: Vec<String> = match systems.as_slice() {
            [] => vec![NO_TOOL.to_owned()],
            systems => systems.iter().map(|system| format!("{system}__{NO_TOOL}")).collect(),
        };
        let mut evaluations = Vec::new();
        for (id, name) in (3..).zip(&probes) {
            let told = self.ask(id, "tools/call", &json!({"name": name, "arguments": {}})).await?;
            let not = || format!("`{name}`, which nobody has, was not denied by the broker: {}", brief(&told));
            evaluations.push(denial(&told).ok_or_else(|| Trouble::new(not(), REPORT_IT))?);
        }
        let told = format!("{} tools listed, {} denied as they must be", names.len(), probes.join(", "));
        Ok((told, evaluations))
    }

    async fn send(&mut self, message: &Value) -> Result<(), Trouble> {
        let gone = |error: std::io::Error| Trouble::new(format!("the bridge went away: {error}"), START_IT);
        self.input.write_all(format!("{message}\n").as_bytes()).await.map_err(gone)?;
        self.input.flush().await.map_err(gone)
    }

    async fn ask(&mut self, id: u64, method: &str, params: &Value) -> Result<Value, Trouble> {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        let silent = |why: &str| Trouble::new(why, START_IT);
        loop {
            let line = self.output.next_line().await.map_err(|error| silent(&error.to_string()))?;
            let line = line.ok_or_else(|| silent("the bridge ended; run its command by hand to see why"))?;
            let message: Value = serde_json::from_str(&line).map_err(|_| silent("the bridge wrote no JSON"))?;
            if message.get("id").and_then(Value::as_u64) == Some(id) && message.get("method").is_none() {
                return Ok(message);
            }
        }
    }
}

/// The decision that a denial cites. A server behind the broker can fail too, but its failure cites none.
fn denial(told: &Value) -> Option<EvaluationId> {
    let places = ["/result/_meta/bailiwick~1denial", "/error/data/bailiwick~1denial"];
    let id = places.iter().find_map(|place| told.pointer(place)?.get("evaluation_id")?.as_str());
    id.and_then(cited)
}

fn brief(told: &Value) -> String {
    crate::output::clean(&told.to_string()).chars().take(200).collect()
}
