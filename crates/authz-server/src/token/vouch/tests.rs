//! What we vouch for, through the real endpoint: only what a user allowed, to a server that is listed, as far as it is.

use std::sync::Arc;

use bailiwick_engine::{agents, grants, refresh, users};
use bailiwick_model::{
    confirmation::Confirmation,
    grant::{Grant, GrantKind},
    name::UserId,
};
use bailiwick_testkit_engine::{
    bundle,
    world::{ISSUER, operator, part},
};
use serde_json::json;

use super::super::tests::{Answer, Scene, TYPE, granted, refused, with};

const THERE: &str = "https://other.example";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

const TARGET: &str = r#"issuer = "https://other.example"
[[id_jag_target]]
agent = "reader"
client_id = "partner-7"
resources = ["https://other.example/mcp/files"]
scopes = ["files:read", "files:list"]
"#;

/// A broker at which Ada allowed `reader` to act for her, and which may vouch for that to one other server.
struct Vouching {
    scene: Scene,
    grant: Arc<Grant>,
    /// Bound to the key of `reader`.
    refresh: String,
}

async fn scene() -> Vouching {
    let scene = Scene::new().await;
    scene.world.publish(bundle::with_files(&[("issuers/other.toml", TARGET)])).await;
    let grant = granted(&scene, "reader", GrantKind::AuthorizationCode).await;
    let key = scene.world.key("reader").public().thumbprint;
    let refresh = refresh::first(&scene.world.broker, &grant, Some(Confirmation::Key(key))).await.unwrap();
    Vouching { refresh: refresh.expose().clone(), scene, grant }
}

