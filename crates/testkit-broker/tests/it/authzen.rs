//! AuthZEN Authorization API 1.0: other enforcement points ask the same decision point.

use bailiwick_testkit_broker::{
    http_client::{HttpAnswer, HttpClient, Revision, send},
    stdio_client::succeeded,
    tools::{Need, ready},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::Depot;

/// Asks for an evaluation with the token and a proof of `client`.
async fn evaluate(client: &HttpClient<'_>, url: &str, body: &Value) -> HttpAnswer {
    let endpoint = format!("{url}/access/v1/evaluation");
    let proof = client.proof("POST", &endpoint, Some(&client.token));
    let ask = reqwest::Client::new().post(&endpoint).header("authorization", format!("DPoP {}", client.token));
    send(ask.header("dpop", proof).header("content-type", "application/json").body(body.to_string())).await
}

fn question(agent: &str, tool: &str, path: &str) -> Value {
    json!({
        "subject": { "type": "agent", "id": agent },
        "action": { "name": format!("depot.{tool}") },
        "resource": { "type": "tool", "id": format!("depot.{tool}") },
        "context": { "arguments": { "path": path } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_callers_ask_and_nobody_else() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let url = depot.broker.url();
    let asker = depot.broker.register("asker", "reader", &["--scope", "access:evaluate"]);
    let reader = depot.broker.register("reader-1", "reader", &[]);
    let metadata = send(reqwest::Client::new().get(format!("{url}/.well-known/authzen-configuration"))).await;
    assert_eq!(metadata.status, StatusCode::OK, "{}", metadata.body);
    let metadata = metadata.message_or_body();
    assert_eq!(metadata["access_evaluation_endpoint"], format!("{url}/access/v1/evaluation"));

    let client = HttpClient::connect_at(&depot.broker, &asker, "/access/v1").await;
    let allowed = evaluate(&client, &url, &question("reader-1", "lookup", "/public/a")).await;
    assert_eq!(allowed.status, StatusCode::OK, "{}", allowed.body);
    assert_eq!(allowed.message_or_body()["decision"], true, "{}", allowed.body);
    let denied = evaluate(&client, &url, &question("reader-1", "lookup", "/private/a")).await;
    assert_eq!(denied.message_or_body()["decision"], false, "{}", denied.body);
    assert!(denied.body.contains("only-public-items"), "{}", denied.body);
    let unknown = evaluate(&client, &url, &question("nobody", "lookup", "/public/a")).await;
    assert_eq!(unknown.message_or_body()["decision"], false, "{}", unknown.body);

    let other = HttpClient::connect(&depot.broker, &reader, "depot", Revision::Stateless).await;
    let refused = evaluate(&other, &url, &question("reader-1", "lookup", "/public/a")).await;
    assert!(refused.status.is_client_error(), "{} {}", refused.status, refused.body);
    assert_eq!(depot.ledger.acts(), 0, "asking does not act");
}

/// A note may be written by whoever may look up the card that its id stands for.
const MAPPING: &str = r#"
[write_note]
class = "write"
resource = { type = "Note", id = "id" }
effect = { records = 1, reversible = true }

[write_note.authzen.evaluation]
action = { name = "depot.lookup" }
resource = { type = "Item", id = "$params.arguments.id.startsWith('open-') ? '/public/card' : '/private/card'" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mapping_asks_for_is_decided_before_anything_is_sent() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("clerk-1", "clerk", &[]);
    // No pattern matching in these expressions: refused when the bundle is made, not when it is used.
    depot.broker.classify("depot", &MAPPING.replace("startsWith", "matches"));
    let refused = depot.broker.run(&["policy", "publish"]);
    assert!(refused.stderr.contains("authzen-invalid"), "{}", refused.stderr);
    depot.broker.classify("depot", MAPPING);
    depot.broker.publish();
    depot.broker.wait_until_verified();
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let denied = client.call("write_note", json!({ "id": "closed-1", "text": "x" })).await;
    assert!(denied.to_string().contains("only-public-items"), "{denied}");
    assert_eq!(depot.ledger.acts(), 0, "nothing was sent");
    succeeded(&client.call("write_note", json!({ "id": "open-1", "text": "x" })).await);
    assert_eq!(depot.ledger.acts(), 1);
}
