//! What must never reach an upstream. Every case ends with a look at its counter.

use bailiwick_gateway::envelope;
use serde_json::{Value, json};

use crate::bench::{Answered, Bench, Caller, HANDSHAKE, STATELESS, read};

fn call(name: &str, arguments: &str) -> String {
    let meta = format!(
        r#"{{"io.modelcontextprotocol/protocolVersion":"{STATELESS}","io.modelcontextprotocol/clientCapabilities":{{}}}}"#
    );
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments},"_meta":{meta}}}}}"#
    )
}

/// Sends `body` with the headers of a stateless tool call.
async fn sent(caller: &Caller, name: &str, body: impl Into<reqwest::Body>) -> Answered {
    let builder = caller
        .post()
        .header("mcp-protocol-version", STATELESS)
        .header("mcp-method", "tools/call")
        .header("mcp-name", name);
    read(builder.body(body)).await
}

/// A body over the limit is refused before it was read, so a client that still writes may find the connection closed
/// instead of the answer on it.
async fn too_long(worker: &Caller) {
    let body = call("read_note", &format!(r#"{{"path":"{}"}}"#, "x".repeat(5 << 20)));
    let builder = worker.post().header("mcp-protocol-version", STATELESS).header("mcp-method", "tools/call");
    match builder.header("mcp-name", "read_note").body(body).send().await {
        Ok(answer) => assert_eq!(answer.status().as_u16(), 413),
        Err(error) => assert!(error.is_request(), "{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_two_parsers_could_read_differently_go_nowhere() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let check = async |name: &str, body: String, status: u16| {
        let answer = sent(&worker, name, body.clone()).await;
        assert_eq!(answer.status, status, "{} {answer:?}", &body[..body.len().min(200)]);
    };
    // First what works, so that the rest fails for its own reason.
    check("read_note", call("read_note", r#"{"path":"/a"}"#), 200).await;
    assert_eq!(bench.seen.acts(), 1);
    // The header names one tool, the body another.
    check("read_note", call("write_note", r#"{"path":"/a"}"#), 400).await;
    // Duplicate keys at every level.
    check("read_note", call("read_note", r#"{"path":"/a","path":"/secret/a"}"#), 400).await;
    check("read_note", call("read_note", r#"{"path":"/a"}"#).replace(r#""id":1"#, r#""id":1,"id":2"#), 400).await;
    check("read_note", call("read_note", r#"{"path":"/a"},"name":"delete_note""#), 400).await;
    check("read_note", call("read_note", r#"{"p\u0061th":"/secret","path":"/a"}"#), 400).await;
    // Too deep, too long, not JSON, a batch, lone surrogates, an id that is a float.
    check("read_note", call("read_note", &format!("{}1{}", "[".repeat(100), "]".repeat(100))), 400).await;
    too_long(&worker).await;
    check("read_note", "{".to_owned(), 400).await;
    check("read_note", format!("[{}]", call("read_note", "{}")), 400).await;
    check("read_note", call("read_note", r#"{"path":"\ud800"}"#), 400).await;
    check("read_note", call("read_note", r#"{"path":"/a"}"#).replace(r#""id":1"#, r#""id":1.0"#), 400).await;
    check("read_note", call("read_note", r#"{"path":"/a"}"#).replace(r#""id":1"#, r#""id":null"#), 400).await;
    assert_eq!(bench.seen.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn header_and_body_must_agree() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let body = call("read_note", r#"{"path":"/a"}"#);
    let check = async |headers: &[(&str, &str)], status: u16, code: i64| {
        let builder = headers.iter().fold(worker.post(), |builder, (name, value)| builder.header(*name, *value));
        let answer = read(builder.body(body.clone())).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{headers:?} {answer:?}");
    };
    let (v, m, n) = (("mcp-protocol-version", STATELESS), ("mcp-method", "tools/call"), ("mcp-name", "read_note"));
    check(&[v, n], 400, -32_020).await;
    check(&[v, m], 400, -32_020).await;
    check(&[m, n], 400, -32_020).await;
    check(&[v, ("mcp-method", "tools/list"), n], 400, -32_020).await;
    check(&[v, m, ("mcp-name", "=?base64?ZGVsZXRlX25vdGU=?=")], 400, -32_020).await;
    check(&[("mcp-protocol-version", HANDSHAKE), m, n], 400, -32_020).await;
    check(&[("mcp-protocol-version", "1999-01-01"), m, n], 400, -32_020).await;
    assert_eq!(bench.seen.acts(), 0);
    check(&[v, m, ("mcp-name", "=?base64?cmVhZF9ub3Rl?=")], 200, 0).await;
    assert_eq!(bench.seen.acts(), 1);
    let answer = worker.call("server/discover", json!({ "_meta": {} })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let unknown = worker
        .post()
        .header("mcp-protocol-version", "1999-01-01")
        .body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let answer = read(unknown).await;
    assert_eq!((answer.status, answer.code()), (400, -32_022));
    assert_eq!(answer.message()["error"]["data"]["supported"][0], STATELESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_nobody_listed_are_refused() {
    let bench = Bench::new().await;
    let mut worker = bench.worker().await;
    for method in ["tasks/list", "tools/delete", "initialize", "ping", "logging/setLevel", "sampling/createMessage"] {
        let answer = worker.call(method, json!({ "level": "debug" })).await;
        assert_eq!((answer.status, answer.code()), (404, -32_601), "{method} {answer:?}");
    }
    worker.open_session(json!({})).await;
    for method in ["tasks/get", "server/discover", "subscriptions/listen", "elicitation/create"] {
        let answer = worker.in_session(9, method, json!({})).await;
        assert_eq!((answer.status, answer.code()), (200, -32_601), "{method}");
    }
    assert_eq!(bench.seen.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_on_the_list_cannot_be_called_either() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let idle = bench.agent("idler", "idle", "/mcp/notes", None).await;
    let check = async |caller: &Caller, tool: &str, reason: &str| {
        let answer = caller.tool(tool, json!({ "path": "/a" })).await;
        let message = answer.message();
        let denial =
            if message.get("error").is_some() { &message["error"]["data"] } else { &message["result"]["_meta"] };
        assert_eq!(denial["bailiwick/denial"]["reasons"][0]["code"], reason, "{tool} {answer:?}");
    };
    check(&worker, "delete_note", "no_permit").await;
    check(&worker, "new_tool", "unknown_tool").await;
    check(&worker, "no such tool", "unknown_tool").await;
    check(&idle, "read_note", "no_permit").await;
    assert_eq!(bench.seen.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_changed_is_not_called() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    assert_eq!(worker.tool("read_note", json!({ "path": "/a" })).await.message()["result"]["isError"], Value::Null);
    bench.seen.changed.store(true, std::sync::atomic::Ordering::SeqCst);
    bench.look().await;
    let answer = worker.tool("read_note", json!({ "path": "/a" })).await.message();
    assert_eq!(answer["result"]["_meta"]["bailiwick/denial"]["reasons"][0]["code"], "definition_changed", "{answer}");
    assert_eq!(bench.seen.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_serves_once_and_for_its_own_message() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let proof = worker.proof("POST");
    let send = async |proof: &str| {
        let builder = worker.with_proof(bench.http.post(&worker.url), proof);
        let builder = builder
            .header("mcp-protocol-version", STATELESS)
            .header("mcp-method", "tools/call")
            .header("mcp-name", "read_note");
        read(builder.body(call("read_note", r#"{"path":"/a"}"#))).await
    };
    assert_eq!(send(&proof).await.status, 200);
    let replayed = send(&proof).await;
    assert_eq!(replayed.status, 401, "{replayed:?}");
    assert!(replayed.headers["www-authenticate"].to_str().unwrap().contains("invalid_dpop_proof"));
    assert_eq!(send(&worker.proof("GET")).await.status, 401);
    // Lists use the proof up too.
    let proof = worker.proof("POST");
    let list = async || {
        let builder = worker.with_proof(bench.http.post(&worker.url), &proof);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
            "io.modelcontextprotocol/protocolVersion": STATELESS, "io.modelcontextprotocol/clientCapabilities": {} } } });
        read(
            builder.header("mcp-protocol-version", STATELESS).header("mcp-method", "tools/list").body(body.to_string()),
        )
        .await
    };
    assert_eq!(list().await.status, 200);
    assert_eq!(list().await.status, 401);
    assert_eq!(bench.seen.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_token_opens_an_endpoint() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    // No token at all: where to get one is told.
    let answer = read(bench.http.post(&worker.url).body("{}")).await;
    assert_eq!(answer.status, 401);
    assert!(answer.headers["www-authenticate"].to_str().unwrap().contains("resource_metadata"));
    // A token of another resource.
    let mut elsewhere = bench.agent("elsewhere", "worker", "/mcp/notes", None).await;
    elsewhere.url = elsewhere.url.replace("/mcp/notes", "/mcp/other");
    assert_eq!(elsewhere.tool("read_note", json!({})).await.status, 401);
    elsewhere.url = elsewhere.url.replace("/mcp/other", "/mcp");
    assert_eq!(elsewhere.tool("notes__read_note", json!({})).await.status, 401);
    assert_eq!(bench.seen.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tricked_browser_gets_nowhere() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let body = call("read_note", r#"{"path":"/a"}"#);
    let send = async |name: &str, value: &str| {
        let builder = worker.post().header("mcp-protocol-version", STATELESS).header("mcp-method", "tools/call");
        read(builder.header("mcp-name", "read_note").header(name, value).body(body.clone())).await.status
    };
    assert_eq!(send("origin", "https://evil.example").await, 403);
    assert_eq!(send("origin", "null").await, 403);
    assert_eq!(send("host", "evil.example").await, 421);
    assert_eq!(bench.seen.acts(), 0);
    assert_eq!(send("origin", &worker.url.replace("/mcp/notes", "")).await, 200);
    // A form cannot send this type, and a client must understand both answers.
    let plain = worker
        .stateless("tools/call", json!({ "name": "read_note", "arguments": {} }))
        .header("content-type", "text/plain");
    assert!(matches!(read(plain).await.status, 400 | 415));
    assert_eq!(read(bench.http.put(&worker.url)).await.status, 405);
    assert_eq!(bench.seen.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_decided_on_are_the_bytes_that_are_sent() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let arguments = r#"{ "path" : "/a", "text":"\u00e9 é", "times": 1 , "extra":{"n":1.50} }"#;
    let answer = sent(&worker, "write_note", call("write_note", arguments)).await;
    assert_eq!(answer.message()["result"]["isError"], Value::Null, "{answer:?}");
    let body = bench.seen.last_body();
    let params = envelope::member(&body, "params").unwrap();
    assert_eq!(envelope::member(params, "arguments"), Some(arguments));
}
