//! What is out there: tokens with what became of them, grants with all that comes from them.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_engine::{
    grants,
    tokens::{self, Audience, TokenAsk},
    users,
};
use bailiwick_model::{
    confirmation::Confirmation,
    grant::{Grant, GrantKind, GrantStatus},
    id::GrantId,
    principal::{DelegationChain, Principal},
};
use bailiwick_testkit_engine::{bundle, world::operator};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Answer, Scene};

#[track_caller]
fn ok(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// A user's grant to the agent `reader`, and one that came from it.
async fn granted(scene: &Scene) -> [GrantId; 2] {
    let broker = &scene.world.broker;
    users::add(broker, &operator(), "u-ada".parse().unwrap(), "Ada", None, BTreeSet::new()).await.unwrap();
    let [user, reader, gate] = [
        Principal::User("u-ada".parse().unwrap()),
        Principal::Agent("reader".parse().unwrap()),
        Principal::Agent("gate".parse().unwrap()),
    ];
    let first = Grant {
        id: GrantId::from_bytes([1; 16]),
        kind: GrantKind::AuthorizationCode,
        chain: DelegationChain::new(vec![user.clone(), reader.clone()]).unwrap(),
        parent: None,
        subject: None,
        resources: BTreeSet::from(["https://broker.test/mcp/files".to_owned()]),
        scopes: BTreeSet::from(["files:read".parse().unwrap()]),
        details: None,
        task: None,
        authentication: None,
        vouched: None,
        status: GrantStatus::Active,
        created_at: broker.now(),
        expires_at: broker.now() + SignedDuration::from_hours(1),
    };
    let second = Grant {
        id: GrantId::from_bytes([2; 16]),
        kind: GrantKind::TokenExchange,
        chain: DelegationChain::new(vec![user, reader, gate]).unwrap(),
        parent: Some(first.id),
        ..first.clone()
    };
    for grant in [&first, &second] {
        grants::give(broker, &operator(), grant.clone(), Vec::new()).await.unwrap();
    }
    [first.id, second.id]
}

async fn issue(scene: &Scene, agent: &str, grant: Option<GrantId>) -> String {
    let key = scene.world.key(agent).public().thumbprint;
    let ask = TokenAsk {
        agent: agent.parse().unwrap(),
        credential: key,
        grant,
        audience: Audience::System(bundle::system()),
        scopes: None,
        details: None,
        task: None,
        confirmation: Some(Confirmation::Key(key)),
        spent: Vec::new(),
    };
    let token = tokens::issue(&scene.world.broker, ask).await.unwrap().token.expose().clone();
    bailiwick_testkit_engine::world::part(&token, 1)["jti"].as_str().unwrap().to_owned()
}

async fn states(scene: &Scene) -> BTreeMap<String, String> {
    let listed = ok(&scene.admin("GET", "/api/v1/tokens", None).await);
    let text = |token: &Value, name: &str| token[name].as_str().unwrap().to_owned();
    listed["tokens"].as_array().unwrap().iter().map(|token| (text(token, "id"), text(token, "state"))).collect()
}

#[tokio::test]
async fn every_unexpired_token_is_listed_until_it_ends() {
    let scene = Scene::new().await;
    let [grant, _] = granted(&scene).await;
    let own = issue(&scene, "gate", None).await;
    let of_grant = issue(&scene, "reader", Some(grant)).await;
    let listed = ok(&scene.admin("GET", &format!("/api/v1/tokens?grant={grant}"), None).await);
    let [token] = listed["tokens"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    for (member, value) in [
        ("id", of_grant.as_str()),
        ("client", "reader"),
        ("reason", "authorization_code"),
        ("grant", &grant.to_string()),
        ("audience", "https://broker.test/mcp/files"),
        ("state", "active"),
    ] {
        assert_eq!(token[member], value, "{member}");
    }
    let plain = ok(&scene.admin("GET", "/api/v1/tokens?client=gate", None).await);
    assert_eq!((&plain["tokens"][0]["id"], &plain["tokens"][0]["reason"]), (&json!(own), &json!("client_credentials")));
    let page = ok(&scene.admin("GET", "/api/v1/tokens?limit=1", None).await);
    let first = page["tokens"][0]["id"].as_str().unwrap();
    let next = ok(&scene.admin("GET", &format!("/api/v1/tokens?limit=1&after={first}"), None).await);
    assert_eq!(page["tokens"].as_array().unwrap().len(), 1);
    assert_ne!(next["tokens"][0]["id"], first);
    for query in ["limit=x", "after=x", "client=..", "secret=1"] {
        assert_eq!(scene.admin("GET", &format!("/api/v1/tokens?{query}"), None).await.status, 400, "{query}");
    }
    let revoke = async |id: &str| scene.admin("POST", &format!("/api/v1/tokens/{id}/revoke"), None).await;
    assert_eq!(ok(&revoke(&own).await)["state"], "revoked");
    assert_eq!(ok(&revoke(&own).await)["state"], "revoked", "once more changes nothing");
    assert_eq!(revoke("tok_00000000000070008000000000000000").await.status, 404);
    assert_eq!(
        scene.admin("POST", &format!("/api/v1/grants/{grant}/end"), Some(json!({"reason": "x"}))).await.status,
        200
    );
    let now = states(&scene).await;
    assert_eq!((now[&own].as_str(), now[&of_grant].as_str()), ("revoked", "ended"));
    scene.world.clock.advance(900);
    assert_eq!(states(&scene).await, BTreeMap::new());
    assert_eq!(revoke(&of_grant).await.status, 409, "it has expired");
    let told = scene.world.events("grant_changed").await;
    let revoked: Vec<_> = told.iter().filter(|event| event.body["change"] == "token revoked".into()).collect();
    assert_eq!((revoked.len(), &revoked[0].body["by"]), (1, &"operator:root".into()));
}

#[tokio::test]
async fn a_grant_is_shown_and_ends_with_what_came_from_it() {
    let scene = Scene::new().await;
    let [first, second] = granted(&scene).await;
    let listed = ok(&scene.admin("GET", "/api/v1/grants", None).await);
    assert_eq!(listed["grants"].as_array().unwrap().len(), 2);
    let path = format!("/api/v1/grants/{second}");
    let shown = ok(&scene.admin("GET", &path, None).await);
    assert_eq!(shown, listed["grants"][1]);
    assert_eq!(shown["chain"], json!(["user:u-ada", "agent:reader", "agent:gate"]));
    assert_eq!((&shown["parent"], &shown["kind"]), (&json!(first.to_string()), &json!("token_exchange")));
    let end = async |body: Value| scene.admin("POST", &format!("/api/v1/grants/{first}/end"), Some(body)).await;
    assert_eq!(end(json!({})).await.status, 400, "a reason is required");
    let ended = ok(&end(json!({"reason": "withdrawn"})).await);
    assert_eq!(ended["ended"], json!([first.to_string(), second.to_string()]));
    assert_eq!(end(json!({"reason": "again"})).await.status, 409);
    let shown = ok(&scene.admin("GET", &path, None).await);
    assert_eq!((&shown["state"], &shown["state_reason"]), (&json!("ended"), &json!("withdrawn")));
    assert_eq!(ok(&scene.admin("GET", "/api/v1/grants", None).await)["grants"], json!([]));
    let unknown = "/api/v1/grants/grant_00000000000070008000000000000000";
    assert_eq!(scene.admin("GET", unknown, None).await.status, 404);
}
