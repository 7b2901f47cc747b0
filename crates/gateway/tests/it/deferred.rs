//! Calls that a server goes on with after it answered with a handle: of use to
//! whoever made them, to nobody else, and never a way around policy.

use std::sync::atomic::Ordering;

use bailiwick_engine::safe_mode;
use bailiwick_model::safe_mode::SafeModeScope;
use serde_json::{Value, json};

use crate::bench::{Answered, Bench, Caller, operator, read};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";

fn able() -> Value {
    json!({ "extensions": { (EXTENSION): {} } })
}

async fn call(caller: &Caller, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments });
    read(caller.stateless_able("tools/call", params, able())).await.message()
}

async fn about(caller: &Caller, method: &str, handle: &str) -> Answered {
    let params = json!({ "taskId": handle, "inputResponses": {} });
    read(caller.stateless_able(method, params, able()).header("mcp-name", handle)).await
}

fn looks(bench: &Bench) -> usize {
    bench.seen.looks.load(Ordering::SeqCst)
}

async fn writes_later(caller: &Caller) {
    let told = call(caller, "write_note", json!({ "path": "/a", "text": "later", "times": 1 })).await;
    assert_eq!((&told["result"]["resultType"], &told["result"]["taskId"]), (&json!("task"), &json!("t-1")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_made_a_call_follows_it_and_nobody_else_does() {
    let bench = Bench::with(true).await;
    let worker = bench.worker().await;
    let other = bench.agent("other", "worker", "/mcp/notes", None).await;
    let told = worker.call("server/discover", json!({})).await.message();
    assert_eq!(told["result"]["capabilities"]["extensions"], json!({ (EXTENSION): {} }), "{told}");
    writes_later(&worker).await;
    let told = about(&worker, "tasks/get", "t-1").await.message();
    assert_eq!(told["result"]["result"]["content"][0]["text"], "xxxxxx", "{told}");
    for method in ["tasks/update", "tasks/cancel"] {
        let told = about(&worker, method, "t-1").await.message();
        assert_eq!(told["result"], json!({ "resultType": "complete" }), "{method}: {told}");
    }
    assert_eq!(looks(&bench), 3);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        assert_eq!(about(&other, method, "t-1").await.code(), -32_602, "{method} of another's call");
        assert_eq!(about(&worker, method, "t-2").await.code(), -32_602, "{method} of no call");
    }
    assert_eq!(looks(&bench), 3, "nothing went upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_headers_and_capabilities_are_checked() {
    let bench = Bench::with(true).await;
    let worker = bench.worker().await;
    writes_later(&worker).await;
    let params = || json!({ "taskId": "t-1" });
    let undeclared = worker.call("tasks/get", params()).await;
    assert_eq!((undeclared.status, undeclared.code()), (400, -32_021));
    assert_eq!(undeclared.message()["error"]["data"]["requiredCapabilities"], able());
    let elsewhere = read(worker.stateless_able("tasks/get", params(), able()).header("mcp-name", "t-2")).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (400, -32_020));
    let nameless = read(worker.stateless_able("tasks/get", json!({}), able())).await;
    assert_eq!(nameless.code(), -32_602);
    assert_eq!(about(&worker, "tasks/list", "t-1").await.status, 404);
    assert_eq!(looks(&bench), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_called_any_more_can_only_be_stopped() {
    let bench = Bench::with(true).await;
    let worker = bench.worker().await;
    writes_later(&worker).await;
    safe_mode::enter(&bench.broker, &operator(), SafeModeScope::Everything, "drill").await.unwrap();
    for method in ["tasks/get", "tasks/update"] {
        assert_eq!(about(&worker, method, "t-1").await.code(), -31_403, "{method}");
    }
    assert_eq!(looks(&bench), 0);
    assert_eq!(about(&worker, "tasks/cancel", "t-1").await.message()["result"]["resultType"], "complete");
    assert_eq!(looks(&bench), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_duties_of_the_call_hold_for_its_late_result() {
    let bench = Bench::with(true).await;
    let worker = bench.worker().await;
    let told = call(&worker, "big", json!({ "bytes": 0 })).await;
    assert_eq!(told["result"]["taskId"], "t-big", "{told}");
    let told = about(&worker, "tasks/get", "t-big").await;
    assert_eq!(told.code(), -31_451, "{told:?}");
    assert!(!told.text.contains("xxxx"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_of_the_older_revision_has_no_such_calls() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let told = worker.call("server/discover", json!({})).await.message();
    assert_eq!(told["result"]["capabilities"].get("extensions"), None, "{told}");
    let refused = about(&worker, "tasks/get", "t-1").await;
    assert_eq!((refused.status, refused.code()), (404, -32_601));
}
