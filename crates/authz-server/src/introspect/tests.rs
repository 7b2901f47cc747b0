//! Introspection through the real router: what is told to whom, and that everything else is "not active".

use bailiwick_engine::{
    agents::{self, Registration},
    grants,
    inspection::TOKEN_INTROSPECT,
    refresh, tasks,
    tokens::{self, ACCESS_EVALUATE, Audience, TokenAsk},
    users,
};
use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::{
    agent::{Authenticator, Environment, KeyProtection},
    confirmation::Confirmation,
    grant::GrantKind,
    jwk::SigningAlgorithm,
};
use bailiwick_oauth::{
    jws::{TokenType, UnverifiedToken},
    verifying_key::VerifyingKey,
};
use bailiwick_ports::{chance::Clock as _, signer::TokenSigner as _};
use bailiwick_testkit_engine::{
    bundle,
    world::{ISSUER, operator, part},
};
use http::{Request, header};
use serde_json::{Value, json};

use crate::token::tests::{Answer, RESOURCE, Scene, TYPE, granted, refused};

const PATH: &str = "/oauth/introspect";
const SIGNED: &str = "application/token-introspection+jwt";

/// A scene with a client that may ask, for some systems or for all.
struct Watched {
    scene: Scene,
    key: AgentKey,
}

impl Watched {
    async fn new(systems: &[&str]) -> Self {
        let scene = Scene::new().await;
        let key = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
        let ask = Registration {
            name: "watcher".parse().unwrap(),
            owner: "team@broker.test".to_owned(),
            purpose: "tests".to_owned(),
            environment: Environment::Production,
            role: "reader".parse().unwrap(),
            authenticators: vec![Authenticator::Key(key.public().clone())],
            systems: systems.iter().map(|system| system.parse().unwrap()).collect(),
            scopes: vec![TOKEN_INTROSPECT.parse().unwrap()],
            redirect_uris: Vec::new(),
            bearer_tokens_allowed: false,
            task_required: false,
            token_ttl_s: None,
            lifetime_days: None,
            review_days: None,
            attestation: None,
            key_protection: KeyProtection::Any,
        };
        agents::register(&scene.world.broker, &operator(), ask).await.unwrap();
        Self { scene, key }
    }

    async fn ask(&self, token: &str, accept: Option<&str>) -> (Answer, String) {
        let (world, name) = (&self.scene.world, "watcher".parse().unwrap());
        let assertion = self.key.sign_client_assertion(ISSUER, &name, world.clock.now(), &world.jti()).unwrap();
        let form =
            [("client_assertion_type", TYPE.to_owned()), ("client_assertion", assertion), ("token", token.to_owned())];
        let mut message = Request::post(PATH).header("content-type", "application/x-www-form-urlencoded");
        if let Some(accept) = accept {
            message = message.header("accept", accept);
        }
        self.scene.send_for_text(message, &form).await
    }

    async fn told(&self, token: &str) -> Value {
        let (answer, _) = self.ask(token, None).await;
        assert_eq!((answer.status, answer.headers[header::CACHE_CONTROL].to_str().unwrap()), (200, "no-store"));
        answer.json
    }

    async fn is_active(&self, token: &str) -> bool {
        let told = self.told(token).await;
        let active = told["active"].as_bool().unwrap();
        assert!(active || told == json!({ "active": false }), "{told}");
        active
    }
}

/// A token that a user's agent holds.
async fn of_user(scene: &Scene) -> String {
    let grant = granted(scene, "reader", GrantKind::AuthorizationCode).await;
    let key = scene.world.key("reader").public().thumbprint;
    let ask = TokenAsk {
        agent: "reader".parse().unwrap(),
        credential: key,
        grant: Some(grant.id),
        audience: Audience::System(bundle::system()),
        scopes: None,
        details: None,
        task: None,
        confirmation: Some(Confirmation::Key(key)),
        spent: Vec::new(),
    };
    tokens::issue(&scene.world.broker, ask).await.unwrap().token.expose().clone()
}

