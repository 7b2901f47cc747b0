//! What is issued and how it ends: through a client library of others, counted against the evidence, and measured to the
//! last call that was allowed.

use std::{
    collections::BTreeSet,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    http_client::{HttpClient, Revision, send},
    tools::{Need, ready},
};
use serde_json::{Value, json};

use crate::{clients::read_json, world::Depot};

/// Workers that call at the same time.
const WORKERS: usize = 4;

/// Calls of one worker at most, so that a revocation that does nothing fails instead of running for ever.
const CALLS_MAX: usize = 10_000;

fn listed(broker: &Broker, flags: &[&str]) -> Vec<Value> {
    let mut words = vec!["tokens", "list", "--output", "json"];
    words.extend(flags);
    broker.run(&words).succeeded().json()["tokens"].as_array().unwrap().clone()
}

fn jti(token: &Value) -> &str {
    token["id"].as_str().unwrap()
}

#[test]
fn a_client_library_of_others_gets_introspects_and_revokes() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let watcher = depot.broker.register("watcher-1", "reader", &["--scope", "token:introspect"]);
    let resource = format!("{}/mcp/depot", depot.broker.url());
    let party = |agent: &Agent| json!({ "name": agent.name, "key_file": agent.key_file });
    let plan = json!({
        "library": tools.node_modules().join("oauth4webapi/build/index.js"),
        "issuer": depot.broker.url(), "resource": resource, "agent": party(&agent), "watcher": party(&watcher),
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/oauth4webapi.mjs");
    let told = read_json(Command::new("node").arg(script).arg(plan.to_string()));
    assert_eq!(told["as"]["revocation_endpoint"], format!("{}/oauth/revoke", depot.broker.url()));
    assert_eq!(told["issued"]["token_type"], "dpop");
    assert_eq!(told["plain"], told["signed"], "signed or not, the same is told");
    assert_eq!(told["plain"]["active"], true);
    for (claim, value) in [("sub", "reader-1"), ("client_id", "reader-1"), ("aud", resource.as_str())] {
        assert_eq!(told["plain"][claim], value, "{claim}");
    }
    assert!(told["plain"]["cnf"]["jkt"].is_string());
    assert_eq!(told["revoked"], json!({ "active": false }));
    let tokens = listed(&depot.broker, &["--agent", "reader-1"]);
    assert_eq!((tokens.len(), tokens[0]["state"].as_str()), (1, Some("revoked")), "{tokens:?}");
    assert_eq!(told["plain"]["jti"], tokens[0]["id"]);
}

/// Four workers call with one token while it is revoked: whatever they begin after the answer is refused.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_allowed_after_the_answer_to_a_revocation() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let url = depot.broker.url();
    for by_operator in [false, true] {
        let main = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
        let answered = Arc::new(AtomicBool::new(false));
        let before = depot.ledger.acts();
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let mut worker = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
            worker.token.clone_from(&main.token);
            workers.push((worker, Arc::clone(&answered)));
        }
        let revoke = async {
            while depot.ledger.acts() < before + 20 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            if by_operator {
                let newest = listed(&depot.broker, &[]).into_iter().find(|token| is_of(token, &main.token)).unwrap();
                let command = depot.broker.command(&["tokens", "revoke", jti(&newest)]);
                assert!(tokio::process::Command::from(command).status().await.unwrap().success());
            } else {
                let assertion = main.assertion();
                let form = [
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ("client_assertion", &assertion),
                    ("token", &main.token),
                ];
                let answer = send(reqwest::Client::new().post(format!("{url}/oauth/revoke")).form(&form)).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
            answered.store(true, Ordering::SeqCst);
        };
        let calls = futures::future::join_all(workers.into_iter().map(|(worker, answered)| work(worker, answered)));
        let (counts, ()) = tokio::join!(calls, revoke);
        let [allowed, late]: [usize; 2] = [0, 1].map(|at| counts.iter().map(|count| count[at]).sum());
        assert!(allowed >= 20, "{counts:?}");
        assert_eq!(late, 0, "allowed although it began after the answer: {counts:?}");
        // A call of each worker may have been under way: it was sent, and cut off before it was answered.
        let acts = depot.ledger.acts() - before;
        assert!((allowed..=allowed + WORKERS).contains(&acts), "{acts} reached the upstream, {allowed} were allowed");
    }
}

