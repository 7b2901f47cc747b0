//! Reviews and owners through the real router and a clock that is set: whom nobody looks after stops, in that second and
//! for good, and nobody else does.

use std::collections::BTreeSet;

use bailiwick_engine::{grants, lifecycle, users};
use bailiwick_model::{
    grant::{Grant, GrantKind, GrantStatus},
    id::GrantId,
    principal::{DelegationChain, Principal},
};
use bailiwick_ports::new_id;
use bailiwick_testkit_engine::{bundle, world::operator};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Answer, Scene};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

impl Scene {
    async fn owned(&self, name: &str, owner: &str, review_days: Option<u32>) {
        let key = bailiwick_keys::agent_key::AgentKey::generate(bailiwick_model::jwk::SigningAlgorithm::EdDSA).unwrap();
        let key: Value = serde_json::from_str(key.public_jwk()).unwrap();
        let body = json!({"name": name, "owner": owner, "purpose": "tests", "environment": "production",
            "role": "reader", "key": key, "review_days": review_days});
        ok(&self.admin("POST", "/api/v1/agents", Some(body)).await, 201);
    }

    async fn given(&self, agent: &str) -> GrantId {
        let broker = &self.world.broker;
        let user = "u-giver".parse().unwrap();
        if !broker.live().users.contains_key(&user) {
            users::add(broker, &operator(), user.clone(), "Giver", None, BTreeSet::new()).await.unwrap();
        }
        let now = broker.now();
        let grant = Grant {
            id: new_id!(GrantId, now, broker.entropy()),
            kind: GrantKind::AuthorizationCode,
            chain: DelegationChain::new(vec![Principal::User(user), Principal::Agent(agent.parse().unwrap())]).unwrap(),
            parent: None,
            subject: None,
            resources: BTreeSet::from([format!("{}/mcp/{}", broker.settings().issuer, bundle::system())]),
            scopes: BTreeSet::from(["files:read".parse().unwrap()]),
            details: None,
            task: None,
            authentication: None,
            vouched: None,
            status: GrantStatus::Active,
            created_at: now,
            expires_at: now + SignedDuration::from_hours(24 * 60),
        };
        grants::give(broker, &operator(), grant, Vec::new()).await.unwrap().id
    }

    fn stands(&self, agent: &str) -> bool {
        let broker = &self.world.broker;
        broker.live().party(&Principal::Agent(agent.parse().unwrap()), broker.now()).is_ok()
    }

    async fn advance(&self, seconds: i64) {
        self.world.clock.advance(seconds);
        lifecycle::advance(&self.world.broker).await.unwrap();
    }

    async fn state(&self, agent: &str) -> String {
        let shown = ok(&self.admin("GET", &format!("/api/v1/agents/{agent}"), None).await, 200);
        shown["state"].as_str().unwrap().to_owned()
    }
}

#[track_caller]
fn ok(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text);
    answer.json()
}

fn why() -> Value {
    json!({"reason": "a test"})
}

