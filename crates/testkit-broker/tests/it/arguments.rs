//! What a message says is read once and strictly: whatever two parsers could read differently, is too large or too
//! deep, or names things by another spelling, never gets to the upstream.

use bailiwick_testkit_broker::{
    http_client::{HttpClient, Revision, send},
    stdio_client::{codes, succeeded},
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_could_be_read_in_two_ways_are_refused() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let good = client.message("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } }));
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let wrong = [
        ("a path twice", good.replace(r#"{"path":"/public/a"}"#, r#"{"path":"/private/a","path":"/public/a"}"#)),
        ("a name twice", good.replace(r#""name":"lookup""#, r#""name":"write_note","name":"lookup""#)),
        ("a method twice", good.replace(r#""method":"#, r#""method":"ping","method":"#)),
        (
            "an escaped twin",
            good.replace(r#"{"path":"/public/a"}"#, r#"{"pa\u0074h":"/private/a","path":"/public/a"}"#),
        ),
        ("a lone surrogate", good.replace("/public/a", r"/public/\ud800")),
        ("too deep", good.replace(r#""/public/a""#, &deep)),
        ("a batch", format!("[{good}]")),
        ("an id that is a fraction", good.replace(r#""id":"#, r#""id":0.5,"x":"#)),
        ("not JSON", good.replace('{', "(")),
    ];
    for (name, body) in wrong {
        assert_ne!(body, good, "{name} changed nothing");
        let answer = client.post(body).await;
        let told = answer.messages();
        let allowed = told.iter().any(|message| message.pointer("/result/content").is_some());
        assert!(!allowed && !answer.status.is_server_error(), "{name}: {} {}", answer.status, answer.body);
    }
    // The broker may hang up before all of it was sent.
    let large = client.bare(good.replace("/public/a", &"a".repeat(5 * 1_024 * 1_024)));
    let proof = client.proof("POST", client.resource(), Some(&client.token));
    let large = large.header("authorization", format!("DPoP {}", client.token)).header("dpop", proof).send().await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 413));

    assert_eq!(depot.ledger.acts(), 0);
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_disagree_with_the_body_are_refused() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let lookup = json!({ "name": "lookup", "arguments": { "path": "/public/a" } });
    succeeded(&client.ask("tools/call", lookup.clone()).await.message());
    let before = depot.ledger.acts();
    for (header, value) in [
        ("mcp-method", "tools/list"),
        ("mcp-name", "write_note"),
        ("mcp-protocol-version", "2025-11-25"),
        ("origin", "https://evil.example"),
        ("host", "evil.example"),
    ] {
        let body = client.message("tools/call", lookup.clone());
        let proof = client.proof("POST", client.resource(), Some(&client.token));
        let mut ask = client.bare(body).header("authorization", format!("DPoP {}", client.token));
        ask = ask.header("dpop", proof);
        let mut ask = ask.build().unwrap();
        ask.headers_mut().insert(header, value.parse().unwrap());
        let answer = reqwest::Client::new().execute(ask).await.unwrap();
        assert!(answer.status().is_client_error(), "{header}: {}", answer.status());
    }
    assert_eq!(depot.ledger.acts(), before);
}

/// A call of `tool` that must be denied with `code` before anything reaches the upstream.
async fn check_denied(depot: &Depot, client: &mut HttpClient<'_>, tool: &str, arguments: Value, code: &str) {
    let before = depot.ledger.acts();
    let answer = client.call(tool, arguments.clone()).await;
    assert!(codes(&answer).contains(&code.to_owned()), "{tool} {arguments}: {answer}");
    assert_eq!(depot.ledger.acts(), before, "{tool} {arguments}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_element_of_an_array_must_be_allowed() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    for revision in [Revision::Stateless, Revision::Handshake] {
        let mut client = HttpClient::connect(&depot.broker, &agent, "depot", revision).await;
        let many = |paths: Value| json!({ "paths": paths });
        succeeded(&client.call("lookup_many", many(json!(["/public/a", "/public/b"]))).await);
        let forbidden = [
            json!(["/private/a"]),
            json!(["/public/a", "/private/a"]),
            json!(["/public/a", "/public/../private/a"]),
            json!(["/public/a", "/public/./../private/a"]),
            json!(["/public/a", "/private/"]),
            json!(["/public/a", "/public//..//private/a"]),
            json!(["/public/a", "/publicly/a"]),
        ];
        for paths in forbidden {
            check_denied(&depot, &mut client, "lookup_many", many(paths), "forbidden").await;
        }
        let too_many: Vec<String> = (0..257).map(|index| format!("/public/{index}")).collect();
        check_denied(&depot, &mut client, "lookup_many", many(json!(too_many)), "operation_count").await;
        check_denied(&depot, &mut client, "lookup_many", many(json!([])), "operation_count").await;
        check_denied(&depot, &mut client, "lookup_many", json!({}), "argument_invalid").await;
        check_denied(&depot, &mut client, "lookup_many", many(json!("/public/a")), "argument_invalid").await;
        check_denied(&depot, &mut client, "lookup_many", many(json!(["/public/a", 7])), "argument_invalid").await;
        check_denied(&depot, &mut client, "lookup", json!({ "path": "public/a" }), "argument_invalid").await;
        check_denied(&depot, &mut client, "lookup", json!({ "path": "/public\\..\\a" }), "argument_invalid").await;
        check_denied(&depot, &mut client, "lookup", json!({ "path": "/public/\u{0}" }), "argument_invalid").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_listed_cannot_be_called_either() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let note = json!({ "id": "1", "text": "x" });
    check_denied(&depot, &mut client, "write_note", note.clone(), "no_permit").await;
    check_denied(&depot, &mut client, "tidy_up", json!({}), "no_permit").await;
    for name in ["nothing_of_the_kind", "lооkup", "LOOKUP", "lookup ", "depot__lookup", ""] {
        let answer = client.ask("tools/call", json!({ "name": name, "arguments": { "path": "/public/a" } })).await;
        let allowed = answer.messages().iter().any(|message| message.pointer("/result/isError") == Some(&json!(false)));
        assert!(!allowed, "{name}: {}", answer.body);
    }
    for method in ["tools/callx", "sampling/createMessage", "roots/list", "tasks/get"] {
        let answer = client.ask(method, json!({})).await;
        assert!(answer.messages().iter().all(|message| message.get("result").is_none()), "{method}: {}", answer.body);
    }
    assert_eq!(depot.ledger.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_gets_the_bytes_that_were_decided_on() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    // Spelling, order, numbers and unknown members are the sender's.
    let arguments = r#"{ "note":"\u00e9 1.0e2", "path" : "/public/./a" }"#;
    let body = client.message("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } }));
    let body = body.replace(r#"{"path":"/public/a"}"#, arguments);
    assert!(body.contains(arguments));
    let proof = client.proof("POST", client.resource(), Some(&client.token));
    let ask = client.bare(body).header("authorization", format!("DPoP {}", client.token)).header("dpop", proof);
    let answer = send(ask).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    let received = depot.ledger.of("tools/call");
    assert_eq!(received.len(), 1);
    assert!(received[0].raw.contains(arguments), "{}", received[0].raw);
}
