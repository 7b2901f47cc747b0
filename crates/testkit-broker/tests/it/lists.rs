//! Lists are filtered per caller by the policy that decides calls, and say that they are private.

use bailiwick_testkit_broker::{
    fixture::protocol::Speaks,
    http_client::{HttpClient, Revision},
    stdio_client::{StdioClient, names, succeeded},
    tools::{Need, ready},
};
use serde_json::json;

use crate::world::Depot;

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_what_they_could_call() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    for speaks in [Speaks::Handshake, Speaks::Stateless, Speaks::Both] {
        let depot = Depot::http(&tools, speaks).await;
        let reader = depot.broker.register("reader-1", "reader", &[]);
        let clerk = depot.broker.register("clerk-1", "clerk", &[]);
        for revision in [Revision::Handshake, Revision::Stateless] {
            let mut of_reader = HttpClient::connect(&depot.broker, &reader, "depot", revision).await;
            let mut of_clerk = HttpClient::connect(&depot.broker, &clerk, "depot", revision).await;
            let answer = of_reader.ask("tools/list", json!({})).await.message();
            let seen = names(&answer);
            for (tool, shown) in
                [("lookup", true), ("lookup_many", true), ("contact", true), ("write_note", false), ("tidy_up", false)]
            {
                assert_eq!(seen.contains(&tool.to_owned()), shown, "{speaks:?} {revision:?} {tool}: {seen:?}");
            }
            if revision == Revision::Stateless {
                assert_eq!(answer["result"]["cacheScope"], "private", "{answer}");
            }
            let seen = names(&of_clerk.ask("tools/list", json!({})).await.message());
            assert!(seen.contains(&"write_note".to_owned()) && seen.contains(&"delete_notes".to_owned()), "{seen:?}");
            succeeded(&of_reader.call("lookup", json!({ "path": "/public/a" })).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_not_promoted_sees_no_writes() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let clerk = depot.broker.register_new("clerk-1", "clerk", &[]);
    let mut client = StdioClient::bridge(&depot.broker, &clerk, "depot", &[]).await;
    let seen = client.tools().await;
    assert!(seen.contains(&"lookup".to_owned()) && !seen.contains(&"write_note".to_owned()), "{seen:?}");
    depot.broker.run(&["agents", "promote", "clerk-1"]).succeeded();
    // Its token has the scopes of before; a new one has those of now.
    let mut client = StdioClient::bridge(&depot.broker, &clerk, "depot", &[]).await;
    assert!(client.tools().await.contains(&"write_note".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aggregate_has_all_systems_under_their_prefix() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let reader = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &reader, "", Revision::Stateless).await;
    let seen = names(&client.ask("tools/list", json!({})).await.message());
    assert!(seen.contains(&"depot__lookup".to_owned()) && !seen.contains(&"lookup".to_owned()), "{seen:?}");
    let told = succeeded(&client.call("depot__lookup", json!({ "path": "/public/a" })).await);
    assert_eq!(told, r#"lookup {"path":"/public/a"}"#);
    let received = depot.ledger.of("tools/call");
    assert_eq!(received[0].message()["params"]["name"], "lookup", "the upstream knows no prefix");
}
