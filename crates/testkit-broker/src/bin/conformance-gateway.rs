//! A whole broker before an MCP server, for clients that bring no credentials:
//! `conformance-gateway UPSTREAM_URL`. The first line that it writes is the URL
//! to use; it ends, and the broker with it, when its standard input does.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use bailiwick_testkit_broker::{
    broker::Broker,
    http_client::{HttpClient, Revision},
    shim,
    tools::{Need, ready},
};

const SYSTEM: &str = "suite";
/// Whatever the suite calls is permitted; that each call is decided and recorded is not left out.
const ROLE: &str = "purpose = \"Run the conformance suite\"\n\
                    allow = [\"suite:read\"]\n";
/// What an operator who looked at these tools would say of each.
const CLASS: &str = "class = \"read\"\neffect = { records = 0, reversible = true }\n";

#[tokio::main]
async fn main() -> ExitCode {
    let Some(upstream) = std::env::args().nth(1) else { return ExitCode::from(64) };
    let Some(tools) = ready(&[Need::Broker]) else { return ExitCode::FAILURE };
    let mut broker = Broker::init(&tools);
    broker.add_url(SYSTEM, &upstream);
    broker.classify(SYSTEM, &classes(&broker.read(&format!("systems/{SYSTEM}.tools.json"))));
    broker.write("roles/suite-runner.toml", ROLE);
    broker.publish();
    broker.serve_verified();
    // Lives as long as the process.
    let agent = Box::leak(Box::new(broker.register("suite-1", "suite-runner", &[])));
    let client = HttpClient::connect(&broker, agent, SYSTEM, Revision::Stateless).await;
    let address = shim::open(broker.url(), client).await;
    let told = writeln!(io::stdout(), "http://{address}/mcp/{SYSTEM}").and_then(|()| io::stdout().flush());
    let ended = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await;
    if told.is_ok() && matches!(ended, Ok(Ok(_))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The class of every tool that was discovered.
fn classes(discovered: &str) -> String {
    let discovered: serde_json::Value = serde_json::from_str(discovered).unwrap_or_default();
    let tools = discovered.get("tools").and_then(serde_json::Value::as_array).into_iter().flatten();
    let names = tools.filter_map(|tool| tool.get("name")?.as_str());
    names.map(|name| format!("[{name}]\n{CLASS}")).collect()
}