/// Calls until it is refused. Counts what was allowed, and of that what began after the answer.
async fn work(mut worker: HttpClient<'_>, answered: Arc<AtomicBool>) -> [usize; 2] {
    let mut counts = [0, 0];
    for _ in 0..CALLS_MAX {
        let late = answered.load(Ordering::SeqCst);
        let answer = worker.ask("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } })).await;
        let allowed = answer.status == 200 && answer.message()["result"]["isError"] != true;
        counts[0] += usize::from(allowed);
        counts[1] += usize::from(allowed && late);
        if late && !allowed {
            assert_eq!(answer.status, 401, "{}", answer.body);
            return counts;
        }
    }
    panic!("it was never refused: {counts:?}");
}

fn is_of(listed: &Value, token: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["jti"] == listed["id"]
}

/// The inventory and the evidence tell of the same tokens, and a revocation outlives a restart.
#[tokio::test(flavor = "multi_thread")]
async fn every_issued_token_is_in_the_inventory_and_in_the_evidence() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let agents = ["reader-1", "reader-2"].map(|name| depot.broker.register(name, "reader", &[]));
    let mut token = String::new();
    for _ in 0..3 {
        for agent in &agents {
            token = HttpClient::connect(&depot.broker, agent, "depot", Revision::Stateless).await.token;
        }
    }
    let all = listed(&depot.broker, &[]);
    let known: BTreeSet<String> = all.iter().map(|token| jti(token).to_owned()).collect();
    let evidence = depot.broker.evidence();
    let of_kind = |kind: &str| evidence.iter().filter(|entry| entry["entry"]["kind"] == kind).collect::<Vec<_>>();
    let told: BTreeSet<String> = of_kind("token_issued")
        .iter()
        .map(|entry| entry["entry"]["body"]["token"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((known.len(), &known), (6, &told), "{evidence:?}");
    for token in &all {
        assert_eq!((&token["reason"], &token["state"]), (&json!("client_credentials"), &json!("active")), "{token}");
        assert_eq!(token["audience"], format!("{}/mcp/depot", depot.broker.url()));
    }
    let own = listed(&depot.broker, &["--agent", "reader-2"]);
    assert!(own.len() == 3 && own.iter().all(|token| token["client"] == "reader-2"));
    let last = all.iter().find(|listed| is_of(listed, &token)).unwrap();
    depot.broker.run(&["tokens", "revoke", jti(last)]).succeeded();
    depot.broker.run(&["tokens", "revoke", "tok_00000000000070008000000000000000"]).ended_with(1);
    depot.broker.run(&["tokens", "revoke", "mine"]).ended_with(2);
    depot.broker.kill();
    depot.broker.serve_verified();
    let again = listed(&depot.broker, &["--agent", "reader-2"]);
    let states: Vec<_> = again.iter().map(|token| token["state"].as_str().unwrap()).collect();
    assert_eq!(states.iter().filter(|state| **state == "revoked").count(), 1, "{states:?}");
    let mut client = HttpClient::connect(&depot.broker, &agents[1], "depot", Revision::Stateless).await;
    client.token = token;
    assert_eq!(client.ask("tools/list", json!({})).await.status, 401);
    depot.broker.run(&["agents", "suspend", "reader-1", "--reason", "a test"]).succeeded();
    assert!(listed(&depot.broker, &["--agent", "reader-1"]).iter().all(|token| token["state"] == "ended"));
    let none = depot.broker.run(&["grants", "list", "--output", "json"]).succeeded().json();
    assert_eq!(none["grants"], json!([]), "nobody granted anything");
    depot.broker.run(&["grants", "show", "grant_00000000000070008000000000000000"]).ended_with(1);
}
