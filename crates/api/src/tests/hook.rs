//! What the hook of an agent's client asks, decided and recorded like anything else.

use std::sync::Arc;

use bailiwick_engine::{
    caller::Caller,
    hook::{self, HookCall},
    observation::{self, ObservationAsk},
    refusal::Denied,
};
use bailiwick_model::{
    decision::{Decision, Evaluated, ReasonCode},
    digest::Digest,
    id::TokenId,
    observation::Observation,
    principal::{DelegationChain, Principal},
};
use bailiwick_pdp::catalogue::ClientKind;
use bailiwick_ports::store::Spent;
use bailiwick_testkit_engine::world::{World, operator};
use serde_json::json;

/// Asks about a call through the bridge, with the proof that is given.
async fn ask(world: &World, id: &str, tool: &str, proof: &[u8]) -> Result<Evaluated, Box<Denied>> {
    let forget_at = world.broker.now() + jiff::SignedDuration::from_mins(5);
    let caller = Caller {
        chain: DelegationChain::of(Principal::Agent("reader".parse().unwrap())),
        token: TokenId::from_bytes([1; 16]),
        scopes: ["files:read", "files:write"].map(|scope| scope.parse().unwrap()).into(),
        audience: String::new(),
        task: None,
        confirmation: None,
        address: None,
        spent: vec![Spent { scope: "reader".to_owned(), jti: Digest::of(proof), forget_at }],
    };
    let arguments = json!({"path": "/data/a.txt", "content": "x"}).as_object().unwrap().clone();
    let tool = format!("mcp__bailiwick__files__{tool}");
    let call = HookCall { client: ClientKind::ClaudeCode, id, tool: &tool, server: None, arguments: &arguments };
    hook::rule(&Arc::clone(&world.broker), &caller, call).await
}

#[tokio::test]
async fn a_proof_of_possession_is_good_for_one_question() {
    let world = World::new().await;
    ask(&world, "first", "write_file", b"one").await.unwrap();
    let replayed = ask(&world, "second", "write_file", b"one").await.unwrap_err();
    assert_eq!(replayed.reasons()[0].code, ReasonCode::Replayed);
    ask(&world, "third", "write_file", b"another").await.unwrap();
    // So is the question itself.
    let repeated = ask(&world, "third", "write_file", b"a third").await.unwrap_err();
    assert_eq!(repeated.reasons()[0].code, ReasonCode::Replayed);
}

#[tokio::test]
async fn a_question_under_observation_is_recorded_with_its_mark() {
    let world = World::new().await;
    bailiwick_engine::agents::promote(&world.broker, &operator(), &"reader".parse().unwrap(), "tests").await.unwrap();
    let unmarked = ask(&world, "first", "write_file", b"one").await.unwrap();
    assert!(matches!(unmarked.decision, Decision::Deny { .. }));
    let observation = Observation { scope: "agent:reader".parse().unwrap(), production: true };
    let observed = ObservationAsk { observation, lifetime_s: 60, reason: "a trial".to_owned() };
    observation::start(&world.broker, &operator(), observed).await.unwrap();
    let marked = ask(&world, "second", "write_file", b"two").await.unwrap();
    assert!(matches!(marked.decision, Decision::Allow { .. }), "{marked:?}");
    let events = world.events("evaluated").await;
    let marks: Vec<_> = events.iter().map(|event| event.body.get("observed").cloned()).collect();
    assert_eq!(marks, [None, Some("would_deny".into())]);
}
