//! Systems that hang, crash, flood or talk nonsense hurt the call that they were given, and nothing else.

use std::time::Duration;

use bailiwick_testkit_broker::{
    fixture::protocol::Speaks,
    http_client::{HttpClient, Revision},
    stdio_client::succeeded,
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

/// What the fixture can do instead of answering, and what the evidence says of the call then.
const WAYS: [(&str, &str); 4] = [
    ("hang", "timed_out"),
    ("crash", "upstream_failed"),
    ("garbage", "upstream_failed"),
    ("oversized", "upstream_failed"),
];

/// Less than one of the flood's 64 notices has.
const PASSED_ON_BYTES_MAX: usize = 1_024 * 1_024;

/// An answer to something honest. Who ended badly more than once is left alone for a second; the broker says so.
async fn honest(client: &mut HttpClient<'_>) {
    let mut answer = Value::Null;
    for _ in 0..10 {
        answer = client.call("lookup", json!({ "path": "/public/a" })).await;
        let Some(failure) = answer.pointer("/result/_meta/bailiwick~1failure") else { break };
        assert_eq!((&failure["retryable"], &failure["may_have_acted"]), (&json!(true), &json!(false)), "{failure}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    succeeded(&answer);
}

/// Puts up with each way once, and asks after each for something honest, as somebody else too.
async fn put_up_with(depot: &Depot) {
    let mut seen = depot.ledger.acts();
    let (victim, other) =
        (depot.broker.register("reader-1", "reader", &[]), depot.broker.register("reader-2", "reader", &[]));
    let mut victim = HttpClient::connect(&depot.broker, &victim, "depot", Revision::Stateless).await;
    let mut other = HttpClient::connect(&depot.broker, &other, "depot", Revision::Stateless).await;
    for (how, status) in WAYS {
        let answer = victim.call("misbehave", json!({ "how": how })).await;
        seen += 1;
        assert_eq!(depot.ledger.acts(), seen, "{how}: forwarded once, and not again: {answer}");
        let failure = answer.pointer("/result/_meta/bailiwick~1failure").unwrap_or_else(|| panic!("{how}: {answer}"));
        assert_eq!(failure["may_have_acted"], true, "{how}: {failure}");
        assert_eq!(failure["blame"], "upstream", "{how}: {failure}");

        outcome_is(depot, failure["evaluation_id"].as_str().unwrap(), status);

        for client in [&mut other, &mut victim] {
            honest(client).await;
            seen += 1;
        }
    }
    // One broken frame is put up with. 64 MiB of notices that nobody asked for may take longer than the call has.
    succeeded(&victim.call("misbehave", json!({ "how": "malformed" })).await);
    let flood = json!({ "name": "misbehave", "arguments": { "how": "flood" } });
    let passed_on = victim.ask("tools/call", flood).await.body.len();
    assert!(passed_on < PASSED_ON_BYTES_MAX, "{passed_on} bytes of the flood were passed on");
    honest(&mut other).await;
    assert_eq!(depot.ledger.acts(), seen + 3);
    depot.broker.run(&["audit", "verify"]).succeeded();
}

/// Outcomes are recorded behind the answers.
fn outcome_is(depot: &Depot, id: &str, status: &str) {
    let mut shown = String::new();
    for _ in 0..100 {
        shown = depot.broker.run(&["audit", "show", id, "--output", "json"]).succeeded().stdout;
        if shown.contains("\"outcome\"") {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(shown.contains(&format!("\"{status}\"")), "{shown}");
}

fn impatient(depot: &Depot) {
    let file = depot.broker.read("systems/depot.toml");
    let mut file: toml::Table = file.parse().unwrap();
    let upstream = file.get_mut("upstream").and_then(toml::Value::as_table_mut).unwrap();
    upstream.insert("call_timeout_s".to_owned(), toml::Value::Integer(2));
    depot.broker.write("systems/depot.toml", &toml::to_string(&file).unwrap());
    depot.broker.publish();
    depot.broker.wait_until_verified();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_misbehaves_hurts_its_own_call_alone() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    impatient(&depot);
    put_up_with(&depot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_misbehaves_hurts_its_own_call_alone() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::http(&tools, Speaks::Both).await;
    impatient(&depot);
    put_up_with(&depot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_lies_opens_nothing() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    // `tidy_up` says of itself that it only reads, and deletes.
    let new = depot.broker.register_new("new-1", "clerk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &new, "depot", Revision::Stateless).await;
    let listed = client.ask("tools/list", json!({})).await.message();
    let listed = listed.pointer("/result/tools").and_then(Value::as_array).unwrap();
    assert!(listed.iter().all(|tool| tool["name"] != "tidy_up"), "{listed:?}");
    let answer = client.call("tidy_up", json!({})).await;
    assert_eq!(answer.pointer("/result/isError"), Some(&json!(true)), "{answer}");
    assert_eq!(depot.ledger.acts(), 0);
    // It was what the tool is, not its name, that stood in the way.
    depot.broker.run(&["agents", "promote", "new-1", "--reason", "a test"]).succeeded();
    let mut client = HttpClient::connect(&depot.broker, &new, "depot", Revision::Stateless).await;
    succeeded(&client.call("tidy_up", json!({})).await);
    assert_eq!(depot.ledger.acts(), 1);
}
