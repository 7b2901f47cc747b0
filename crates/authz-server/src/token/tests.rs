//! The token endpoint through its real router: honest requests, and every refusal. Its scene serves the other endpoints'
//! tests too.

use std::{collections::BTreeSet, net::SocketAddr};

use axum::{Router, body::Body};
use bailiwick_engine::{agents, grants, users};
use bailiwick_fetch::{FetchRules, Fetcher};
use bailiwick_keys::agent_key::{AgentKey, ProofSubject};
use bailiwick_model::{
    grant::{Grant, GrantKind, GrantStatus},
    id::GrantId,
    jwk::SigningAlgorithm,
    name::UserId,
    principal::{DelegationChain, Principal},
};
use bailiwick_ports::{chance::Clock as _, new_id};
use bailiwick_testkit_engine::{
    bundle,
    world::{ISSUER, World, operator, part},
};
use bailiwick_web::{
    address::{DeclaredProxies, Peer},
    refused::DPOP_NONCE,
};
use http::{HeaderMap, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::clients::PER_CLIENT;

mod apart;
mod attested;
mod certificate;
mod code;
mod details;
mod document;
mod exchange;
mod hardware;
mod own_tasks;

pub(crate) const TOKEN_URL: &str = "https://broker.test/oauth/token";
pub(crate) const RESOURCE: &str = "https://broker.test/mcp/files";
pub(crate) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) router: Router,
}

pub(crate) fn endpoint(world: &World) -> Router {
    let entrance = Entrance::new(Arc::clone(&world.broker), world.nonces(), DeclaredProxies::default());
    // Issuers of these tests are on this machine.
    let rules = FetchRules { allowed: vec!["127.0.0.0/8".parse().unwrap()], roots: Vec::new() };
    crate::router(Arc::new(entrance.unwrap()), Fetcher::new(rules).unwrap())
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        Self { router: endpoint(&world), world }
    }

    pub(crate) fn form(&self, agent: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_assertion_type", TYPE.to_owned()),
            ("client_assertion", self.world.assertion(agent)),
            ("resource", RESOURCE.to_owned()),
        ]
    }

    pub(crate) fn proof(&self, agent: &str) -> String {
        self.world.proof(agent, "POST", TOKEN_URL, None)
    }

    pub(crate) async fn send(&self, message: http::request::Builder, form: &[(&str, String)]) -> Answer {
        self.send_for_text(message, form).await.0
    }

    /// The same, with the body as it came.
    pub(crate) async fn send_for_text(
        &self,
        message: http::request::Builder,
        form: &[(&str, String)],
    ) -> (Answer, String) {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        self.send_body(message, body.finish()).await
    }

    /// A message with whatever body.
    pub(crate) async fn send_body(&self, message: http::request::Builder, body: String) -> (Answer, String) {
        self.send_from("203.0.113.7", message, body).await
    }

    /// The same from whatever address.
    pub(crate) async fn send_from(
        &self,
        address: &str,
        message: http::request::Builder,
        body: String,
    ) -> (Answer, String) {
        let peer: SocketAddr = format!("{address}:4711").parse().unwrap();
        let message = message.extension(Peer(peer)).body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(message).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let answer = Answer { status, headers, json: serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
        (answer, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// With a proof, unless it is `None`.
    pub(crate) async fn ask(&self, form: &[(&str, String)], proof: Option<String>) -> Answer {
        let message = Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
        let message = match proof {
            Some(proof) => message.header("dpop", proof),
            None => message,
        };
        self.send(message, form).await
    }

    /// A request to another endpoint, about a token.
    pub(crate) async fn name(&self, path: &str, agent: &str, token: &str, accept: Option<&str>) -> Answer {
        let form = [
            ("client_assertion_type", TYPE.to_owned()),
            ("client_assertion", self.world.assertion(agent)),
            ("token", token.to_owned()),
        ];
        let message = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        let message = match accept {
            Some(accept) => message.header("accept", accept),
            None => message,
        };
        self.send(message, &form).await
    }

    pub(crate) async fn honest(&self, agent: &str) -> Answer {
        self.ask(&self.form(agent), Some(self.proof(agent))).await
    }
}

pub(crate) fn with(
    mut form: Vec<(&'static str, String)>,
    name: &'static str,
    value: &str,
) -> Vec<(&'static str, String)> {
    form.retain(|(known, _)| *known != name);
    form.push((name, value.to_owned()));
    form
}

#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.json["error"].as_str()), (status, Some(error)), "{:?}", answer.json);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert!(answer.json.get("access_token").is_none());
}

/// What a user allows an agent at [`RESOURCE`] for ten minutes, as a consent would give it.
pub(crate) async fn granted(scene: &Scene, agent: &str, kind: GrantKind) -> Arc<Grant> {
    let broker = &scene.world.broker;
    let user: UserId = "u-ada".parse().unwrap();
    if !broker.live().users.contains_key(&user) {
        users::add(broker, &operator(), user.clone(), "Ada", None, BTreeSet::new()).await.unwrap();
    }
    let agent = Principal::Agent(agent.parse().unwrap());
    let now = broker.now();
    let grant = Grant {
        id: new_id!(GrantId, now, broker.entropy()),
        kind,
        chain: DelegationChain::new(vec![Principal::User(user), agent]).unwrap(),
        parent: None,
        subject: None,
        resources: BTreeSet::from([RESOURCE.to_owned()]),
        scopes: BTreeSet::from(["files:read".parse().unwrap()]),
        details: None,
        task: None,
        authentication: None,
        vouched: None,
        status: GrantStatus::Active,
        created_at: now,
        expires_at: now + jiff::SignedDuration::from_mins(10),
    };
    grants::give(broker, &operator(), grant, Vec::new()).await.unwrap()
}

#[tokio::test]
async fn an_agent_gets_a_bound_token_for_one_resource() {
    let scene = Scene::new().await;
    let answer = scene.honest("reader").await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    assert_eq!(answer.json["token_type"], "DPoP");
    assert_eq!(answer.json["expires_in"], 900);
    assert_eq!(answer.json["scope"], "files:read", "an agent starts read-only");
    assert!(answer.json.get("refresh_token").is_none());
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert!(answer.headers.contains_key(DPOP_NONCE));
    let token = answer.json["access_token"].as_str().unwrap();
    let (head, claims) = (part(token, 0), part(token, 1));
    assert_eq!(head["typ"], "at+jwt");
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["client_id"]),
        (&json!(ISSUER), &json!("reader"), &json!("reader"))
    );
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["cnf"]["jkt"], scene.world.key("reader").public().thumbprint.to_string());
    assert_eq!(claims["bailiwick_env"], "production");
    assert_eq!(scene.world.events("token_issued").await.len(), 1);
    assert_eq!(scene.world.events("token_refused").await.len(), 0);
}

