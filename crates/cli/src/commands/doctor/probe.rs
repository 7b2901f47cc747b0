//! `doctor --probe`: asks each connected client's way through the broker for something that must be allowed (its list of
//! tools) and for something that must be denied (a tool that nobody has). No tool call reaches a system; for the
//! list the broker may start a server and ask it. Starts this program only, never what else a configuration names.

use std::{process::Stdio, time::Duration};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    agent::tokens::{http_client, issuer_of},
    connect::{
        client::{Client, HOOK_PATH, HOOK_TOKEN, Places, Scope, is_here, is_our_server},
        document, file,
    },
    exit::Failure,
};

/// A tool that no system may have: a call of it is denied before anything is sent.
const NO_TOOL: &str = "bailiwick_probe";
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Enforcement {
    /// What must be denied was denied by this broker, and what must be allowed was allowed.
    Enforced,
    /// It could not be told.
    Unknown,
}

/// One way from a client to the broker.
#[derive(Debug, serde::Serialize)]
pub(super) struct Probed {
    /// The client.
    pub(super) client: &'static str,
    /// The file that says so.
    pub(super) file: String,
    /// The server's name in it, or `hook`.
    pub(super) connection: String,
    /// What was found.
    pub(super) enforcement: Enforcement,
    /// Why, for people.
    pub(super) why: String,
    /// What would help, where it is not enforced.
    pub(super) fix: Option<&'static str>,
}

/// Probes every connection of every client, of this user and of the project in this folder.
pub(super) async fn run() -> Result<Vec<Probed>, Failure> {
    let places = Places::of_environment(None)?;
    let mut found = Vec::new();
    for client in Client::ALL {
        for scope in [Scope::Project, Scope::User] {
            servers(client, scope, &places, &mut found).await;
            hook(client, scope, &places, &mut found).await;
        }
        without_hook(client, &places, &mut found);
    }
    Ok(found)
}

/// A client whose servers go through the broker and whose own tools nobody asks about. The user's hook holds for every
/// project, a project's only there.
fn without_hook(client: Client, places: &Places, found: &mut Vec<Probed>) {
    let of = |path: &std::path::Path, hook: bool| {
        let path = path.display().to_string();
        found.iter().any(|one| one.client == client.name() && one.file == path && (one.connection == "hook") == hook)
    };
    let mut missing = Vec::new();
    for scope in [Scope::Project, Scope::User] {
        let Some(path) = client.hooks_file(scope, places) else { continue };
        let users = client.hooks_file(Scope::User, places).is_some_and(|users| of(&users, true));
        if of(&client.servers_file(scope, places), false) && !of(&path, true) && !users {
            missing.push(path);
        }
    }
    let why = "there is no hook, so the client's own tools run without a question";
    found.extend(missing.iter().map(|path| judged(client, path, "hook", Err(why.to_owned()))));
}

fn judged(client: Client, file: &std::path::Path, connection: &str, result: Result<String, String>) -> Probed {
    let (enforcement, why, fix) = match result {
        Ok(why) => (Enforcement::Enforced, why, None),
        Err(why) => {
            let fix = fix_of(&why);
            (Enforcement::Unknown, why, Some(fix))
        }
    };
    let file = file.display().to_string();
    Probed { client: client.name(), file, connection: connection.to_owned(), enforcement, why, fix }
}

/// What helps against each of the reasons below.
fn fix_of(why: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if says(&["it lacks"]) {
        "connect it again with `bailiwick connect claude-code`"
    } else if says(&["is not set here", "its token is refused"]) {
        "get one with `bailiwick token`, as `docs/connect.md` shows, and set it where the client is started"
    } else if says(&["disableAllHooks"]) {
        "take `disableAllHooks` out of that file"
    } else if says(&["does not answer", "did not answer", "the bridge ended", "the bridge went", "the bridge wrote"]) {
        "start the broker with `bailiwick serve`; then run the entry's command by hand to see what it says"
    } else if says(&["its list was refused"]) {
        "`bailiwick permissions AGENT` says what it may use; `bailiwick policy publish`, if the system is not in it yet"
    } else if says(&["cannot be read", "stands twice", "no JSON object"]) {
        "correct that file"
    } else if says(&["was not denied", "without a token was answered"]) {
        "stop using this connection and report it as SECURITY.md says"
    } else {
        "connect it again with `bailiwick connect`; `--help` says how"
    }
}

