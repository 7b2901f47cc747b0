//! A server over HTTP that behaves and misbehaves.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode},
    routing::any,
    serve::ListenerExt,
};
use bailiwick_pdp::catalogue::{HttpCredential, InjectedCredential, Upstream};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::header_text;
use crate::{
    envelope,
    upstream::{tests::*, *},
};

struct Fake {
    stateless: bool,
    seen: Mutex<Vec<(Method, HeaderMap, String)>>,
    sessions: Mutex<BTreeSet<String>>,
    key: Mutex<String>,
    given_up: AtomicBool,
    visits: AtomicUsize,
    answered: watch::Sender<Option<Value>>,
}

impl Fake {
    fn seen(&self, method: &str) -> Vec<(HeaderMap, String)> {
        let is = |body: &str| envelope::text_member(body, "method").as_deref() == Some(method);
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(_, _, body)| is(body)).map(|(_, headers, body)| (headers.clone(), body.clone())).collect()
    }

    fn count(&self, method: &Method) -> usize {
        self.seen.lock().unwrap().iter().filter(|(seen, ..)| seen == method).count()
    }
}

fn respond(status: u16, kind: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).header("content-type", kind).body(body.into()).unwrap()
}

fn json_body(body: &Value) -> Response<Body> {
    respond(200, "application/json", body.to_string())
}

fn events(text: Vec<String>) -> Response<Body> {
    let chunks = stream::iter(text.into_iter().map(|text| Ok::<_, Infallible>(Bytes::from(text))));
    respond(200, "text/event-stream", Body::from_stream(chunks))
}

fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

struct GivesUp(Arc<Fake>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::SeqCst);
    }
}

async fn serve(State(fake): State<Arc<Fake>>, method: Method, headers: HeaderMap, body: String) -> Response<Body> {
    fake.seen.lock().unwrap().push((method.clone(), headers.clone(), body.clone()));
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if header("authorization") != format!("Bearer {}", fake.key.lock().unwrap()) {
        return respond(401, "text/plain", "no");
    }
    let known = fake.sessions.lock().unwrap().contains(&header("mcp-session-id"));
    match method {
        Method::GET if header("last-event-id") == "e5" => {
            return events(vec![event(
                &json!({ "jsonrpc": "2.0", "id": envelope_id(&fake, "c"), "result": { "resumed": true } }),
            )]);
        }
        Method::GET if header("last-event-id").starts_with("poll-") => {
            // It has nothing yet and closes at once, each time under a new id; in the end it may answer.
            let round: u32 = header("last-event-id").trim_start_matches("poll-").parse().unwrap();
            return match round {
                20 => events(vec![event(
                    &json!({ "jsonrpc": "2.0", "id": envelope_id(&fake, "polled"), "result": { "round": round } }),
                )]),
                round => events(vec![format!("id: poll-{}\nretry: 1\ndata:\n\n", round + 1)]),
            };
        }
        Method::GET if header("last-event-id") == "deaf" => return events(vec![]),
        Method::GET if header("last-event-id") == "lost" => return respond(404, "text/plain", "no such session"),
        Method::GET if header("last-event-id") == "busy" => {
            let busy = |headers: &HeaderMap| headers.get("last-event-id").is_some_and(|id| id == "busy");
            let calm = fake.seen.lock().unwrap().iter().filter(|(_, headers, _)| busy(headers)).count() > 2;
            let answer = json!({ "jsonrpc": "2.0", "id": envelope_id(&fake, "busy"), "result": { "calm": calm } });
            return if calm { events(vec![event(&answer)]) } else { respond(503, "text/plain", "later") };
        }
        Method::GET => {
            let changed = event(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
            let open = stream::iter([Ok::<_, Infallible>(Bytes::from(changed))]).chain(stream::pending());
            return respond(200, "text/event-stream", Body::from_stream(open));
        }
        Method::DELETE => {
            fake.sessions.lock().unwrap().remove(&header("mcp-session-id"));
            return respond(200, "text/plain", "");
        }
        _ => {}
    }
    let message: Value = serde_json::from_str(&body).unwrap();
    let id = message["id"].clone();
    let result = |result: Value| json_body(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    match message["method"].as_str() {
        None => {
            fake.answered.send_replace(Some(message));
            respond(202, "text/plain", "")
        }
        Some("server/discover") if fake.stateless => result(
            json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} }, "resultType": "complete" }),
        ),
        Some("initialize") if !fake.stateless => {
            let session = format!("session-{}", fake.visits.fetch_add(1, Ordering::SeqCst));
            fake.sessions.lock().unwrap().insert(session.clone());
            let mut response = result(json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} } }));
            response.headers_mut().insert("mcp-session-id", session.parse().unwrap());
            response
        }
        _ if !fake.stateless && !known => respond(404, "text/plain", "no such session"),
        _ if id.is_null() => respond(202, "text/plain", ""),
        Some("tools/list") => result(json!({ "tools": [{ "name": "echo" }] })),
        Some("tools/call") => call(&fake, &message, &body).await,
        Some("subscriptions/listen") if fake.stateless => {
            let told = |method: &str| {
                let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
                event(&json!({ "jsonrpc": "2.0", "method": method, "params": { "_meta": meta } }))
            };
            let first = told("notifications/subscriptions/acknowledged") + &told("notifications/message");
            let both = first + &told("notifications/tools/list_changed");
            let open = stream::iter([Ok::<_, Infallible>(Bytes::from(both))]).chain(stream::pending());
            respond(200, "text/event-stream", Body::from_stream(open))
        }
        Some(_) => respond(
            404,
            "application/json",
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "unknown" } }).to_string(),
        ),
    }
}

