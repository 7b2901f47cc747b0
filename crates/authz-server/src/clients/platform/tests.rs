//! Workloads that a platform vouches for, through the real endpoint: which of them are agents, and all that are not.

use bailiwick_engine::agents;
use bailiwick_model::agent::{Authenticator, PlatformIdentity};
use bailiwick_ports::chance::Clock as _;
use bailiwick_testkit_engine::{
    bundle,
    issuer::{ForeignIssuer, changed},
    world::{ISSUER, operator, part},
};
use serde_json::{Value, json};

use crate::token::tests::{Answer, Scene, TYPE, refused, with};

const PLATFORM: &str = "https://token.actions.example";

const GITHUB: &str = r#"issuer = "https://token.actions.example"
keys = { pinned = "platform.json" }
max_age_s = 900
[[workload.agents]]
agent = "reader"
claims = { repository_id = "42", environment = ["production", "staging"] }
"#;

const KUBERNETES: &str = r#"issuer = "https://token.actions.example"
keys = { pinned = "platform.json" }
[workload]
danger_tokens_reused = true
[[workload.agents]]
agent = "reader"
[workload.agents.claims."kubernetes.io"]
namespace = "jobs"
serviceaccount = { uid = "u-1" }
"#;

struct Platform {
    scene: Scene,
    issuer: ForeignIssuer,
}

/// A platform that the bundle trusts, and the agent `reader` that says so too.
async fn platform(trust: &str) -> Platform {
    let platform = Platform { scene: Scene::new().await, issuer: ForeignIssuer::new(PLATFORM) };
    platform.trust(trust).await;
    platform.register("reader", PLATFORM).await;
    platform
}

impl Platform {
    async fn trust(&self, text: &str) {
        let keys = self.issuer.jwks();
        let files = [("issuers/platform.toml", text), ("issuers/platform.json", keys.as_str())];
        self.scene.world.publish(bundle::with_files(&files)).await;
    }

    async fn register(&self, agent: &str, issuer: &str) {
        let agent = agent.parse().unwrap();
        let identity = PlatformIdentity { issuer: issuer.parse().unwrap(), agent };
        let (broker, agent) = (&self.scene.world.broker, identity.agent.clone());
        agents::add_credential(broker, &operator(), &agent, Authenticator::Platform(identity)).await.unwrap();
    }

    /// A job's token, with some claims replaced, or removed by `null`.
    fn token(&self, changes: &Value) -> String {
        let world = &self.scene.world;
        let now = world.clock.now().as_second();
        let claims = json!({
            "iss": PLATFORM, "sub": "repo:octo/app:ref:refs/heads/main", "aud": ISSUER, "jti": world.jti(), "iat": now,
            "exp": now + 300, "repository": "octo/app", "repository_id": "42", "environment": "production",
        });
        self.issuer.sign(&json!({"typ": "JWT"}), &changed(claims, changes))
    }

    fn form(&self, token: &str) -> Vec<(&'static str, String)> {
        with(with(self.scene.form("reader"), "client_assertion_type", TYPE), "client_assertion", token)
    }

    async fn ask(&self, form: &[(&'static str, String)]) -> Answer {
        // Who fails too often has to wait.
        self.scene.world.clock.advance(7);
        self.scene.ask(form, Some(self.scene.proof("reader"))).await
    }

    async fn present(&self, token: &str) -> Answer {
        self.ask(&self.form(token)).await
    }

    async fn presented(&self, changes: Value) -> Answer {
        self.present(&self.token(&changes)).await
    }
}

#[tokio::test]
async fn a_job_is_the_agent_whose_ids_it_has() {
    let platform = platform(GITHUB).await;
    let token = platform.token(&json!({}));
    let answer = platform.present(&token).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("reader"), &json!("reader")));
    assert!(claims["cnf"]["jkt"].is_string(), "bound to the key that the job proved");
    refused(&platform.present(&token).await, 401, "invalid_client");
    assert_eq!(platform.presented(json!({"environment": "staging"})).await.status, 200);
    assert_eq!(platform.presented(json!({"aud": [ISSUER]})).await.status, 200);
    // Without an id of its own, what is signed is good once.
    let nameless = platform.token(&json!({"jti": null}));
    assert_eq!(platform.present(&nameless).await.status, 200);
    refused(&platform.present(&nameless).await, 401, "invalid_client");
    let form = platform.form(&platform.token(&json!({})));
    assert_eq!(platform.ask(&with(form, "client_id", "reader")).await.status, 200);
    let issued = platform.scene.world.events("token_issued").await;
    assert!(issued.iter().all(|event| event.body["method"] == "workload_identity".into()), "{issued:?}");
    // Without a proof it is nobody's key: an agent that may have no bearer token gets none.
    let unbound = platform.scene.ask(&platform.form(&platform.token(&json!({}))), None).await;
    refused(&unbound, 400, "invalid_dpop_proof");
}

