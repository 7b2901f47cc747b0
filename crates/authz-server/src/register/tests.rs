//! Registration through the real router: on whose terms, with what, and who manages it afterwards.

use bailiwick_engine::{agents, registration};
use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::{
    agent::{AgentStatus, Environment},
    jwk::SigningAlgorithm,
    registration::Terms,
    secret::Secret,
};
use bailiwick_testkit_engine::{bundle, world::operator};
use http::Method;
use serde_json::{Value, json};

use crate::{
    clients::PER_ADDRESS,
    token::tests::{Answer, Scene, refused},
};

const PATH: &str = "/oauth/register";

fn terms() -> Terms {
    Terms {
        name_prefix: "ci".parse().unwrap(),
        owner: "build team".to_owned(),
        purpose: "Build and test".to_owned(),
        environment: Environment::Production,
        role: "reader".parse().unwrap(),
        systems: vec!["files".parse().unwrap()],
        lifetime_days: 1,
    }
}

fn jwk() -> Value {
    serde_json::from_str(AgentKey::generate(SigningAlgorithm::EdDSA).unwrap().public_jwk()).unwrap()
}

fn metadata() -> Value {
    json!({ "jwks": { "keys": [jwk()] }, "redirect_uris": ["http://127.0.0.1/cb"], "client_name": "The Official One" })
}

impl Scene {
    async fn initial(&self, uses: u64) -> Secret<String> {
        registration::make_token(&self.world.broker, &operator(), terms(), uses, 3_600).await.unwrap().0
    }

    async fn say(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut head = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(token) = token {
            head = head.header("authorization", format!("Bearer {token}"));
        }
        self.send_body(head, body.map(ToString::to_string).unwrap_or_default()).await.0
    }

    async fn registered(&self, token: &Secret<String>) -> (String, String, String) {
        let answer = self.say(Method::POST, PATH, Some(token.expose()), Some(&metadata())).await;
        assert_eq!(answer.status, 201, "{:?}", answer.json);
        let text = |name: &str| answer.json[name].as_str().unwrap().to_owned();
        let path = text("registration_client_uri").replace("https://broker.test", "");
        (text("client_id"), path, text("registration_access_token"))
    }
}

#[tokio::test]
async fn a_client_registers_on_the_terms_of_its_token_and_starts_read_only() {
    let scene = Scene::new().await;
    let token = scene.initial(2).await;
    let (one, ..) = scene.registered(&token).await;
    let (two, ..) = scene.registered(&token).await;
    assert!(one.starts_with("ci-") && one != two);
    let agent = scene.world.broker.agent(&one.parse().unwrap()).unwrap();
    assert_eq!((agent.owner.as_str(), agent.purpose.as_str()), ("build team", "Build and test"));
    assert_eq!((agent.role.as_str(), agent.systems.len(), agent.promoted), ("reader", 1, false));
    assert!(!agent.bearer_tokens_allowed && agent.scopes.is_empty());
    assert_eq!(agent.expires_at, agent.created_at + jiff::SignedDuration::from_hours(24));
    let third = scene.say(Method::POST, PATH, Some(token.expose()), Some(&metadata())).await;
    refused(&third, 401, "invalid_token");
    let changes = scene.world.events("agent_changed").await;
    let told: Vec<_> = changes.iter().rev().take(3).map(|event| event.body["change"].clone()).collect();
    assert_eq!(told, ["registered", "registered", "registration token made"].map(Into::into));
    assert_eq!(changes[changes.len() - 1].body["via"], changes[changes.len() - 3].body["registration_token"]);
}