/// The id of the newest call of a tool.
fn envelope_id(fake: &Fake, tool: &str) -> Value {
    let calls = fake.seen("tools/call");
    let of_tool = calls.iter().rev().find(|(_, body)| body.contains(tool)).unwrap();
    serde_json::from_str::<Value>(&of_tool.1).unwrap()["id"].clone()
}

async fn call(fake: &Arc<Fake>, message: &Value, body: &str) -> Response<Body> {
    let id = &message["id"];
    let done = json!({ "jsonrpc": "2.0", "id": id, "result": { "done": true } });
    let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 7, "progress": 1 } });
    match message["params"]["name"].as_str().unwrap() {
        "echo" => json_body(&json!({ "jsonrpc": "2.0", "id": id, "result": { "body": body } })),
        "events" => events(vec![": hi\n\n".into(), event(&progress), event(&done)]),
        "one_event" => events(vec![event(&done)]),
        "hang" => {
            let guard = GivesUp(Arc::clone(fake));
            let silence = stream::iter([Ok::<_, Infallible>(Bytes::from(event(&progress)))]).chain(stream::pending());
            respond(200, "text/event-stream", Body::from_stream(silence.map(move |chunk| (&guard, chunk).1)))
        }
        "silent" => std::future::pending().await,
        "redirect" => {
            Response::builder().status(307).header("location", "http://127.0.0.1:1/").body(Body::empty()).unwrap()
        }
        "huge" => respond(200, "application/json", "x".repeat(17 * 1_024 * 1_024)),
        "huge_event" => events(vec![format!("data: {}\n\n", "x".repeat(17 * 1_024 * 1_024))]),
        "html" => respond(200, "text/html", "<p>hello</p>"),
        "other_id" => json_body(&json!({ "jsonrpc": "2.0", "id": "another", "result": {} })),
        "status" => respond(503, "text/plain", "overloaded"),
        "twice" => {
            respond(200, "application/json", format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"a":1,"a":2}}}}"#))
        }
        "nonsense" => events((0..40).map(|_| "data: nonsense\n\n".to_owned()).collect()),
        "broken_off" => events(vec![event(&progress)]),
        "cut" => events(vec!["id: e5\nretry: 10\ndata:\n\n".into()]),
        "polled" => events(vec!["id: poll-1\nretry: 1\ndata:\n\n".into()]),
        "for_ever" => events(vec!["id: poll-21\nretry: 1\ndata:\n\n".into()]),
        "patient" => events(vec!["id: e5\nretry: 86400000\ndata:\n\n".into()]),
        "cut_inside" => events(vec!["id: e5\nretry: 1\ndata:\n\nid: e6\ndata: {\"jsonrpc\"".into()]),
        "deaf" | "lost" | "busy" => {
            events(vec![format!("id: {}\nretry: 1\ndata:\n\n", message["params"]["name"].as_str().unwrap())])
        }
        "leak" => {
            let text = format!("denied for {}", fake.key.lock().unwrap());
            json_body(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": text } }))
        }
        "ask" => {
            let asked = event(&json!({ "jsonrpc": "2.0", "id": "s1", "method": "elicitation/create", "params": {} }));
            let mut answers = fake.answered.subscribe();
            let id = id.clone();
            let last = stream::once(async move {
                let answer = answers.wait_for(Option::is_some).await.unwrap().clone();
                Ok(Bytes::from(event(&json!({ "jsonrpc": "2.0", "id": id, "result": answer }))))
            });
            let all = stream::iter([Ok::<_, Infallible>(Bytes::from(asked))]).chain(last);
            respond(200, "text/event-stream", Body::from_stream(all))
        }
        _ => respond(
            StatusCode::BAD_REQUEST.as_u16(),
            "application/json",
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32602, "message": "unknown tool" } }).to_string(),
        ),
    }
}

