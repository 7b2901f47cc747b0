//! Sessions of 2025-11-25: whose they are, and how they end.

use serde_json::json;

use crate::bench::{Bench, read};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_used_and_ended() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    // Nothing goes without one.
    let answer = worker.in_session(1, "tools/list", json!({})).await;
    assert_eq!((answer.status, answer.code()), (400, -32_600), "{answer:?}");
    worker.open_session(json!({})).await;
    let note = worker.raw(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    assert_eq!((note.status, note.text.as_str()), (202, ""));
    assert_eq!(worker.in_session(2, "ping", json!({})).await.message()["result"], json!({}));
    assert_eq!(read(worker.delete()).await.status, 200);
    let gone = worker.in_session(3, "tools/call", json!({ "name": "read_note", "arguments": { "path": "/a" } })).await;
    assert_eq!((gone.status, gone.code()), (404, -32_600), "404 tells clients to open a new one");
    assert_eq!(read(worker.get()).await.status, 404);
    assert_eq!(bench.seen.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_no_credential() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    let mut thief = bench.agent("thief", "worker", "/mcp/notes", None).await;
    thief.session = worker.session.clone();
    let answer = thief.in_session(2, "tools/call", json!({ "name": "read_note", "arguments": { "path": "/a" } })).await;
    assert_eq!((answer.status, answer.code()), (404, -32_600), "{answer:?}");
    assert_eq!(read(thief.get()).await.status, 404);
    assert_eq!(read(thief.delete()).await.status, 404);
    // Without a token it is nothing at all.
    let bare = bench.http.post(&worker.url).header("mcp-session-id", worker.session.clone().unwrap());
    assert_eq!(read(bare.body("{}")).await.status, 401);
    assert_eq!(bench.seen.acts(), 0);
    assert_eq!(worker.in_session(2, "ping", json!({})).await.message()["result"], json!({}));
}
