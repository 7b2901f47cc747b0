//! Renewing access through the real router: rotation, and what a copy comes to.

use std::sync::Arc;

use bailiwick_engine::{agents, grants, refresh, users};
use bailiwick_keys::agent_key::{AgentKey, ProofSubject};
use bailiwick_model::{
    confirmation::Confirmation,
    grant::{Grant, GrantKind},
    jwk::SigningAlgorithm,
};
use bailiwick_ports::chance::Clock as _;
use bailiwick_testkit_engine::world::{operator, part};
use serde_json::json;

use crate::token::tests::{Answer, RESOURCE, Scene, TOKEN_URL, granted, refused, with};

async fn given(scene: &Scene, kind: GrantKind) -> (Arc<Grant>, String) {
    let grant = granted(scene, "reader", kind).await;
    let key = scene.world.key("reader").public().thumbprint;
    let token = refresh::first(&scene.world.broker, &grant, Some(Confirmation::Key(key))).await.unwrap();
    (grant, token.expose().clone())
}

impl Scene {
    fn renewal(&self, agent: &str, token: &str) -> Vec<(&'static str, String)> {
        let mut form = with(self.form(agent), "grant_type", "refresh_token");
        form.retain(|(name, _)| *name != "resource");
        with(form, "refresh_token", token)
    }

    pub(crate) async fn renew(&self, agent: &str, token: &str) -> Answer {
        self.ask(&self.renewal(agent, token), Some(self.proof(agent))).await
    }

    fn stands(&self, grant: &Grant) -> bool {
        let broker = &self.world.broker;
        broker.live().grant_stands(Some(grant.id), broker.now())
    }
}

fn next(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    answer.json["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_refresh_token_is_good_once_and_gives_the_next() {
    let scene = Scene::new().await;
    for kind in [GrantKind::AuthorizationCode, GrantKind::DeviceCode, GrantKind::Ciba] {
        let (grant, mut token) = given(&scene, kind).await;
        for turn in 1..=3 {
            let answer = scene.renew("reader", &token).await;
            let fresh = next(&answer);
            assert!(fresh.starts_with(refresh::PREFIX) && fresh != token);
            let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
            assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!("user:u-ada"), &json!("reader")));
            assert_eq!((&claims["aud"], &claims["scope"]), (&json!(RESOURCE), &json!("files:read")));
            assert_eq!(claims["bailiwick_grant"], grant.id.to_string());
            assert!(claims["exp"].as_i64().unwrap() <= grant.expires_at.as_second(), "no longer than the grant");
            let told = scene.world.events("token_issued").await;
            assert_eq!(told.last().unwrap().body["refreshed"], turn.into());
            token = fresh;
        }
        assert!(scene.stands(&grant));
    }
    for kind in [GrantKind::TokenExchange, GrantKind::JwtBearer] {
        let grant = granted(&scene, "reader", kind).await;
        assert!(refresh::first(&scene.world.broker, &grant, None).await.is_err());
    }
    let (grant, _) = given(&scene, GrantKind::Ciba).await;
    assert!(refresh::first(&scene.world.broker, &grant, None).await.is_err(), "a grant has one line of them");
}

#[tokio::test]
async fn a_second_use_ends_the_grant_and_raises_an_alert() {
    let scene = Scene::new().await;
    let (grant, stolen) = given(&scene, GrantKind::AuthorizationCode).await;
    let held = next(&scene.renew("reader", &stolen).await);
    refused(&scene.renew("reader", &stolen).await, 400, "invalid_grant");
    assert!(!scene.stands(&grant), "nobody can tell who holds the copy");
    refused(&scene.renew("reader", &held).await, 400, "invalid_grant");
    let alerts = scene.world.events("alert").await;
    assert_eq!(alerts.len(), 1);
    assert_eq!((&alerts[0].body["what"], &alerts[0].body["agent"]), (&"refresh_reuse".into(), &"reader".into()));
    let ended = scene.world.events("grant_changed").await;
    assert_eq!(ended.last().unwrap().body["reason"], "a refresh token was used again".into());
    assert_eq!(scene.world.events("token_issued").await.len(), 1);
}

#[tokio::test]
async fn two_at_once_are_a_copy_and_the_original() {
    let scene = Scene::new().await;
    let (grant, token) = given(&scene, GrantKind::AuthorizationCode).await;
    let (one, other) = tokio::join!(scene.renew("reader", &token), scene.renew("reader", &token));
    let good = [&one, &other].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1, "{:?} {:?}", one.json, other.json);
    assert!(!scene.stands(&grant));
}

