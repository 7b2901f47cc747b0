//! From calls to policy: a kind of task, a denial that becomes a grant, a role that becomes as narrow as its work.

use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    http_client::{HttpClient, Revision},
    stdio_client::{codes, succeeded},
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

const TEMPLATE: &str = r#"purpose = "Answer one order"
roles = ["clerk"]
minutes = 10

[parameters]
order = "the number of the order"
customer = "whom to answer"
folder = "where its items are"

[[tools]]
action = "depot.lookup"
pins = { path = { under = "$folder" } }

[[tools]]
action = "depot.refund"
pins = { order = { one_of = "$order" }, cents = { at_most = 5000 } }

[[tools]]
action = "depot.send_mail"
pins = { to = { one_of = "$customer" } }
"#;

/// Without it, spending money is asked for whatever the amount.
fn let_clerks_refund(depot: &Depot) {
    depot.broker.edit("policies/organisation/billing-and-bulk.cedar", &[("\"billing\"", "\"permission_change\"")]);
}

async fn in_task<'a>(broker: &Broker, agent: &'a Agent, task: Option<&str>) -> HttpClient<'a> {
    HttpClient::connect_in(broker, agent, "depot", Revision::Stateless, task).await
}

/// The id of the newest denial.
fn newest_denial(broker: &Broker) -> String {
    let words = ["audit", "tail", "--kind", "denial", "-n", "1", "--output", "json"];
    let entry = broker.run(&words).succeeded().json();
    entry["entry"]["id"].as_str().unwrap_or_else(|| panic!("no id: {entry}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_kind_has_its_golden_grants_and_nothing_else() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let_clerks_refund(&depot);
    depot.broker.write("templates/answer-order.toml", &TEMPLATE.replace("\"clerk\"", "\"nobody\""));
    depot.broker.run(&["policy", "validate"]).ended_with(5);
    depot.broker.write("templates/answer-order.toml", TEMPLATE);
    depot.broker.publish();
    depot.broker.wait_until_verified();
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let create = |more: &[&str]| {
        let words = ["tasks", "create", "--agent", "clerk-1", "--purpose", "answer 4711", "--template", "answer-order"];
        depot.broker.run(&[&words[..], more, &["--output", "json"]].concat())
    };
    create(&["--set", "order=4711"]).ended_with(1);
    create(&["--set", "oder=4711"]).ended_with(1);
    let all = ["--set", "order=4711", "--set", "customer=jane@example.com", "--set", "folder=/public/orders"];
    let task = create(&all).succeeded().json();
    assert_eq!(
        task["tools"],
        json!([
            {"action": "depot.lookup", "pins": {"path": {"under": "/public/orders"}}},
            {"action": "depot.refund", "pins": {"cents": {"at_most": 5000}, "order": {"one_of": ["4711"]}}},
            {"action": "depot.send_mail", "pins": {"to": {"one_of": ["jane@example.com"]}}},
        ])
    );
    let mut client = in_task(&depot.broker, &clerk, task["id"].as_str()).await;
    let allowed = client.call("refund", json!({"order": "4711", "cents": 5000})).await;
    succeeded(&allowed);
    let before = depot.ledger.acts();
    let denied: [(&str, Value, &str); 4] = [
        ("refund", json!({"order": "4712", "cents": 1}), "task_pin"),
        ("send_mail", json!({"to": "eve@example.com", "body": "x"}), "task_pin"),
        ("lookup", json!({"path": "/public/other"}), "task_pin"),
        ("write_note", json!({"id": "1", "text": "x"}), "task_tool"),
    ];
    for (tool, arguments, code) in denied {
        let answer = client.call(tool, arguments).await;
        assert!(codes(&answer).contains(&code.to_owned()), "{tool}: {answer}");
    }
    assert_eq!(depot.ledger.acts(), before);
    // One command from that denial to what would grant it: a task of exactly this call.
    let denial = newest_denial(&depot.broker);
    let proposed = depot.broker.run(&["policy", "suggest", "--denial", &denial, "--output", "json"]).succeeded().json();
    assert_eq!(proposed["task"]["tools"][0]["action"], "depot.write_note", "{proposed}");
    assert_eq!(proposed["then"], "allow", "{proposed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_becomes_as_narrow_as_its_work_and_a_denial_becomes_a_grant() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let_clerks_refund(&depot);
    let broker = &depot.broker;
    broker.publish();
    broker.wait_until_verified();
    let clerk = broker.register("clerk-1", "clerk", &[]);
    let mut client = in_task(broker, &clerk, None).await;
    for n in 0..12 {
        let found = client.call("lookup", json!({"path": format!("/public/orders/{n}")})).await;
        succeeded(&found);
    }
    for cents in [500, 900] {
        let paid = client.call("refund", json!({"order": "4711", "cents": cents})).await;
        succeeded(&paid);
    }
    let secret = client.call("lookup", json!({"path": "/private/1"})).await;
    assert!(codes(&secret).contains(&"forbidden".to_owned()), "{secret}");
    // What a rule forbids is not proposed away.
    let stands = broker.run(&["policy", "suggest", "--denial", &newest_denial(broker), "--output", "json"]);
    let stands = stands.ended_with(3).json();
    assert_eq!(stands["stands"][0]["rule"], "only-public-items", "{stands}");
    assert_eq!(stands["files"], json!({}));

    let suggest = ["policy", "suggest", "--role", "clerk", "--output", "json"];
    let suggestion = broker.run(&[&suggest[..], &["--write"]].concat()).succeeded().json();
    assert_eq!(suggestion["replayed_good"], 14, "{suggestion}");
    assert_eq!(suggestion["warnings"], json!([]), "{suggestion}");
    let written = broker.read("policies/roles/suggested-clerk.cedar");
    assert!(written.contains("context.input.path like \"/public/orders/*\""), "{written}");
    broker.run(&[&suggest[..], &["--write"]].concat()).ended_with(1);
    broker.publish();
    broker.wait_until_verified();

    let before = depot.ledger.acts();
    let denied: [(&str, Value); 4] = [
        ("lookup", json!({"path": "/public/others/1"})),
        ("refund", json!({"order": "4711", "cents": 901})),
        ("refund", json!({"order": "4712", "cents": 500})),
        ("send_mail", json!({"to": "jane@example.com", "body": "x"})),
    ];
    for (tool, arguments) in denied {
        let answer = client.call(tool, arguments).await;
        assert!(codes(&answer).contains(&"no_permit".to_owned()), "{tool}: {answer}");
    }
    assert_eq!(depot.ledger.acts(), before);
    let found = client.call("lookup", json!({"path": "/public/orders/99"})).await;
    succeeded(&found);

    // From the denial of the mail to a permit of exactly that mail.
    client.call("send_mail", json!({"to": "jane@example.com", "body": "x"})).await;
    let denial = newest_denial(broker);
    let proposed = broker.run(&["policy", "suggest", "--denial", &denial, "--write", "--output", "json"]);
    let proposed = proposed.succeeded().json();
    assert_eq!((&proposed["then"], proposed["lines"].as_array().unwrap().len()), (&json!("allow"), 1), "{proposed}");
    broker.publish();
    broker.wait_until_verified();
    let sent = client.call("send_mail", json!({"to": "jane@example.com", "body": "x"})).await;
    succeeded(&sent);
    let other = client.call("send_mail", json!({"to": "jane@example.com", "body": "y"})).await;
    assert!(codes(&other).contains(&"no_permit".to_owned()), "{other}");
}
