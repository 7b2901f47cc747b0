//! When an observation is on: by a clock that may be set back, and between a decision and its forward.

use bailiwick_engine::{
    authorize::authorize,
    caller::{Caller, RawCall},
    coverage::connections_of,
    observation::{self, ObservationAsk},
    permitted::Permitted,
    refusal::Denied,
};
use bailiwick_model::{
    decision::{Decision, ReasonCode},
    id::TokenId,
    observation::Observation,
    principal::{DelegationChain, Principal},
};
use bailiwick_testkit_engine::{
    bundle,
    world::{World, operator},
};
use serde_json::json;

fn caller(token: u8) -> Caller {
    Caller {
        chain: DelegationChain::of(Principal::Agent("reader".parse().unwrap())),
        token: TokenId::from_bytes([token; 16]),
        grant: None,
        scopes: ["files:read", "files:write"].map(|scope| scope.parse().unwrap()).into(),
        details: None,
        audience: String::new(),
        task: None,
        confirmation: None,
        address: None,
        spent: Vec::new(),
    }
}

/// A write, which the role does not permit.
async fn write(world: &World) -> Result<Permitted, Box<Denied>> {
    let arguments = json!({"path": "/data/a.txt", "content": "x"}).as_object().unwrap().clone();
    let system = "files".parse().unwrap();
    let call = RawCall {
        system: &system,
        method: "tools/call",
        name: Some("write_file"),
        arguments: &arguments,
        declared: None,
        client_call: None,
    };
    authorize(&world.broker, &caller(1), call).await
}

async fn observed(world: &World, scope: &str, lifetime_s: u64) {
    let observation = Observation { scope: scope.parse().unwrap(), production: true };
    let ask = ObservationAsk { observation, lifetime_s, reason: "a trial".to_owned() };
    observation::start(&world.broker, &operator(), ask).await.unwrap();
}

async fn check_denied(world: &World) {
    let denied = write(world).await.unwrap_err();
    let codes: Vec<ReasonCode> = denied.reasons().iter().map(|reason| reason.code).collect();
    assert_eq!(codes, [ReasonCode::NoPermit]);
    assert!(denied.evaluated.observed.is_none());
}

/// A world whose agent is past its read-only start, so that nothing but the missing permit is in the way.
async fn world() -> World {
    let world = World::new().await;
    bailiwick_engine::agents::promote(&world.broker, &operator(), &"reader".parse().unwrap(), "tests").await.unwrap();
    world
}

#[tokio::test]
async fn a_clock_that_is_set_back_brings_nothing_back() {
    let world = world().await;
    check_denied(&world).await;
    observed(&world, "agent:reader", 60).await;
    let permit = write(&world).await.unwrap();
    let marked = permit.evaluated().observed.clone().unwrap();
    assert!(matches!(marked.would_be, Decision::Deny { .. }));
    permit.recheck(&world.broker).unwrap();

    world.clock.advance(60);
    check_denied(&world).await;
    permit.recheck(&world.broker).unwrap_err();
    world.clock.advance(-30);
    check_denied(&world).await;
    // Nobody can say when a new one would end.
    let observation = Observation { scope: "agent:reader".parse().unwrap(), production: true };
    let ask = ObservationAsk { observation, lifetime_s: 60, reason: "again".to_owned() };
    let refused = observation::start(&world.broker, &operator(), ask).await.unwrap_err();
    assert!(refused.to_string().contains("the clock went backwards"), "{refused}");
    check_denied(&world).await;
}

#[tokio::test]
async fn what_was_allowed_under_it_is_not_forwarded_once_it_is_stopped() {
    let world = world().await;
    observed(&world, "system:files", 60).await;
    let permit = write(&world).await.unwrap();
    // Another observation that covers it too is no reason to stop; the end of its own is.
    observed(&world, "agent:reader", 60).await;
    permit.recheck(&world.broker).unwrap();
    observation::stop(&world.broker, &operator(), &"system:files".parse().unwrap(), "enough").await.unwrap();
    let refused = permit.recheck(&world.broker).unwrap_err();
    assert!(refused.to_string().contains("ended meanwhile"), "{refused}");
    // The other one still covers a new call.
    assert_eq!(write(&world).await.unwrap().evaluated().observed.as_ref().unwrap().by.len(), 1);
}

#[tokio::test]
async fn a_call_that_policy_allows_goes_on_after_the_end() {
    let world = world().await;
    observed(&world, "agent:reader", 60).await;
    let arguments = json!({"path": "/data/a.txt"}).as_object().unwrap().clone();
    let system = "files".parse().unwrap();
    let name = Some("read_text_file");
    let call = RawCall {
        system: &system,
        method: "tools/call",
        name,
        arguments: &arguments,
        declared: None,
        client_call: None,
    };
    let permit = authorize(&world.broker, &caller(1), call).await.unwrap();
    assert!(matches!(permit.evaluated().observed.as_ref().unwrap().would_be, Decision::Allow { .. }));
    world.clock.advance(61);
    permit.recheck(&world.broker).unwrap();
}

#[tokio::test]
async fn a_clients_own_tools_have_no_definitions_to_compare() {
    let world = world().await;
    world.publish(bundle::with_own_tools("")).await;
    let counted = |world: &World| {
        let (agent, client) = ("reader".parse().unwrap(), "claude_code".parse().unwrap());
        let all = connections_of(&world.broker, Some(&agent), Some(&client)).unwrap();
        (all.enforced, all.observed, all.unknown)
    };
    assert_eq!(counted(&world), (1, 0, 0));
    world.clock.advance(7 * 24 * 3_600);
    assert_eq!(counted(&world), (1, 0, 0));
    observed(&world, "agent:reader", 60).await;
    assert_eq!(counted(&world), (0, 1, 0));
    // There is still no server to send such a call to.
    let system = "claude_code".parse().unwrap();
    let arguments = json!({"file_path": "/data/a.txt", "content": "x"}).as_object().unwrap().clone();
    let call = RawCall {
        system: &system,
        method: "tools/call",
        name: Some("Write"),
        arguments: &arguments,
        declared: None,
        client_call: None,
    };
    let denied = authorize(&world.broker, &caller(1), call).await.unwrap_err();
    assert_eq!(denied.reasons()[0].code, ReasonCode::UnknownTool);
}