#[tokio::test]
async fn it_is_good_for_its_client_and_its_key_alone() {
    let scene = Scene::new().await;
    let (grant, token) = given(&scene, GrantKind::AuthorizationCode).await;
    refused(&scene.renew("scripted", &token).await, 400, "invalid_grant");
    let other = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
    let nonce = scene.world.nonce();
    let subject = ProofSubject { method: "POST", uri: TOKEN_URL, nonce: Some(&nonce), access_token: None };
    let proof = other.sign_dpop(&subject, scene.world.clock.now(), &scene.world.jti()).unwrap();
    refused(&scene.ask(&scene.renewal("reader", &token), Some(proof)).await, 400, "invalid_dpop_proof");
    refused(&scene.ask(&scene.renewal("reader", &token), None).await, 400, "invalid_dpop_proof");
    for unknown in ["bwr_AAAA", "bwr_", "nothing", &token[4..], &format!("{token}A"), &token.to_uppercase()] {
        refused(&scene.ask(&scene.renewal("reader", unknown), Some(scene.proof("reader"))).await, 400, "invalid_grant");
        scene.world.clock.advance(6);
    }
    // Whoever failed took nothing from its owner.
    assert!(scene.stands(&grant));
    next(&scene.renew("reader", &token).await);
}

#[tokio::test]
async fn scopes_and_resource_may_only_shrink() {
    let scene = Scene::new().await;
    let (_, token) = given(&scene, GrantKind::AuthorizationCode).await;
    let ask = async |form: Vec<(&'static str, String)>| scene.ask(&form, Some(scene.proof("reader"))).await;
    refused(&ask(with(scene.renewal("reader", &token), "scope", "files:write")).await, 400, "invalid_scope");
    let elsewhere = with(scene.renewal("reader", &token), "resource", "https://broker.test/mcp");
    refused(&ask(elsewhere).await, 400, "invalid_target");
    let narrow = with(with(scene.renewal("reader", &token), "scope", "files.read_text_file"), "resource", RESOURCE);
    refused(&ask(narrow).await, 400, "invalid_scope");
    let answer = ask(with(scene.renewal("reader", &token), "scope", "files:read")).await;
    let renewed = next(&answer);
    assert_eq!(answer.json["scope"], "files:read");
    // What was asked for once does not narrow the grant (RFC 6749 §6).
    assert_eq!(scene.renew("reader", &renewed).await.json["scope"], "files:read");
}

#[tokio::test]
async fn whoever_may_not_act_renews_nothing() {
    let scene = Scene::new().await;
    let broker = &scene.world.broker;
    let (grant, token) = given(&scene, GrantKind::AuthorizationCode).await;
    let user = "u-ada".parse().unwrap();
    users::suspend(broker, &operator(), &user, "away").await.unwrap();
    refused(&scene.renew("reader", &token).await, 400, "invalid_grant");
    users::resume(broker, &operator(), &user).await.unwrap();
    agents::suspend(broker, &operator(), &"reader".parse().unwrap(), "odd").await.unwrap();
    refused(&scene.renew("reader", &token).await, 401, "invalid_client");
    agents::resume(broker, &operator(), &"reader".parse().unwrap(), "fine").await.unwrap();
    let token = next(&scene.renew("reader", &token).await);
    grants::end(broker, &operator(), grant.id, "withdrawn").await.unwrap();
    refused(&scene.renew("reader", &token).await, 400, "invalid_grant");
    let (_, token) = given(&scene, GrantKind::AuthorizationCode).await;
    scene.world.clock.advance(600);
    refused(&scene.renew("reader", &token).await, 400, "invalid_grant");
}

/// Whoever copies the database has digests, and no digest opens anything.
#[tokio::test]
async fn a_stolen_copy_of_the_database_renews_nothing() {
    let scene = Scene::new().await;
    let (grant, token) = given(&scene, GrantKind::AuthorizationCode).await;
    let fresh = next(&scene.renew("reader", &token).await);
    let folder = std::env::temp_dir().join(format!("bailiwick-copy-{}", scene.world.nonce()));
    scene.world.broker.store().backup(&folder).await.unwrap();
    let copy = std::fs::read(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    let holds = |needle: &[u8]| copy.windows(needle.len()).any(|window| window == needle);
    let digest = bailiwick_model::digest::Digest::of(fresh.as_bytes());
    assert!(holds(digest.as_bytes()), "the copy is a whole one");
    for secret in [&token, &fresh] {
        assert!(!holds(secret.as_bytes()) && !holds(&secret.as_bytes()[4..]), "no token stands in it");
        let random = base64_decode(&secret[4..]);
        assert!(!holds(&random), "nor what it is made of");
    }
    for forged in [digest.to_string(), format!("bwr_{}", base64_encode(digest.as_bytes()))] {
        refused(&scene.renew("reader", &forged).await, 400, "invalid_grant");
    }
    assert!(scene.stands(&grant));
    next(&scene.renew("reader", &fresh).await);
}

fn base64_decode(text: &str) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn base64_encode(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
