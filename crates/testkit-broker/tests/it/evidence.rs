//! Evidence: complete, verifiable without us, and never late.

use std::{
    fs,
    time::{Duration, Instant},
};

use bailiwick_testkit_broker::{
    http_client::{HttpClient, Revision},
    stdio_client::{StdioClient, denial, succeeded},
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

/// How long the record of an outcome may take after its answer.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);

/// How many entries of one kind the evidence has.
fn of_kind(evidence: &[Value], kind: &str) -> usize {
    evidence.iter().filter(|line| line.pointer("/entry/kind").is_some_and(|found| found == kind)).count()
}

/// The evidence, as soon as it has so many entries of one kind.
async fn evidence_with(depot: &Depot, kind: &str, times: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let evidence = depot.broker.evidence();
        if of_kind(&evidence, kind) >= times {
            return evidence;
        }
        assert!(start.elapsed() < RECORDED_WITHIN, "{kind}: {evidence:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// In how many lines of the evidence `needle` stands.
fn count(evidence: &[Value], needle: &str) -> usize {
    evidence.iter().filter(|event| event.to_string().contains(needle)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_leaves_its_records_and_no_secret() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    let note = json!({ "id": "1", "text": "the word is xyzzy-31337" });
    succeeded(&client.call("write_note", note).await);
    let denied = denial(&client.call("lookup", json!({ "path": "/private/a" })).await);
    let id = denied["evaluation_id"].as_str().unwrap().to_owned();
    drop(client.call("misbehave", json!({ "how": "" })).await);

    // The answer does not wait for the record of its outcome.
    let evidence = evidence_with(&depot, "outcome", 2).await;
    for (kind, times) in [("intent", 2), ("denial", 1), ("token_issued", 1)] {
        assert_eq!(of_kind(&evidence, kind), times, "{kind}: {evidence:#?}");
    }
    assert_eq!(depot.ledger.acts(), 2);
    assert_eq!(count(&evidence, "xyzzy-31337"), 0, "arguments are committed to, not told");
    assert_eq!(count(&evidence, &client.token), 0, "no token");
    assert!(!depot.broker.log().contains(&client.token), "no token in the log either");

    let shown = depot.broker.run(&["audit", "show", &id, "--output", "json"]).succeeded();
    assert!(shown.stdout.contains("only-public-items") && shown.stdout.contains("clerk-1"), "{}", shown.stdout);
    let explained = depot.broker.run(&["explain", &id]).succeeded();
    assert!(explained.stdout.contains("only-public-items"), "{}", explained.stdout);
    // Looking is recorded too.
    let before = of_kind(&depot.broker.evidence(), "sealed_opened");
    depot.broker.run(&["audit", "show", &id, "--open"]).succeeded();
    assert_eq!(of_kind(&depot.broker.evidence(), "sealed_opened"), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_export_is_not_believed() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    for path in ["/public/a", "/public/b", "/private/c"] {
        drop(client.call("lookup", json!({ "path": path })).await);
    }
    let file = depot.broker.scratch().join("evidence.jsonl");
    let name = file.to_string_lossy().into_owned();
    depot.broker.run(&["audit", "export", "--to", &name]).succeeded();
    depot.broker.run(&["audit", "verify", &name]).succeeded();
    depot.broker.run(&["audit", "verify"]).succeeded();

    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let middle = lines.len() / 2;
    let joined = |lines: &[&str]| format!("{}\n", lines.join("\n"));
    let mut swapped = lines.clone();
    swapped.swap(middle, middle - 1);
    let mut removed = lines.clone();
    removed.remove(middle);
    let mut doubled = lines.clone();
    doubled.insert(middle, lines[middle]);
    let altered = [
        ("a changed word", text.replacen("clerk-1", "clerk-2", 1)),
        ("two swapped lines", joined(&swapped)),
        ("a removed line", joined(&removed)),
        ("a doubled line", joined(&doubled)),
    ];
    for (name, text) in altered {
        fs::write(&file, text).unwrap();
        let answer = depot.broker.run(&["audit", "verify", &file.to_string_lossy()]);
        assert_eq!(answer.code, 6, "{name}: {} {}", answer.stdout, answer.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_crash_cut_off_is_closed_and_never_run_again() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mut client = StdioClient::bridge(&depot.broker, &clerk, "depot", &[]).await;
    client.begin("tools/call", json!({ "name": "misbehave", "arguments": { "how": "hang" } })).await;
    while depot.ledger.acts() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    depot.broker.kill();
    depot.broker.serve_verified();
    let evidence = depot.broker.evidence();
    assert_eq!(count(&evidence, "outcome_unknown"), 1, "{evidence:#?}");
    assert_eq!(depot.ledger.acts(), 1);
    depot.broker.run(&["audit", "verify"]).succeeded();
}

/// Kilobytes that a file may have in the next story: the database fits, its log soon does not.
const FILE_KIB_MAX: u32 = 2_048;
/// Calls after which it must be full.
const CALLS_MAX: usize = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn without_space_for_the_record_nothing_is_forwarded() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    depot.broker.kill();
    depot.broker.serve_with_files_of_at_most(FILE_KIB_MAX);
    depot.broker.wait_until_verified();
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    let mut forwarded = 0;
    let refused = loop {
        assert!(forwarded < CALLS_MAX, "the disk never fills");
        let answer = client.ask("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } })).await;
        let done = answer.messages().iter().any(|message| message.pointer("/result/content/0/text") == Some(&told()));
        if !done {
            break answer;
        }
        forwarded += 1;
    };
    assert!(refused.body.contains("evidence_unavailable"), "{} {}", refused.status, refused.body);
    // The last one may have been recorded and forwarded, and only its outcome found no space.
    let acts = depot.ledger.acts();
    assert!(acts == forwarded || acts == forwarded + 1, "{acts} calls reached the upstream, {forwarded} were answered");
    for _ in 0..10 {
        drop(client.ask("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } })).await);
    }
    assert_eq!(depot.ledger.acts(), acts, "no record, no call");

    depot.broker.kill();
    depot.broker.serve_verified();
    depot.broker.run(&["audit", "verify"]).succeeded();
    let intents = of_kind(&depot.broker.evidence(), "intent");
    assert!(intents >= acts, "{intents} intents for {acts} calls that reached the upstream");
}

/// What the fixture says to the calls above.
fn told() -> Value {
    json!(r#"lookup {"path":"/public/a"}"#)
}
