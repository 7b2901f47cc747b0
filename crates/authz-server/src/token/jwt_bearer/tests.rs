//! What other domains vouch for, through the real endpoint: an honest assertion, and every one that must open nothing.

use std::collections::BTreeSet;

use bailiwick_engine::{agents, grants, users};
use bailiwick_model::name::UserId;
use bailiwick_ports::{chance::Clock as _, signer::TokenSigner as _};
use bailiwick_testkit_engine::{
    bundle,
    issuer::{ForeignIssuer, changed},
    world::{ISSUER, operator, part},
};
use serde_json::{Value, json};

use super::super::tests::{Answer, RESOURCE, Scene, TYPE, refused, with};

const CORP: &str = "https://idp.example";

pub(crate) const TRUST: &str = r#"issuer = "https://idp.example"
keys = { pinned = "corp.json" }
max_age_s = 3600
[id_jag]
email_domains = ["example.com"]
[id_jag.subjects]
00u1 = "u-ada"
00u9 = "u-ghost"
"#;

/// A broker that trusts one other domain, which knows Ada as `00u1`.
pub(crate) struct Vouched {
    pub(crate) scene: Scene,
    pub(crate) corp: ForeignIssuer,
}

pub(crate) async fn scene() -> Vouched {
    let vouched = Vouched { scene: Scene::new().await, corp: ForeignIssuer::new(CORP) };
    vouched.trust(TRUST).await;
    let broker = &vouched.scene.world.broker;
    for (id, email) in [("u-ada", "ada@example.com"), ("u-bob", "Bob@Example.com")] {
        let (id, email): (UserId, _) = (id.parse().unwrap(), Some(email));
        users::add(broker, &operator(), id, "Somebody", email, BTreeSet::new()).await.unwrap();
    }
    vouched
}

impl Vouched {
    pub(crate) async fn trust(&self, text: &str) {
        let files = bundle::with_files(&[("issuers/corp.toml", text), ("issuers/corp.json", &self.corp.jwks())]);
        self.scene.world.publish(files).await;
    }

    fn id_jag(&self, changes: &Value) -> String {
        let world = &self.scene.world;
        self.corp.id_jag(ISSUER, "reader", world.clock.now(), &world.jti(), changes)
    }

