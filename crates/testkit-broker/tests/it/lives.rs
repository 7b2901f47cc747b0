//! An agent's life: each change takes effect on the very next call, whatever its token says.

use bailiwick_testkit_broker::{
    http_client::{HttpClient, Revision},
    stdio_client::{codes, succeeded},
    tools::{Need, ready},
};
use serde_json::json;

use crate::world::Depot;

fn read() -> serde_json::Value {
    json!({ "path": "/public/a" })
}

fn note() -> serde_json::Value {
    json!({ "id": "1", "text": "x" })
}

/// A call of a suspended or retired agent: refused at the door or by the decision, and by name either way.
async fn check_inactive(depot: &Depot, client: &mut HttpClient<'_>) {
    let before = depot.ledger.acts();
    let answer = client.ask("tools/call", json!({ "name": "lookup", "arguments": read() })).await;
    let told = answer.messages();
    let allowed = told.iter().any(|message| message["result"].is_object() && message["result"]["isError"] != true);
    assert!(!allowed, "{} {}", answer.status, answer.body);
    assert_eq!(depot.ledger.acts(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_agent_reads_until_it_is_promoted() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let clerk = depot.broker.register_new("clerk-1", "clerk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    succeeded(&client.call("lookup", read()).await);
    let denied = client.ask("tools/call", json!({ "name": "write_note", "arguments": note() })).await;
    assert!(!denied.body.contains("write_note {"), "{}", denied.body);
    assert_eq!(depot.ledger.acts(), 1);

    depot.broker.run(&["agents", "promote", "clerk-1", "--reason", "seen enough"]).succeeded();
    // Its old token may have been issued with reading scopes only: a new one has them all.
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    succeeded(&client.call("write_note", note()).await);
    assert_eq!(depot.ledger.acts(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_resumed_and_retired_from_the_next_call_on() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let (one, two) = (depot.broker.register("clerk-1", "clerk", &[]), depot.broker.register("clerk-2", "clerk", &[]));
    let mut client = HttpClient::connect(&depot.broker, &one, "depot", Revision::Stateless).await;
    let mut neighbour = HttpClient::connect(&depot.broker, &two, "depot", Revision::Stateless).await;
    succeeded(&client.call("lookup", read()).await);

    depot.broker.run(&["agents", "suspend", "clerk-1", "--reason", "odd calls"]).succeeded();
    check_inactive(&depot, &mut client).await;
    succeeded(&neighbour.call("lookup", read()).await);
    assert!(!client.ask_token().await.status.is_success(), "no new token either");

    // It survives a crash.
    depot.broker.kill();
    depot.broker.serve_verified();
    check_inactive(&depot, &mut client).await;

    depot.broker.run(&["agents", "resume", "clerk-1", "--reason", "explained"]).succeeded();
    succeeded(&client.call("lookup", read()).await);

    depot.broker.run(&["agents", "retire", "clerk-1", "--reason", "done"]).succeeded();
    check_inactive(&depot, &mut client).await;
    depot.broker.run(&["agents", "resume", "clerk-1"]).ended_with(1);
    let again = ["agents", "register", "clerk-1", "--owner", "o", "--purpose", "p", "--role", "clerk"];
    let key = two.key_file.with_extension("again.pem").to_string_lossy().into_owned();
    let again = depot.broker.run(&[&again[..], &["--generate-key", &key]].concat());
    assert_ne!(again.code, 0, "a retired name is never given again: {}", again.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_mode_lets_reads_through_and_nothing_else() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    for scope in ["everything", "system:depot", "agent:clerk-1"] {
        succeeded(&client.call("write_note", note()).await);
        depot.broker.run(&["safe-mode", "enter", scope, "--reason", "a drill"]).succeeded();
        let before = depot.ledger.acts();
        assert_eq!(codes(&client.call("write_note", note()).await), ["safe_mode"], "{scope}");
        assert_eq!(depot.ledger.acts(), before, "{scope}");
        succeeded(&client.call("lookup", read()).await);
        depot.broker.kill();
        depot.broker.serve_verified();
        assert_eq!(codes(&client.call("write_note", note()).await), ["safe_mode"], "{scope}, after a restart");
        depot.broker.run(&["safe-mode", "lift", scope, "--reason", "the drill is over"]).succeeded();
    }
    succeeded(&client.call("write_note", note()).await);
    let evidence = depot.broker.evidence();
    let changes: Vec<_> = evidence.iter().filter(|line| line["entry"]["kind"] == "safe_mode_changed").collect();
    assert_eq!(changes.len(), 6);
    let id = changes[5]["entry"]["id"].as_str().unwrap();
    let opened = depot.broker.run(&["audit", "show", id, "--open"]).succeeded();
    assert!(opened.stdout.contains("the drill is over"), "{}", opened.stdout);
}

#[test]
fn nobody_is_registered_without_an_owner_and_a_purpose() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let key = depot.broker.scratch().join("k.pem").to_string_lossy().into_owned();
    for (owner, purpose) in [("", "p"), ("o", ""), (" ", "p")] {
        let words = ["agents", "register", "a", "--owner", owner, "--purpose", purpose, "--role", "clerk"];
        let answer = depot.broker.run(&[&words[..], &["--generate-key", &key]].concat());
        assert_ne!(answer.code, 0, "owner `{owner}`, purpose `{purpose}`: {}", answer.stdout);
    }
    depot.broker.run(&["agents", "show", "a"]).ended_with(1);
}
