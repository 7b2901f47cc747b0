//! Field classes are masked in the text and in the structured result alike; a result that cannot be read is withheld.

use bailiwick_testkit_broker::{
    fixture::protocol::Speaks,
    http_client::{HttpClient, Revision},
    tools::{Need, ready},
};
use serde_json::json;

use crate::world::Depot;

const ROLE: &str = r#"
purpose = "Look contacts up, without their addresses"
"#;

const PERMIT: &str = r#"
@id("front-desk-sees-contacts")
@obligation("mask=pii")
permit (principal in Bailiwick::Role::"front-desk", action == Bailiwick::Action::"depot.contact", resource);

@id("front-desk-reads-a-little")
@obligation("result_bytes_max=8")
permit (principal in Bailiwick::Role::"front-desk", action == Bailiwick::Action::"depot.lookup", resource);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_field_is_masked_everywhere() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    for speaks in [Speaks::Handshake, Speaks::Stateless] {
        let depot = Depot::http(&tools, speaks).await;
        depot.broker.write("roles/front-desk.toml", ROLE);
        depot.broker.write("policies/roles/front-desk.cedar", PERMIT);
        depot.broker.publish();
        let agent = depot.broker.register("desk-1", "front-desk", &[]);
        for revision in [Revision::Handshake, Revision::Stateless] {
            let mut client = HttpClient::connect(&depot.broker, &agent, "depot", revision).await;
            let answer = client.call("contact", json!({ "id": "1" })).await;
            let told = answer.to_string();
            assert!(told.contains("Ada") && told.contains("Bob"), "{told}");
            assert!(!told.contains("@example.com"), "{told}");
            let structured = &answer["result"]["structuredContent"];
            assert!(structured["colleagues"][0]["name"] == "Bob", "{told}");
            let text: serde_json::Value =
                serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
            assert_eq!(&text, structured, "text and structure say the same");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_above_its_bound_is_withheld() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    depot.broker.write("roles/front-desk.toml", ROLE);
    depot.broker.write("policies/roles/front-desk.cedar", PERMIT);
    depot.broker.publish();
    let agent = depot.broker.register("desk-1", "front-desk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let answer = client.call("lookup", json!({ "path": "/public/a" })).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(!answer.to_string().contains("lookup {"), "{answer}");
    assert_eq!(depot.ledger.acts(), 1, "it was called; what came of it stays here");
}
