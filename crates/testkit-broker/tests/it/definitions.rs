//! Definitions are pinned: one byte more, and the tool is in quarantine until somebody looked.

use std::time::{Duration, Instant};

use bailiwick_testkit_broker::{
    fixture::control::Switch,
    http_client::{HttpClient, Revision},
    stdio_client::{codes, succeeded},
    tools::{Need, ready},
};
use serde_json::json;

use crate::world::Depot;

/// How long a change may stay unseen: the interval below, twice, on a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_changes_silently_is_quarantined_with_a_diff() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let path = "systems/depot.toml";
    let text = depot.broker.read(path);
    let text = match text.contains("verify_every_s") {
        true => text,
        false => text.replacen("[upstream]\n", "[upstream]\nverify_every_s = 1\n", 1),
    };
    depot.broker.write(path, &text);
    depot.broker.publish();
    depot.broker.wait_until_verified();
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let call = json!({ "path": "/public/a" });
    succeeded(&client.call("lookup", call.clone()).await);

    depot.control.set(Switch::Changed, true);
    let start = Instant::now();
    let denied = loop {
        let answer = client.call("lookup", call.clone()).await;
        if answer.pointer("/result/isError") == Some(&json!(true)) {
            break answer;
        }
        assert!(start.elapsed() < SEEN_WITHIN, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(codes(&denied), ["definition_changed"]);
    let before = depot.ledger.acts();
    assert_eq!(codes(&client.call("lookup", call.clone()).await), ["definition_changed"]);
    assert_eq!(depot.ledger.acts(), before);
    // The others are what they were.
    succeeded(&client.call("lookup_many", json!({ "paths": ["/public/a"] })).await);
    let shown = depot.broker.run(&["systems", "show", "depot"]).succeeded();
    assert!(shown.stdout.contains("Looks one path up."), "a diff is shown: {}", shown.stdout);

    depot.broker.run(&["systems", "discover", "depot", "--approve", "lookup"]).succeeded();
    depot.broker.publish();
    let start = Instant::now();
    while client.call("lookup", call.clone()).await.pointer("/result/isError") == Some(&json!(true)) {
        assert!(start.elapsed() < SEEN_WITHIN, "an approved definition stays in quarantine");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