#[tokio::test]
async fn every_other_job_is_nobody() {
    let platform = platform(GITHUB).await;
    let now = platform.scene.world.clock.now().as_second();
    let mut answers = Vec::new();
    for changes in [
        json!({"repository_id": "43"}),
        json!({"repository_id": 42}),
        json!({"repository_id": null}),
        json!({"repository_id": ["42"]}),
        json!({"environment": "test"}),
        json!({"environment": null}),
        json!({"iss": format!("{PLATFORM}/")}),
        json!({"iss": "https://TOKEN.actions.example"}),
        json!({"iss": "https://evil.example"}),
        json!({"iss": ISSUER}),
        json!({"iss": "scripted", "sub": "scripted"}),
    ] {
        let answer = platform.presented(changes.clone()).await;
        assert_eq!((answer.status, &answer.json["error"]), (401, &json!("invalid_client")), "{changes}");
        answers.push(answer.json["error_description"].clone());
    }
    answers.pop();
    answers.dedup();
    assert_eq!(answers.len(), 1, "whoever gets tokens of the platform learns nothing about agents here: {answers:?}");
    for changes in [
        json!({"aud": "https://github.com/octo"}),
        json!({"aud": [ISSUER, "https://other.example"]}),
        json!({"aud": format!("{ISSUER}/")}),
        json!({"aud": null}),
        json!({"exp": now - 100}),
        json!({"exp": now + 100_000}),
        json!({"exp": null}),
        json!({"iat": now + 100_000}),
        json!({"iat": now - 100_000}),
        json!({"iat": null}),
        json!({"jti": ""}),
    ] {
        let answer = platform.presented(changes.clone()).await;
        assert_eq!((answer.status, &answer.json["error"]), (401, &json!("invalid_client")), "{changes}");
    }
    assert_eq!(platform.scene.world.events("token_issued").await.len(), 0);
}

#[tokio::test]
async fn what_the_platform_did_not_sign_for_this_is_nothing() {
    let platform = platform(GITHUB).await;
    let honest = platform.token(&json!({}));
    // A stranger under the name of the platform's key, tokens of other types, headers that bring a key or want more.
    let set: Value = serde_json::from_str(&platform.issuer.jwks()).unwrap();
    let thief = ForeignIssuer::new(PLATFORM);
    let forged = thief.sign(&json!({"kid": set["keys"][0]["kid"]}), &part(&honest, 1));
    refused(&platform.present(&forged).await, 401, "invalid_client");
    let theirs: Value = serde_json::from_str(&thief.jwks()).unwrap();
    for header in [
        json!({"typ": "at+jwt"}),
        json!({"typ": "oauth-id-jag+jwt"}),
        json!({"typ": "dpop+jwt"}),
        json!({"typ": "JWT", "alg": "none"}),
        json!({"typ": "JWT", "alg": "HS256"}),
        json!({"typ": "JWT", "alg": "RS256"}),
        json!({"typ": "JWT", "kid": "../../platform.json"}),
        json!({"typ": "JWT", "jwk": theirs["keys"][0]}),
        json!({"typ": "JWT", "jku": "https://evil.example/keys"}),
        json!({"typ": "JWT", "crit": ["exp"]}),
    ] {
        let token = platform.issuer.sign(&header, &part(&honest, 1));
        let answer = platform.present(&token).await;
        assert_eq!((answer.status, &answer.json["error"]), (401, &json!("invalid_client")), "{header}");
    }
    let (input, _) = honest.rsplit_once('.').unwrap();
    refused(&platform.present(&format!("{input}.")).await, 401, "invalid_client");
    let form = with(platform.form(&honest), "client_id", "scripted");
    refused(&platform.ask(&form).await, 401, "invalid_client");
    // Nothing of it used the honest one up.
    assert_eq!(platform.present(&honest).await.status, 200);
}

