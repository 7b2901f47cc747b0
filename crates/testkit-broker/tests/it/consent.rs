//! The authorization code flow as a client of others drives it: the real endpoints and pages over TCP, the user's browser
//! played by the same script, signed in by a session that the test opened.

use std::{collections::BTreeSet, process::Command, sync::Arc};

use bailiwick_engine::{agents, sessions, users};
use bailiwick_fetch::{FetchRules, Fetcher};
use bailiwick_model::{grant::Authentication, name::UserId, principal::Principal};
use bailiwick_ports::chance::Clock as _;
use bailiwick_testkit_broker::tools::{Need, Tools, ready};
use bailiwick_testkit_engine::{
    clock::TestClock,
    world::{World, operator, part},
};
use bailiwick_web::{address::DeclaredProxies, entrance::Entrance, listener, session};
use serde_json::{Value, json};

use crate::clients::read_json;

const CALLBACK: &str = "http://127.0.0.1:51234/cb";

struct Scene {
    tools: Tools,
    world: World,
    issuer: String,
    cookie: String,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new(tools: Tools) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let world = World::at(&issuer, TestClock::at(jiff::Timestamp::now())).await;
        let broker = &world.broker;
        let ada: UserId = "ada".parse().unwrap();
        users::add(broker, &operator(), ada.clone(), "Ada", None, BTreeSet::new()).await.unwrap();
        let uris = vec!["http://127.0.0.1/cb".parse().unwrap()];
        agents::set_redirect_uris(broker, &operator(), &"reader".parse().unwrap(), uris).await.unwrap();
        let entrance = Entrance::new(Arc::clone(broker), world.nonces(), DeclaredProxies::default()).unwrap();
        let entrance = Arc::new(entrance);
        let authentication =
            Authentication { at: world.clock.now(), methods: BTreeSet::from(["hwk".to_owned()]), acr: None };
        let opened = sessions::open(broker, &ada, authentication).await.unwrap();
        let cookie = session::set_cookie(&entrance, &opened).unwrap();
        let cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let rooms =
            bailiwick_authz_server::router(Arc::clone(&entrance), Fetcher::new(FetchRules::default()).unwrap()).merge(
                bailiwick_console::consent::router(Arc::clone(&entrance), Fetcher::new(FetchRules::default()).unwrap()),
            );
        let router = listener::around(&entrance, rooms);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        world.key("reader").write_new(&folder.path().join("key")).unwrap();
        Self { tools, world, issuer, cookie, folder }
    }

    /// Runs the client; see `tests/clients/oauth4webapi_code.mjs` for what it does and tells.
    async fn flow(&self, pushed: bool, decision: &str) -> Value {
        self.flow_and_renewal(pushed, decision, false).await
    }

    async fn flow_and_renewal(&self, pushed: bool, decision: &str, renew: bool) -> Value {
        let plan = json!({
            "issuer": self.issuer, "client": "reader", "kid": self.world.key("reader").public().kid,
            "key": self.folder.path().join("key"), "cookie": self.cookie, "redirect": CALLBACK,
            "resource": format!("{}/mcp/files", self.issuer), "pushed": pushed, "decision": decision,
            "renew": renew,
        });
        let package = self.tools.node_modules().join("oauth4webapi");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/oauth4webapi_code.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(package).arg(plan.to_string());
        tokio::task::spawn_blocking(move || read_json(&mut command)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi_gets_a_token_for_a_user() {
    let Some(tools) = ready(&[Need::Node]) else { return };
    let scene = Scene::new(tools).await;
    for pushed in [true, false] {
        let told = scene.flow(pushed, "allow").await;
        assert_eq!(told["asked"], 200, "{told}");
        assert_eq!(told["token"]["token_type"], "dpop", "{told}");
        assert_eq!(told["token"]["scope"], "files:read");
        let claims = part(told["token"]["access_token"].as_str().unwrap(), 1);
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("user:ada"), &json!("reader")));
        assert!(claims["cnf"]["jkt"].is_string());
        assert_eq!(told["mixed_up"], "refused", "the answer says who gives it");
        assert_eq!(told["again"], "invalid_grant");
        assert!(told["nonces"].as_u64().unwrap() >= 1, "a nonce was asked for, and did not use the code up");
        assert!(scene.world.broker.live().grants.is_empty(), "presenting the code again ended its grant");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi_is_told_when_a_user_refuses() {
    let Some(tools) = ready(&[Need::Node]) else { return };
    let scene = Scene::new(tools).await;
    let told = scene.flow(true, "refuse").await;
    assert_eq!((&told["asked"], &told["error"]), (&json!(200), &json!("access_denied")), "{told}");
    assert!(scene.world.broker.live().grants.is_empty());
    let by = Principal::User("ada".parse().unwrap()).to_string();
    let changes = scene.world.events("grant_changed").await;
    assert!(
        changes.iter().any(|event| event.body["change"] == "refused".into() && event.body["by"] == by.clone().into())
    );
}

/// The client renews twice; then a copy of its first refresh token comes, and nothing of the grant is left.
#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi_renews_a_users_token_until_a_copy_comes() {
    let Some(tools) = ready(&[Need::Node]) else { return };
    let scene = Scene::new(tools).await;
    let told = scene.flow_and_renewal(true, "allow", true).await;
    let tokens = ["token", "renewed", "renewed_again"].map(|step| told[step].clone());
    let distinct: BTreeSet<_> = tokens.iter().map(|token| token["refresh_token"].as_str().unwrap()).collect();
    assert_eq!(distinct.len(), 3, "each is good once: {told}");
    let claims = tokens.map(|token| part(token["access_token"].as_str().unwrap(), 1));
    for claim in ["sub", "act", "client_id", "aud", "scope", "cnf", "bailiwick_grant"] {
        assert!(!claims[0][claim].is_null() && claims.iter().all(|later| later[claim] == claims[0][claim]), "{claim}");
    }
    assert_eq!((&told["copy"], &told["held"]), (&json!("invalid_grant"), &json!("invalid_grant")), "{told}");
    assert!(scene.world.broker.live().grants.is_empty());
    let alerts = scene.world.events("alert").await;
    assert_eq!((alerts.len(), &alerts[0].body["what"]), (1, &"refresh_reuse".into()));
}