async fn servers(client: Client, scope: Scope, places: &Places, found: &mut Vec<Probed>) {
    let path = client.servers_file(scope, places);
    let Ok(Some(text)) = file::read(&path) else { return };
    let servers = match document::member(&text, client.dialect(), client.servers_member()) {
        Ok(servers) => servers,
        Err(why) => return found.push(judged(client, &path, "servers", Err(why))),
    };
    for (name, entry) in servers.as_ref().and_then(Value::as_object).into_iter().flatten() {
        if is_our_server(name) {
            found.push(judged(client, &path, name, through_bridge(entry).await));
        }
    }
}

/// Speaks MCP through the bridge exactly as the client would start it.
async fn through_bridge(entry: &Value) -> Result<String, String> {
    let arguments: Vec<&str> = entry
        .get("args")
        .and_then(Value::as_array)
        .and_then(|words| words.iter().map(Value::as_str).collect())
        .ok_or("its entry has no arguments")?;
    let program = entry.get("command").and_then(Value::as_str).unwrap_or_default();
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    // A project's file may come from anybody: only this very program is started on its word.
    if std::path::Path::new(program).canonicalize().ok().as_deref() != Some(here.as_path()) {
        return Err(format!("it starts `{program}`, which is not this program, so it was not tried"));
    }
    if arguments.first() != Some(&"bridge") {
        return Err("it does not start the bridge".to_owned());
    }
    let mut bridge = Bridge::start(&here, &arguments)?;
    let told = tokio::time::timeout(ANSWER_WITHIN, bridge.probe()).await;
    told.unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
}

struct Bridge {
    // Killed when dropped.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Bridge {
    fn start(program: &std::path::Path, arguments: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("the bridge does not start: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the bridge has no streams".to_owned());
        };
        Ok(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    async fn probe(&mut self) -> Result<String, String> {
        let about = json!({"name": "bailiwick-doctor", "version": env!("CARGO_PKG_VERSION")});
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about});
        self.ask(1, "initialize", &hello).await?;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        let listed = self.ask(2, "tools/list", &json!({})).await?;
        let tools = listed.pointer("/result/tools").and_then(Value::as_array);
        let tools = tools.ok_or_else(|| format!("its list was refused: {}", brief(&listed)))?;
        let names: Vec<&str> = tools.iter().filter_map(|tool| tool.get("name")?.as_str()).collect();
        let mut systems: Vec<&str> = names.iter().filter_map(|name| Some(name.split_once("__")?.0)).collect();
        systems.dedup();
        let probes: Vec<String> = match systems.as_slice() {
            [] => vec![NO_TOOL.to_owned()],
            systems => systems.iter().map(|system| format!("{system}__{NO_TOOL}")).collect(),
        };
        for (id, name) in (3..).zip(&probes) {
            let told = self.ask(id, "tools/call", &json!({"name": name, "arguments": {}})).await?;
            if !is_denied(&told) {
                return Err(format!("`{name}`, which nobody has, was not denied by the broker: {}", brief(&told)));
            }
        }
        Ok(format!("{} tools listed, {} denied as they must be", names.len(), probes.join(", ")))
    }

    async fn send(&mut self, message: &Value) -> Result<(), String> {
        let gone = |error: std::io::Error| format!("the bridge went away: {error}");
        self.input.write_all(format!("{message}\n").as_bytes()).await.map_err(gone)?;
        self.input.flush().await.map_err(gone)
    }

    async fn ask(&mut self, id: u64, method: &str, params: &Value) -> Result<Value, String> {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        loop {
            let line = self.output.next_line().await.map_err(|error| error.to_string())?;
            let line = line.ok_or("the bridge ended; run its command by hand to see why")?;
            let message: Value = serde_json::from_str(&line).map_err(|_| "the bridge wrote no JSON")?;
            if message.get("id").and_then(Value::as_u64) == Some(id) && message.get("method").is_none() {
                return Ok(message);
            }
        }
    }
}

