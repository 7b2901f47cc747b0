//! The conformance suite's client under test is the broker: `conformance-client
//! SERVER_URL` puts a whole one before the suite's server and is the agent that
//! calls through it, as `MCP_CONFORMANCE_SCENARIO` wants. What reaches the
//! server comes from the gateway's upstream side alone.
#![expect(clippy::panic, clippy::expect_used, reason = "a client that fails says with what, and the suite counts it")]

use std::{env, process::ExitCode};

use bailiwick_testkit_broker::{
    broker::Broker,
    http_client::{HttpClient, Revision},
    shim,
    suite_client::SuiteClient,
    tools::{Need, ready},
};
use serde_json::{Value, json};

const SYSTEM: &str = "suite";
const ROLE: &str = "purpose = \"Run the conformance suite\"\nallow = [\"suite:read\"]\n";
const CLASS: &str = "class = \"read\"\neffect = { records = 0, reversible = true }\n";

#[tokio::main]
async fn main() -> ExitCode {
    let Some(server) = env::args().nth(1) else { return ExitCode::from(64) };
    let Ok(scenario) = env::var("MCP_CONFORMANCE_SCENARIO") else { return ExitCode::from(64) };
    let Some(tools) = ready(&[Need::Broker]) else { return ExitCode::FAILURE };
    let mut broker = Broker::init(&tools);
    broker.add_url(SYSTEM, &server);
    let offered = offered(&broker);
    broker.classify(SYSTEM, &offered.iter().map(|name| format!("[{name}]\n{CLASS}")).collect::<String>());
    broker.write("roles/suite-runner.toml", ROLE);
    broker.publish();
    broker.serve_verified();
    // Lives as long as the process.
    let agent = Box::leak(Box::new(broker.register("suite-1", "suite-runner", &[])));
    let credentials = HttpClient::connect(&broker, agent, SYSTEM, Revision::Stateless).await;
    let address = shim::open(broker.url(), credentials).await;
    play(&scenario, &format!("http://{address}/mcp/{SYSTEM}"), &offered).await;
    ExitCode::SUCCESS
}

/// The names of the tools that the broker found.
fn offered(broker: &Broker) -> Vec<String> {
    let found: Value = serde_json::from_str(&broker.read(&format!("systems/{SYSTEM}.tools.json"))).unwrap_or_default();
    let tools = found.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
    tools.iter().filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())).collect()
}

/// Whether a call came to a good end: a denial is the result of a tool, too.
fn is_done(answer: &Value) -> bool {
    answer.get("result").is_some() && answer.pointer("/result/isError") != Some(&json!(true))
}

/// What an agent would do at that server.
async fn play(scenario: &str, url: &str, offered: &[String]) {
    let wanted = env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_default();
    let revision = if wanted == Revision::Stateless.as_str() { Revision::Stateless } else { Revision::Handshake };
    // An agent of the older revision writes no headers for its arguments: those that arrive are the gateway's.
    let mirrors = matches!(scenario, "http-custom-headers" | "http-invalid-tool-headers");
    let revision = if mirrors { Revision::Handshake } else { revision };
    let mut client = SuiteClient::open(url, revision).await;
    let tools = client.list("tools/list", "tools").await;
    let done = |answer: Value| assert!(is_done(&answer), "{scenario}: {answer}");
    match scenario {
        "initialize" | "request-metadata" | "json-schema-ref-no-deref" => {}
        "tools_call" => done(client.tool("add_numbers", &json!({ "a": 5, "b": 3 })).await),
        "sse-retry" => done(client.tool("test_reconnection", &json!({})).await),
        "json-schema-2020-12-preservation" => {
            let named = |tool: &&Value| tool.get("name") == Some(&json!("json_schema_2020_12_tool"));
            let schema = tools.iter().find(named).and_then(|tool| tool.get("inputSchema"));
            done(client.tool("json_schema_echo", &json!({ "schema": schema })).await);
        }
        "sep-2322-client-request-state" => {
            let name = "test_mrtr_echo_state";
            let first = client.ask("tools/call", json!({ "name": name, "arguments": {} })).await;
            done(client.tool("test_mrtr_unrelated", &json!({})).await);
            done(client.with_input(name, &json!({}), first).await);
            done(client.tool("test_mrtr_no_state", &json!({})).await);
            done(client.tool("test_mrtr_no_result_type", &json!({})).await);
        }
        "http-standard-headers" => {
            for name in offered {
                done(client.tool(name, &json!({})).await);
            }
            for found in client.list("resources/list", "resources").await {
                done(client.ask("resources/read", json!({ "uri": found.get("uri") })).await);
            }
            for found in client.list("prompts/list", "prompts").await {
                done(client.ask("prompts/get", json!({ "name": found.get("name") })).await);
            }
        }
        "http-custom-headers" => {
            let context: Value = serde_json::from_str(&env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_default())
                .expect("the suite says what to call");
            for call in context.get("toolCalls").and_then(Value::as_array).into_iter().flatten() {
                let name = call.get("name").and_then(Value::as_str).unwrap_or_default();
                // What the suite has as `null` is left out: its schema allows none, and the gateway holds calls to it.
                let mut arguments = call.get("arguments").and_then(Value::as_object).cloned().unwrap_or_default();
                arguments.retain(|_, value| !value.is_null());
                done(client.tool(name, &arguments.into()).await);
            }
        }
        "http-invalid-tool-headers" => {
            // Only one may be seen, and no other called, though the agent tries.
            assert_eq!(tools.len(), 1, "{tools:?}");
            for name in offered {
                let answer = client.ask("tools/call", json!({ "name": name, "arguments": { "region": "eu" } })).await;
                assert_eq!(is_done(&answer), name == "valid_tool", "{name}: {answer}");
            }
        }
        other => panic!("nobody knows how to play `{other}`"),
    }
}
