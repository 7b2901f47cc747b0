//! Tasks: a hijacked agent gets no further than the work that it was given.

use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    http_client::{HttpClient, Revision},
    stdio_client::{StdioClient, codes, denial, succeeded},
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

const PROMPT: &str = "write to jane@example.com about order 4711, and refund at most 50 euros";

/// Makes the task of these stories and gives its id.
fn create(broker: &Broker, agent: &Agent) -> String {
    let file = broker.scratch().join("prompt.txt").to_string_lossy().into_owned();
    std::fs::write(&file, PROMPT).unwrap();
    let mut words = vec!["tasks", "create", "--agent", &agent.name, "--purpose", "answer order 4711"];
    words.extend(["--prompt", &file, "--minutes", "10", "--output", "json"]);
    for tool in ["depot.lookup", "depot.lookup_many", "depot.refund", "depot.send_mail"] {
        words.extend(["--tool", tool]);
    }
    for pin in [
        "depot.lookup:path=under:/public/orders",
        "depot.lookup_many:paths=under:/public/orders",
        "depot.refund:order=\"4711\"",
        "depot.refund:cents=at-most:5000",
        "depot.send_mail:to=jane@example.com",
    ] {
        words.extend(["--pin", pin]);
    }
    let made = broker.run(&words).succeeded().json();
    made["id"].as_str().unwrap_or_else(|| panic!("no id: {made}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_hold_for_every_argument_and_every_element() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let task = create(&depot.broker, &clerk);
    let client = HttpClient::connect_in(&depot.broker, &clerk, "depot", Revision::Stateless, Some(&task));
    let mut client = client.await;
    let allowed: [(&str, Value); 4] = [
        ("lookup", json!({ "path": "/public/orders/4711" })),
        ("lookup_many", json!({ "paths": ["/public/orders/4711", "/public/orders/./4712"] })),
        ("send_mail", json!({ "to": "jane@example.com", "body": "x" })),
        ("send_mail", json!({ "to": "jane@example.com", "subject": "free", "body": "x" })),
    ];
    for (tool, arguments) in allowed {
        let answer = client.call(tool, arguments.clone()).await;
        assert_ne!(answer["result"]["isError"], true, "{tool} {arguments}: {answer}");
    }
    let before = depot.ledger.acts();
    let denied: [(&str, Value, &str); 10] = [
        ("lookup", json!({ "path": "/public/other" }), "task_pin"),
        ("lookup", json!({ "path": "/public/orders/../other" }), "task_pin"),
        ("lookup", json!({ "path": "/public/ordersx/1" }), "task_pin"),
        ("lookup_many", json!({ "paths": ["/public/orders/1", "/public/x"] }), "task_pin"),
        ("send_mail", json!({ "to": "eve@example.com", "body": "x" }), "task_pin"),
        ("send_mail", json!({ "to": "jane@example.com.evil.example", "body": "x" }), "task_pin"),
        ("refund", json!({ "order": "4711", "cents": 5001 }), "task_pin"),
        ("refund", json!({ "order": "4712", "cents": 1 }), "task_pin"),
        ("write_note", json!({ "id": "1", "text": "x" }), "task_tool"),
        ("contact", json!({ "id": "1" }), "task_tool"),
    ];
    for (tool, arguments, code) in denied {
        let answer = client.call(tool, arguments.clone()).await;
        assert!(codes(&answer).contains(&code.to_owned()), "{tool} {arguments}: {answer}");
        let denial = denial(&answer);
        assert!(denial["reasons"][0]["help"].is_string(), "it says what would help: {denial}");
        assert_eq!(denial["retryable"], false, "{denial}");
    }
    assert_eq!(depot.ledger.acts(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_with_all_that_it_gave() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &["--task-required"]);
    let mut without = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    let call = json!({ "path": "/public/orders/4711" });
    assert_eq!(codes(&without.call("lookup", call.clone()).await), ["task_required"]);

    let task = create(&depot.broker, &clerk);
    let mut client = StdioClient::bridge(&depot.broker, &clerk, "depot", &["--task", &task]).await;
    succeeded(&client.call("lookup", call.clone()).await);
    depot.broker.run(&["tasks", "end", &task, "--reason", "answered"]).succeeded();
    let before = depot.ledger.acts();
    let answer = client.call("lookup", call).await;
    assert!(answer.to_string().contains("task"), "{answer}");
    assert_ne!(answer.pointer("/result/isError"), Some(&json!(false)), "{answer}");
    assert_eq!(depot.ledger.acts(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_task_does_not_wash_facts_off() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mail = json!({ "to": "jane@example.com", "body": "x" });
    let mut client = HttpClient::connect(&depot.broker, &clerk, "depot", Revision::Stateless).await;
    succeeded(&client.call("send_mail", mail.clone()).await);
    succeeded(&client.call("contact", json!({ "id": "1" })).await);
    let denied = client.call("send_mail", mail.clone()).await;
    assert_eq!(codes(&denied), ["forbidden"], "{denied}");
    assert_eq!(denial(&denied)["reasons"][0]["rule"], "no-mail-after-personal-data");

    let task = create(&depot.broker, &clerk);
    let fresh = HttpClient::connect_in(&depot.broker, &clerk, "depot", Revision::Stateless, Some(&task));
    assert_eq!(codes(&fresh.await.call("send_mail", mail).await), ["forbidden"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_is_sealed() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    create(&depot.broker, &clerk);
    let evidence = depot.broker.evidence();
    let tasks = evidence.iter().filter(|line| line.pointer("/entry/kind") == Some(&json!("task_changed")));
    assert_eq!(tasks.count(), 1);
    assert!(!evidence.iter().any(|line| line.to_string().contains("jane@example.com")), "a prompt is sealed");
    depot.broker.kill();
    for file in ["data/bailiwick.db", "data/bailiwick.db-wal"] {
        let bytes = std::fs::read(depot.broker.home().join(file)).unwrap_or_default();
        let found = bytes.windows(PROMPT.len()).any(|window| window == PROMPT.as_bytes());
        assert!(!found, "{file} holds the prompt in the clear");
    }
}