impl Vouching {
    fn form(&self, agent: &str, token: &str, kind: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
            ("client_assertion_type", TYPE.to_owned()),
            ("client_assertion", self.scene.world.assertion(agent)),
            ("requested_token_type", ID_JAG.to_owned()),
            ("subject_token", token.to_owned()),
            ("subject_token_type", kind.to_owned()),
            ("audience", THERE.to_owned()),
        ]
    }

    fn by_refresh(&self) -> Vec<(&'static str, String)> {
        self.scene.world.clock.advance(7);
        self.form("reader", &self.refresh, REFRESH)
    }

    async fn ask(&self, form: &[(&'static str, String)]) -> Answer {
        self.scene.ask(form, Some(self.scene.proof("reader"))).await
    }

    /// An access token of the grant, got by a refresh that gives a new refresh token.
    async fn renew(&mut self) -> String {
        let form = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_assertion_type", TYPE.to_owned()),
            ("client_assertion", self.scene.world.assertion("reader")),
            ("refresh_token", self.refresh.clone()),
        ];
        let answer = self.ask(&form).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        self.refresh = answer.json["refresh_token"].as_str().unwrap().to_owned();
        answer.json["access_token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn we_vouch_for_a_user_who_allowed_it() {
    let mut vouching = scene().await;
    let access = vouching.renew().await;
    let asks = [vouching.by_refresh(), vouching.form("reader", &access, ACCESS)];
    for form in asks {
        let answer = vouching.ask(&form).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        assert_eq!((&answer.json["issued_token_type"], &answer.json["token_type"]), (&json!(ID_JAG), &json!("N_A")));
        assert!(answer.json["expires_in"].as_i64().unwrap() <= 300);
        assert!(answer.json.get("refresh_token").is_none());
        let assertion = answer.json["access_token"].as_str().unwrap();
        assert_eq!(part(assertion, 0)["typ"], "oauth-id-jag+jwt");
        let claims = part(assertion, 1);
        let expected = json!({
            "iss": ISSUER, "sub": "u-ada", "aud": THERE, "client_id": "partner-7",
            "resource": "https://other.example/mcp/files", "scope": "files:list files:read",
            "cnf": {"jkt": vouching.scene.world.key("reader").public().thumbprint.to_string()},
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&claims[name], value, "{name}");
        }
        let id = claims["jti"].as_str().unwrap().to_owned();
        let events = vouching.scene.world.events("token_issued").await;
        let event = events.iter().find(|event| event.id == id).expect("recorded before it left");
        assert_eq!((&event.body["grant"], &event.body["audience"]), (&"id_jag".into(), &THERE.into()));
        assert_eq!(event.body["chain"], vec!["user:u-ada", "agent:reader"].into());
    }
    assert_eq!(vouching.renew().await.split('.').count(), 3, "the refresh token was not used up");
}

#[tokio::test]
async fn it_narrows_and_never_widens() {
    let vouching = scene().await;
    let answer = vouching.ask(&with(vouching.by_refresh(), "scope", "files:read")).await;
    assert_eq!(answer.json["scope"], "files:read", "{:?}", answer.json);
    for (name, value, error) in [
        ("scope", "files:read files:write", "invalid_scope"),
        ("resource", "https://other.example/mcp/mail", "invalid_target"),
        ("audience", "https://other.example/", "invalid_target"),
        ("audience", "https://evil.example", "invalid_target"),
        ("audience", ISSUER, "invalid_target"),
        ("actor_token", "a", "invalid_request"),
    ] {
        let answer = vouching.ask(&with(vouching.by_refresh(), name, value)).await;
        assert_eq!((answer.status, &answer.json["error"]), (400, &json!(error)), "{name}={value}: {}", answer.json);
    }
}

#[tokio::test]
async fn what_a_client_does_not_hold_is_not_vouched_for() {
    let mut vouching = scene().await;
    let access = vouching.renew().await;
    // Another client with what was stolen, which is listed itself.
    let listed = format!(
        "{TARGET}[[id_jag_target]]\nagent = \"scripted\"\nresources = [\"https://other.example/a\"]\nscopes = [\"a\"]\n"
    );
    vouching.scene.world.publish(bundle::with_files(&[("issuers/other.toml", &listed)])).await;
    for (token, kind) in [(access.clone(), ACCESS), (vouching.refresh.clone(), REFRESH)] {
        let form = vouching.form("scripted", &token, kind);
        refused(&vouching.scene.ask(&form, Some(vouching.scene.proof("scripted"))).await, 400, "invalid_request");
        // The right client without the key that it is bound to.
        let form = vouching.form("reader", &token, kind);
        refused(&vouching.scene.ask(&form, None).await, 400, "invalid_request");
        let foreign = vouching.scene.ask(&form, Some(vouching.scene.proof("scripted"))).await;
        refused(&foreign, 400, "invalid_request");
    }
    // What no user allowed, what is none of ours, and what is of the other kind.
    let own = vouching.scene.honest("reader").await.json["access_token"].as_str().unwrap().to_owned();
    for (token, kind) in [(own.as_str(), ACCESS), ("bwr_x", REFRESH), ("x.y.z", ACCESS), (access.as_str(), REFRESH)] {
        vouching.scene.world.clock.advance(7);
        refused(&vouching.ask(&vouching.form("reader", token, kind)).await, 400, "invalid_request");
    }
    // One that was used before.
    let old = vouching.refresh.clone();
    vouching.renew().await;
    refused(&vouching.ask(&vouching.form("reader", &old, REFRESH)).await, 400, "invalid_request");
}

#[tokio::test]
async fn everybody_must_be_active_and_the_grant_must_stand() {
    let vouching = scene().await;
    let broker = &vouching.scene.world.broker;
    let (ada, reader): (UserId, _) = ("u-ada".parse().unwrap(), "reader".parse().unwrap());
    users::suspend(broker, &operator(), &ada, "test").await.unwrap();
    refused(&vouching.ask(&vouching.by_refresh()).await, 400, "invalid_request");
    users::resume(broker, &operator(), &ada).await.unwrap();
    agents::suspend(broker, &operator(), &reader, "test").await.unwrap();
    refused(&vouching.ask(&vouching.by_refresh()).await, 401, "invalid_client");
    agents::resume(broker, &operator(), &reader, "test").await.unwrap();
    assert_eq!(vouching.ask(&vouching.by_refresh()).await.status, 200);
    vouching.scene.world.publish(bundle::files()).await;
    refused(&vouching.ask(&vouching.by_refresh()).await, 400, "invalid_target");
    vouching.scene.world.publish(bundle::with_files(&[("issuers/other.toml", TARGET)])).await;
    grants::end(broker, &operator(), vouching.grant.id, "enough").await.unwrap();
    refused(&vouching.ask(&vouching.by_refresh()).await, 400, "invalid_request");
}

/// A message that came twice is answered once.
#[tokio::test]
async fn the_clients_own_assertion_is_used_up() {
    let vouching = scene().await;
    let form = vouching.by_refresh();
    assert_eq!(vouching.ask(&form).await.status, 200);
    refused(&vouching.ask(&form).await, 401, "invalid_client");
    let document = vouching.scene.send(http::Request::get("/.well-known/oauth-authorization-server"), &[]).await.json;
    assert_eq!(document["identity_chaining_requested_token_types_supported"], json!([ID_JAG]));
}
