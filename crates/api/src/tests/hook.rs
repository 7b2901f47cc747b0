//! What the hook of an agent's client asks, decided and recorded like anything else.

use std::sync::Arc;

use bailiwick_engine::{
    authorize::authorize,
    caller::{Caller, RawCall},
    check::{Question, check},
    history,
    hook::{self, HookCall},
    observation::{self, ObservationAsk},
    refusal::Denied,
    suggest,
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
use bailiwick_testkit_engine::{
    bundle,
    world::{World, operator},
};
use serde_json::json;

fn caller(spent: Vec<Spent>) -> Caller {
    let scopes = ["files:read", "files:write", "claude_code:write"];
    Caller {
        chain: DelegationChain::of(Principal::Agent("reader".parse().unwrap())),
        token: TokenId::from_bytes([1; 16]),
        grant: None,
        scopes: scopes.map(|scope| scope.parse().unwrap()).into(),
        details: None,
        audience: String::new(),
        task: None,
        confirmation: None,
        address: None,
        spent,
    }
}

/// Asks about a call through the bridge, with the proof that is given.
async fn ask(world: &World, id: &str, tool: &str, proof: &[u8]) -> Result<Evaluated, Box<Denied>> {
    let forget_at = world.broker.now() + jiff::SignedDuration::from_mins(5);
    let caller = caller(vec![Spent { scope: "reader".to_owned(), jti: Digest::of(proof), forget_at }]);
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

/// A world whose agent may use Claude Code's own `Write`, once, as this obliges.
async fn with_own_tools(obligation: &str) -> World {
    let world = World::new().await;
    bailiwick_engine::agents::promote(&world.broker, &operator(), &"reader".parse().unwrap(), "tests").await.unwrap();
    let rule = format!(
        r#"@id("own-write") {obligation}
permit (principal is Bailiwick::Agent, action == Bailiwick::Action::"claude_code.Write", resource);"#
    );
    world.publish(bundle::with_own_tools(&rule)).await;
    world
}

/// Asks about the client's own `Write`, as a tool of the server that is given.
async fn write(world: &World, id: &str, server: Option<&str>) -> Result<Evaluated, Box<Denied>> {
    let arguments = json!({"file_path": "/data/a.txt", "content": "x"}).as_object().unwrap().clone();
    let call = HookCall { client: ClientKind::ClaudeCode, id, tool: "Write", server, arguments: &arguments };
    hook::rule(&Arc::clone(&world.broker), &caller(Vec::new()), call).await
}

fn code(denied: &Denied) -> ReasonCode {
    denied.reasons()[0].code
}

#[tokio::test]
async fn a_tool_of_another_server_is_not_the_clients_own() {
    let world = with_own_tools("").await;
    for (id, server) in [("one", "other"), ("two", "bailiwick"), ("three", "")] {
        let denied = write(&world, id, Some(server)).await.unwrap_err();
        assert!(denied.recorded && code(&denied) == ReasonCode::UnknownTool, "{server}: {denied:?}");
    }
    let repeated = write(&world, "one", Some("other")).await.unwrap_err();
    assert_eq!(code(&repeated), ReasonCode::Replayed);
    assert_eq!((world.events("denial").await.len(), world.events("intent").await.len()), (4, 0));
    let allowed = write(&world, "four", None).await.unwrap();
    assert!(matches!(allowed.decision, Decision::Allow { .. }), "{allowed:?}");
}

#[tokio::test]
async fn an_obligation_that_no_hook_can_see_to_denies_before_anything_counts() {
    let world = with_own_tools(r#"@obligation("capture_payload")"#).await;
    // Had the first been charged, the second would find the budget of one used up.
    for id in ["first", "second"] {
        let denied = write(&world, id, None).await.unwrap_err();
        assert_eq!(code(&denied), ReasonCode::ObligationUnfulfillable);
        let explained = history::explain(&world.broker, &operator(), &denied.evaluated.id.to_string()).await.unwrap();
        assert_eq!(explained.overruled_by, Some(ReasonCode::ObligationUnfulfillable));
        assert!(explained.reproduced.is_some() && explained.is_reproduced().is_none(), "{explained:?}");
    }
    assert_eq!((world.events("denial").await.len(), world.events("intent").await.len()), (2, 0));
    assert!(world.events("outcome").await.is_empty());
}

#[tokio::test]
async fn an_explanation_is_of_one_of_the_two_decisions_of_a_call() {
    let world = World::new().await;
    let arguments = json!({"path": "/data/a.txt"}).as_object().unwrap().clone();
    let (system, tool) = (bundle::system(), "mcp__bailiwick__files__read_text_file");
    let call = HookCall { client: ClientKind::ClaudeCode, id: "both", tool, server: None, arguments: &arguments };
    let asked = hook::rule(&Arc::clone(&world.broker), &caller(Vec::new()), call).await.unwrap();
    assert!(matches!(asked.decision, Decision::Allow { .. }), "{asked:?}");
    // The call follows when nobody looked at the system for long: it is denied before it is mapped.
    world.clock.advance(45 * 60);
    let call = RawCall {
        system: &system,
        method: "tools/call",
        name: Some("read_text_file"),
        arguments: &arguments,
        declared: None,
        client_call: Some("both"),
    };
    let denied = authorize(&world.broker, &caller(Vec::new()), call).await.unwrap_err();
    assert_eq!((denied.evaluated.id, code(&denied)), (asked.id, ReasonCode::DefinitionUnverified));
    let explained = history::explain(&world.broker, &operator(), &asked.id.to_string()).await.unwrap();
    assert_eq!(explained.evaluated, denied.evaluated);
    assert!(explained.evaluation.is_none() && explained.reproduced.is_none(), "{explained:?}");
    let proposed = suggest::for_denial(&world.broker, &operator(), asked.id).await.unwrap_err().to_string();
    assert!(proposed.contains("was denied before policy was asked"), "{proposed}");
}

#[tokio::test]
async fn both_kinds_of_questions_are_recorded_alike() {
    let world = World::new().await;
    ask(&world, "first", "write_file", b"one").await.unwrap();
    let question = Question {
        agent: "reader".parse().unwrap(),
        system: bundle::system(),
        method: "tools/call".to_owned(),
        name: Some("write_file".to_owned()),
        arguments: json!({"path": "/data/a.txt", "content": "x"}).as_object().unwrap().clone(),
        task: None,
        scopes: None,
        address: None,
    };
    check(&world.broker, &operator(), question, Vec::new()).await.unwrap();
    let events = world.events("evaluated").await;
    let [hook, check] = events.as_slice() else { panic!("{events:?}") };
    for field in ["agent", "system", "decision", "policies", "reasons", "bundle"] {
        let (hook, check) = (hook.body.get(field), check.body.get(field));
        assert!(hook.is_some() && hook == check, "{field}: {hook:?}, {check:?}");
    }
    assert!(hook.commitments.keys().eq(check.commitments.keys()));
}
