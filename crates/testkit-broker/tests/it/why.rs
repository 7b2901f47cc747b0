//! Why, for operators: the nearest permits, the conditions that failed, what they saw. And what an agent may do, for the
//! agent itself and for nobody else.

use bailiwick_testkit_broker::{
    broker::{Agent, Answer, Broker},
    http_client::{HttpAnswer, HttpClient, Revision, send},
    stdio_client::{denial, succeeded},
    tools::{Need, ready},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::Depot;

const LIMITS: &str = r#"@id("small-refunds")
permit (principal in Bailiwick::Role::"helper", action == Bailiwick::Action::"depot.refund", resource)
when { context.input.cents <= 5000 };

@id("large-refunds")
@approvers("group:leads")
forbid (principal, action == Bailiwick::Action::"depot.refund", resource)
when { context.input.cents > 100 }
unless { context.approvals.contains("large-refunds") };
"#;

const HELPER: &str = "purpose = \"Help\"\nallow = [\"depot.lookup\"]\n";

fn furnish(depot: &Depot) {
    depot.broker.write("roles/helper.toml", HELPER);
    depot.broker.write("policies/organisation/limits.cedar", LIMITS);
    // Without it, spending money is asked for whatever the amount.
    depot.broker.edit("policies/organisation/billing-and-bulk.cedar", &[("\"billing\"", "\"permission_change\"")]);
    depot.broker.publish();
    depot.broker.wait_until_verified();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_learns_which_permit_was_nearest_and_what_it_saw() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    furnish(&depot);
    let helper = depot.broker.register("helper-1", "helper", &[]);
    let mut client = HttpClient::connect(&depot.broker, &helper, "depot", Revision::Stateless).await;
    client.take_token().await;
    let refused = client.call("refund", json!({ "order": "4711", "cents": 9_000 })).await;
    let id = denial(&refused)["evaluation_id"].as_str().unwrap().to_owned();
    for secret in ["examined", "limits.cedar", "small-refunds\",\"effect"] {
        assert!(!refused.to_string().contains(secret), "the caller is told `{secret}`: {refused}");
    }

    let told = depot.broker.run(&["explain", &id]).succeeded().stdout;
    for line in [
        "`small-refunds` at policies/organisation/limits.cedar:1",
        "does not hold: context.input.cents <= 5000 (line 3)",
        "saw context.input.cents = 9000",
        "stood in the way",
        "`large-refunds` at policies/organisation/limits.cedar:5",
        "holds: context.input.cents > 100 (line 8)",
        "reproduced: the same question under the cited bundle gives the same decision",
    ] {
        assert!(told.contains(line), "`{line}` is not in\n{told}");
    }
    // The same about a call that nobody makes.
    let arguments = r#"{"order": "4711", "cents": 9000}"#;
    let asked = depot.broker.run(&["explain", "--agent", "helper-1", "depot.refund", "--arguments", arguments]);
    let asked = asked.ended_with(3).stdout;
    assert!(asked.contains("saw context.input.cents = 9000"), "{asked}");
    // A role that does not fit is near, too.
    let asked = depot.broker.run(&[
        "explain",
        "--agent",
        "helper-1",
        "depot.write_note",
        "--arguments",
        r#"{"id":"1","text":"x"}"#,
    ]);
    let asked = asked.ended_with(3).stdout;
    assert!(asked.contains("for somebody else") && asked.contains("roles/clerk.toml:"), "{asked}");
    let wrong = depot.broker.run(&["explain", "depot.refund"]).ended_with(2);
    assert!(wrong.stderr.contains("--agent NAME depot.refund"), "{}", wrong.stderr);

    // Under another bundle the record is still reproduced, and the difference is told.
    let before = depot.broker.run(&["explain", &id, "--output", "json"]).succeeded().json();
    assert_eq!(before["active_bundle"], Value::Null);
    depot.broker.edit("policies/organisation/limits.cedar", &[("<= 5000", "<= 50000"), ("> 100 ", "> 100000 ")]);
    depot.broker.publish();
    let after = depot.broker.run(&["explain", &id, "--output", "json"]).succeeded().json();
    assert_eq!((&after["reproduced"], &after["bundle"]), (&json!(true), &before["bundle"]));
    assert_eq!((&after["examined"], &after["active_decision"]), (&before["examined"], &json!("allow")));
    assert_ne!(after["active_bundle"], after["bundle"]);

    // What a budget denies is no contradiction between record and policy.
    let limit = "[[limits]]\nname = \"few\"\nclasses = [\"read\"]\nwindow_s = 3600\ncalls_max = 1\n";
    depot.broker.write("roles/helper.toml", &format!("{HELPER}{limit}"));
    depot.broker.publish();
    depot.broker.wait_until_verified();
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    let used_up = client.call("lookup", json!({ "path": "/public/a" })).await;
    let id = denial(&used_up)["evaluation_id"].as_str().unwrap().to_owned();
    let told = depot.broker.run(&["explain", &id]).succeeded().stdout;
    assert!(told.contains("not reproduced: `limit_reached` denied it after policy had decided"), "{told}");
}

/// What an agent is told by `bailiwick permissions`.
fn ask(broker: &Broker, agent: &Agent, more: &[&str]) -> Answer {
    let key = agent.key_file.to_string_lossy().into_owned();
    let mut words = vec!["permissions"];
    words.extend(more);
    words.extend(["--agent", &agent.name, "--key", &key]);
    broker.run(&words)
}

fn decision(document: &Value, action: &str) -> String {
    let all = document["systems"][0]["actions"].as_array().unwrap();
    let found = all.iter().find(|one| one["action"] == action).unwrap_or_else(|| panic!("{action}: {document}"));
    found["decision"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reads_what_it_may_do_and_it_is_so() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    furnish(&depot);
    let helper = depot.broker.register("helper-1", "helper", &[]);
    let document = ask(&depot.broker, &helper, &["depot", "--output", "json"]).succeeded().json();
    assert_eq!(document["chain"], json!(["agent:helper-1"]));
    for (action, expected) in
        [("depot.lookup", "depends"), ("depot.refund", "depends"), ("depot.write_note", "deny"), ("depot.slow", "deny")]
    {
        assert_eq!(decision(&document, action), expected, "{action}: {document}");
    }
    let page = ask(&depot.broker, &helper, &["depot"]).succeeded().stdout;
    for line in [
        "permitted by `small-refunds`",
        "when context.input.cents <= 5000",
        "to be approved by group:leads by `large-refunds`",
        "denied by `only-public-items`",
        "unless resource.id like \"/public/*\"",
    ] {
        assert!(page.contains(line), "`{line}` is not in\n{page}");
    }
    // What it was told is what happens.
    let mut client = HttpClient::connect(&depot.broker, &helper, "depot", Revision::Stateless).await;
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    denial(&client.call("lookup", json!({ "path": "/private/a" })).await);
    denial(&client.call("write_note", json!({ "id": "1", "text": "x" })).await);
    succeeded(&client.call("refund", json!({ "order": "1", "cents": 50 })).await);
    denial(&client.call("refund", json!({ "order": "1", "cents": 500 })).await);

    // Another role, another answer; all systems, the same form. An agent in safe mode only reads.
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let document = ask(&depot.broker, &clerk, &["--output", "json"]).succeeded().json();
    assert_eq!(decision(&document, "depot.write_note"), "allow");
    depot.broker.run(&["safe-mode", "enter", "agent:clerk-1", "--reason", "a test"]).succeeded();
    let document = ask(&depot.broker, &clerk, &["--output", "json"]).succeeded().json();
    assert_eq!(decision(&document, "depot.write_note"), "deny");
    let looks = depot.broker.evidence().iter().filter(|line| line.to_string().contains("depot:permissions")).count();
    assert_eq!(looks, 4, "each look is in the evidence");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_the_permissions_of_somebody_else() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    furnish(&depot);
    let helper = depot.broker.register("helper-1", "helper", &[]);
    let clerk = depot.broker.register("clerk-1", "clerk", &[]);
    let mut client = HttpClient::connect(&depot.broker, &helper, "depot", Revision::Stateless).await;
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    let http = reqwest::Client::new();
    let one = format!("{}/permissions/v1/depot", depot.broker.url());
    let get = |url: &str, authorization: Option<String>, proof: Option<String>| {
        let mut ask = http.get(url);
        for (name, value) in [("authorization", authorization), ("dpop", proof)] {
            if let Some(value) = value {
                ask = ask.header(name, value);
            }
        }
        send(ask)
    };
    let status = |answer: &HttpAnswer| answer.status;

    let credentials = client.credentials("GET", &one);
    let (token, proof) = (Some(credentials.authorization), Some(credentials.proof));
    let answer = get(&one, token.clone(), proof.clone()).await;
    assert_eq!(status(&answer), StatusCode::OK, "{}", answer.body);
    assert!(answer.body.contains("agent:helper-1") && !answer.body.contains("limits.cedar"), "{}", answer.body);
    let again = get(&one, token.clone(), proof).await;
    assert_ne!(status(&again), StatusCode::OK, "a proof is used once: {}", again.body);
    assert!(!again.body.contains("depot.lookup"), "{}", again.body);
    assert_eq!(status(&get(&one, None, None).await), StatusCode::UNAUTHORIZED);
    assert_eq!(
        status(&get(&one, token.clone(), None).await),
        StatusCode::UNAUTHORIZED,
        "a bound token needs its proof"
    );
    let stolen = client.proof_by(&clerk.key, "GET", &one, Some(&client.token));
    assert_eq!(status(&get(&one, token.clone(), Some(stolen)).await), StatusCode::UNAUTHORIZED);
    let of_call = client.proof("POST", client.resource(), Some(&client.token));
    assert_eq!(status(&get(&one, token.clone(), Some(of_call)).await), StatusCode::UNAUTHORIZED);
    // A token for one system says nothing of all of them, nor of another one; and a parameter changes nobody.
    for other in ["/permissions/v1", "/permissions/v1/crm"] {
        let url = format!("{}{other}", depot.broker.url());
        let proof = client.proof("GET", &url, Some(&client.token));
        assert_eq!(status(&get(&url, token.clone(), Some(proof)).await), StatusCode::UNAUTHORIZED, "{other}");
    }
    let asked = format!("{one}?agent=clerk-1");
    let proof = client.proof("GET", &one, Some(&client.token));
    let answer = get(&asked, token.clone(), Some(proof)).await;
    assert!(!answer.body.contains("agent:clerk-1"), "{}", answer.body);
    let posted = send(http.post(&one).body("{}")).await;
    assert_eq!(status(&posted), StatusCode::METHOD_NOT_ALLOWED, "{}", posted.body);

    depot.broker.run(&["agents", "suspend", "helper-1", "--reason", "a test"]).succeeded();
    let proof = client.proof("GET", &one, Some(&client.token));
    let answer = get(&one, token, Some(proof)).await;
    assert_ne!(status(&answer), StatusCode::OK, "{}", answer.body);
    assert!(!answer.body.contains("depot.lookup"), "{}", answer.body);
}
