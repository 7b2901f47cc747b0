//! The instruments are right: the fixture answers, counts, changes, and both foreign clients can be driven.

use bailiwick_testkit_broker::{
    fixture::{
        control::{Control, Switch},
        http::HttpFixture,
        ledger::Ledger,
        protocol::{Protocol, Speaks},
    },
    stdio_client::{StdioClient, names, succeeded},
    tools::{Need, ready},
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    clients::{inspector, python},
    world::FIXTURE,
};

fn fixture(folder: &std::path::Path) -> Vec<String> {
    let word = |name: &str| folder.join(name).to_string_lossy().into_owned();
    vec![FIXTURE.into(), "--ledger".into(), word("ledger"), "--control".into(), word("")]
}

#[tokio::test]
async fn it_answers_and_writes_down_what_came() {
    let folder = tempfile::tempdir().unwrap();
    let words = fixture(folder.path());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let mut client = StdioClient::start(command).await;
    let (ledger, control) = (Ledger::new(folder.path().join("ledger")), Control::new(folder.path()));

    let before = client.ask("tools/list", json!({})).await;
    assert!(names(&before).contains(&"lookup".to_owned()));
    assert_eq!(ledger.acts(), 0, "handshake and lists do not act");

    let told = succeeded(&client.call("lookup", json!({ "path": "/a" })).await);
    assert_eq!(told, r#"lookup {"path":"/a"}"#);
    assert_eq!(ledger.acts(), 1);
    assert_eq!(ledger.of("tools/call")[0].message()["params"]["arguments"], json!({ "path": "/a" }));

    control.set(Switch::Changed, true);
    let after = client.ask("tools/list", json!({})).await;
    assert_ne!(before["result"], after["result"], "one byte more");
    assert_eq!(client.close().await, Some(0));
}

#[tokio::test]
async fn a_call_that_hangs_can_be_cancelled_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let words = fixture(folder.path());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let mut client = StdioClient::start(command).await;
    let hanging = client.begin("tools/call", json!({ "name": "misbehave", "arguments": { "how": "hang" } })).await;
    client.call("lookup", json!({ "path": "/a" })).await;
    let params = json!({ "requestId": hanging });
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
    assert_eq!(client.close().await, Some(0));
}

#[tokio::test]
async fn it_speaks_the_revisions_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path().join("ledger"));
    let meta = json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } });
    let modern = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": meta });
    let old = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {} });
    for (speaks, takes_modern, takes_old) in
        [(Speaks::Both, true, true), (Speaks::Stateless, true, false), (Speaks::Handshake, false, true)]
    {
        let protocol = Protocol::new(speaks, Control::new(folder.path()));
        let upstream = HttpFixture::start(protocol, ledger.clone()).await;
        for (message, taken) in [(&modern, takes_modern), (&old, takes_old)] {
            let ask = reqwest::Client::new().post(upstream.url()).body(message.to_string());
            let answer: Value = ask.send().await.unwrap().json().await.unwrap();
            assert_eq!(answer.get("result").is_some(), taken, "{speaks:?} {message}: {answer}");
        }
    }
    assert_eq!(ledger.received().len(), 6);
}

#[tokio::test]
async fn over_http_slow_calls_stream_their_progress() {
    let folder = tempfile::tempdir().unwrap();
    let protocol = Protocol::new(Speaks::Both, Control::new(folder.path()));
    let upstream = HttpFixture::start(protocol, Ledger::new(folder.path().join("ledger"))).await;
    let params = json!({ "name": "slow", "arguments": { "ms": 40 }, "_meta": { "progressToken": 7 } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let told = reqwest::Client::new().post(upstream.url()).body(body).send().await.unwrap().text().await.unwrap();
    assert_eq!(told.matches("notifications/progress").count(), 4, "{told}");
    assert!(told.contains("slow, but here"), "{told}");
}

#[test]
fn the_python_sdk_can_be_driven() {
    let Some(tools) = ready(&[Need::Python]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let words = fixture(folder.path());
    for mode in ["auto", "legacy"] {
        let plan = json!({
            "stdio": { "command": words[0], "args": words[1..] }, "mode": mode,
            "steps": [["list_tools"], ["call_tool", "lookup", { "path": "/a" }]],
        });
        let told = python(&tools, &plan);
        assert_eq!(told[0]["tools"][0]["name"], "lookup", "{told}");
        assert_eq!(told[1]["content"][0]["text"], r#"lookup {"path":"/a"}"#, "{told}");
    }
}

#[test]
fn the_inspector_can_be_driven() {
    let Some(tools) = ready(&[Need::Node]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let words = fixture(folder.path());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let told = inspector(&tools, &words, &[], &["--method", "tools/list"]);
    assert_eq!(told["tools"][0]["name"], "lookup", "{told}");
    let call = ["--method", "tools/call", "--tool-name", "lookup", "--tool-arg", "path=/a"];
    let told = inspector(&tools, &words, &[], &call);
    assert_eq!(told["content"][0]["text"], r#"lookup {"path":"/a"}"#, "{told}");
}