#[tokio::test]
async fn nobody_registers_without_a_token_that_holds() {
    let scene = Scene::new().await;
    let token = scene.initial(5).await;
    let long = "x".repeat(5_000);
    let text = token.expose();
    let wrong = [None, Some(""), Some("x"), Some("bwi_AAAA"), Some(&text[..text.len() - 1]), Some(long.as_str())];
    for wrong in wrong {
        let answer = scene.say(Method::POST, PATH, wrong, Some(&metadata())).await;
        refused(&answer, 401, "invalid_token");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    }
    let agents = scene.world.broker.live().agents.size();
    // The clock ends it, and so does an operator.
    scene.world.clock.advance(3_600);
    refused(&scene.say(Method::POST, PATH, Some(text), Some(&metadata())).await, 401, "invalid_token");
    let token = scene.initial(5).await;
    let id = registration::list(&scene.world.broker).await.unwrap().pop().unwrap().id;
    registration::remove_token(&scene.world.broker, &operator(), id).await.unwrap();
    refused(&scene.say(Method::POST, PATH, Some(token.expose()), Some(&metadata())).await, 401, "invalid_token");
    assert_eq!(scene.world.broker.live().agents.size(), agents);
    assert!(registration::list(&scene.world.broker).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_metadata_uses_nothing_up() {
    let scene = Scene::new().await;
    let token = scene.initial(1).await;
    for (body, code) in [
        (json!([]), "invalid_client_metadata"),
        (json!({"jwks": {"keys": []}}), "invalid_client_metadata"),
        (json!({"jwks_uri": "http://169.254.169.254/"}), "invalid_client_metadata"),
        (json!({"jwks": {"keys": [jwk()]}, "redirect_uris": ["http://evil.example/"]}), "invalid_redirect_uri"),
        (json!({"jwks": {"keys": [jwk()]}, "software_statement": "a.b.c"}), "unapproved_software_statement"),
    ] {
        refused(&scene.say(Method::POST, PATH, Some(token.expose()), Some(&body)).await, 400, code);
    }
    scene.registered(&token).await;
}

#[tokio::test]
async fn whoever_guesses_registration_tokens_waits() {
    let scene = Scene::new().await;
    let token = scene.initial(1).await;
    for _ in 0..PER_ADDRESS.burst {
        refused(&scene.say(Method::POST, PATH, Some("bwi_x"), Some(&metadata())).await, 401, "invalid_token");
    }
    assert_eq!(scene.say(Method::POST, PATH, Some(token.expose()), Some(&metadata())).await.status, 429);
}

#[tokio::test]
async fn a_client_manages_itself_by_a_token_that_is_good_once() {
    let scene = Scene::new().await;
    let token = scene.initial(2).await;
    let (name, path, first) = scene.registered(&token).await;
    let (other, other_path, _) = scene.registered(&token).await;
    let read = scene.say(Method::GET, &path, Some(&first), None).await;
    assert_eq!((read.status, read.json["client_id"].as_str()), (200, Some(name.as_str())));
    let second = read.json["registration_access_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    refused(&scene.say(Method::GET, &path, Some(&first), None).await, 401, "invalid_token");
    refused(&scene.say(Method::GET, &other_path, Some(&second), None).await, 401, "invalid_token");
    refused(&scene.say(Method::GET, &path, Some(token.expose()), None).await, 401, "invalid_token");

    let key = jwk();
    let mut update = json!({ "client_id": name, "jwks": { "keys": [key] } });
    let wrong = json!({ "client_id": other, "jwks": { "keys": [jwk()] } });
    refused(&scene.say(Method::PUT, &path, Some(&second), Some(&wrong)).await, 400, "invalid_client_metadata");
    update["owner"] = json!("somebody else");
    update["promoted"] = json!(true);
    let updated = scene.say(Method::PUT, &path, Some(&second), Some(&update)).await;
    assert_eq!(updated.status, 200, "{:?}", updated.json);
    let agent = scene.world.broker.agent(&name.parse().unwrap()).unwrap();
    assert_eq!((agent.credentials.len(), agent.redirect_uris.len(), agent.promoted), (1, 0, false));
    assert_eq!(agent.owner, "build team", "what its token fixed is not its own to change");
    assert_eq!(updated.json["jwks"]["keys"][0]["x"], key["x"]);
    let third = updated.json["registration_access_token"].as_str().unwrap().to_owned();

    let agent_name = name.parse().unwrap();
    agents::suspend(&scene.world.broker, &operator(), &agent_name, "odd").await.unwrap();
    refused(&scene.say(Method::GET, &path, Some(&third), None).await, 401, "invalid_token");
    agents::resume(&scene.world.broker, &operator(), &agent_name, "explained").await.unwrap();
    let ended = scene.say(Method::DELETE, &path, Some(&third), None).await;
    assert_eq!(ended.status, 204);
    let agent = scene.world.broker.agent(&agent_name).unwrap();
    assert!(matches!(agent.status, AgentStatus::Retired { .. }) && agent.credentials.is_empty());
    refused(&scene.say(Method::DELETE, &path, Some(&third), None).await, 401, "invalid_token");
}

/// Whoever registers by itself brings no maker's word, so a role that demands hardware has no such clients.
#[tokio::test]
async fn nobody_registers_a_software_key_where_hardware_is_demanded() {
    let scene = Scene::new().await;
    let token = scene.initial(5).await;
    let (_, path, access) = scene.registered(&token).await;
    let role = "purpose = \"Read files\"\nallow = [\"files:read\"]\nkey_protection = \"hardware\"\n";
    scene.world.publish(bundle::with_files(&[("roles/reader.toml", role)])).await;
    let refused = scene.say(Method::POST, PATH, Some(token.expose()), Some(&metadata())).await;
    assert!((400..500).contains(&refused.status), "{:?}", refused.json);
    let updated = scene.say(Method::PUT, &path, Some(&access), Some(&metadata())).await;
    assert!((400..500).contains(&updated.status), "{:?}", updated.json);
}