/// Whether the broker itself denied: any server can fail, but only the broker cites a recorded decision.
fn is_denied(told: &Value) -> bool {
    ["/result/_meta/bailiwick~1denial", "/error/data/bailiwick~1denial"].iter().any(|place| {
        let id = told.pointer(place).and_then(|denial| denial.get("evaluation_id")).and_then(Value::as_str);
        id.is_some_and(|id| id.starts_with("eval_"))
    })
}

fn brief(told: &Value) -> String {
    crate::output::clean(&told.to_string()).chars().take(200).collect()
}

async fn hook(client: Client, scope: Scope, places: &Places, found: &mut Vec<Probed>) {
    let Some(path) = client.hooks_file(scope, places) else { return };
    let Ok(Some(text)) = file::read(&path) else { return };
    match document::our_hook(&text, client.dialect()) {
        Err(why) => found.push(judged(client, &path, "hook", Err(why))),
        Ok(None) => {}
        Ok(Some(entry)) => {
            let off = document::member(&text, client.dialect(), "disableAllHooks");
            let off = off.is_ok_and(|off| off == Some(Value::Bool(true)));
            let result = if off { Err("`disableAllHooks` is set".to_owned()) } else { through_hook(&entry).await };
            found.push(judged(client, &path, "hook", result));
        }
    }
}

/// Asks as the hook would: without a token it must be refused, with one a tool that nobody has must be denied.
async fn through_hook(entry: &Value) -> Result<String, String> {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if text("/hooks/0/onFailure") != "block" {
        return Err("it lacks `\"onFailure\": \"block\"`, so a tool runs when the broker does not answer".to_owned());
    }
    // Only the origin is taken from the file, and only as far as a token may go.
    let issuer = issuer_of(text("/hooks/0/url")).map_err(|failure| failure.message)?;
    if !is_here(&issuer) {
        return Err(format!("it sends its token to `{issuer}`, and a broker answers hooks on its own machine only"));
    }
    let http = http_client().map_err(|failure| failure.message)?;
    let url = format!("{issuer}{HOOK_PATH}");
    let id = format!("probe-{}-{}", std::process::id(), jiff::Timestamp::now().as_nanosecond());
    let question = json!({
        "session_id": "bailiwick-doctor", "hook_event_name": "PreToolUse", "tool_name": NO_TOOL, "tool_input": {},
        "tool_use_id": id,
    });
    let ask = || http.post(&url).timeout(ANSWER_WITHIN).json(&question);
    let unreachable =
        |error: reqwest::Error| format!("the broker at `{issuer}` does not answer: {}", error.without_url());
    let bare = ask().send().await.map_err(unreachable)?.status();
    if bare != StatusCode::UNAUTHORIZED {
        return Err(format!("a question without a token was answered with status {bare}"));
    }
    let Some(token) = std::env::var(HOOK_TOKEN).ok().filter(|token| !token.is_empty()) else {
        return Err(format!("`{HOOK_TOKEN}` is not set here, so every tool is blocked and no more can be told"));
    };
    let told = ask().bearer_auth(token).send().await.map_err(unreachable)?;
    let (status, body) = (told.status(), told.json::<Value>().await.unwrap_or_default());
    let decision = body.pointer("/hookSpecificOutput/permissionDecision").and_then(Value::as_str);
    match (status, decision) {
        (StatusCode::OK, Some("deny")) => Ok("no token is refused, an unknown tool is denied".to_owned()),
        (StatusCode::OK, _) => Err("a tool that nobody has was not denied".to_owned()),
        (status, _) => Err(format!("its token is refused (status {status}): get a new one, every tool is blocked")),
    }
}
