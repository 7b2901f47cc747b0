//! Keys change while work goes on, and no call fails for it: a client's second key beside its first, then instead of it.

use std::sync::atomic::{AtomicBool, Ordering};

use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_testkit_broker::{
    broker::Agent,
    http_client::{HttpClient, Revision},
    stdio_client::succeeded,
    tools::{Need, ready},
};
use serde_json::json;

use crate::world::Depot;

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