async fn start(stateless: bool) -> (Arc<Fake>, Target) {
    let fake = Arc::new(Fake {
        stateless,
        seen: Mutex::default(),
        sessions: Mutex::default(),
        key: Mutex::new(SECRET.into()),
        given_up: AtomicBool::new(false),
        visits: AtomicUsize::new(0),
        answered: watch::Sender::new(None),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    let router = Router::new().route("/mcp", any(serve)).with_state(Arc::clone(&fake));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let credential = InjectedCredential {
        header: "authorization".into(),
        prefix: "Bearer ".into(),
        secret: "files/api-key".parse().unwrap(),
    };
    let url = format!("http://{address}/mcp").parse().unwrap();
    (fake, target(Upstream::Http { url, credential: Some(HttpCredential::Header(credential)), accounts: None }))
}

fn modern(message: Forward) -> Forward {
    Forward { revision: Revision::V2026_07_28, ..message }
}

#[tokio::test]
async fn a_session_is_opened_per_principal_and_ended() {
    let (fake, target) = start(false).await;
    let pool = pool(target);
    let params = "{ \"name\":\"echo\",\n \"arguments\":{\"n\":1.10} }";
    let seen = result(&pool, message("tools/call", params)).await;
    let body = seen["body"].as_str().unwrap();
    assert_eq!(envelope::member(body, "params"), Some(params), "byte for byte");
    result(&pool, tool("echo", json!({}))).await;
    assert!(forward_as(&pool, "agent:b", tool("echo", json!({}))).await.is_ok());
    let calls = fake.seen("tools/call");
    let session = |n: usize| calls[n].0["mcp-session-id"].to_str().unwrap().to_owned();
    assert_eq!(session(0), session(1));
    assert_ne!(session(0), session(2), "another principal");
    assert_eq!(calls[0].0["mcp-protocol-version"], "2025-06-18", "as the server answered");
    assert!(!calls[0].0.contains_key("mcp-method"));
    assert_eq!(fake.seen("notifications/initialized").len(), 3, "control, a and b");
    pool.shut_down();
    eventually(|| async { fake.sessions.lock().unwrap().is_empty() }).await;
}

#[tokio::test]
async fn a_message_that_stands_alone_has_its_headers_and_its_own_id() {
    let (fake, target) = start(true).await;
    let pool = pool(target);
    let name = "x-region".parse().unwrap();
    let region = Forward { headers: vec![(name, "eu".parse().unwrap())], ..tool("echo", json!({})) };
    let seen = result(&pool, modern(region)).await;
    assert_eq!(envelope::member(seen["body"].as_str().unwrap(), "id"), Some("\"mine\""));
    let (headers, _) = fake.seen("tools/call").remove(0);
    let of = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!((of("mcp-method"), of("mcp-name"), of("x-region")), ("tools/call".into(), "echo".into(), "eu".into()));
    assert_eq!(of("mcp-protocol-version"), "2026-07-28");
    assert_eq!(of("accept"), "application/json, text/event-stream");
    assert!(!headers.contains_key("mcp-session-id"));
    assert!(fake.seen("initialize").is_empty(), "nobody wanted a session");
    let Ok(Reply::Error(raw)) = forward(&pool, modern(message("prompts/get", r#"{"name":"p"}"#))).await else {
        panic!("an error with a status of its own is an answer")
    };
    assert!(std::str::from_utf8(&raw).unwrap().contains("-32601"));
    for _ in 0..2 {
        assert_eq!(pool.era_for(&system(), Era::Handshake).await, Ok(Era::Stateless));
    }
    assert_eq!(fake.seen("initialize").len(), 1, "to find out whether it takes it");
}

#[tokio::test]
async fn events_stream_and_a_single_one_does_not() {
    let (_, target) = start(false).await;
    let pool = pool(target);
    let all: Vec<_> = stream(&pool, tool("events", json!({}))).await.map(Result::unwrap).collect().await;
    assert!(matches!(&all[..], [Event::Notification(_), Event::Result(_)]), "{all:?}");
    assert_eq!(result(&pool, tool("one_event", json!({}))).await, json!({ "done": true }));
}

#[tokio::test]
async fn who_goes_away_cancels_in_the_way_of_the_era() {
    for stateless in [false, true] {
        let (fake, target) = start(stateless).await;
        let pool = pool(target);
        let hang = tool("hang", json!({}));
        let mut exchange = super::super::tests::stream(&pool, if stateless { modern(hang) } else { hang }).await;
        assert!(matches!(exchange.next().await, Some(Ok(Event::Notification(_)))));
        drop(exchange);
        eventually(|| async { fake.given_up.load(Ordering::SeqCst) }).await;
        if stateless {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(fake.seen("notifications/cancelled").is_empty(), "closing says it");
        } else {
            eventually(|| async { fake.seen("notifications/cancelled").len() == 1 }).await;
        }
    }
}

#[tokio::test]
async fn what_a_server_must_not_do_is_an_error() {
    let (_, mut target) = start(false).await;
    target.call_timeout = Duration::from_millis(1_500);
    let pool = pool(target);
    for (name, expected) in [
        ("silent", "no answer within"),
        ("hang_without", "-32602"),
        ("redirect", "HTTP status 307"),
        ("huge", "longer than"),
        ("huge_event", "longer than"),
        ("html", "neither JSON nor"),
        ("other_id", "not the answer"),
        ("status", "HTTP status 503"),
        ("twice", "twice"),
        ("nonsense", "no messages"),
    ] {
        let outcome = match forward(&pool, tool(name, json!({}))).await {
            Ok(Reply::Error(raw)) => String::from_utf8(raw.to_vec()).unwrap(),
            Ok(other) => panic!("{name}: {other:?}"),
            Err(error) => error.to_string(),
        };
        assert!(outcome.contains(expected), "{name}: {outcome}");
    }
    let all: Vec<_> = super::super::tests::stream(&pool, tool("broken_off", json!({}))).await.collect().await;
    assert!(matches!(&all[..], [Ok(_), Err(UpstreamError::Gone(_))]), "{all:?}");
}

#[tokio::test]
async fn a_stream_is_taken_up_where_it_ended() {
    let (fake, target) = start(false).await;
    let pool = pool(target);
    assert_eq!(result(&pool, tool("cut", json!({}))).await, json!({ "resumed": true }));
    assert_eq!(fake.count(&Method::GET), 1);
    assert_eq!(result(&pool, tool("cut_inside", json!({}))).await, json!({ "resumed": true }), "half an event is none");
    assert_eq!(result(&pool, tool("polled", json!({}))).await, json!({ "round": 20 }), "as often as the server wants");
    assert_eq!(result(&pool, tool("busy", json!({}))).await, json!({ "calm": true }));
    assert_eq!(fake.seen("tools/call").len(), 4, "each call was sent once");
}

#[tokio::test]
async fn taking_up_is_bounded_by_the_time_of_the_call_and_sends_it_no_second_time() {
    let (fake, mut target) = start(false).await;
    target.call_timeout = Duration::from_millis(700);
    let pool = pool(target);
    for name in ["for_ever", "patient", "deaf", "lost"] {
        let sent = fake.seen("tools/call").len();
        let error = failure(&pool, tool(name, json!({}))).await;
        assert!(error.reached_upstream(), "{name}: {error}");
        let late = matches!(error, UpstreamError::TimedOut(_));
        assert_eq!(late, name != "lost", "{name}: {error}");
        assert_eq!(fake.seen("tools/call").len(), sent + 1, "{name}");
    }
    let asked = fake.count(&Method::GET);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fake.count(&Method::GET), asked, "nobody goes on asking");
}

#[tokio::test]
async fn a_listener_of_a_stateless_server_subscribes_once_and_hears_of_lists_alone() {
    let (fake, target) = start(true).await;
    let pool = pool(target);
    let caller = CallerKey { holder: "agent:a".into(), user: None, capabilities: ClientCapabilities::default() };
    let mut listener = pool.listen(&system(), &caller, Revision::V2026_07_28).await.unwrap();
    let subscribed = fake.seen("subscriptions/listen");
    assert_eq!(subscribed.len(), 1, "the server is asked before the listener is there");
    assert!(subscribed[0].1.contains(r#""toolsListChanged":true"#), "{}", subscribed[0].1);
    let heard = tokio::time::timeout(Duration::from_secs(5), listener.next()).await.unwrap().unwrap();
    assert_eq!(heard, r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    let _second = pool.listen(&system(), &caller, Revision::V2026_07_28).await.unwrap();
    assert_eq!(fake.seen("subscriptions/listen").len(), 1);
    assert_eq!(fake.count(&Method::GET), 0);
}

#[tokio::test]
async fn what_the_server_asks_is_answered_under_its_own_id() {
    let (_, target) = start(false).await;
    let pool = pool(target);
    let mut exchange = super::super::tests::stream(&pool, tool("ask", json!({}))).await;
    let Some(Ok(Event::Ask(ask))) = exchange.next().await else { panic!("no ask") };
    exchange.answers().answer(ask.number, Answer::Result("{\"action\":\"decline\"}".into())).await.unwrap();
    let Some(Ok(Event::Result(raw))) = exchange.next().await else { panic!("no result") };
    let answer: Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!((&answer["id"], &answer["result"]["action"]), (&json!("s1"), &json!("decline")));
}

#[tokio::test]
async fn a_lost_session_is_opened_again_without_anybody_noticing() {
    let (fake, target) = start(false).await;
    let pool = pool(target);
    result(&pool, tool("echo", json!({}))).await;
    fake.sessions.lock().unwrap().clear();
    result(&pool, tool("echo", json!({}))).await;
    assert_eq!(fake.seen("initialize").len(), 3, "control, and the principal's twice");
}

#[tokio::test]
async fn the_credential_goes_out_and_never_comes_back() {
    let (fake, target) = start(false).await;
    let pool = pool(target);
    let Ok(Reply::Error(raw)) = forward(&pool, tool("leak", json!({}))).await else { panic!("no error") };
    assert_eq!(serde_json::from_slice::<Value>(&raw).unwrap()["message"], "denied for ****");
    *fake.key.lock().unwrap() = "another".into();
    let error = failure(&pool, tool("echo", json!({}))).await;
    assert_eq!(error, UpstreamError::CredentialRefused(401));
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_replaced_credential_is_fetched_once_the_old_one_is_refused() {
    let (fake, target) = start(true).await;
    let secrets = Arc::new(OneSecret(Mutex::new(SECRET.into())));
    let pool = Pool::new(Arc::clone(&secrets) as Arc<dyn Secrets>, PoolLimits::default()).unwrap();
    pool.configure([(system(), target)]);
    result(&pool, modern(tool("echo", json!({})))).await;
    *fake.key.lock().unwrap() = "rotated-key".into();
    *secrets.0.lock().unwrap() = "rotated-key".into();
    result(&pool, modern(tool("echo", json!({})))).await;
}

#[tokio::test]
async fn a_listener_hears_what_changes() {
    let (fake, target) = start(false).await;
    let pool = pool(target);
    let caller = CallerKey { holder: "agent:a".into(), user: None, capabilities: ClientCapabilities::default() };
    let mut listener = pool.listen(&system(), &caller, Revision::V2025_11_25).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(5), listener.next()).await.unwrap().unwrap();
    assert!(std::str::from_utf8(&heard).unwrap().contains("tools/list_changed"));
    assert_eq!(fake.count(&Method::GET), 1);
}

#[tokio::test]
async fn nobody_there_is_told_plainly() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let pool = pool(target(Upstream::Http { url, credential: None, accounts: None }));
    let error = failure(&pool, tool("echo", json!({}))).await;
    assert!(matches!(error, UpstreamError::Unreachable(_)), "{error:?}");
    assert!(!error.reached_upstream());
}

#[test]
fn header_values_are_written_as_the_standard_says() {
    for (value, expected) in [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ] {
        assert_eq!(header_text(value), expected);
    }
}
