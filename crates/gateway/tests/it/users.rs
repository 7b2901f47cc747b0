//! An agent that acts for a user who consented: decided on with that user, on every call.

use std::collections::BTreeSet;

use bailiwick_engine::{
    authorization, grants,
    tokens::{self, Audience, TokenAsk},
    users,
};
use bailiwick_model::{
    grant::{Authentication, Grant, GrantKind, GrantStatus},
    id::GrantId,
    jwk::Thumbprint,
    name::UserId,
    principal::{DelegationChain, Principal},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::bench::{Answered, Bench, Caller, operator};

/// Users in `writers` may read and write notes; nobody else may anything.
const FOR_USERS: &str = r#"
@id("writers-keep-notes")
permit (
    principal in Bailiwick::Group::"writers",
    action in [Bailiwick::Action::"notes:read", Bailiwick::Action::"notes:write", Bailiwick::Action::"notes:delete"],
    resource
);
"#;

struct Scene {
    bench: Bench,
    ada: UserId,
}

impl Scene {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let mut files = bench.files();
        files.insert("policies/users/writers.cedar".to_owned(), FOR_USERS.as_bytes().to_vec());
        bench.publish(files).await;
        let ada: UserId = "usr-ada".parse().unwrap();
        users::add(&bench.broker, &operator(), ada.clone(), "Ada", None, groups(&["writers"])).await.unwrap();
        Self { bench, ada }
    }

    async fn groups(&self, names: &[&str]) {
        users::set_groups(&self.bench.broker, &operator(), &self.ada, groups(names)).await.unwrap();
    }

    /// Lets an agent act for the user within scopes, as a redeemed code does.
    async fn consent(&self, caller: &mut Caller, scopes: &[&str]) -> GrantId {
        let (broker, now) = (&self.bench.broker, Timestamp::now());
        let user = Principal::User(self.ada.clone());
        let grant = Grant {
            id: GrantId::new(u64::try_from(now.as_millisecond()).unwrap(), [scopes.len() as u8; 10]),
            kind: GrantKind::AuthorizationCode,
            chain: DelegationChain::new(vec![user.clone(), Principal::Agent(caller.name.clone())]).unwrap(),
            parent: None,
            subject: None,
            resources: BTreeSet::from([caller.url.clone()]),
            scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
            task: None,
            authentication: Some(Authentication { at: now, methods: BTreeSet::new() }),
            status: GrantStatus::Active,
            created_at: now,
            expires_at: now + SignedDuration::from_hours(1),
        };
        let grant = grants::give(broker, &user, grant, Vec::new()).await.unwrap();
        let key: Thumbprint = broker.agent(&caller.name).unwrap().credentials[0].key.thumbprint;
        let ask = TokenAsk {
            agent: caller.name.clone(),
            credential: key,
            grant: Some(grant.id),
            audience: Audience::of_resource(&broker.settings().issuer, &caller.url).unwrap(),
            scopes: None,
            task: None,
            confirmation: Some(key),
            spent: Vec::new(),
        };
        caller.token = tokens::issue(broker, ask).await.unwrap().token.expose().clone();
        grant.id
    }
}

fn groups(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The code of the first reason of a denial.
fn reason(answer: &Answered) -> String {
    let message = answer.message();
    let denial = &message["result"]["_meta"]["bailiwick/denial"];
    denial["reasons"][0]["code"].as_str().unwrap_or_else(|| panic!("no denial: {message}")).to_owned()
}

fn done(answer: &Answered) -> bool {
    answer.message()["result"]["content"][0]["text"].as_str().is_some_and(|text| text.starts_with("done"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_for_a_user_what_both_may_and_no_more() {
    let scene = Scene::new().await;
    let mut worker = scene.bench.worker().await;
    scene.consent(&mut worker, &["notes:read", "notes:write", "notes:delete"]).await;
    let (read, write) = (json!({ "path": "/a" }), json!({ "path": "/a", "times": 1 }));
    assert!(done(&worker.tool("read_note", read.clone()).await));
    assert!(done(&worker.tool("write_note", write.clone()).await));
    let of_agent = worker.tool("delete_note", read.clone()).await;
    assert!(!reason(&of_agent).is_empty(), "the user may, the agent's role may not");
    assert_eq!(scene.bench.seen.acts(), 2);

    scene.groups(&[]).await;
    let of_user = worker.tool("read_note", read.clone()).await.message();
    assert_eq!(of_user["result"]["isError"], true);
    assert!(of_user.to_string().contains("policies/users"), "it says whose permit is missing: {of_user}");
    assert_eq!(scene.bench.seen.acts(), 2, "the very next call");
    scene.groups(&["writers"]).await;
    assert!(done(&worker.tool("read_note", read.clone()).await));

    users::suspend(&scene.bench.broker, &operator(), &scene.ada, "test").await.unwrap();
    let stopped = worker.tool("read_note", read.clone()).await;
    assert!(stopped.status == 401 || stopped.message()["result"]["isError"] == true, "{stopped:?}");
    assert_eq!(scene.bench.seen.acts(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_can_be_narrower_than_both() {
    let scene = Scene::new().await;
    let mut worker = scene.bench.worker().await;
    scene.consent(&mut worker, &["notes:read"]).await;
    assert!(done(&worker.tool("read_note", json!({ "path": "/a" })).await));
    let write = worker.tool("write_note", json!({ "path": "/a", "times": 1 })).await;
    assert_eq!(write.status, 403, "{write:?}");
    assert_eq!(scene.bench.seen.acts(), 1);
    let mut narrow = scene.bench.agent("narrow", "worker", "/mcp/notes", None).await;
    scene.consent(&mut narrow, &["notes.read_note", "notes.slow"]).await;
    assert!(done(&narrow.tool("read_note", json!({ "path": "/a" })).await));
    assert_eq!(narrow.tool("find_contacts", json!({})).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_withdraws_stops_the_very_next_call() {
    let scene = Scene::new().await;
    let broker = &scene.bench.broker;
    let mut worker = scene.bench.worker().await;
    let own = worker.token.clone();
    let grant = scene.consent(&mut worker, &["notes:read"]).await;
    let [given] = &authorization::given(broker, &scene.ada)[..] else { panic!("one consent") };
    assert_eq!((given.grant.id, given.agent.as_str(), given.systems[0].title.as_str()), (grant, "worker", "Notes"));
    assert!(done(&worker.tool("read_note", json!({ "path": "/a" })).await));

    let bob: UserId = "usr-bob".parse().unwrap();
    users::add(broker, &operator(), bob.clone(), "Bob", None, BTreeSet::new()).await.unwrap();
    assert!(authorization::given(broker, &bob).is_empty());
    assert!(authorization::withdraw(broker, &bob, grant).await.is_err(), "it is not his");
    assert!(done(&worker.tool("read_note", json!({ "path": "/a" })).await));

    authorization::withdraw(broker, &scene.ada, grant).await.unwrap();
    assert_eq!(worker.tool("read_note", json!({ "path": "/a" })).await.status, 401);
    assert_eq!(scene.bench.seen.acts(), 2);
    assert!(authorization::given(broker, &scene.ada).is_empty());
    worker.token = own;
    assert!(done(&worker.tool("read_note", json!({ "path": "/a" })).await), "what the agent may itself goes on");
}
