//! An agent that acts for a user who consented: decided on with that user, on every call.

use std::collections::BTreeSet;

use bailiwick_engine::{
    authorization, grants,
    tokens::{self, Audience, TokenAsk},
    users,
};
use bailiwick_model::{
    confirmation::Confirmation,
    grant::{Authentication, Grant, GrantKind, GrantStatus},
    id::GrantId,
    jwk::Thumbprint,
    name::UserId,
    principal::{DelegationChain, Principal},
};
use bailiwick_ports::chance::random;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::bench::{Answered, Bench, Caller, operator};

/// Users in `writers` may read and write notes; nobody else may anything.
pub(crate) const FOR_USERS: &str = r#"
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
        let proof = Authentication { at: Timestamp::now(), methods: BTreeSet::new(), acr: None };
        self.consent_on(caller, scopes, proof).await
    }

    /// The same, on a proof of who the user is.
    async fn consent_on(&self, caller: &mut Caller, scopes: &[&str], proof: Authentication) -> GrantId {
        consent_of(&self.bench, &self.ada, caller, (scopes, proof)).await
    }
}

/// Lets an agent act for a user within scopes, as a redeemed code does.
pub(crate) async fn consent_of(
    bench: &Bench,
    user: &UserId,
    caller: &mut Caller,
    (scopes, proof): (&[&str], Authentication),
) -> GrantId {
    let (broker, now) = (&bench.broker, Timestamp::now());
    let user = Principal::User(user.clone());
    let grant = Grant {
        id: GrantId::new(u64::try_from(now.as_millisecond()).unwrap(), random(broker.entropy())),
        kind: GrantKind::AuthorizationCode,
        chain: DelegationChain::new(vec![user.clone(), Principal::Agent(caller.name.clone())]).unwrap(),
        parent: None,
        subject: None,
        resources: BTreeSet::from([caller.url.clone()]),
        scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
        details: None,
        task: None,
        authentication: Some(proof),
        vouched: None,
        status: GrantStatus::Active,
        created_at: now,
        expires_at: now + SignedDuration::from_hours(1),
    };
    let grant = grants::give(broker, &user, grant, Vec::new()).await.unwrap();
    let key: Thumbprint = broker.agent(&caller.name).unwrap().credentials[0].authenticator.id();
    let ask = TokenAsk {
        agent: caller.name.clone(),
        credential: key,
        grant: Some(grant.id),
        audience: Audience::of_resource(&broker.settings().issuer, &caller.url).unwrap(),
        scopes: None,
        details: None,
        task: None,
        confirmation: Some(Confirmation::Key(key)),
        spent: Vec::new(),
    };
    caller.token = tokens::issue(broker, ask).await.unwrap().token.expose().clone();
    grant.id
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

pub(crate) fn done(answer: &Answered) -> bool {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_can_ask_that_its_user_has_just_proved_who_they_are() {
    let scene = Scene::new().await;
    let mut files = scene.bench.files();
    let notes = String::from_utf8(files["systems/notes.toml"].clone()).unwrap();
    let asking =
        notes.replace("[tools.write_note]", "[tools.write_note]\nstep_up = { acr = \"phr\", max_age_s = 300 }");
    assert_ne!(notes, asking);
    files.insert("systems/notes.toml".to_owned(), asking.into_bytes());
    files.insert("policies/users/writers.cedar".to_owned(), FOR_USERS.as_bytes().to_vec());
    scene.bench.publish(files).await;
    let mut worker = scene.bench.worker().await;
    let write = json!({ "path": "/a", "times": 1 });
    let alone = worker.tool("write_note", write.clone()).await;
    assert_eq!((alone.status, reason(&alone).as_str()), (200, "insufficient_user_authentication"), "{alone:?}");

    let scopes = ["notes:read", "notes:write"];
    let proof = |acr: Option<&str>, age_s| Authentication {
        at: Timestamp::now() - SignedDuration::from_secs(age_s),
        methods: BTreeSet::new(),
        acr: acr.map(|acr| acr.parse().unwrap()),
    };
    for weak in [proof(None, 0), proof(Some("urn:silver"), 0), proof(Some("phr"), 600)] {
        scene.consent_on(&mut worker, &scopes, weak.clone()).await;
        let answer = worker.tool("write_note", write.clone()).await;
        assert_eq!(answer.status, 401, "{weak:?} {answer:?}");
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        for part in ["DPoP ", "error=\"insufficient_user_authentication\"", "acr_values=\"phr\"", "max_age=\"300\""] {
            assert!(challenge.contains(part), "{part} in {challenge}");
        }
        let told = answer.message()["error"]["message"].as_str().unwrap().to_owned();
        assert!(told.contains("needs a user who proved who they are") && told.contains("sign in again"), "{told}");
        assert!(done(&worker.tool("read_note", json!({ "path": "/a" })).await), "what asks for nothing goes on");
    }
    assert_eq!(scene.bench.seen.acts(), 3, "only what was read");
    scene.consent_on(&mut worker, &scopes, proof(Some("phr"), 240)).await;
    assert!(done(&worker.tool("write_note", write).await));
    let listed = worker.call("tools/list", json!({})).await.message();
    assert!(listed.to_string().contains("write_note"), "{listed}");
}
