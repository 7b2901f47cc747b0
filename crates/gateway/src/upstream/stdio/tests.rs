//! Real children that behave and misbehave.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::{
    envelope::{Id, member},
    upstream::{tests::*, *},
};

fn alive(process: &Value) -> bool {
    // A zombie is dead; its state stands behind the last parenthesis.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

#[tokio::test]
async fn parameters_pass_byte_for_byte_on_one_line() {
    let pool = pool(scripted(&["--greet"]));
    let params =
        "{ \"name\":\"echo\",\n\r\n  \"arguments\" : {\"n\": 1.10, \"u\":\"\\u00e9\\n\"} ,\"_meta\":{ \"x\":[ ] }}";
    let seen = result(&pool, message("tools/call", params)).await;
    let raw = seen["structuredContent"]["raw"].as_str().unwrap();
    assert_eq!(member(raw, "params").unwrap(), params.replace(['\n', '\r'], " "));
    assert!(Id::parse(member(raw, "id").unwrap()).unwrap().number().is_some(), "an id of ours");
}

#[tokio::test]
async fn calls_do_not_wait_for_each_other() {
    let pool = pool(scripted(&[]));
    result(&pool, tool("echo", json!({}))).await;
    let hanging = forward(&pool, tool("hang", json!({})));
    let quick = async {
        let calls = (0..50).map(|n| result(&pool, tool("echo", json!({ "n": n }))));
        for (n, seen) in futures::future::join_all(calls).await.into_iter().enumerate() {
            let raw = seen["structuredContent"]["raw"].as_str().unwrap().to_owned();
            assert!(raw.contains(&format!("\"n\":{n}}}")), "each gets its own answer: {raw}");
        }
    };
    tokio::select! {
        _ = hanging => panic!("hang answers"),
        () = quick => {}
    }
    eventually(|| async {
        let seen = result(&pool, tool("seen", json!({}))).await;
        seen["cancelled"].as_array().unwrap().len() == 1
    })
    .await;
}

#[tokio::test]
async fn silence_times_out_and_cancels() {
    let mut target = scripted(&[]);
    target.call_timeout = Duration::from_millis(300);
    let pool = pool(target);
    let error = failure(&pool, tool("hang", json!({}))).await;
    assert_eq!(error, UpstreamError::TimedOut(Duration::from_millis(300)));
    assert!(error.reached_upstream());
    eventually(|| async { result(&pool, tool("seen", json!({}))).await["cancelled"] != json!([]) }).await;
}

#[tokio::test]
async fn progress_comes_with_the_callers_own_token() {
    for target in [scripted(&[]), shared(scripted(&[]))] {
        let pool = pool(target);
        let params = |token: &str| format!(r#"{{"name":"progress","_meta":{{"progressToken":{token}}}}}"#);
        // Two callers with the same token on one pipe, and one with text that needs escapes.
        let (first, second) = (params("1"), params(r#""t\u0061\"""#));
        for (params, token) in [(&first, "1"), (&first, "1"), (&second, r#""t\u0061\"""#)] {
            let events: Vec<_> = stream(&pool, message("tools/call", params)).await.map(Result::unwrap).collect().await;
            let mut steps = 0;
            for event in &events {
                if let Event::Notification(raw) = event {
                    let raw = std::str::from_utf8(raw).unwrap();
                    assert_eq!(member(member(raw, "params").unwrap(), "progressToken"), Some(token));
                    steps += 1;
                }
            }
            assert_eq!(steps, 3);
            assert!(matches!(events.last(), Some(Event::Result(_))));
        }
    }
}

#[tokio::test]
async fn what_the_server_asks_goes_to_its_call_alone() {
    let pool = pool(scripted(&[]));
    let mut exchange = stream(&pool, tool("ask", json!({}))).await;
    let Some(Ok(Event::Ask(ask))) = exchange.next().await else { panic!("no ask") };
    assert_eq!(ask.method, "elicitation/create");
    let answers = exchange.answers();
    let broken = answers.answer(ask.number, Answer::Result("{\"a\":1}, \"injected\":true".into())).await;
    assert_eq!(broken, Err(UpstreamError::NotPermitted), "no second member, no second message");
    answers.answer(ask.number, Answer::Result("{\"action\":\"accept\"}".into())).await.unwrap();
    let again = answers.answer(ask.number, Answer::Result("{}".into())).await;
    assert_eq!(again, Err(UpstreamError::NotWaiting));
    let Some(Ok(Event::Result(raw))) = exchange.next().await else { panic!("no result") };
    let seen: Value = serde_json::from_slice(&raw).unwrap();
    let answered = &seen["structuredContent"]["answered"];
    assert_eq!((&answered["id"], &answered["result"]["action"]), (&json!("s-1"), &json!("accept")));
    assert_eq!(exchange.next().await, None);
}

#[tokio::test]
async fn nobody_is_asked_who_cannot_answer() {
    let shared = pool(shared(scripted(&[])));
    let seen = result(&shared, tool("ask", json!({}))).await;
    assert_eq!(seen["structuredContent"]["answered"]["error"]["code"], json!(-32601), "whose ask is it?");
    let mut target = scripted(&["--era", "stateless"]);
    target.call_timeout = Duration::from_millis(500);
    let stateless = pool(target);
    let call = Forward { revision: Revision::V2026_07_28, ..tool("ask", json!({})) };
    assert!(
        matches!(failure(&stateless, call).await, UpstreamError::TimedOut(_)),
        "it may not ask, and gets no answer"
    );
    let own = pool(scripted(&[]));
    let seen = result(&own, tool("ping", json!({}))).await;
    assert_eq!(seen["structuredContent"]["answered"]["result"], json!({}), "pings are ours to answer");
}

#[tokio::test]
async fn a_crash_is_told_to_whoever_waits_and_the_next_call_starts_anew() {
    let pool = pool(scripted(&[]));
    let first = result(&pool, tool("environment", json!({}))).await["process"].clone();
    let (hanging, crashing) =
        tokio::join!(forward(&pool, tool("hang", json!({}))), forward(&pool, tool("crash", json!({}))));
    for outcome in [hanging, crashing] {
        assert!(matches!(outcome, Err(UpstreamError::Gone(_))), "{outcome:?}");
    }
    let second = result(&pool, tool("environment", json!({}))).await["process"].clone();
    assert_ne!(first, second);
    failure(&pool, tool("crash", json!({}))).await;
    let backing_off = failure(&pool, tool("echo", json!({}))).await;
    assert!(matches!(backing_off, UpstreamError::BackingOff { .. }), "it keeps dying: {backing_off:?}");
    assert!(!backing_off.reached_upstream() && backing_off.retry_after().is_some());
}

#[tokio::test]
async fn nonsense_is_borne_for_a_while() {
    let pool = pool(scripted(&[]));
    let done = json!({ "content": [{ "type": "text", "text": "done" }] });
    assert_eq!(result(&pool, tool("garbage", json!({ "times": 10 }))).await, done);
    assert_eq!(result(&pool, tool("wrong_id", json!({ "times": 3 }))).await, done);
    assert_eq!(result(&pool, tool("twice", json!({}))).await, done);
    assert!(result(&pool, tool("echo", json!({ "after": "twice" }))).await["structuredContent"].is_object());
    assert_eq!(result(&pool, tool("garbage", json!({ "times": 10 }))).await, done, "an answer makes up for it");
}

#[tokio::test]
async fn wrong_ids_huge_lines_and_floods_end_the_connection() {
    for (name, times) in [("wrong_id", 20), ("garbage", 17), ("huge", 1), ("flood", 10_001)] {
        let pool = pool(scripted(&[]));
        let error = failure(&pool, tool(name, json!({ "times": times }))).await;
        assert!(matches!(error, UpstreamError::Malformed(_)), "{name}: {error:?}");
        result(&pool, tool("echo", json!({}))).await;
    }
    let pool = pool(scripted(&[]));
    let seen = result(&pool, tool("flood", json!({ "times": 5_000 }))).await;
    assert_eq!(seen["content"][0]["text"], "done", "a busy server is no flood");
}

#[tokio::test]
async fn an_ambiguous_answer_fails_its_call_at_once() {
    let pool = pool(scripted(&[]));
    let error = failure(&pool, tool("duplicate", json!({}))).await;
    assert!(matches!(error, UpstreamError::Malformed(_)), "{error:?}");
    result(&pool, tool("echo", json!({}))).await;
}

#[tokio::test]
async fn a_child_has_the_declared_environment_and_limits() {
    let pool = pool(scripted(&[]));
    let Reply::Result(raw) = forward(&pool, tool("environment", json!({}))).await.unwrap() else { panic!("no result") };
    let seen: Value = serde_json::from_slice(&raw).unwrap();
    let names: Vec<_> = seen["environment"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["API_KEY", "LOG", "PATH"]);
    assert_eq!(seen["environment"]["API_KEY"], "****", "it was there, and does not come back");
    let limits = result(&pool, tool("limits", json!({}))).await["content"][0]["text"].as_str().unwrap().to_owned();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.get(26..).unwrap().split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!((limit("Max core file size"), limit("Max open files")), ("0".into(), "1024".into()));
    assert_eq!(limit("Max data size"), (8_u64 << 30).to_string());
}

#[tokio::test]
async fn a_secret_never_comes_back() {
    let pool = pool(scripted(&[]));
    let Reply::Error(raw) = forward(&pool, tool("leak", json!({}))).await.unwrap() else { panic!("no error") };
    let text = String::from_utf8(raw.to_vec()).unwrap();
    assert!(text.contains("refused with ****") && !text.contains("s3cr3t"), "{text}");
    let mut target = scripted(&[]);
    if let bailiwick_pdp::catalogue::Upstream::Stdio { command, .. } = &mut target.upstream {
        *command = "/nowhere/at-all".into();
    }
    let error = failure(&crate::upstream::tests::pool(target), tool("echo", json!({}))).await;
    assert!(matches!(error, UpstreamError::Start(_)));
    assert!(error.to_string().contains("hint:") && !format!("{error:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_missing_secret_starts_nothing() {
    let secrets = std::sync::Arc::new(OneSecret(std::sync::Mutex::new(String::new())));
    let pool = Pool::new(secrets, PoolLimits::default()).unwrap();
    pool.configure([(system(), scripted(&[]))]);
    assert!(matches!(failure(&pool, tool("echo", json!({}))).await, UpstreamError::Secret(_)));
}

#[tokio::test]
async fn a_child_dies_with_everything_it_started() {
    let pool = pool(scripted(&["--stubborn"]));
    let process = result(&pool, tool("environment", json!({}))).await["process"].clone();
    let grandchild = result(&pool, tool("grandchild", json!({}))).await["process"].clone();
    assert!(alive(&process) && alive(&grandchild));
    pool.shut_down();
    eventually(|| async { !alive(&process) && !alive(&grandchild) }).await;
    assert!(matches!(failure(&pool, tool("echo", json!({}))).await, UpstreamError::Unknown(_)));
}

#[tokio::test]
async fn an_idle_child_is_ended() {
    let limits = PoolLimits { idle_timeout: Duration::from_millis(200), ..PoolLimits::default() };
    let pool = pool_with(scripted(&[]), limits);
    let process = result(&pool, tool("environment", json!({}))).await["process"].clone();
    eventually(|| async { !alive(&process) }).await;
    let next = result(&pool, tool("environment", json!({}))).await["process"].clone();
    assert_ne!(process, next);
}

#[tokio::test]
async fn notifications_reach_those_they_are_for() {
    let pool = pool(shared(scripted(&[])));
    let key =
        |holder: &str| CallerKey { holder: holder.into(), user: None, capabilities: ClientCapabilities::default() };
    let mut subscriber = pool.listen(&system(), &key("agent:a"), Revision::V2025_11_25).await.unwrap();
    let mut other = pool.listen(&system(), &key("agent:b"), Revision::V2025_11_25).await.unwrap();
    forward_as(&pool, "agent:a", message("resources/subscribe", r#"{"uri":"r://1"}"#)).await.unwrap();
    forward_as(&pool, "agent:a", tool("log", json!({}))).await.unwrap();
    forward_as(&pool, "agent:b", tool("redefine", json!({}))).await.unwrap();
    let method = |raw: Option<bytes::Bytes>| {
        envelope::text_member(std::str::from_utf8(&raw.unwrap()).unwrap(), "method").unwrap()
    };
    assert_eq!(method(subscriber.next().await), "notifications/resources/updated");
    assert_eq!(method(subscriber.next().await), "notifications/tools/list_changed", "no log line of somebody else");
    assert_eq!(method(other.next().await), "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_subscription_of_the_stateless_era_stays_open_under_the_callers_id() {
    let mut target = scripted(&["--era", "stateless"]);
    target.call_timeout = Duration::from_millis(500);
    let pool = pool(target);
    let listen = Forward { revision: Revision::V2026_07_28, ..message("subscriptions/listen", "{}") };
    let mut exchange = stream(&pool, listen).await;
    let text = |event: Option<Result<Event, UpstreamError>>| match event {
        Some(Ok(Event::Notification(raw))) => String::from_utf8(raw.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(text(exchange.next().await).contains(r#""io.modelcontextprotocol/subscriptionId":"mine""#));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let redefine = Forward { revision: Revision::V2026_07_28, ..tool("redefine", json!({})) };
    forward(&pool, redefine).await.unwrap();
    let changed = text(exchange.next().await);
    assert!(changed.contains("list_changed") && changed.contains(r#""mine""#), "{changed}");
}
