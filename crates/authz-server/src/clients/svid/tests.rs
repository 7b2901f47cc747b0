//! Workloads that a trust domain vouches for, through the real endpoint: which of them are agents, and all that are not.

use bailiwick_engine::agents;
use bailiwick_model::agent::Authenticator;
use bailiwick_ports::chance::Clock as _;
use bailiwick_testkit_engine::{
    bundle,
    issuer::{ForeignIssuer, changed},
    world::{ISSUER, operator},
};
use serde_json::{Value, json};

use crate::token::tests::{Answer, Scene, TYPE, refused, with};

const PLATFORM: &str = "https://token.actions.example";
const SVID: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

const SPIFFE: &str = r#"keys = { pinned = "platform.json" }
[spiffe]
trust_domain = "prod.example"
[spiffe.ids]
"spiffe://prod.example/ns/jobs/sa/reader" = "reader"
"#;

struct Platform {
    scene: Scene,
    issuer: ForeignIssuer,
}

async fn platform(trust: &str) -> Platform {
    let platform = Platform { scene: Scene::new().await, issuer: ForeignIssuer::new(PLATFORM) };
    platform.trust(trust).await;
    platform
}

impl Platform {
    async fn trust(&self, text: &str) {
        // A trust domain marks its keys.
        let keys = match text.contains("[spiffe]") {
            true => self.issuer.jwks().replace("\"use\":\"sig\"", "\"use\":\"jwt-svid\""),
            false => self.issuer.jwks(),
        };
        let files = [("issuers/platform.toml", text), ("issuers/platform.json", keys.as_str())];
        self.scene.world.publish(bundle::with_files(&files)).await;
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

    fn form(&self, kind: &str, token: &str) -> Vec<(&'static str, String)> {
        with(with(self.scene.form("reader"), "client_assertion_type", kind), "client_assertion", token)
    }

    async fn ask(&self, form: &[(&'static str, String)]) -> Answer {
        self.scene.ask(form, Some(self.scene.proof("reader"))).await
    }

    async fn svid(&self, changes: &Value) -> Answer {
        let base = json!({"iss": null, "iat": null, "jti": null, "sub": "spiffe://prod.example/ns/jobs/sa/reader"});
        let token = self.token(&joined(base, changes));
        self.scene.world.clock.advance(7);
        self.ask(&self.form(SVID, &token)).await
    }
}

fn joined(mut base: Value, more: &Value) -> Value {
    let members = base.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    base
}

#[tokio::test]
async fn a_spiffe_id_is_one_agent_byte_for_byte() {
    let platform = platform(SPIFFE).await;
    refused(&platform.svid(&json!({})).await, 401, "invalid_client");
    let id = Authenticator::Spiffe("spiffe://prod.example/ns/jobs/sa/reader".parse().unwrap());
    let broker = &platform.scene.world.broker;
    agents::add_credential(broker, &operator(), &"reader".parse().unwrap(), id).await.unwrap();
    for _ in 0..2 {
        assert_eq!(platform.svid(&json!({})).await.status, 200);
    }
    for changes in [
        json!({"sub": "spiffe://prod.example/ns/jobs/sa/reader/"}),
        json!({"sub": "spiffe://prod.example/ns/jobs/sa/Reader"}),
        json!({"sub": "spiffe://prod.example/ns/jobs"}),
        json!({"sub": "spiffe://prod.example"}),
        json!({"sub": "spiffe://other.example/ns/jobs/sa/reader"}),
        json!({"sub": "reader"}),
        json!({"sub": null}),
        json!({"aud": "https://other.example"}),
        json!({"exp": null}),
    ] {
        let answer = platform.svid(&changes).await;
        assert_eq!((answer.status, &answer.json["error"]), (401, &json!("invalid_client")), "{changes}");
    }
    // One that has an id is good once; of the other type it is no assertion of ours.
    let named = platform.token(&json!({"iss": null, "sub": "spiffe://prod.example/ns/jobs/sa/reader"}));
    assert_eq!(platform.ask(&platform.form(SVID, &named)).await.status, 200);
    refused(&platform.ask(&platform.form(SVID, &named)).await, 401, "invalid_client");
    let set: Value = serde_json::from_str(&platform.issuer.jwks()).unwrap();
    let stranger = ForeignIssuer::new(PLATFORM);
    let header = json!({"kid": set["keys"][0]["kid"]});
    let now = platform.scene.world.clock.now().as_second();
    let claims = json!({"sub": "spiffe://prod.example/ns/jobs/sa/reader", "aud": ISSUER, "exp": now + 100});
    refused(&platform.ask(&platform.form(SVID, &stranger.sign(&header, &claims))).await, 401, "invalid_client");
    let fresh = platform.token(&json!({"iss": null, "sub": "spiffe://prod.example/ns/jobs/sa/reader"}));
    refused(&platform.ask(&platform.form(TYPE, &fresh)).await, 401, "invalid_client");
}
