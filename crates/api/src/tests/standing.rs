//! Whether what came of a call may be told again: as if it were asked for now, and to nobody who brings less.

use bailiwick_engine::{
    authorize::authorize,
    bundles,
    caller::{Caller, RawCall},
    permitted::{NotAgain, Standing},
};
use bailiwick_model::{
    bundle::BundleFiles,
    id::TokenId,
    principal::{DelegationChain, Principal},
};
use bailiwick_testkit_engine::{
    bundle,
    world::{World, operator},
};
use serde_json::json;

fn caller(agent: &str) -> Caller {
    Caller {
        chain: DelegationChain::of(Principal::Agent(agent.parse().unwrap())),
        token: TokenId::from_bytes([1; 16]),
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

/// A world with one more rule.
async fn world(rule: &str) -> World {
    let world = World::new().await;
    let files = bundle::files();
    let mut files: std::collections::BTreeMap<_, _> =
        files.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    files.insert("policies/organisation/rule.cedar".to_owned(), rule.as_bytes().to_vec());
    bundles::publish(&world.broker, &operator(), BundleFiles::new(files).unwrap(), true).await.unwrap();
    world.verify_definitions().await;
    world
}

async fn read(world: &World) -> Standing {
    let arguments = json!({"path": "/data/a.txt"}).as_object().unwrap().clone();
    let system = bundle::system();
    let call = RawCall {
        system: &system,
        method: "tools/call",
        name: Some("read_text_file"),
        arguments: &arguments,
        declared: None,
        client_call: None,
    };
    authorize(&world.broker, &caller("reader"), call).await.unwrap().standing()
}

fn check_ended(world: &World, standing: &Standing) {
    let refused = standing.recheck(&world.broker, &caller("reader")).unwrap_err();
    assert!(matches!(&refused, NotAgain::ToAnybody(_)) && refused.to_string().contains("now"), "{refused}");
}

#[tokio::test]
async fn a_rule_of_the_hour_holds_for_an_answer_that_is_told_again() {
    let rule = r#"@id("until-five-past") @reason("it is too late")
        forbid (principal, action, resource) when { context.now >= datetime("2026-06-10T12:05:00Z") };"#;
    let world = world(rule).await;
    let standing = read(&world).await;
    standing.recheck(&world.broker, &caller("reader")).unwrap();
    world.clock.advance(300);
    check_ended(&world, &standing);
}

#[tokio::test]
async fn a_rule_about_the_caller_of_now_holds_too() {
    let rule = r#"@id("novices-only") @reason("it has grown up")
        forbid (principal is Bailiwick::Agent, action, resource) when { principal.promoted };"#;
    let world = world(rule).await;
    let standing = read(&world).await;
    standing.recheck(&world.broker, &caller("reader")).unwrap();
    bailiwick_engine::agents::promote(&world.broker, &operator(), &"reader".parse().unwrap(), "tests").await.unwrap();
    check_ended(&world, &standing);
}

#[tokio::test]
async fn nobody_else_is_told_and_nothing_ends_by_that() {
    let world = World::new().await;
    let standing = read(&world).await;
    let check = |other: &Caller| {
        let refused = standing.recheck(&world.broker, other).unwrap_err();
        assert!(matches!(refused, NotAgain::ToThisCaller(_)), "{refused}");
    };
    check(&caller("scripted"));
    check(&Caller { scopes: ["files:read".parse().unwrap()].into(), ..caller("reader") });
    check(&Caller { task: Some(bailiwick_model::id::TaskId::from_bytes([1; 16])), ..caller("reader") });
    let wider = Caller {
        scopes: ["files:read", "files:write", "files:delete"].map(|s| s.parse().unwrap()).into(),
        ..caller("reader")
    };
    standing.recheck(&world.broker, &wider).unwrap();
}