#[tokio::test]
async fn bundle_and_registration_both_say_so_and_the_agent_is_active() {
    let platform = platform(GITHUB).await;
    let world = &platform.scene.world;
    // An agent that is not registered, and one that does not say that this platform proves it.
    for other in ["ghost", "scripted"] {
        platform.trust(&GITHUB.replace("\"reader\"", &format!("\"{other}\""))).await;
        refused(&platform.presented(json!({})).await, 401, "invalid_client");
    }
    platform.register("scripted", "https://other.example").await;
    refused(&platform.presented(json!({})).await, 401, "invalid_client");
    platform.register("scripted", PLATFORM).await;
    assert_eq!(platform.presented(json!({})).await.status, 200);
    // Trust that is taken back, on the next call.
    let other = "[[id_jag_target]]\nagent = \"reader\"\nresources = [\"https://x.example/mcp\"]\nscopes = [\"a:b\"]\n";
    platform.trust(&format!("issuer = \"{PLATFORM}\"\n{other}")).await;
    refused(&platform.presented(json!({})).await, 401, "invalid_client");
    platform.trust(GITHUB).await;
    assert_eq!(platform.presented(json!({})).await.status, 200);
    // A credential that is removed, an agent that is suspended.
    let (reader, by) = ("reader".parse().unwrap(), operator());
    agents::suspend(&world.broker, &by, &reader, "test").await.unwrap();
    refused(&platform.presented(json!({})).await, 401, "invalid_client");
    agents::resume(&world.broker, &by, &reader, "test").await.unwrap();
    assert_eq!(platform.presented(json!({})).await.status, 200);
    let identity = PlatformIdentity { issuer: PLATFORM.parse().unwrap(), agent: reader.clone() };
    let id = Authenticator::Platform(identity).name();
    agents::remove_credential(&world.broker, &by, &reader, &id).await.unwrap();
    refused(&platform.presented(json!({})).await, 401, "invalid_client");
}

/// What a platform signed proves no key, whoever brings it.
#[tokio::test]
async fn it_is_no_key_in_hardware() {
    let platform = platform(GITHUB).await;
    let role = "purpose = \"Read\"\nallow = [\"files:read\"]\nkey_protection = \"hardware\"\n";
    let keys = platform.issuer.jwks();
    let files =
        [("issuers/platform.toml", GITHUB), ("issuers/platform.json", keys.as_str()), ("roles/reader.toml", role)];
    platform.scene.world.publish(bundle::with_files(&files)).await;
    refused(&platform.presented(json!({})).await, 401, "invalid_client");
}

#[tokio::test]
async fn a_token_that_its_platform_keeps_is_good_until_it_ends() {
    let platform = platform(KUBERNETES).await;
    let claims =
        |uid: &str| json!({"kubernetes.io": {"namespace": "jobs", "serviceaccount": {"name": "r", "uid": uid}}});
    let token = platform.token(&claims("u-1"));
    for _ in 0..2 {
        assert_eq!(platform.present(&token).await.status, 200);
    }
    refused(&platform.presented(claims("u-2")).await, 401, "invalid_client");
    refused(&platform.presented(json!({})).await, 401, "invalid_client");
    let names = json!({"sub": "system:serviceaccount:jobs:r", "kubernetes.io": {"namespace": "jobs"}});
    refused(&platform.presented(names).await, 401, "invalid_client");
    platform.scene.world.clock.advance(400);
    refused(&platform.present(&token).await, 401, "invalid_client");
}
