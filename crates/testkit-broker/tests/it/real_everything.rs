//! `@modelcontextprotocol/server-everything`: the parts of the protocol beside plain calls, in both revisions, and a
//! child process that sees none of the broker's environment.

use bailiwick_testkit_broker::{
    broker::Broker,
    http_client::{HttpClient, Revision},
    stdio_client::{StdioClient, succeeded},
    tools::{Need, Tools, ready},
};
use serde_json::json;

const CLASSES: &str = r#"
[echo]
class = "read"
effect = { records = 0, reversible = true }

[get-env]
class = "read"
effect = { records = 0, reversible = true }

[get-structured-content]
class = "read"
effect = { records = 0, reversible = true }

[trigger-long-running-operation]
class = "read"
effect = { records = 0, reversible = true }
"#;

fn world(tools: &Tools) -> Broker {
    let mut broker = Broker::init(tools);
    broker.add_stdio("everything", &["node", &tools.node_server("everything")], &["GREETING=hello"]);
    broker.classify("everything", CLASSES);
    let permit = "@id(\"reader-uses-the-rest\")\npermit (principal in Bailiwick::Role::\"reader\", \
                  action in Bailiwick::Action::\"everything:read\", resource);\n";
    broker.write("policies/roles/everything.cedar", permit);
    broker.publish();
    broker.serve_verified();
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_prompts_resources_and_progress_in_both_revisions() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let broker = world(&tools);
    let agent = broker.register("reader-1", "reader", &[]);
    for revision in [Revision::Handshake, Revision::Stateless] {
        let mut client = HttpClient::connect(&broker, &agent, "everything", revision).await;
        let told = succeeded(&client.call("echo", json!({ "message": "hi" })).await);
        assert!(told.contains("hi"), "{told}");
        let structured = client.call("get-structured-content", json!({ "location": "New York" })).await;
        assert!(structured["result"]["structuredContent"].is_object(), "{structured}");

        let prompts = client.ask("prompts/list", json!({})).await.message();
        let name = prompts["result"]["prompts"][0]["name"].as_str().unwrap_or_else(|| panic!("{prompts}")).to_owned();
        let prompt = client.ask("prompts/get", json!({ "name": name })).await.message();
        assert!(prompt["result"]["messages"].is_array(), "{prompt}");

        let resources = client.ask("resources/list", json!({})).await.message();
        let uri = resources["result"]["resources"][0]["uri"].as_str().unwrap_or_else(|| panic!("{resources}"));
        let read = client.ask("resources/read", json!({ "uri": uri })).await.message();
        assert!(read["result"]["contents"].is_array(), "{read}");

        let long = json!({
            "name": "trigger-long-running-operation", "arguments": { "duration": 1, "steps": 3 },
            "_meta": { "progressToken": "p1" },
        });
        let answer = client.ask("tools/call", long).await;
        let progress = answer.messages().iter().filter(|message| message["method"] == "notifications/progress").count();
        assert!(progress >= 1, "{revision:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_child_sees_what_its_system_declares_and_no_more() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let broker = world(&tools);
    let agent = broker.register("reader-1", "reader", &[]);
    let mut client = StdioClient::bridge(&broker, &agent, "everything", &[]).await;
    let told = succeeded(&client.call("get-env", json!({})).await);
    assert!(told.contains("GREETING") && told.contains("hello"), "{told}");
    for name in ["BAILIWICK_CONFIG", "HOME", "CARGO"] {
        assert!(!told.contains(name), "{name} is nobody's business: {told}");
    }
}
