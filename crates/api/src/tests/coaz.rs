//! What an enforcement point asks that knows nothing but COAZ's default mappings is what the gateway would decide.

use bailiwick_engine::{
    check::{self, Question},
    tokens::Audience,
};
use bailiwick_model::decision::Decision;
use bailiwick_pdp::coaz::{Inputs, defaults};
use bailiwick_testkit_engine::world::operator;
use serde_json::{Value, json};

use super::Scene;

async fn check(scene: &Scene, agent: &str, method: &str, params: Value, named: Option<&str>) -> bool {
    let server = Audience::System("files".parse().unwrap()).resource("https://broker.test");
    let token = json!({"iss": "https://broker.test", "sub": agent, "client_id": agent, "aud": server});
    let defaults::DefaultMapping::Mapped(mapping) = defaults::of(method) else { panic!("{method} is mapped") };
    let asked = mapping.resolve(&Inputs::new(&params, &token).unwrap(), agent).unwrap().remove(0);
    let mut context = asked.context;
    context.insert("mcp_server".to_owned(), server.into());
    context.extend(params.get("arguments").map(|arguments| ("arguments".to_owned(), arguments.clone())));
    let body = json!({
        "subject": {"type": asked.subject.kind, "id": asked.subject.id},
        "action": {"name": asked.action.name},
        "resource": {"type": asked.resource.kind, "id": asked.resource.id},
        "context": context,
    });
    let answer = scene.asking("gate", "/access/v1/evaluation", body.clone()).await;
    let question = Question {
        agent: agent.parse().unwrap(),
        system: "files".parse().unwrap(),
        method: method.to_owned(),
        name: named.map(str::to_owned),
        arguments: params.get("arguments").and_then(Value::as_object).cloned().unwrap_or_default(),
        task: None,
        scopes: None,
        address: None,
    };
    let own = check::check(&scene.world.broker, &operator(), question, Vec::new()).await.unwrap();
    let allowed = matches!(own.decision, Decision::Allow { .. });
    assert_eq!((answer.status, answer.json()["decision"].as_bool()), (200, Some(allowed)), "{body} {}", answer.text);
    allowed
}

#[tokio::test]
async fn the_default_mappings_ask_for_the_gateways_own_decisions() {
    let scene = Scene::new().await;
    let arguments = json!({"path": "/data/a.txt"});
    let both = json!({"path": "/data/a.txt", "content": "x"});
    let mut allowed = Vec::new();
    for (agent, method, params, named) in [
        ("reader", "tools/call", json!({"name": "read_text_file", "arguments": arguments}), Some("read_text_file")),
        ("reader", "tools/call", json!({"name": "read_text_file", "arguments": {}}), Some("read_text_file")),
        ("reader", "tools/call", json!({"name": "write_file", "arguments": both}), Some("write_file")),
        ("reader", "tools/call", json!({"name": "format_disk", "arguments": {}}), Some("format_disk")),
        ("nobody", "tools/call", json!({"name": "read_text_file", "arguments": arguments}), Some("read_text_file")),
        ("reader", "resources/read", json!({"uri": "file:///data/a.txt"}), Some("file:///data/a.txt")),
        ("reader", "resources/subscribe", json!({"uri": "file:///data/a.txt"}), Some("file:///data/a.txt")),
        ("reader", "prompts/get", json!({"name": "greeting"}), Some("greeting")),
        ("reader", "completion/complete", json!({"ref": {"type": "ref/prompt", "name": "greeting"}}), Some("greeting")),
        ("reader", "logging/setLevel", json!({"level": "debug"}), Some("debug")),
        ("reader", "tools/list", json!({}), None),
    ] {
        allowed.push(check(&scene, agent, method, params, named).await);
    }
    assert!(allowed.contains(&true) && allowed.contains(&false), "{allowed:?}");
}
