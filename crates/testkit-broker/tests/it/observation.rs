//! Observation: what rules of the organisation would stop goes through, counted and marked; walls hold; the end comes by
//! itself, whether the broker runs or not.

use std::time::{Duration, Instant};

use bailiwick_testkit_broker::{
    http_client::{HttpClient, Revision},
    stdio_client::{codes, names, succeeded},
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

const SCOUT: &str = r#"
purpose = "Look around"
allow = ["depot.lookup"]
out_of_scope = ["depot.delete_notes"]
"#;

const WALL: &str = r#"
@id("no-refunds")
@reason("no agent pays anybody back")
forbid (principal, action == Bailiwick::Action::"depot.refund", resource);
"#;

/// How long anything that happens by itself may take on a slow machine.
const SOON: Duration = Duration::from_secs(60);

fn walled(tools: &bailiwick_testkit_broker::tools::Tools) -> Depot {
    let depot = Depot::stdio(tools);
    depot.broker.write("roles/scout.toml", SCOUT);
    depot.broker.write("policies/boundary/wall.cedar", WALL);
    depot.broker.edit("systems/depot.toml", &[("environment = \"development\"", "environment = \"production\"")]);
    depot.broker.run(&["policy", "publish", "--boundary-changed"]).succeeded();
    depot
}

fn start(depot: &Depot, scope: &str, time: &str) {
    let words = ["observe", "start", scope, "--for", time, "--reason", "a trial", "--danger-production"];
    let told = depot.broker.run(&words).succeeded();
    assert!(told.stderr.contains("NOT ENFORCED"), "{}", told.stderr);
}

fn note() -> Value {
    json!({ "id": "1", "text": "x" })
}

/// Calls that must be denied without reaching the system.
async fn check_held(depot: &Depot, client: &mut HttpClient<'_>, tool: &str, arguments: Value, expected: &[&str]) {
    let before = depot.ledger.acts();
    assert_eq!(codes(&client.call(tool, arguments).await), expected, "{tool}");
    assert_eq!(depot.ledger.acts(), before, "{tool}");
}

fn changes(depot: &Depot) -> Vec<String> {
    let evidence = depot.broker.evidence();
    let changes = evidence.iter().filter(|line| line["entry"]["kind"] == "observation_changed");
    changes.map(|line| line["entry"]["body"]["change"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_gone_past_and_walls_hold() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = walled(&tools);
    let scout = depot.broker.register("scout", "scout", &[]);
    let mut client = HttpClient::connect(&depot.broker, &scout, "depot", Revision::Stateless).await;
    check_held(&depot, &mut client, "write_note", note(), &["no_permit"]).await;
    let words = ["observe", "start", "system:depot", "--for", "7d", "--reason", "a trial"];
    let refused = depot.broker.run(&words).ended_with(1);
    assert!(refused.stderr.contains("--danger-production"), "{}", refused.stderr);
    check_held(&depot, &mut client, "write_note", note(), &["no_permit"]).await;

    start(&depot, "system:depot", "7d");
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    succeeded(&client.call("lookup", json!({ "path": "/private/a" })).await);
    succeeded(&client.call("write_note", note()).await);
    assert_eq!(depot.ledger.acts(), 3);
    let masked = client.call("contact", json!({ "id": "1" })).await;
    assert!(!succeeded(&masked).contains('@'), "no permit lets this agent see it: {masked}");
    // The wall, and the starter's rule that money needs approval: one rule that holds is enough.
    check_held(&depot, &mut client, "refund", json!({ "order": "1", "cents": 5 }), &["forbidden"; 2]).await;
    check_held(&depot, &mut client, "delete_notes", json!({ "ids": ["1"] }), &["forbidden"]).await;
    check_held(&depot, &mut client, "lookup", json!({ "path": 7 }), &["argument_invalid"]).await;
    check_held(&depot, &mut client, "no_such_tool", json!({}), &["unknown_tool"]).await;
    let listed = names(&client.ask("tools/list", json!({})).await.message());
    assert!(listed.contains(&"write_note".to_owned()), "{listed:?}");
    assert!(!listed.iter().any(|tool| tool == "refund" || tool == "delete_notes"), "{listed:?}");

    // Everybody can see it, and what it let through.
    let counted = depot.broker.run(&["observe", "list", "--output", "json"]).succeeded().json();
    let counted = &counted["observations"][0];
    let kinds = ["would_allow", "would_ask", "would_deny"].map(|kind| counted[kind].as_u64().unwrap());
    assert_eq!(kinds, [1, 0, 3]);
    let doctor = depot.broker.run(&["doctor"]);
    assert!(doctor.stdout.contains("NOT ENFORCED: `system:depot`"), "{}", doctor.stdout);
    let shown = depot.broker.run(&["systems", "show", "depot"]).succeeded();
    assert!(shown.stderr.contains("NOT ENFORCED"), "{}", shown.stderr);
    assert!(depot.broker.log().contains("observed, not enforced"), "{}", depot.broker.log());
    let connections = depot.broker.run(&["observe", "connections", "--output", "json"]).succeeded().json();
    assert_eq!(connections["connections"][0]["state"], "observed", "{connections}");
    let evidence = depot.broker.evidence();
    let intents: Vec<&Value> = evidence.iter().filter(|line| line["entry"]["kind"] == "intent").collect();
    assert_eq!(intents.len(), depot.ledger.acts());
    let marked: Vec<&str> = intents.iter().map(|line| line["entry"]["body"]["observed"].as_str().unwrap()).collect();
    assert_eq!(marked, ["would_allow", "would_deny", "would_deny", "would_deny"]);
    let why = &intents[2]["entry"]["body"];
    assert_eq!((&why["observed_by"], &why["observed_reasons"]), (&json!(["system:depot"]), &json!(["no_permit"])));
    let explained = depot.broker.run(&["explain", intents[2]["entry"]["id"].as_str().unwrap()]).succeeded();
    assert!(explained.stdout.contains("policy would deny it"), "{}", explained.stdout);
    assert!(explained.stdout.contains("reproduced: the same question"), "{}", explained.stdout);
    let verified = depot.broker.run(&["audit", "verify"]).succeeded();
    assert!(verified.stdout.contains("3 only because they were observed"), "{}", verified.stdout);

    // It outlives a crash; safe mode and suspension are stronger than it.
    depot.broker.kill();
    depot.broker.serve_verified();
    let mut client = HttpClient::connect(&depot.broker, &scout, "depot", Revision::Stateless).await;
    succeeded(&client.call("write_note", note()).await);
    depot.broker.run(&["safe-mode", "enter", "system:depot", "--reason", "a drill"]).succeeded();
    check_held(&depot, &mut client, "write_note", note(), &["no_permit", "safe_mode"]).await;
    check_held(&depot, &mut client, "lookup", json!({ "path": "/private/a" }), &["forbidden"]).await;
    depot.broker.run(&["safe-mode", "lift", "system:depot", "--reason", "over"]).succeeded();
    succeeded(&client.call("write_note", note()).await);

    depot.broker.run(&["observe", "stop", "system:depot", "--reason", "seen enough"]).succeeded();
    check_held(&depot, &mut client, "write_note", note(), &["no_permit"]).await;
    assert_eq!(changes(&depot), ["started", "stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observed_agent_takes_no_other_with_it() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = walled(&tools);
    let (one, two) = (depot.broker.register("scout-1", "scout", &[]), depot.broker.register("scout-2", "scout", &[]));
    let new = depot.broker.register_new("scout-3", "scout", &[]);
    start(&depot, "agent:scout-1", "1h");
    start(&depot, "agent:scout-3", "1h");
    let mut observed = HttpClient::connect(&depot.broker, &one, "depot", Revision::Stateless).await;
    succeeded(&observed.call("write_note", note()).await);
    let mut other = HttpClient::connect(&depot.broker, &two, "depot", Revision::Stateless).await;
    check_held(&depot, &mut other, "write_note", note(), &["no_permit"]).await;
    // The read-only start is no rule of the organisation.
    let mut fresh = HttpClient::connect(&depot.broker, &new, "depot", Revision::Stateless).await;
    let before = depot.ledger.acts();
    let denied = fresh.ask("tools/call", json!({ "name": "write_note", "arguments": note() })).await;
    assert!(denied.status.is_client_error() || denied.body.contains("bailiwick/denial"), "{}", denied.body);
    assert_eq!(depot.ledger.acts(), before);
    depot.broker.run(&["agents", "suspend", "scout-1", "--reason", "odd"]).succeeded();
    let denied = observed.ask("tools/call", json!({ "name": "write_note", "arguments": note() })).await;
    assert!(!denied.body.contains("\"isError\":false"), "{}", denied.body);
    assert_eq!(depot.ledger.acts(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn enforcement_returns_by_itself() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = walled(&tools);
    let scout = depot.broker.register("scout", "scout", &[]);
    let mut client = HttpClient::connect(&depot.broker, &scout, "depot", Revision::Stateless).await;
    let begun = Instant::now();

    // While the broker runs: denied from then on, without a restart, and recorded.
    start(&depot, "agent:scout", "2s");
    while changes(&depot) != ["started", "ended"] {
        assert!(begun.elapsed() < SOON, "its end is not recorded: {:?}\n{}", changes(&depot), depot.broker.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    check_held(&depot, &mut client, "write_note", note(), &["no_permit"]).await;

    // While it is down.
    start(&depot, "agent:scout", "5s");
    let started = Instant::now();
    depot.broker.kill();
    tokio::time::sleep(Duration::from_secs(6).saturating_sub(started.elapsed())).await;
    depot.broker.serve_verified();
    let mut client = HttpClient::connect(&depot.broker, &scout, "depot", Revision::Stateless).await;
    check_held(&depot, &mut client, "write_note", note(), &["no_permit"]).await;
    assert_eq!(changes(&depot), ["started", "ended", "started", "ended"]);
}
