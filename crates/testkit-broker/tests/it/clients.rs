//! Clients of others, unchanged: the Python SDK and the MCP Inspector, each through the bridge, and the SDK also over
//! HTTP with a bearer token where that agent's registration allows one.

use std::process::{Command, Stdio};

use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    tools::{Need, Tools, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

/// Runs the Python SDK; see `tests/clients/python_sdk.py` for what a plan is.
pub(crate) fn python(tools: &Tools, plan: &Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/python_sdk.py");
    read_json(Command::new(tools.python("current", "python")).arg(script).arg(plan.to_string()))
}

/// Runs the Inspector's command line against a server that it starts.
pub(crate) fn inspector(tools: &Tools, server: &[&str], environment: &[(&str, &str)], flags: &[&str]) -> Value {
    let program = tools.node_modules().join("@modelcontextprotocol/inspector/cli/build/index.js");
    read_json(Command::new("node").arg(program).args(server).args(flags).envs(environment.iter().copied()))
}

/// Runs a client of others that prints one document.
pub(crate) fn read_json(command: &mut Command) -> Value {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}:\n{told}\n{said}", output.status);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("no JSON ({error}):\n{told}\n{said}"))
}

fn bridge(tools: &Tools, broker: &Broker, agent: &Agent) -> Vec<String> {
    let word = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let mut words = vec![word(tools.broker()), "bridge".into(), "depot".into(), "--agent".into(), agent.name.clone()];
    words.extend(["--key".into(), word(&agent.key_file), "--url".into(), broker.url()]);
    words
}

/// The part of a plan that every client gets: list, an allowed call, a forbidden one.
fn steps() -> Value {
    json!([
        ["list_tools"],
        ["call_tool", "lookup", { "path": "/public/a" }],
        ["call_tool", "lookup", { "path": "/private/a" }],
    ])
}

fn check_python(depot: &Depot, told: &Value) {
    let listed = told[0]["tools"].as_array().unwrap();
    assert!(listed.iter().any(|tool| tool["name"] == "lookup"), "{told}");
    assert!(!listed.iter().any(|tool| tool["name"] == "write_note"), "a reader sees what it could call: {told}");
    assert_eq!(told[1]["content"][0]["text"], r#"lookup {"path":"/public/a"}"#, "{told}");
    assert_eq!(told[2]["isError"], true, "{told}");
    assert!(told[2]["content"][0]["text"].as_str().unwrap().contains("only items under /public"), "{told}");
    assert_eq!(depot.ledger.acts(), 1, "only the allowed call reached the upstream");
}

#[test]
fn the_python_sdk_works_through_the_bridge() {
    let Some(tools) = ready(&[Need::Broker, Need::Python]) else { return };
    for mode in ["auto", "legacy"] {
        let depot = Depot::stdio(&tools);
        let agent = depot.broker.register("reader-1", "reader", &[]);
        let words = bridge(&tools, &depot.broker, &agent);
        let plan = json!({ "stdio": { "command": words[0], "args": words[1..] }, "mode": mode, "steps": steps() });
        check_python(&depot, &python(&tools, &plan));
    }
}

#[test]
fn the_python_sdk_works_over_http_with_a_bearer_token() {
    let Some(tools) = ready(&[Need::Broker, Need::Python]) else { return };
    for mode in ["auto", "legacy"] {
        let depot = Depot::stdio(&tools);
        let agent = depot.broker.register("reader-1", "reader", &["--danger-allow-bearer-tokens"]);
        let resource = format!("{}/mcp/depot", depot.broker.url());
        let key = agent.key_file.to_string_lossy().into_owned();
        let token = depot.broker.run(&["token", "--agent", "reader-1", "--key", &key, "--resource", &resource]);
        let authorization = format!("Bearer {}", token.succeeded().stdout.trim());
        let plan = json!({
            "http": { "url": resource, "headers": { "authorization": authorization } },
            "mode": mode, "steps": steps(),
        });
        check_python(&depot, &python(&tools, &plan));
    }
}

/// From nothing but the endpoint and its own key: the SDK discovers the broker (RFC 9728, RFC 8414), authenticates with a
/// signed assertion and calls. It knows no DPoP, so its registration has to allow bearer tokens.
#[test]
fn the_python_sdk_speaks_oauth_by_itself() {
    let Some(tools) = ready(&[Need::Broker, Need::Python]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &["--danger-allow-bearer-tokens"]);
    let issuer = depot.broker.url();
    let oauth = json!({ "issuer": issuer, "client": agent.name, "key": agent.key_file });
    let http = json!({ "url": format!("{issuer}/mcp/depot"), "oauth": oauth });
    check_python(&depot, &python(&tools, &json!({ "http": http, "mode": "auto", "steps": steps() })));
}

#[test]
fn the_inspector_works_through_the_bridge() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let url = depot.broker.url();
    let key = agent.key_file.to_string_lossy().into_owned();
    // Its own flags come after the server's, so the bridge is configured by its environment.
    let environment =
        [("BAILIWICK_AGENT", agent.name.as_str()), ("BAILIWICK_KEY", key.as_str()), ("BAILIWICK_URL", url.as_str())];
    let program = tools.broker().to_string_lossy().into_owned();
    let mut server = vec![program.as_str(), "bridge", "depot"];
    // It hands a few variables on only, unless they are named.
    let pairs: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut wrapped = vec!["env"];
    wrapped.extend(pairs.iter().map(String::as_str));
    wrapped.append(&mut server);

    let told = inspector(&tools, &wrapped, &environment, &["--method", "tools/list"]);
    assert!(told["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "lookup"), "{told}");
    let call = |path: &str| {
        let argument = format!("path={path}");
        let flags = ["--method", "tools/call", "--tool-name", "lookup", "--tool-arg", &argument];
        inspector(&tools, &wrapped, &environment, &flags)
    };
    assert_eq!(call("/public/a")["content"][0]["text"], r#"lookup {"path":"/public/a"}"#);
    assert_eq!(call("/private/a")["isError"], true);
    assert_eq!(depot.ledger.acts(), 1);
}