#[tokio::test]
async fn a_plain_token_only_where_the_registration_says_so() {
    let scene = Scene::new().await;
    let answer = scene.ask(&scene.form("scripted"), None).await;
    assert_eq!((answer.status, answer.json["token_type"].as_str()), (200, Some("Bearer")));
    refused(&scene.ask(&scene.form("reader"), None).await, 400, "invalid_dpop_proof");
}

#[tokio::test]
async fn the_nonce_is_asked_for_and_then_good() {
    let scene = Scene::new().await;
    let proof = |nonce: Option<&str>| {
        let subject = ProofSubject { method: "POST", uri: TOKEN_URL, nonce, access_token: None };
        scene.world.key("reader").sign_dpop(&subject, scene.world.clock.now(), &scene.world.jti()).unwrap()
    };
    let form = scene.form("reader");
    let answer = scene.ask(&form, Some(proof(None))).await;
    refused(&answer, 400, "use_dpop_nonce");
    let nonce = answer.headers[DPOP_NONCE].to_str().unwrap();
    let answer = scene.ask(&form, Some(proof(Some(nonce)))).await;
    assert_eq!(answer.status, 200, "the same assertion is still good: {:?}", answer.json);
    assert!(scene.world.events("token_refused").await.is_empty(), "asking for a nonce refuses nobody");
}

#[tokio::test]
async fn assertions_and_proofs_are_good_once() {
    let scene = Scene::new().await;
    let (form, proof) = (scene.form("reader"), scene.proof("reader"));
    assert_eq!(scene.ask(&form, Some(proof.clone())).await.status, 200);
    refused(&scene.ask(&form, Some(scene.proof("reader"))).await, 401, "invalid_client");
    let replayed = scene.ask(&scene.form("reader"), Some(proof)).await;
    assert_ne!(replayed.status, 200, "a proof that was used before");
    assert!(replayed.json.get("access_token").is_none());
    assert_eq!(scene.world.events("token_issued").await.len(), 1);
}

