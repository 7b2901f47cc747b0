//! `/mcp`: all systems under prefixed names.

use serde_json::json;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn names_are_prefixed_in_front_and_plain_behind() {
    let bench = Bench::new().await;
    let worker = bench.agent("worker", "worker", "/mcp", None).await;
    let message = worker.call("tools/list", json!({})).await.message();
    let names: Vec<&str> =
        message["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"notes__read_note") && !names.contains(&"notes__delete_note"), "{names:?}");
    assert_eq!(message["result"]["_meta"]["bailiwick/hidden"]["count"], 2);
    let answer = worker.tool("notes__read_note", json!({ "path": "/a" })).await.message();
    assert_eq!(answer["result"]["content"][0]["text"], "done /a", "{answer}");
    assert!(bench.seen.last_body().contains(r#""name":"read_note""#), "{}", bench.seen.last_body());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rules_hold_there() {
    let bench = Bench::new().await;
    let mut worker = bench.agent("worker", "worker", "/mcp", None).await;
    let denied = worker.tool("notes__delete_note", json!({ "path": "/a" })).await.message();
    assert_eq!(denied["result"]["_meta"]["bailiwick/denial"]["reasons"][0]["code"], "no_permit", "{denied}");
    for name in ["read_note", "notes__", "__read_note", "other__read_note", "notes_read_note"] {
        assert_eq!(worker.tool(name, json!({ "path": "/a" })).await.code(), -32_602, "{name}");
    }
    assert_eq!(worker.call("resources/read", json!({ "uri": "note://a" })).await.code(), -32_601);
    assert_eq!(bench.seen.acts(), 0);
    let opened = worker.open_session(json!({})).await.message();
    assert_eq!(opened["result"]["serverInfo"]["name"], "bailiwick");
    let answer =
        worker.in_session(4, "tools/call", json!({ "name": "notes__read_note", "arguments": { "path": "/a" } })).await;
    assert_eq!(answer.message()["result"]["content"][0]["text"], "done /a");
}
