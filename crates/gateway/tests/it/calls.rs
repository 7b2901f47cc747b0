//! Calls that are decided: allowed, denied with what would help, filtered, recorded.

use serde_json::{Value, json};

use crate::bench::{Bench, operator};

fn denial(message: &Value) -> &Value {
    &message["result"]["_meta"]["bailiwick/denial"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_call_comes_back_in_the_callers_form() {
    for stateless_upstream in [false, true] {
        let bench = Bench::with(stateless_upstream).await;
        let mut worker = bench.worker().await;
        let answer = worker.tool("read_note", json!({ "path": "/a" })).await;
        assert_eq!(answer.headers["content-type"], "application/json");
        let message = answer.message();
        assert_eq!(message["id"], 1);
        assert_eq!(message["result"]["content"][0]["text"], "done /a");
        assert_eq!(message["result"]["resultType"], "complete");
        worker.open_session(json!({})).await;
        let message = worker
            .in_session(7, "tools/call", json!({ "name": "read_note", "arguments": { "path": "/a" } }))
            .await
            .message();
        assert_eq!(message["id"], 7);
        assert_eq!(message["result"]["content"][0]["text"], "done /a", "{message}");
        assert!(message["result"].get("resultType").is_none());
        assert_eq!(bench.seen.acts(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_says_what_why_and_what_next() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let message = worker.tool("read_note", json!({ "path": "/open/../secret/plan" })).await.message();
    assert_eq!(message["result"]["isError"], true);
    let object = denial(&message);
    assert_eq!(object["decision"], "deny");
    assert_eq!(object["reasons"][0]["code"], "forbidden");
    assert_eq!(object["reasons"][0]["rule"], "no-secrets");
    assert_eq!(object["reasons"][0]["help"], "ask for another note");
    assert_eq!(object["retryable"], false);
    assert!(object["evaluation_id"].as_str().unwrap().starts_with("eval_"));
    let text = message["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("secrets are not for agents") && text.contains(object["evaluation_id"].as_str().unwrap()));
    assert_eq!(bench.seen.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_that_people_can_lift_names_them() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let message = worker.tool("write_note", json!({ "path": "/a", "times": 101 })).await.message();
    let object = denial(&message);
    assert_eq!(object["decision"], "approval_required", "{message}");
    assert_eq!(object["gates"][0]["rule"], "bulk-needs-approval");
    assert_eq!(object["gates"][0]["approvers"], json!(["group:owners"]));
    assert_eq!(bench.seen.acts(), 0);
    let message = worker.tool("write_note", json!({ "path": "/a", "times": 100 })).await.message();
    assert_eq!(message["result"]["content"][0]["text"], "done /a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_scope_is_named_in_full() {
    let bench = Bench::new().await;
    let reader = bench.agent("reader", "worker", "/mcp/notes", Some(&["notes:read"])).await;
    let answer = reader.tool("write_note", json!({ "path": "/a", "times": 1 })).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("insufficient_scope") && challenge.contains("notes:write"), "{challenge}");
    assert!(challenge.contains("resource_metadata"));
    assert_eq!(answer.message()["error"]["data"]["bailiwick/denial"]["reasons"][0]["code"], "insufficient_scope");
    assert_eq!(bench.seen.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_masked_bounded_or_withheld() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let message = worker.tool("find_contacts", json!({})).await.message();
    let masked = json!({ "contacts": [{ "name": "Ann", "email": "[masked]" }] });
    assert_eq!(message["result"]["structuredContent"], masked);
    let text = message["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), masked);
    assert_eq!(message["result"]["_meta"]["bailiwick/masked"], json!(["pii"]));

    let message = worker.tool("find_contacts", json!({ "plain": true })).await.message();
    assert!(!message.to_string().contains("a@b.c"), "{message}");
    assert_eq!(denial(&message)["decision"], "withheld");

    let message = worker.tool("big", json!({ "bytes": 10 })).await.message();
    assert_eq!(message["result"]["content"][0]["text"], "x".repeat(10));
    let message = worker.tool("big", json!({ "bytes": 1_000 })).await.message();
    assert_eq!(denial(&message)["reasons"][0]["code"], "result_too_large");
    assert_eq!(bench.seen.acts(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_and_every_outcome_is_in_the_evidence() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    worker.tool("read_note", json!({ "path": "/a" })).await;
    worker.tool("fails", json!({})).await;
    worker.tool("find_contacts", json!({ "plain": true })).await;
    worker.tool("delete_note", json!({ "path": "/a" })).await;
    bench.broker.drained().await;
    let filter = bailiwick_ports::store::EntryFilter { limit: 1_000, ..Default::default() };
    let entries = bench.broker.store().entries(filter).await.unwrap();
    let leaves: Vec<String> = entries.iter().map(|entry| String::from_utf8_lossy(&entry.leaf).into_owned()).collect();
    let count = |word: &str| leaves.iter().filter(|leaf| leaf.contains(word)).count();
    for status in ["succeeded", "tool_error", "withheld"] {
        assert_eq!(count(status), 1, "{status}");
    }
    assert!(count("no_permit") >= 1);
    assert_eq!(count("a@b.c"), 0, "nothing readable of a result");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_act_now_does_not_act() {
    use bailiwick_engine::{agents, safe_mode};
    use bailiwick_model::safe_mode::SafeModeScope;
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    safe_mode::enter(&bench.broker, &operator(), SafeModeScope::Everything, "drill").await.unwrap();
    let message = worker.tool("write_note", json!({ "path": "/a", "times": 1 })).await.message();
    assert_eq!(denial(&message)["reasons"][0]["code"], "safe_mode", "{message}");
    assert_eq!(
        worker.tool("read_note", json!({ "path": "/a" })).await.message()["result"]["content"][0]["text"],
        "done /a"
    );
    agents::suspend(&bench.broker, &operator(), &worker.name, "lost").await.unwrap();
    assert_eq!(worker.tool("read_note", json!({ "path": "/a" })).await.status, 403);
    assert_eq!(bench.seen.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_away_is_told_apart_from_a_denial() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    bench.pool.configure([]);
    let message = worker.tool("read_note", json!({ "path": "/a" })).await.message();
    assert_eq!(message["result"]["isError"], true);
    let failure = &message["result"]["_meta"]["bailiwick/failure"];
    assert_eq!(failure["code"], "upstream_failed", "{message}");
    assert_eq!(failure["may_have_acted"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrored_arguments_are_checked_and_forwarded() {
    let bench = Bench::with(true).await;
    let worker = bench.worker().await;
    let params = json!({ "name": "mirrored", "arguments": { "region": "eu" } });
    let wrong = worker.stateless("tools/call", params.clone()).header("mcp-param-region", "us");
    assert_eq!(crate::bench::read(wrong).await.code(), -32_020);
    assert_eq!(bench.seen.acts(), 0);
    let right = worker.stateless("tools/call", params).header("mcp-param-region", "eu");
    assert_eq!(crate::bench::read(right).await.status, 200);
    assert_eq!(bench.seen.headers.lock().unwrap()[0]["mcp-param-region"], "eu");
    assert_eq!(bench.seen.headers.lock().unwrap()[0]["mcp-name"], "mirrored");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_know_no_such_headers_have_them_written() {
    let bench = Bench::with(true).await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    for (arguments, expected) in [
        (json!({ "region": "eu" }), Some("eu")),
        (json!({ "region": " é" }), Some("=?base64?IMOp?=")),
        (json!({}), None),
    ] {
        let params = json!({ "name": "mirrored", "arguments": arguments });
        let answer = worker.in_session(7, "tools/call", params).await;
        assert!(answer.message().get("result").is_some(), "{answer:?}");
        let headers = bench.seen.headers.lock().unwrap().pop().unwrap();
        assert_eq!(headers.get("mcp-param-region").map(|value| value.to_str().unwrap()), expected, "{arguments}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_decided_too() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let idle = bench.agent("idler", "idle", "/mcp/notes", None).await;
    let params = json!({ "uri": "note://a" });
    let message = worker.call("resources/read", params.clone()).await.message();
    assert_eq!(message["result"]["cacheScope"], "private", "{message}");
    let message = idle.call("resources/read", params).await.message();
    assert_eq!(message["error"]["data"]["bailiwick/denial"]["reasons"][0]["code"], "no_permit", "{message}");
    assert_eq!(bench.seen.acts(), 1);
}