    fn form(&self, assertion: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
            ("client_assertion_type", TYPE.to_owned()),
            ("client_assertion", self.scene.world.assertion("reader")),
            ("assertion", assertion.to_owned()),
        ]
    }

    /// Presents an assertion with a proof by the client's own key.
    async fn present(&self, assertion: &str) -> Answer {
        // A client that fails too often has to wait.
        self.scene.world.clock.advance(7);
        self.scene.ask(&self.form(assertion), Some(self.scene.proof("reader"))).await
    }

    async fn presented(&self, changes: Value) -> Answer {
        self.present(&self.id_jag(&changes)).await
    }

    async fn user(&self, changes: Value) -> String {
        let answer = self.presented(changes).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        part(answer.json["access_token"].as_str().unwrap(), 1)["sub"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn the_agent_acts_for_the_user_that_was_vouched_for() {
    let vouched = scene().await;
    let answer = vouched.presented(json!({"auth_time": 1_781_000_000, "amr": ["hwk"]})).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    assert_eq!((&answer.json["token_type"], &answer.json["scope"]), (&json!("DPoP"), &json!("files:read")));
    assert!(answer.json.get("refresh_token").is_none(), "whoever needs another asks the issuer again");
    let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
    assert_eq!((&claims["sub"], &claims["act"]), (&json!("user:u-ada"), &json!({"sub": "reader"})));
    assert_eq!(claims["aud"], RESOURCE);
    let world = &vouched.scene.world;
    let live = world.broker.live();
    let grant = live.grants.values().next().unwrap();
    assert_eq!(grant.vouched.as_ref().unwrap().issuer, CORP);
    assert_eq!(grant.authentication.as_ref().unwrap().methods, BTreeSet::from(["hwk".to_owned()]));
    let given = world.events("grant_changed").await;
    assert_eq!(given[0].body["vouched_by"], CORP.into());
    assert_eq!(given[0].body["kind"], "jwt_bearer".into());
    assert!(given[0].body.contains_key("assertion"), "by which the other side knows it");
    // It ends by its own end, by an operator, by its user and by its agent.
    assert!(live.grant_stands(Some(grant.id), world.clock.now()));
    grants::end(&world.broker, &operator(), grant.id, "enough").await.unwrap();
    assert!(!world.broker.live().grant_stands(Some(grant.id), world.clock.now()));
}

#[tokio::test]
async fn an_assertion_is_good_once_and_for_its_client_alone() {
    let vouched = scene().await;
    let assertion = vouched.id_jag(&json!({}));
    assert_eq!(vouched.present(&assertion).await.status, 200);
    refused(&vouched.present(&assertion).await, 400, "invalid_grant");
    for client in [json!("scripted"), json!("Reader"), json!(""), json!(["reader"]), json!(null)] {
        refused(&vouched.presented(json!({ "client_id": client })).await, 400, "invalid_grant");
    }
    refused(&vouched.presented(json!({"jti": null})).await, 400, "invalid_grant");
    assert_eq!(vouched.scene.world.events("token_issued").await.len(), 1);
}

#[tokio::test]
async fn what_is_not_a_fit_assertion_is_refused() {
    let vouched = scene().await;
    let now = vouched.scene.world.clock.now().as_second();
    for changes in [
        json!({"aud": format!("{ISSUER}/")}),
        json!({"aud": format!("{ISSUER}/oauth/token")}),
        json!({"aud": [ISSUER, "https://other.example"]}),
        json!({"aud": null}),
        json!({"iss": format!("{CORP}/")}),
        json!({"iss": "https://evil.example"}),
        json!({"iss": ISSUER}),
        json!({"iss": null}),
        json!({"exp": now - 120}),
        json!({"exp": now + 100_000}),
        json!({"iat": now + 100_000}),
        json!({"iat": null}),
        json!({"sub": null}),
        json!({"act": {"sub": "other"}}),
        json!({"authorization_details": [{"type": "x"}]}),
    ] {
        let answer = vouched.presented(changes.clone()).await;
        assert_eq!(
            (answer.status, &answer.json["error"]),
            (400, &json!("invalid_grant")),
            "{changes}: {}",
            answer.json
        );
    }
    // Of another type, by another key, and by our own.
    let world = &vouched.scene.world;
    let claims = json!({
        "iss": CORP, "sub": "00u1", "aud": ISSUER, "client_id": "reader", "jti": world.jti(), "iat": now, "exp": now + 200,
        "resource": RESOURCE, "scope": "files:read",
    });
    for typ in [json!("JWT"), json!("at+jwt"), json!("client-authentication+jwt"), json!("oauth-id-jag"), json!(null)] {
        refused(&vouched.present(&vouched.corp.sign(&json!({ "typ": typ }), &claims)).await, 400, "invalid_grant");
    }
    let thief = ForeignIssuer::new(CORP);
    let stolen_name: Value = serde_json::from_str(&vouched.corp.jwks()).unwrap();
    let kid = &stolen_name["keys"][0]["kid"];
    let typ = "oauth-id-jag+jwt";
    let embedded: Value = serde_json::from_str(&thief.jwks()).unwrap();
    for header in [
        json!({"typ": typ}),
        json!({"typ": typ, "kid": kid}),
        json!({"typ": typ, "kid": kid, "jwk": embedded["keys"][0]}),
        json!({"typ": typ, "kid": kid, "jku": "https://evil.example/keys"}),
        json!({"typ": typ, "kid": kid, "alg": "none"}),
    ] {
        refused(&vouched.present(&thief.sign(&header, &claims)).await, 400, "invalid_grant");
    }
    assert!(!world.events("alert").await.is_empty(), "a forged one is something to look at");
    let own = world.sign_as_issuer(
        &json!({"alg": "ES256", "kid": world.token_keys.current().kid, "typ": typ}),
        &changed(claims, &json!({"iss": ISSUER})),
    );
    refused(&vouched.present(&own).await, 400, "invalid_grant");
    assert_eq!(world.events("token_issued").await.len(), 0);
    assert!(world.broker.live().grants.is_empty());
}

/// What CVE-2026-1609 was about: everybody is asked, on this path too.
#[tokio::test]
async fn user_client_and_issuer_must_all_be_active() {
    let vouched = scene().await;
    let broker = &vouched.scene.world.broker;
    let (ada, reader) = ("u-ada".parse().unwrap(), "reader".parse().unwrap());
    let answer = vouched.presented(json!({})).await;
    let token = part(answer.json["access_token"].as_str().unwrap(), 1);
    let grant = token["bailiwick_grant"].as_str().unwrap().parse().unwrap();
    let stands = || broker.live().grant_stands(Some(grant), broker.now());
    users::suspend(broker, &operator(), &ada, "test").await.unwrap();
    refused(&vouched.presented(json!({})).await, 400, "invalid_grant");
    users::resume(broker, &operator(), &ada).await.unwrap();
    agents::suspend(broker, &operator(), &reader, "test").await.unwrap();
    refused(&vouched.presented(json!({})).await, 401, "invalid_client");
    agents::resume(broker, &operator(), &reader, "test").await.unwrap();
    for stranger in [json!("00u9"), json!("00U1"), json!("u-ada"), json!("nobody")] {
        refused(&vouched.presented(json!({ "sub": stranger })).await, 400, "invalid_grant");
    }
    // Without `[id_jag]` the issuer vouches for nobody, and what it vouched for before ends at once.
    assert!(stands());
    let without = "[[id_jag_target]]\nagent = \"other\"\nclient_id = \"x\"\n\
                   resources = [\"https://corp.example/mcp\"]\nscopes = [\"files:read\"]\n";
    let (head, _) = TRUST.split_once("[id_jag]").unwrap();
    vouched.trust(&format!("{head}{without}")).await;
    refused(&vouched.presented(json!({})).await, 400, "invalid_grant");
    assert!(!stands(), "trust that was withdrawn");
    vouched.trust(TRUST).await;
    users::leave(broker, &operator(), &ada, "gone").await.unwrap();
    refused(&vouched.presented(json!({})).await, 400, "invalid_grant");
    assert!(!stands());
}

#[tokio::test]
async fn an_address_counts_where_the_issuer_is_its_authority() {
    let vouched = scene().await;
    let email = |address: &str, verified: bool| json!({"sub": "x", "email": address, "email_verified": verified});
    assert_eq!(vouched.user(email("bob@example.com", true)).await, "user:u-bob");
    for stranger in [
        email("bob@example.com", false),
        email("bob@example.com.evil.example", true),
        email("bob@evil.example", true),
        email("nobody@example.com", true),
        email("bob", true),
        json!({"sub": "x", "email": "bob@example.com"}),
    ] {
        refused(&vouched.presented(stranger.clone()).await, 400, "invalid_grant");
    }
    // Two of one address are nobody.
    let broker = &vouched.scene.world.broker;
    let (id, email_of): (UserId, _) = ("u-bob2".parse().unwrap(), Some("bob@example.com"));
    users::add(broker, &operator(), id, "Bob", email_of, BTreeSet::new()).await.unwrap();
    refused(&vouched.presented(email("bob@example.com", true)).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_bound_assertion_needs_its_key() {
    let vouched = scene().await;
    let thumbprint = |agent: &str| vouched.scene.world.key(agent).public().thumbprint.to_string();
    let own = json!({"cnf": {"jkt": thumbprint("reader")}});
    assert_eq!(vouched.presented(own.clone()).await.status, 200);
    let other = json!({"cnf": {"jkt": thumbprint("gate")}});
    refused(&vouched.presented(other).await, 400, "invalid_dpop_proof");
    refused(&vouched.presented(json!({"cnf": {"x5t#S256": "a"}})).await, 400, "invalid_grant");
    // A client that may have plain tokens must prove the key all the same.
    let world = &vouched.scene.world;
    let bound = json!({"cnf": {"jkt": thumbprint("scripted")}});
    let assertion = vouched.corp.id_jag(ISSUER, "scripted", world.clock.now(), &world.jti(), &bound);
    let form = with(vouched.form(&assertion), "client_assertion", &world.assertion("scripted"));
    refused(&vouched.scene.ask(&form, None).await, 400, "invalid_dpop_proof");
    let answer = vouched.scene.ask(&form, Some(vouched.scene.proof("scripted"))).await;
    assert_eq!((answer.status, &answer.json["token_type"]), (200, &json!("DPoP")));
}

#[tokio::test]
async fn resource_and_scopes_are_what_all_of_them_say() {
    let vouched = scene().await;
    let ask = async |changes: Value, more: &[(&'static str, &str)]| {
        vouched.scene.world.clock.advance(7);
        let mut form = vouched.form(&vouched.id_jag(&changes));
        form.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        vouched.scene.ask(&form, Some(vouched.scene.proof("reader"))).await
    };
    let mail = "https://broker.test/mcp/mail";
    for (changes, more, error) in [
        (json!({"resource": mail}), vec![], "invalid_target"),
        (json!({"resource": mail}), vec![("resource", RESOURCE)], "invalid_target"),
        (json!({"resource": [RESOURCE, mail]}), vec![], "invalid_target"),
        (json!({"resource": null}), vec![], "invalid_target"),
        (json!({"resource": "https://broker.test/agents/gate"}), vec![], "invalid_target"),
        (json!({"resource": "https://broker.test/access/v1"}), vec![], "invalid_target"),
        (json!({}), vec![("scope", "files.write_file")], "invalid_scope"),
        (json!({"scope": "files:write"}), vec![], "invalid_scope"),
        (json!({"scope": "chat:read"}), vec![], "invalid_scope"),
        (json!({"scope": null}), vec![], "invalid_scope"),
    ] {
        let answer = ask(changes.clone(), &more).await;
        assert_eq!(answer.json["error"], error, "{changes} {more:?}: {}", answer.json);
    }
    for (changes, more) in [
        (json!({"resource": [RESOURCE, mail]}), vec![("resource", RESOURCE)]),
        (json!({"resource": null}), vec![("resource", RESOURCE)]),
        (json!({"scope": "files:read chat:read files:write"}), vec![]),
        (json!({"scope": null}), vec![("scope", "files:read")]),
    ] {
        let answer = ask(changes.clone(), &more).await;
        assert_eq!((answer.status, &answer.json["scope"]), (200, &json!("files:read")), "{changes}: {}", answer.json);
    }
    // The operator's own bound.
    vouched.trust(&TRUST.replace("[id_jag]", "[id_jag]\nscopes = [\"files.read_text_file\"]")).await;
    assert_eq!(ask(json!({}), &[]).await.json["error"], "invalid_scope");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_refuses_nobody_for_good() {
    let vouched = scene().await;
    vouched.trust(&TRUST.replace("pinned = \"corp.json\"", "jwks_uri = \"http://127.0.0.1:9/keys\"")).await;
    refused(&vouched.presented(json!({})).await, 503, "temporarily_unavailable");
    assert_eq!(vouched.scene.world.events("token_refused").await.len(), 0, "our inability is nobody's failure");
}

#[tokio::test]
async fn the_metadata_say_what_there_is() {
    let vouched = scene().await;
    let document = async || {
        let ask = http::Request::get("/.well-known/oauth-authorization-server");
        vouched.scene.send(ask, &[]).await.json
    };
    let profile = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    assert_eq!(document().await["authorization_grant_profiles_supported"], profile);
    vouched.scene.world.publish(bundle::files()).await;
    let plain = document().await;
    assert!(plain.get("authorization_grant_profiles_supported").is_none());
    assert!(plain.get("identity_chaining_requested_token_types_supported").is_none());
}

/// It is used up all the same, and nothing stands that nobody has a token of.
#[tokio::test]
async fn an_assertion_that_comes_to_no_token_leaves_no_grant() {
    let vouched = scene().await;
    let mut form = vouched.form(&vouched.id_jag(&json!({})));
    let unknown = json!([{"type": "bailiwick_tool", "actions": ["files.no_such_tool"]}]);
    form.push(("authorization_details", unknown.to_string()));
    let answer = vouched.scene.ask(&form, Some(vouched.scene.proof("reader"))).await;
    refused(&answer, 400, "invalid_authorization_details");
    assert!(vouched.scene.world.broker.live().grants.is_empty());
}

#[tokio::test]
async fn a_proof_of_the_future_grows_old_from_now_on() {
    let vouched = scene().await;
    let now = vouched.scene.world.clock.now().as_second();
    let answer = vouched.presented(json!({"auth_time": now + 1_000_000, "amr": ["hwk"]})).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    let said = part(answer.json["access_token"].as_str().unwrap(), 1)["auth_time"].as_i64().unwrap();
    assert!((now..now + 60).contains(&said), "{said}");
}