#[tokio::test]
async fn who_has_not_proved_who_it_is_learns_nothing() {
    let scene = Scene::new().await;
    let key = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
    let signed = |name: &str| {
        let now = scene.world.clock.now();
        key.sign_client_assertion(ISSUER, &name.parse().unwrap(), now, &scene.world.jti()).unwrap()
    };
    let wrong_key = scene.ask(&with(scene.form("reader"), "client_assertion", &signed("reader")), None).await;
    let unknown = scene.ask(&with(scene.form("reader"), "client_assertion", &signed("ghost")), None).await;
    let other = scene.ask(&with(scene.form("reader"), "client_id", "scripted"), None).await;
    refused(&wrong_key, 401, "invalid_client");
    assert_eq!(wrong_key.json, unknown.json, "a client that exists reads like one that does not");
    assert_eq!(wrong_key.json, other.json);
    let sightings = bailiwick_engine::alerts::unregistered(&scene.world.broker).await.unwrap();
    assert_eq!(sightings.len(), 1);
    assert_eq!(sightings[0].agent.as_ref().unwrap().as_str(), "ghost");
    assert_eq!(scene.world.events("token_refused").await.len(), 3);
}

#[tokio::test]
async fn assertions_must_be_short_and_for_us_alone() {
    let scene = Scene::new().await;
    let now = scene.world.clock.now();
    let key = scene.world.key("reader");
    let name = "reader".parse().unwrap();
    for audience in [TOKEN_URL, "https://broker.test/", "https://evil.test"] {
        let assertion = key.sign_client_assertion(audience, &name, now, &scene.world.jti()).unwrap();
        let answer =
            scene.ask(&with(scene.form("reader"), "client_assertion", &assertion), Some(scene.proof("reader"))).await;
        refused(&answer, 401, "invalid_client");
        assert!(
            answer.json["error_description"].as_str().unwrap().contains("aud"),
            "the key was proved, so say what is wrong"
        );
    }
    for age_s in [400, -400] {
        let at = now - jiff::SignedDuration::from_secs(age_s);
        let assertion = key.sign_client_assertion(ISSUER, &name, at, &scene.world.jti()).unwrap();
        let answer =
            scene.ask(&with(scene.form("reader"), "client_assertion", &assertion), Some(scene.proof("reader"))).await;
        refused(&answer, 401, "invalid_client");
    }
}