#[tokio::test]
async fn an_agent_that_nobody_reviews_is_warned_of_and_then_stops() {
    let scene = Scene::new().await;
    scene.owned("due", "ops", Some(30)).await;
    scene.owned("beside", "ops", None).await;
    let grant = scene.given("due").await;
    let other = scene.given("beside").await;
    scene.advance(22 * DAY).await;
    assert!(scene.world.events("alert").await.is_empty());
    scene.advance(2 * DAY).await;
    scene.advance(DAY).await;
    let alerts = scene.world.events("alert").await;
    assert_eq!(alerts.len(), 1, "once, seven days before");
    assert_eq!((alerts[0].body["what"].clone(), alerts[0].body["agent"].clone()), ("review_due".into(), "due".into()));
    // In the very second, before anybody recorded anything.
    scene.world.clock.advance(5 * DAY - 1);
    assert!(scene.stands("due"));
    scene.world.clock.advance(1);
    assert!(!scene.stands("due") && scene.stands("beside"));
    assert_eq!(scene.state("due").await, "suspended");
    scene.advance(0).await;
    let changed = scene.world.events("agent_changed").await;
    let last = changed.last().unwrap();
    assert_eq!((last.body["change"].clone(), last.body["by"].clone()), ("suspended".into(), "workload:broker".into()));
    let live = scene.world.broker.live();
    assert!(!live.grants.contains_key(&grant) && live.grants.contains_key(&other), "its grants end, and no others");
    scene.advance(0).await;
    assert_eq!(scene.world.events("agent_changed").await.len(), changed.len(), "once");

    let resume = scene.admin("POST", "/api/v1/agents/due/resume", Some(why())).await;
    assert!(resume.status == 400 && resume.text.contains("agents review"), "{}", resume.text);
    let reviewed = json!({"reason": "still needed", "days": 400});
    assert_eq!(scene.admin("POST", "/api/v1/agents/due/review", Some(reviewed)).await.status, 400);
    assert_eq!(scene.admin("POST", "/api/v1/agents/due/review", Some(json!({}))).await.status, 400, "a reason");
    let reviewed = json!({"reason": "still needed", "days": 366});
    let shown = ok(&scene.admin("POST", "/api/v1/agents/due/review", Some(reviewed)).await, 200);
    assert_eq!(shown["review_by"], shown["expires_at"], "no review outlives the registration");
    assert_eq!(scene.state("due").await, "suspended", "somebody still has to say that it goes on");
    assert_eq!(ok(&scene.admin("POST", "/api/v1/agents/due/resume", Some(why())).await, 200)["state"], "active");
}

#[tokio::test]
async fn agents_of_whoever_left_get_a_successor_or_stop() {
    let scene = Scene::new().await;
    let broker = &scene.world.broker;
    for (id, email) in [("u-eve", "eve@broker.test"), ("u-bob", "bob@broker.test")] {
        let email = Some(email);
        users::add(broker, &operator(), id.parse().unwrap(), "X", email, BTreeSet::new()).await.unwrap();
    }
    for (name, owner) in [("by-id", "u-eve"), ("by-mail", "eve@broker.test"), ("bobs", "u-bob"), ("teams", "ops")] {
        scene.owned(name, owner, None).await;
    }
    ok(&scene.admin("POST", "/api/v1/users/u-eve/leave", Some(why())).await, 200);
    let waiting = ok(&scene.admin("GET", "/api/v1/agents/by-mail", None).await, 200);
    assert!(waiting["successor_by"].is_string(), "{waiting}");
    let owner = json!({"owner": "u-eve", "reason": "back to her"});
    let refused = scene.admin("POST", "/api/v1/agents/by-id/owner", Some(owner)).await;
    assert!(refused.status == 400 && refused.text.contains("left"), "{}", refused.text);
    let owner = json!({"owner": "u-bob", "reason": "he knows it"});
    let given = ok(&scene.admin("POST", "/api/v1/agents/by-id/owner", Some(owner)).await, 200);
    assert_eq!((given["owner"].as_str(), given.get("successor_by")), (Some("u-bob"), None));
    scene.advance(i64::from(lifecycle::SUCCESSOR_HOURS) * HOUR - 1).await;
    assert!(scene.stands("by-mail"));
    scene.world.clock.advance(1);
    let stopped = ["by-id", "by-mail", "bobs", "teams"].map(|name| !scene.stands(name));
    assert_eq!(stopped, [false, true, false, false]);
    scene.advance(0).await;
    assert_eq!(scene.state("by-mail").await, "suspended");
    let resume = scene.admin("POST", "/api/v1/agents/by-mail/resume", Some(why())).await;
    assert!(resume.status == 400 && resume.text.contains("agents owner"), "{}", resume.text);

    // An owner who is no user of ours leaves by an operator's word; a retired agent is not concerned.
    scene.owned("gone", "ops", None).await;
    ok(&scene.admin("POST", "/api/v1/agents/gone/retire", Some(why())).await, 200);
    let left = json!({"owner": "ops", "hours": 0, "reason": "the team was closed"});
    let agents = ok(&scene.admin("POST", "/api/v1/owners/left", Some(left)).await, 200);
    let told: Vec<_> =
        agents["agents"].as_array().unwrap().iter().map(|a| (a["name"].clone(), a["state"].clone())).collect();
    assert_eq!(told, [("teams".into(), "suspended".into())] as [(Value, Value); 1]);
    let left = json!({"owner": "u-bob", "successor": "dev@broker.test", "reason": "moved on"});
    let agents = ok(&scene.admin("POST", "/api/v1/owners/left", Some(left.clone())).await, 200);
    assert_eq!(agents["agents"].as_array().unwrap().len(), 2);
    assert!(scene.stands("bobs") && scene.stands("by-id"));
    assert_eq!(scene.admin("POST", "/api/v1/owners/left", Some(left)).await.status, 404, "nobody is left behind");
    for (body, status) in [
        (json!({"owner": "x", "successor": "y", "hours": 1}), 400),
        (json!({"owner": "dev@broker.test", "hours": 721}), 400),
        (json!({"owner": ""}), 400),
    ] {
        assert_eq!(scene.admin("POST", "/api/v1/owners/left", Some(body.clone())).await.status, status, "{body}");
    }
    let mut late = json!({"name": "late", "owner": "eve@broker.test", "purpose": "p", "environment": "production", "role": "reader"});
    late["key"] = serde_json::from_str(scene.world.key("reader").public_jwk()).unwrap();
    let refused = scene.admin("POST", "/api/v1/agents", Some(late)).await;
    assert!(refused.status == 400 && refused.text.contains("left"), "{}", refused.text);
}

