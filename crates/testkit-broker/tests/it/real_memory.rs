//! `@modelcontextprotocol/server-memory`: nested arguments pass unharmed, and deleting many at once wants a person.

use bailiwick_testkit_broker::{
    broker::Broker,
    stdio_client::{StdioClient, codes, denial, succeeded},
    tools::{Need, ready},
};
use serde_json::json;

const CLASSES: &str = r#"
[create_entities]
class = "write"
effect = { records = "len:entities", reversible = true }

[delete_entities]
class = "delete"
each = "entityNames"
resource = { type = "Entity", id = "entityNames" }
effect = { records = "len:entityNames", reversible = false }

[read_graph]
class = "read"
effect = { records = 0, reversible = true }
"#;

const KEEPER: &str = r#"
purpose = "Keep the graph"
allow = ["memory:read", "memory:write", "memory:delete"]
"#;

#[tokio::test]
async fn deleting_much_is_a_gate_and_deleting_little_is_not() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let mut broker = Broker::init(&tools);
    let file = format!("MEMORY_FILE_PATH={}", broker.scratch().join("memory.json").display());
    broker.add_stdio("memory", &["node", &tools.node_server("memory")], &[&file]);
    broker.classify("memory", CLASSES);
    broker.write("roles/keeper.toml", KEEPER);
    broker.publish();
    broker.serve_verified();
    let agent = broker.register("keeper-1", "keeper", &[]);
    let mut client = StdioClient::bridge(&broker, &agent, "memory", &[]).await;

    let entity = |index: usize| json!({ "name": format!("e{index}"), "entityType": "thing", "observations": ["o"] });
    let entities: Vec<_> = (0..120).map(entity).collect();
    succeeded(&client.call("create_entities", json!({ "entities": entities })).await);
    let names: Vec<_> = (0..101).map(|index| format!("e{index}")).collect();
    let denied = client.call("delete_entities", json!({ "entityNames": names })).await;
    assert_eq!(codes(&denied), ["approval_required"], "{denied}");
    assert_eq!(denial(&denied)["gates"][0]["rule"], "bulk-needs-approval", "{denied}");
    let graph = succeeded(&client.call("read_graph", json!({})).await);
    assert!(graph.contains("\"e0\""), "nothing was deleted");

    succeeded(&client.call("delete_entities", json!({ "entityNames": ["e0", "e1"] })).await);
    let graph = succeeded(&client.call("read_graph", json!({})).await);
    assert!(!graph.contains("\"e0\"") && graph.contains("\"e2\""), "two were");
}