#[tokio::test]
async fn shared_secrets_are_refused_wherever_they_stand() {
    let scene = Scene::new().await;
    let answer = scene.ask(&with(scene.form("reader"), "client_secret", "hunter2"), None).await;
    refused(&answer, 401, "invalid_client");
    assert!(answer.json["error_description"].as_str().unwrap().contains("private_key_jwt"));
    let form = "application/x-www-form-urlencoded";
    let basic =
        Request::post("/oauth/token").header("content-type", form).header("authorization", "Basic cmVhZGVyOng=");
    let answer = scene.send(basic, &scene.form("reader")).await;
    refused(&answer, 401, "invalid_client");
    assert!(answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic"));
    let query = Request::post("/oauth/token?client_secret=hunter2").header("content-type", form);
    refused(&scene.send(query, &scene.form("reader")).await, 400, "invalid_request");
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let mut scene = Scene::new().await;
    let form = || scene.form("reader");
    let without = |name: &str| form().into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let twice = || [form(), vec![("grant_type", "client_credentials".to_owned())]].concat();
    let two = || [form(), vec![("resource", RESOURCE.to_owned())]].concat();
    let cases = [
        (without("grant_type"), 400, "invalid_request"),
        (with(form(), "grant_type", "password"), 400, "unsupported_grant_type"),
        (with(form(), "grant_type", "implicit"), 400, "unsupported_grant_type"),
        (with(form(), "grant_type", "authorization_code"), 400, "invalid_request"),
        (twice(), 400, "invalid_request"),
        (without("client_assertion"), 401, "invalid_client"),
        (with(form(), "client_assertion_type", "urn:other"), 400, "invalid_request"),
        (without("resource"), 400, "invalid_target"),
        (two(), 400, "invalid_target"),
        (with(form(), "resource", "https://evil.test/mcp/files"), 400, "invalid_target"),
        (with(form(), "resource", "https://broker.test/mcp/files/"), 400, "invalid_target"),
        (with(form(), "resource", "https://broker.test/mcp/payroll"), 400, "invalid_target"),
        (with(form(), "resource", "https://broker.test/access/v1"), 400, "invalid_target"),
        (with(form(), "scope", "files:write"), 400, "invalid_scope"),
        (with(form(), "scope", "access:evaluate"), 400, "invalid_scope"),
        (with(form(), "bailiwick_task", "task_00000000000070008000000000000000"), 400, "invalid_request"),
        (with(form(), "bailiwick_task", "mine"), 400, "invalid_request"),
    ];
    for (form, status, error) in cases {
        // At an endpoint of its own, so that none is throttled for the others.
        scene.router = endpoint(&scene.world);
        let answer = scene.ask(&form, Some(scene.proof("reader"))).await;
        refused(&answer, status, error);
    }
    let json = Request::post("/oauth/token").header("content-type", "application/json");
    refused(&scene.send(json, &scene.form("reader")).await, 400, "invalid_request");
    assert!(scene.world.events("token_issued").await.is_empty());
}

#[tokio::test]
async fn a_token_lasts_no_longer_than_its_agent_may_act() {
    let scene = Scene::new().await;
    assert_eq!(scene.honest("reader").await.status, 200);
    agents::suspend(&scene.world.broker, &operator(), &"reader".parse().unwrap(), "test").await.unwrap();
    refused(&scene.honest("reader").await, 401, "invalid_client");
    assert_eq!(scene.honest("gate").await.status, 200, "nobody else is concerned");
    agents::resume(&scene.world.broker, &operator(), &"reader".parse().unwrap(), "test").await.unwrap();
    assert_eq!(scene.honest("reader").await.status, 200);
}

#[tokio::test]
async fn failing_is_throttled_and_the_evidence_with_it() {
    let scene = Scene::new().await;
    let wrong = || with(scene.form("reader"), "scope", "files:delete");
    let mut throttled = 0;
    for _ in 0..60 {
        let answer = scene.ask(&wrong(), Some(scene.proof("reader"))).await;
        if answer.status == 429 {
            throttled += 1;
            assert!(answer.headers.contains_key(header::RETRY_AFTER));
        }
    }
    assert_eq!(throttled, 60 - PER_CLIENT.burst);
    assert_eq!(scene.world.events("token_refused").await.len(), PER_CLIENT.burst as usize);
    assert_eq!(scene.honest("reader").await.status, 429);
    assert_eq!(scene.honest("gate").await.status, 200, "another client at the same address goes on");
    scene.world.clock.advance(i64::from(PER_CLIENT.refill_s));
    assert_eq!(scene.honest("reader").await.status, 200);
}

#[tokio::test]
async fn the_documents_say_where_and_how() {
    let scene = Scene::new().await;
    let document = async |path: &str| {
        let message = Request::get(path).body(Body::empty()).unwrap();
        let response = scene.router.clone().oneshot(message).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice::<Value>(&bytes).unwrap())
    };
    let (_, server) = document("/.well-known/oauth-authorization-server").await;
    assert_eq!((&server["issuer"], &server["token_endpoint"]), (&json!(ISSUER), &json!(TOKEN_URL)));
    let (_, resource) = document("/.well-known/oauth-protected-resource/mcp/files").await;
    assert_eq!((&resource["resource"], &resource["authorization_servers"]), (&json!(RESOURCE), &json!([ISSUER])));
    let (_, root) = document("/.well-known/oauth-protected-resource").await;
    assert_eq!(root["resource"], "https://broker.test/mcp");
    let (_, access) = document("/.well-known/oauth-protected-resource/access/v1").await;
    assert_eq!(access["scopes_supported"], json!(["access:evaluate"]));
    scene.world.publish(bundle::with_own_tools("")).await;
    assert_eq!(document("/.well-known/oauth-protected-resource/hook/claude-code").await.0, 200);
    for path in ["/mcp/payroll", "/mcp/", "/other", "/mcp/files/x", "/mcp/claude_code"] {
        assert_eq!(document(&format!("/.well-known/oauth-protected-resource{path}")).await.0, 404, "{path}");
    }
    let (_, keys) = document("/oauth/jwks").await;
    let token = scene.honest("reader").await.json["access_token"].as_str().unwrap().to_owned();
    assert_eq!(keys["keys"][0]["kid"], part(&token, 0)["kid"]);
    assert!(keys["keys"][0].get("d").is_none());
}
