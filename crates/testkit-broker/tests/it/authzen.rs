//! AuthZEN Authorization API 1.0: other enforcement points ask the same decision point.

use bailiwick_testkit_broker::{
    http_client::{HttpAnswer, HttpClient, Revision, send},
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