#[tokio::test]
async fn another_job_ends_what_the_old_one_had() {
    let mut scene = Scene::new().await;
    scene.world.publish(bundle::with_delegation()).await;
    scene.world.enlist("mover", "reader").await;
    let (grant, other) = (scene.given("mover").await, scene.given("reader").await);
    let audience = bailiwick_engine::tokens::Audience::System(bundle::system());
    let token = scene.world.token("mover", audience.clone(), true).await;
    scene.world.token("reader", audience, true).await;
    let path = "/api/v1/agents/mover/role";
    for (body, status) in [
        (json!({"role": "nobody", "reason": "x"}), 400),
        (json!({"role": "reader", "reason": "x"}), 409),
        (json!({"role": "writer"}), 400),
    ] {
        assert_eq!(scene.admin("POST", path, Some(body.clone())).await.status, status, "{body}");
    }
    let done = ok(&scene.admin("POST", path, Some(json!({"role": "writer", "reason": "moved"}))).await, 200);
    assert_eq!((done["role"].as_str(), done["promoted"].as_bool()), (Some("writer"), Some(false)));
    assert_eq!((&done["grants_ended"], &done["tokens_revoked"]), (&json!([grant.to_string()]), &json!(1)));
    let live = scene.world.broker.live();
    assert!(!live.grants.contains_key(&grant) && live.grants.contains_key(&other));
    let id = bailiwick_testkit_engine::world::part(&token, 1)["jti"].as_str().unwrap().parse().unwrap();
    assert!(live.revoked.contains_key(&id) && live.revoked.size() == 1);

    let gate = "gate".parse().unwrap();
    assert!(!scene.world.broker.agent(&gate).unwrap().scopes.is_empty());
    let path = "/api/v1/agents/gate/role";
    ok(&scene.admin("POST", path, Some(json!({"role": "writer", "reason": "moved"}))).await, 200);
    assert!(scene.world.broker.agent(&gate).unwrap().scopes.is_empty(), "nor does it keep the doors of the old one");
}
