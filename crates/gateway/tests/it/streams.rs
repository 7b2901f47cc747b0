//! What streams: progress, questions, announcements; and what cuts it off.

use std::sync::atomic::Ordering;

use bailiwick_engine::{agents, grants, safe_mode};
use bailiwick_model::safe_mode::SafeModeScope;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::bench::{Bench, Caller, Events, operator, soon};

fn slow(caller: &Caller, id: u64) -> reqwest::RequestBuilder {
    let params = json!({ "name": "slow", "arguments": {}, "_meta": { "progressToken": "mine" } });
    caller.post().body(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string())
}

/// Opens a slow call and reads its first progress.
async fn opened(caller: &Caller, id: u64) -> Events {
    let mut events = Events::open(slow(caller, id)).await;
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/progress");
    assert_eq!(first["params"]["progressToken"], "mine");
    assert_eq!(first["params"]["message"], "still at it");
    events
}

async fn statuses(bench: &Bench, status: &str) -> usize {
    bench.broker.drained().await;
    let filter = bailiwick_ports::store::EntryFilter { limit: 1_000, ..Default::default() };
    let entries = bench.broker.store().entries(filter).await.unwrap();
    entries.iter().filter(|entry| String::from_utf8_lossy(&entry.leaf).contains(status)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_cancels() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    let mut events = opened(&worker, 5).await;
    assert!(events.next().await.is_some());
    drop(events);
    soon("the upstream hears of it", || bench.seen.abandoned.load(Ordering::SeqCst) == 1).await;
    assert_eq!(statuses(&bench, "cancelled").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_without_an_answer() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    let mut events = opened(&worker, 5).await;
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 5 } });
    assert_eq!(worker.raw(note.to_string()).await.status, 202);
    while let Some(event) = events.next().await {
        assert_eq!(event["method"], "notifications/progress", "{event}");
    }
    soon("the upstream hears of it", || bench.seen.abandoned.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_is_cut_off() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    let mut stream = Events::open(worker.get()).await;
    let mut events = opened(&worker, 5).await;
    agents::suspend(&bench.broker, &operator(), &worker.name, "lost").await.unwrap();
    let mut last = Value::Null;
    while let Some(event) = events.next().await {
        last = event;
    }
    assert_eq!(last["result"]["isError"], true, "{last}");
    assert_eq!(last["result"]["_meta"]["bailiwick/denial"]["may_have_acted"], true);
    soon("the upstream hears of it", || bench.seen.abandoned.load(Ordering::SeqCst) == 1).await;
    assert_eq!(stream.next().await, None, "its open stream ends too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_cuts_off_what_it_opened_and_nothing_else() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    let listen = || json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = Events::open(worker.get()).await;
    let mut listening = Events::open(worker.stateless("subscriptions/listen", listen())).await;
    listening.next().await.unwrap();
    let mut events = opened(&worker, 5).await;
    let other = bench.another_token(&worker, None, None).await;
    let revoked = std::mem::replace(&mut worker.token, other);
    let mut kept = Events::open(worker.stateless("subscriptions/listen", listen())).await;
    kept.next().await.unwrap();
    let claims = URL_SAFE_NO_PAD.decode(revoked.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let until = bench.broker.now() + jiff::SignedDuration::from_mins(15);
    let id = claims["jti"].as_str().unwrap().parse().unwrap();
    grants::revoke_token(&bench.broker, &operator(), id, until).await.unwrap();
    let mut last = Value::Null;
    while let Some(event) = events.next().await {
        last = event;
    }
    assert_eq!(last["result"]["isError"], true, "{last}");
    assert_eq!(last["result"]["_meta"]["bailiwick/denial"]["may_have_acted"], true);
    soon("the upstream hears of it", || bench.seen.abandoned.load(Ordering::SeqCst) == 1).await;
    assert_eq!(stream.next().await, None);
    assert!(listening.next().await.unwrap().get("result").is_some(), "its end is told");
    assert_eq!(listening.next().await, None);
    // Another token of the same agent goes on, and in the same session.
    assert_eq!(worker.in_session(9, "tools/list", json!({})).await.status, 200);
    safe_mode::enter(&bench.broker, &operator(), SafeModeScope::Everything, "drill").await.unwrap();
    assert_eq!(kept.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_announced_to_whom_they_concern() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    let mut stream = Events::open(worker.get()).await;
    let listen = json!({ "notifications": { "toolsListChanged": true, "resourceSubscriptions": ["note://a"] } });
    let mut listening = Events::open(worker.stateless("subscriptions/listen", listen)).await;
    let first = listening.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({ "toolsListChanged": true }), "only what will come");
    // Somebody else's change is not announced, so that the next announcement is of the safe mode.
    bench.agent("other", "worker", "/mcp/notes", None).await;
    safe_mode::enter(&bench.broker, &operator(), SafeModeScope::Everything, "drill").await.unwrap();
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    let announced = listening.next().await.unwrap();
    assert_eq!(announced["method"], "notifications/tools/list_changed");
    assert_eq!(announced["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_reaches_the_client_and_its_answer_the_server() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({ "elicitation": {} })).await;
    let params = json!({ "name": "ask", "arguments": {} });
    let call = json!({ "jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": params });
    let mut events = Events::open(worker.post().body(call.to_string())).await;
    let question = events.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "Sure?");
    // Nobody else can answer it, and nobody what was not asked.
    let answer = |id: &Value| json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept" } }).to_string();
    let mut thief = bench.agent("thief", "worker", "/mcp/notes", None).await;
    thief.open_session(json!({ "elicitation": {} })).await;
    assert_eq!(thief.raw(answer(&question["id"])).await.status, 400);
    assert_eq!(worker.raw(answer(&json!(999))).await.status, 400);
    assert_eq!(worker.raw(answer(&question["id"])).await.status, 202);
    assert_eq!(worker.raw(answer(&question["id"])).await.status, 400, "once");
    let last = events.next().await.unwrap();
    assert_eq!(last["id"], 8);
    let heard: Value = serde_json::from_str(last["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(heard, json!({ "jsonrpc": "2.0", "id": "ask-1", "result": { "action": "accept" } }), "under its own id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_be_asked_is_not_asked() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    worker.open_session(json!({})).await;
    let answer = worker.in_session(8, "tools/call", json!({ "name": "ask", "arguments": {} })).await;
    let heard = answer.message()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(heard.contains("-32601"), "{heard}");
    assert!(!answer.text.contains("elicitation/create"));
}
