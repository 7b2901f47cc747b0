//! One agent works for another: what the second may do for the first, by an OAuth client that is not ours, and how the
//! evidence tells it.

use std::process::{Command, Stdio};

use bailiwick_testkit_broker::{
    broker::Agent,
    stdio_client::{codes, succeeded},
    tools::{Need, Tools, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

const SUPPORT: &str = r#"
purpose = "Answer customers"
allow = ["depot:read", "depot:write"]
delegates_to = ["writer"]
"#;

const WRITER: &str = r#"
purpose = "Write drafts"
allow = ["depot.write_note"]
"#;

/// A depot with an agent that answers customers and one that writes for it.
fn scene(tools: &Tools) -> (Depot, Agent, Agent) {
    let depot = Depot::stdio(tools);
    depot.broker.write("roles/support.toml", SUPPORT);
    depot.broker.write("roles/writer.toml", WRITER);
    depot.broker.publish();
    let support = depot.broker.register("support-1", "support", &[]);
    let writer = depot.broker.register("writer-1", "writer", &[]);
    (depot, support, writer)
}

/// Runs the third party's client; see `tests/clients/delegation.mjs` for what a plan is.
fn delegate(tools: &Tools, depot: &Depot, (from, to): (&Agent, &Agent), scope: &str, calls: &Value) -> Value {
    let issuer = depot.broker.url();
    let revision = "2026-07-28";
    let plan = json!({
        "modules": tools.node_modules(), "issuer": issuer, "resource": format!("{issuer}/mcp/depot"),
        "from": { "name": from.name, "key": from.key_file }, "to": { "name": to.name, "key": to.key_file },
        "scope": scope, "calls": calls, "revision": revision,
        "meta": {
            "io.modelcontextprotocol/protocolVersion": revision,
            "io.modelcontextprotocol/clientInfo": { "name": "testkit", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/delegation.mjs");
    let mut client = Command::new("node");
    let output = client.arg(script).arg(plan.to_string()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client failed:\n{said}\n{}", depot.broker.log());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no JSON ({error}):\n{said}"))
}

#[test]
fn a_writing_agent_drafts_for_a_support_agent_and_can_neither_read_nor_send() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let (depot, support, writer) = scene(&tools);
    let calls = json!([
        ["write_note", { "id": "draft-1", "text": "Dear Ada" }],
        ["contact", { "id": "1" }],
        ["send_mail", { "to": "ada@example.com", "body": "Dear Ada" }],
    ]);
    let told = delegate(&tools, &depot, (&support, &writer), "depot:write depot:read", &calls);
    assert_eq!(told["stolen"]["error"], "invalid_request", "whoever handed it over cannot use it: {told}");
    assert_eq!(told["exchanged"]["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token", "{told}");
    assert_eq!(told["exchanged"]["token_type"], "dpop");
    assert_eq!(told["again"]["error"], "invalid_request", "it is good once: {told}");
    succeeded(&told["calls"][0]);
    for denied in [&told["calls"][1], &told["calls"][2]] {
        assert_eq!(codes(denied), ["no_permit"], "{denied}");
    }
    assert_eq!(depot.ledger.acts(), 1, "only the draft reached the upstream");

    let intent = depot.broker.evidence().into_iter().find(|one| one["entry"]["kind"] == "intent").unwrap();
    let id = intent["entry"]["id"].as_str().unwrap();
    let chain = depot.broker.run(&["audit", "chain", id, "--output", "json"]).succeeded().json();
    let hops = chain["hops"].as_array().unwrap();
    let who: Vec<&str> = hops.iter().map(|hop| hop["principal"].as_str().unwrap()).collect();
    assert_eq!(who, ["agent:writer-1", "agent:support-1"], "{chain}");
    assert_eq!(hops[0]["on_behalf_of"], "agent:support-1");
    assert_eq!(hops[0]["grant"]["delegated_by"], "role:support:delegates-to:writer");
    assert_eq!(hops[1]["token"]["handed_to"], "writer-1");
    assert!(hops.iter().all(|hop| hop["token"]["issued_at"].is_string()), "{chain}");
    let page = depot.broker.run(&["audit", "chain", id]).succeeded().stdout;
    assert!(page.contains("role:support:delegates-to:writer") && page.contains("agent:support-1"), "{page}");
    depot.broker.run(&["audit", "verify"]).succeeded();
}

#[test]
fn delegation_is_off_until_a_role_says_otherwise() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let (depot, support, writer) = scene(&tools);
    let calls = json!([["write_note", { "id": "draft-1", "text": "x" }]]);
    let back = delegate(&tools, &depot, (&writer, &support), "depot:write", &calls);
    assert_eq!(back["handed"]["error"], "invalid_target", "the writer may not delegate: {back}");
    depot.broker.edit("roles/support.toml", &[("delegates_to = [\"writer\"]", "")]);
    depot.broker.publish();
    let off = delegate(&tools, &depot, (&support, &writer), "depot:write", &calls);
    assert_eq!(off["handed"]["error"], "invalid_target", "{off}");
    assert_eq!(depot.ledger.acts(), 0);

    depot.broker.edit("roles/support.toml", &[("allow", "delegates_to = [\"writr\"]\nallow")]);
    let refused = depot.broker.run(&["policy", "validate"]).ended_with(5);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("roles/support.toml") && said.contains("did you mean `writer`?"), "{said}");
}