#[tokio::test]
async fn a_token_that_holds_is_told_whole() {
    let watched = Watched::new(&[]).await;
    let token = of_user(&watched.scene).await;
    let claims = part(&token, 1);
    let told = watched.told(&token).await;
    assert_eq!(told["active"], true);
    assert_eq!(told["token_type"], "DPoP");
    for claim in ["iss", "sub", "act", "client_id", "scope", "aud", "exp", "iat", "jti", "cnf", "bailiwick_grant"] {
        assert!(!claims[claim].is_null(), "{claim}");
        assert_eq!(told[claim], claims[claim], "{claim}");
    }
    assert_eq!((&told["sub"], &told["act"]), (&json!("user:u-ada"), &json!({ "sub": "reader" })));
    assert_eq!(told["aud"], RESOURCE);
    let bearer = watched.scene.world.token("scripted", Audience::System(bundle::system()), false).await;
    let told = watched.told(&bearer).await;
    assert_eq!((&told["active"], &told["token_type"], &told["cnf"]), (&json!(true), &json!("Bearer"), &Value::Null));
    assert_eq!(watched.scene.world.events("token_examined").await.len(), 2);
}

#[tokio::test]
async fn everything_else_is_not_active_and_says_no_more() {
    let watched = Watched::new(&[]).await;
    let broker = &watched.scene.world.broker;
    let by = operator();
    let plain = async |agent| watched.scene.world.token(agent, Audience::System(bundle::system()), true).await;
    assert!(!watched.is_active("nothing").await);
    let token = plain("reader").await;
    let altered = format!("{}A.{}", token.split('.').next().unwrap(), token.split_once('.').unwrap().1);
    assert!(!watched.is_active(&altered).await);
    // An assertion and a proof are JWTs too, and no access tokens.
    assert!(!watched.is_active(&watched.scene.world.assertion("reader")).await);
    let grant = granted(&watched.scene, "reader", GrantKind::AuthorizationCode).await;
    let renews = refresh::first(broker, &grant, None).await.unwrap();
    assert!(!watched.is_active(renews.expose()).await, "refresh tokens are for us alone");
    // What we signed and would not let in.
    let mut foreign = part(&token, 1);
    foreign["iss"] = json!("https://other.test");
    assert!(!watched.is_active(&watched.scene.world.sign_as_issuer(&part(&token, 0), &foreign)).await);
    assert!(watched.is_active(&token).await);
    let id = part(&token, 1)["jti"].as_str().unwrap().parse().unwrap();
    let until = broker.now() + jiff::SignedDuration::from_mins(15);
    grants::revoke_token(broker, &by, id, until).await.unwrap();
    assert!(!watched.is_active(&token).await, "revoked");
    let of_grant = of_user(&watched.scene).await;
    assert!(watched.is_active(&of_grant).await);
    users::suspend(broker, &by, &"u-ada".parse().unwrap(), "away").await.unwrap();
    assert!(!watched.is_active(&of_grant).await, "its user may not act");
    users::resume(broker, &by, &"u-ada".parse().unwrap()).await.unwrap();
    assert!(watched.is_active(&of_grant).await);
    let id = part(&of_grant, 1)["bailiwick_grant"].as_str().unwrap().parse().unwrap();
    grants::end(broker, &by, id, "withdrawn").await.unwrap();
    assert!(!watched.is_active(&of_grant).await, "its grant ended");
    let other = plain("scripted").await;
    agents::suspend(broker, &by, &"scripted".parse().unwrap(), "odd").await.unwrap();
    assert!(!watched.is_active(&other).await, "its agent may not act");
    let late = plain("reader").await;
    watched.scene.world.clock.advance(900);
    assert!(!watched.is_active(&late).await, "expired");
}

