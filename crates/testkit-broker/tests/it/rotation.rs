//! Keys change while work goes on, and no call fails for it: a client's second key beside its first, then instead of it;
//! the issuer's next signing key; refresh tokens, each good once. Only a key that others may have is given up at once.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bailiwick_keys::{
    agent_key::AgentKey,
    token_keys::{PUBLISH_AHEAD_S, TokenKeys},
};
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_ports::signer::TokenSigner as _;
use bailiwick_testkit_broker::{
    broker::Agent,
    http_client::{HttpClient, Revision},
    person::Person,
    stdio_client::succeeded,
    tools::{Need, ready},
};
use bailiwick_testkit_engine::world::part;
use serde_json::{Value, json};

use crate::{
    profile::Scene,
    world::{Depot, STAFF, SUPPORT},
};

/// Calls between two tokens of one worker: renewals and calls overlap with each step of the rotation.
const CALLS_PER_TOKEN: usize = 5;

/// Asks for tokens and calls until `done`; each of them must succeed. Counts the tokens.
async fn work(mut client: HttpClient<'_>, done: &AtomicBool) -> usize {
    let mut tokens = 0;
    while !done.load(Ordering::SeqCst) {
        client.take_token().await;
        for _ in 0..CALLS_PER_TOKEN {
            succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
        }
        tokens += 1;
    }
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_keys_rotate_under_load_without_a_failed_call() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let broker = &depot.broker;
    let old = broker.register("worker", "reader", &[]);
    let next = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
    let (file, public) = (broker.scratch().join("next.pem"), broker.scratch().join("next.json"));
    next.write_new(&file).unwrap();
    std::fs::write(&public, next.public_jwk()).unwrap();
    let new = Agent { name: "worker".to_owned(), key_file: file, key: next };
    let run = async |words: &[&str]| {
        let ended = tokio::process::Command::from(broker.command(words)).output().await.unwrap();
        assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    };

    // The old key works on while the new one comes.
    let done = AtomicBool::new(false);
    let by_old = HttpClient::connect(broker, &old, "depot", Revision::Stateless).await;
    let comes = async {
        run(&["agents", "add-key", "worker", "--public-key", &public.to_string_lossy()]).await;
        let client = HttpClient::connect(broker, &new, "depot", Revision::Stateless).await;
        done.store(true, Ordering::SeqCst);
        client
    };
    let (tokens, by_new) = tokio::join!(work(by_old, &done), comes);
    assert!(tokens > 0);

    // The new one works on while the old one goes, and what the old one was given before lives on until its end.
    let done = AtomicBool::new(false);
    let mut late = HttpClient::connect(broker, &old, "depot", Revision::Stateless).await;
    let kid = old.key.public().kid.clone();
    let goes = async {
        run(&["agents", "remove-key", "worker", &kid]).await;
        succeeded(&late.call("lookup", json!({ "path": "/public/a" })).await);
        assert!(!late.ask_token().await.status.is_success(), "but it gets nothing new");
        done.store(true, Ordering::SeqCst);
    };
    let (tokens, ()) = tokio::join!(work(by_new, &done), goes);
    assert!(tokens > 0);
}

/// The kid of whatever signs now, and how many keys are published.
fn keys(depot: &Depot) -> (String, usize) {
    let told = depot.broker.run(&["keys", "list", "--output", "json"]).succeeded().json();
    let keys = told["keys"].as_array().unwrap().clone();
    assert_eq!(keys[0]["state"], "current", "{told}");
    (keys[0]["kid"].as_str().unwrap().to_owned(), keys.len())
}

/// What entries of one kind say.
fn bodies<'a>(evidence: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    evidence.iter().filter(move |line| line["entry"]["kind"] == kind).map(|line| &line["entry"]["body"])
}

fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().unwrap().to_owned()
}

