//! Policy through the running broker: what is refused says so by its exit code, what is rolled back decides as
//! before, a boundary moves only when that is meant, and a budget stops a loop.

use bailiwick_testkit_broker::{
    http_client::{HttpClient, Revision},
    stdio_client::{codes, denial, succeeded},
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

const NO_NOTES: &str = r#"
@id("no-notes")
forbid (principal, action == Bailiwick::Action::"depot.write_note", resource);
"#;

const CALLS_MAX: usize = 20;
const LIMITED: &str = r#"
purpose = "Look things up, slowly"
allow = ["depot.lookup"]
out_of_scope = ["depot:delete"]

[[limits]]
name = "lookups"
classes = ["read"]
window_s = 3600
calls_max = 20
"#;

/// The whole revision that is active.
fn active(depot: &Depot) -> String {
    let told = depot.broker.run(&["policy", "revisions", "--output", "json"]).succeeded().json();
    let revisions = told["revisions"].as_array().unwrap();
    let active = revisions.iter().find(|one| one["active"] == Value::Bool(true)).unwrap();
    active["revision"].as_str().unwrap().to_owned()
}

fn note() -> Value {
    json!({ "id": "1", "text": "x" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_the_old_decisions_back() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    succeeded(&client.call("write_note", note()).await);
    let before = active(&depot);
    depot.broker.write("policies/organisation/notes.cedar", NO_NOTES);
    depot.broker.publish();
    let denied = client.call("write_note", note()).await;
    assert_eq!(denial(&denied)["reasons"][0]["rule"], "no-notes");
    let stricter = active(&depot);
    let id = denial(&denied)["evaluation_id"].as_str().unwrap().to_owned();

    let start = before.trim_start_matches("sha256:").get(..12).unwrap();
    depot.broker.run(&["policy", "rollback", start]).succeeded();
    assert_eq!(active(&depot), before);
    succeeded(&client.call("write_note", note()).await);
    // The decision of meanwhile still cites its bundle, and is reproduced under it.
    let explained = depot.broker.run(&["explain", &id, "--output", "json"]).succeeded().json();
    assert_eq!((&explained["evaluated"]["bundle"], &explained["reproduced"]), (&json!(stricter), &json!(true)));
}

#[test]
fn what_does_not_compile_is_refused_alike_with_and_without_a_server() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let before = active(&depot);
    depot.broker.write("policies/organisation/notes.cedar", &NO_NOTES.replace("write_note", "wriet_note"));
    for running in [true, false] {
        if !running {
            depot.broker.kill();
        }
        for words in [&["policy", "publish"][..], &["policy", "publish", "--dry-run"], &["policy", "validate"]] {
            let refused = depot.broker.run(words).ended_with(5);
            let told = format!("{}{}", refused.stdout, refused.stderr);
            assert!(told.contains("policies/organisation/notes.cedar:"), "running {running}: {told}");
        }
    }
    assert_eq!(active(&depot), before);
    let looked = depot.broker.run(&["policy", "publish", "--dry-run", "--output", "json"]).ended_with(5).json();
    assert_eq!(looked["validation"]["valid"], false, "one document: {looked}");
}

#[test]
fn a_boundary_moves_only_when_that_is_meant() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let before = active(&depot);
    depot.broker.write("policies/boundary/notes.cedar", NO_NOTES);
    let refused = depot.broker.run(&["policy", "publish"]).ended_with(1);
    assert!(refused.stderr.contains("--boundary-changed"), "{}", refused.stderr);
    depot.broker.run(&["policy", "publish", "--boundary-changed"]).succeeded();
    let stricter = active(&depot);

    // Back is a way around it as well.
    let refused = depot.broker.run(&["policy", "rollback", &before]).ended_with(1);
    assert!(refused.stderr.contains("--boundary-changed"), "{}", refused.stderr);
    assert_eq!(active(&depot), stricter);
    depot.broker.run(&["policy", "rollback", &before, "--boundary-changed"]).succeeded();
    assert_eq!(active(&depot), before);

    depot.broker.write("policies/boundary/notes.cedar", &NO_NOTES.replace("forbid", "permit"));
    let refused = depot.broker.run(&["policy", "publish", "--boundary-changed"]).ended_with(5);
    assert!(refused.stderr.contains("boundary-permit"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_stops_at_its_budget_and_is_told_when_to_come_back() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    depot.broker.write("roles/slow.toml", LIMITED);
    depot.broker.publish();
    let agent = depot.broker.register("slow-1", "slow", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let before = depot.ledger.acts();
    for attempt in 0..CALLS_MAX * 3 {
        let answer = client.call("lookup", json!({ "path": "/public/a" })).await;
        if attempt < CALLS_MAX {
            succeeded(&answer);
            continue;
        }
        assert_eq!(codes(&answer), ["limit_reached"], "call {attempt}");
        let told = denial(&answer);
        assert_eq!(told["retryable"], true, "{told}");
        assert!(told["retry_after_s"].as_u64().is_some_and(|wait| (1..=3_600).contains(&wait)), "{told}");
    }
    assert_eq!(depot.ledger.acts() - before, CALLS_MAX);

    // What is outside its job is denied by that name, whatever else allows it.
    let denied = denial(&client.call("delete_notes", json!({ "ids": ["1"] })).await);
    assert_eq!(denied["reasons"][0]["rule"], "role:slow:out-of-scope", "{denied}");
}