#[tokio::test]
async fn a_token_ends_with_its_task() {
    let watched = Watched::new(&[]).await;
    let broker = &watched.scene.world.broker;
    let ask = tasks::TaskAsk {
        agent: "reader".parse().unwrap(),
        purpose: "one thing".to_owned(),
        prompt: None,
        work: tasks::Work::Tools(vec![bailiwick_model::task::ToolGrant {
            action: "files.read_text_file".parse().unwrap(),
            pins: std::collections::BTreeMap::new(),
        }]),
        lifetime_s: None,
    };
    let task = tasks::create(broker, &operator(), ask).await.unwrap();
    let key = watched.scene.world.key("reader").public().thumbprint;
    let ask = TokenAsk {
        agent: "reader".parse().unwrap(),
        credential: key,
        grant: None,
        audience: Audience::System(bundle::system()),
        scopes: None,
        details: None,
        task: Some(task.id),
        confirmation: Some(Confirmation::Key(key)),
        spent: Vec::new(),
    };
    let token = tokens::issue(broker, ask).await.unwrap().token.expose().clone();
    assert_eq!(watched.told(&token).await["bailiwick_task"], json!(task.id.to_string()));
    tasks::end(broker, &operator(), task.id, "done").await.unwrap();
    assert!(!watched.is_active(&token).await);
}

#[tokio::test]
async fn only_a_client_with_the_scope_may_ask_and_only_about_its_own_systems() {
    let watched = Watched::new(&[]).await;
    let token = of_user(&watched.scene).await;
    // `gate` may ask for decisions, which is another thing.
    assert!(watched.scene.world.broker.agent(&"gate".parse().unwrap()).unwrap().scopes[0].as_str() == ACCESS_EVALUATE);
    for agent in ["gate", "reader"] {
        let answer = watched.scene.name(PATH, agent, &token, None).await;
        refused(&answer, 400, "unauthorized_client");
        assert!(answer.json.get("active").is_none(), "not even whether it holds");
    }
    agents::suspend(&watched.scene.world.broker, &operator(), &"watcher".parse().unwrap(), "odd").await.unwrap();
    refused(&watched.ask(&token, None).await.0, 401, "invalid_client");
    let of_files = Watched::new(&["files"]).await;
    let world = &of_files.scene.world;
    assert!(of_files.is_active(&world.token("reader", Audience::System(bundle::system()), true).await).await);
    assert!(!of_files.is_active(&world.token("reader", Audience::Aggregate, true).await).await, "it reaches further");
    assert!(!of_files.is_active(&world.token("gate", Audience::Access, true).await).await);
}

#[tokio::test]
async fn the_signed_answer_is_for_the_one_who_asked() {
    let watched = Watched::new(&[]).await;
    let token = of_user(&watched.scene).await;
    let plain = watched.told(&token).await;
    for accept in [SIGNED, "application/json;q=0.1, application/token-introspection+jwt"] {
        let (answer, text) = watched.ask(&token, Some(accept)).await;
        assert_eq!((answer.status, answer.headers[header::CONTENT_TYPE].to_str().unwrap()), (200, SIGNED));
        let (head, claims) = (part(&text, 0), part(&text, 1));
        assert_eq!(head["typ"], "token-introspection+jwt");
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!("watcher")));
        assert_eq!(claims["token_introspection"], plain);
        assert!(claims.get("sub").is_none() && claims.get("exp").is_none(), "it can pass as no other token");
        let key = watched.scene.world.token_keys.published();
        let key = key.iter().find(|key| key.kid == head["kid"].as_str().unwrap()).unwrap();
        let key = VerifyingKey::of(key).unwrap();
        UnverifiedToken::parse(&text, TokenType::IntrospectionResponse).unwrap().verify(&key).unwrap();
        assert!(!watched.is_active(&text).await, "the answer is no access token");
    }
    let (answer, text) = watched.ask("nothing", Some(SIGNED)).await;
    assert_eq!((answer.status, &part(&text, 1)["token_introspection"]), (200, &json!({ "active": false })));
    for accept in ["*/*", "application/*", "application/token-introspection+jwt;q=0", "application/json"] {
        assert_eq!(watched.ask(&token, Some(accept)).await.0.json, plain, "{accept}");
    }
}