/// Renews by refresh tokens and calls until `done`; each of them must succeed. Gives the tokens, oldest first.
async fn work_for_a_user(
    scene: &Scene<'_>,
    mut client: HttpClient<'_>,
    first: Value,
    done: &AtomicBool,
) -> Vec<String> {
    let mut told = first;
    let mut tokens = Vec::new();
    loop {
        let member = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("no {name} in {told}")).to_owned();
        let (access, refresh) = (member("access_token"), member("refresh_token"));
        client.token.clone_from(&access);
        tokens.push(access);
        for number in 0..CALLS_PER_TOKEN {
            succeeded(&client.call("write_note", json!({ "id": number.to_string(), "text": "x" })).await);
        }
        if done.load(Ordering::SeqCst) {
            return tokens;
        }
        told = scene.renew(&client, &refresh, &json!({})).await.message_or_body();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuers_key_and_refresh_tokens_rotate_under_load_without_a_failed_call() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let mut depot = Depot::stdio(&tools);
    depot.broker.kill();
    // A next key was published almost long enough ago: the running broker lets it take over within a minute or so.
    let ago = jiff::SignedDuration::from_secs(PUBLISH_AHEAD_S - 30);
    let offline = TokenKeys::load(&depot.broker.home().join("keys/tokens")).unwrap();
    offline.begin_rotation(jiff::Timestamp::now() - ago).unwrap().unwrap();
    drop(offline);
    depot.broker.write("roles/support.toml", SUPPORT);
    depot.broker.write("policies/users/staff.cedar", STAFF);
    depot.broker.serve_verified();
    depot.broker.publish();
    depot.broker.run(&["users", "add", "ada", "--name", "Ada", "--group", "staff"]).succeeded();
    let person = Person::sign_in(&tools, &depot.broker, "ada");
    let machine = depot.broker.register("machine-1", "support", &[]);
    let agent = depot.broker.register("assistant-1", "support", &["--redirect-uri", "http://127.0.0.1/cb"]);
    let by_itself = HttpClient::connect(&depot.broker, &machine, "depot", Revision::Stateless).await;
    let mut late = HttpClient::connect(&depot.broker, &machine, "depot", Revision::Stateless).await;
    let for_ada = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let scene = Scene { depot: &depot, http: reqwest::Client::new() };
    let code = scene.code(&person, &for_ada, &agent).await;
    let first = scene.redeem(&for_ada, &code, &json!({})).await.message_or_body();

    let (old, published) = keys(&depot);
    assert_eq!(published, 2, "the next one can be fetched before it signs");
    let done = AtomicBool::new(false);
    let takes_over = async {
        let next = loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (current, _) = keys(&depot);
            if current != old {
                break current;
            }
        };
        // What the old one signed works on.
        assert_eq!(kid(&late.token), old);
        succeeded(&late.call("lookup", json!({ "path": "/public/a" })).await);
        tokio::time::sleep(Duration::from_secs(2)).await;
        done.store(true, Ordering::SeqCst);
        next
    };
    let (issued, tokens, next) =
        tokio::join!(work(by_itself, &done), work_for_a_user(&scene, for_ada, first, &done), takes_over);
    assert_eq!(keys(&depot), (next.clone(), 2), "the old one stays until its last token has ended");
    let by = |key: &str| tokens.iter().filter(|token| kid(token) == key).count();
    assert!(by(&old) > 1 && by(&next) > 1 && by(&old) + by(&next) == tokens.len(), "{} of {}", by(&old), tokens.len());

    // Every token that was issued stands in the evidence, and so does what became of the keys.
    let evidence = depot.broker.whole_log();
    let issued_to = |client: &str| bodies(&evidence, "token_issued").filter(|body| body["agent"] == client).count();
    assert_eq!(issued_to("machine-1"), issued + 2, "two came with connecting");
    assert_eq!(issued_to("assistant-1"), tokens.len() + 1);
    let changes: Vec<_> =
        bodies(&evidence, "key_changed").map(|body| (body["change"].clone(), body["key"].clone())).collect();
    assert_eq!(changes, [(json!("promoted"), json!(next))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_may_have_ends_with_all_that_it_signed() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let earlier = depot.broker.run(&["policy", "revisions", "--output", "json"]).succeeded().json();
    depot.broker.write("roles/extra.toml", SUPPORT);
    depot.broker.publish();
    depot.broker.run(&["keys", "rotate", "--reason", "a drill"]).succeeded();
    let again = depot.broker.run(&["keys", "rotate", "--reason", "a drill"]).ended_with(1);
    assert!(again.stderr.contains("published already"), "{}", again.stderr);
    let (old, published) = keys(&depot);
    assert_eq!(published, 2);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);

    let replace = ["keys", "replace", "--reason", "a copy was found"];
    let asked = depot.broker.run(&replace).ended_with(2);
    assert!(asked.stderr.contains("--danger-end-all-tokens"), "{}", asked.stderr);
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    depot.broker.run(&[&replace[..], &["--danger-end-all-tokens"]].concat()).succeeded();
    let (new, published) = keys(&depot);
    assert!(new != old && published == 1, "the next key is given up as well");
    let call = client.message("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } }));
    let refused = client.post(call).await;
    assert_eq!(refused.status, 401, "{}", refused.body);
    client.take_token().await;
    assert_eq!(kid(&client.token), new);
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);

    // It starts again with the policy that was active; whoever had the key could have signed earlier ones as well.
    depot.broker.kill();
    depot.broker.serve_verified();
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    let revision = earlier["revisions"][0]["revision"].as_str().unwrap_or_else(|| panic!("{earlier}"));
    let back = depot.broker.run(&["policy", "rollback", revision]);
    assert!(back.code != 0 && back.stderr.contains("publish its files"), "{back:?}");
    assert_eq!(depot.ledger.acts(), 4);
    let evidence = depot.broker.evidence();
    let told: Vec<_> = bodies(&evidence, "key_changed").map(|body| body["change"].as_str().unwrap()).collect();
    assert_eq!(told, ["published", "promoted", "destroyed", "destroyed"]);
    depot.broker.run(&["audit", "verify"]).succeeded();
}
