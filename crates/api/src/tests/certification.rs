//! The assertions of AuthZEN's certification scenario, in the words of this broker, over a socket with real tokens
//! and proofs.

use std::{collections::BTreeMap, net::SocketAddr};

use bailiwick_engine::{agents, bundles, definitions, tokens::Audience};
use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::{
    agent::{Authenticator, Environment, KeyProtection},
    bundle::BundleFiles,
    jwk::SigningAlgorithm,
};
use bailiwick_pdp::propose::{self, Discovery, Existing};
use bailiwick_ports::upstreams::Discovered;
use bailiwick_testkit_engine::world::operator;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::Scene;

const CASES: &str = include_str!("certification/cases.toml");
const SYSTEM: &str = include_str!("certification/records.toml");
const RULES: &str = include_str!("certification/rules.cedar");
const ALLOWS: &str = "allow = [\"records:read\", \"records:write\", \"records:delete\"]\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    words: BTreeMap<String, String>,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    #[serde(default = "evaluation")]
    to: String,
    #[serde(default = "json_type")]
    content_type: String,
    send: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    want: String,
    #[serde(default)]
    exactly: bool,
}

fn evaluation() -> String {
    "evaluation".to_owned()
}

fn json_type() -> String {
    "application/json".to_owned()
}

const fn ok() -> u16 {
    200
}

/// The system `records` with two roles, under some rules.
pub(super) struct Fixture<'a> {
    rules: &'a str,
}

impl<'a> Fixture<'a> {
    pub(super) const fn certification() -> Self {
        Self { rules: RULES }
    }

    pub(super) const fn with_rules(rules: &'a str) -> Self {
        Self { rules }
    }

    pub(super) async fn publish(&self, scene: &Scene) {
        let broker = &scene.world.broker;
        let discovered = discovered();
        let discovery = Discovery {
            protocol_version: &discovered.protocol_version,
            server_info: &discovered.server_info,
            instructions: None,
            tools: &discovered.tools,
            prompts: &discovered.prompts,
        };
        let system = "records".parse().unwrap();
        let existing = Existing { toml: SYSTEM, lock_json: None };
        let proposal = propose::propose(&system, &discovery, Some(existing)).unwrap();
        let role = |purpose: &str, allow: &str| format!("purpose = \"{purpose}\"\n{allow}").into_bytes();
        let files = BTreeMap::from([
            ("systems/records.toml".to_owned(), proposal.toml.into_bytes()),
            ("systems/records.tools.json".to_owned(), proposal.lock_json.into_bytes()),
            ("roles/member.toml".to_owned(), role("Keep records", ALLOWS)),
            ("roles/admin.toml".to_owned(), role("Correct records", ALLOWS)),
            // The agents of the world have it.
            ("roles/reader.toml".to_owned(), role("Ask", "allow = []\n")),
            ("policies/organisation/records.cedar".to_owned(), self.rules.as_bytes().to_vec()),
        ]);
        let published = bundles::publish(broker, &operator(), BundleFiles::new(files).unwrap(), true).await;
        assert!(published.is_ok(), "{published:?}\n{}", self.rules);
        definitions::observe(broker, &system, &discovered).await.unwrap();
    }
}

/// An agent past its read-only start.
pub(super) async fn register(scene: &Scene, name: &str, role: &str) {
    let broker = &scene.world.broker;
    let key = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
    let ask = agents::Registration {
        name: name.parse().unwrap(),
        owner: "team@broker.test".to_owned(),
        purpose: "tests".to_owned(),
        environment: Environment::Production,
        role: role.parse().unwrap(),
        authenticators: vec![Authenticator::Key(key.public().clone())],
        systems: Vec::new(),
        scopes: Vec::new(),
        redirect_uris: Vec::new(),
        bearer_tokens_allowed: false,
        task_required: false,
        token_ttl_s: None,
        lifetime_days: None,
        review_days: None,
        attestation: None,
        key_protection: KeyProtection::Any,
    };
    agents::register(broker, &operator(), ask).await.unwrap();
    agents::promote(broker, &operator(), &name.parse().unwrap(), "it writes").await.unwrap();
}

/// The scenario's fixture and its two subjects.
async fn furnish(scene: &Scene) {
    Fixture::certification().publish(scene).await;
    register(scene, "alice", "member").await;
    register(scene, "bob", "admin").await;
}

fn discovered() -> Discovered {
    let tool = |name: &str, soft: bool| {
        let mut properties = json!({"id": {"type": "string"}, "status": {"type": "string"}});
        if soft {
            properties["soft"] = json!({"type": "boolean"});
        }
        let schema = json!({"type": "object", "required": ["id"], "properties": properties});
        json!({"name": name, "description": "One record.", "inputSchema": schema})
    };
    Discovered {
        protocol_version: "2025-11-25".to_owned(),
        server_info: json!({"name": "records", "version": "1.0.0"}),
        capabilities: json!({"tools": {}}),
        tools: vec![tool("read", false), tool("write", false), tool("delete", true)],
        ..Discovered::default()
    }
}

/// One exchange over a socket.
struct Exchange {
    status: u16,
    head: String,
    body: Value,
}

/// Sends as an enforcement point would, one connection per message.
async fn exchange(scene: &Scene, at: SocketAddr, path: &str, lines: &str, body: &str) -> Exchange {
    let token = scene.world.token("gate", Audience::Access, true).await;
    let proof = scene.world.proof("gate", "POST", &format!("https://broker.test{path}"), Some(&token));
    let message = format!(
        "POST {path} HTTP/1.1\r\nhost: broker.test\r\nconnection: close\r\nauthorization: DPoP {token}\r\n\
         dpop: {proof}\r\n{lines}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    sent(at, &message).await
}

async fn sent(at: SocketAddr, message: &str) -> Exchange {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(message.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Exchange { status, head: head.to_ascii_lowercase(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

async fn listening(scene: &Scene) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = scene.network.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    at
}

/// Whether what is wanted is in what was found: objects by member, arrays as a part unless `exactly`.
fn holds(found: &Value, want: &Value, exactly: bool) -> bool {
    match (found, want) {
        (Value::Object(found), Value::Object(want)) => {
            want.iter().all(|(name, want)| found.get(name).is_some_and(|found| holds(found, want, exactly)))
        }
        (Value::Array(found), Value::Array(want)) if exactly => {
            found.len() == want.len() && found.iter().zip(want).all(|(found, want)| holds(found, want, exactly))
        }
        (Value::Array(found), Value::Array(want)) => {
            want.iter().all(|want| found.iter().any(|found| holds(found, want, exactly)))
        }
        _ => found == want,
    }
}

/// The structure that every answer of its kind has.
fn well_formed(answer: &Value) -> bool {
    let decision = |one: &Value| one["decision"].is_boolean() && one.get("context").is_none_or(Value::is_object);
    if let Some(results) = answer.get("results") {
        let page = answer.get("page").is_none_or(|page| page["next_token"].is_string());
        return results.is_array() && page && answer.get("decision").is_none();
    }
    match answer.get("evaluations") {
        Some(several) => {
            several.as_array().is_some_and(|several| several.iter().all(decision)) && answer.get("decision").is_none()
        }
        None => decision(answer),
    }
}

#[tokio::test]
async fn every_assertion_of_the_certification_scenario_holds() {
    let scene = Scene::new().await;
    furnish(&scene).await;
    let at = listening(&scene).await;
    let Scenario { words, case: cases } = toml::from_str(CASES).unwrap();
    let mut failed = Vec::new();
    for case in &cases {
        let in_full = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (word, json)| text.replace(&format!("${word}"), json))
        };
        let path = format!("/access/v1/{}", case.to);
        let typed = match case.content_type.as_str() {
            "" => String::new(),
            content_type => format!("content-type: {content_type}\r\n"),
        };
        let lines = format!("{typed}x-request-id: {}\r\n", "bfe9eb29-ab87");
        let answer = exchange(&scene, at, &path, &lines, &in_full(&case.send)).await;
        let echoed = answer.head.contains("x-request-id: bfe9eb29-ab87");
        let right = match case.status {
            200 => {
                let want: Value = serde_json::from_str(&in_full(&case.want)).unwrap();
                answer.head.contains("content-type: application/json")
                    && well_formed(&answer.body)
                    && holds(&answer.body, &want, case.exactly)
            }
            _ => answer.head.contains("content-type: application/problem+json"),
        };
        if answer.status != case.status || !right || !echoed {
            failed.push(format!("{}: {} {}", case.id, answer.status, answer.body));
        }
    }
    assert!(cases.len() >= 50 && failed.is_empty(), "{} of {}\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[tokio::test]
async fn the_same_question_has_the_same_answer_with_and_without_a_message_id() {
    let scene = Scene::new().await;
    furnish(&scene).await;
    let at = listening(&scene).await;
    let body = r#"{"subject":{"type":"agent","id":"alice"},"action":{"name":"records.read"},"resource":{"type":"Record","id":"record-1"}}"#;
    for _ in 0..5 {
        let answer = exchange(&scene, at, "/access/v1/evaluation", "content-type: application/json\r\n", body).await;
        assert_eq!((answer.status, answer.body["decision"].as_bool()), (200, Some(true)), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_metadata_is_found_and_true() {
    let scene = Scene::new().await;
    furnish(&scene).await;
    let at = listening(&scene).await;
    let message = "GET /.well-known/authzen-configuration HTTP/1.1\r\nhost: broker.test\r\nconnection: close\r\n\r\n";
    let found = sent(at, message).await;
    assert!(found.status == 200 && found.head.contains("content-type: application/json"), "{}", found.head);
    assert_eq!(found.body["policy_decision_point"], "https://broker.test");
    let body = r#"{"subject":{"type":"agent","id":"alice"},"action":{"name":"records.read"},"resource":{"type":"Record","id":"record-1"}}"#;
    for (name, url) in found.body.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint")) {
        let path = url.as_str().unwrap().strip_prefix("https://broker.test").unwrap();
        let answer = exchange(&scene, at, path, "content-type: application/json\r\n", body).await;
        assert_eq!(answer.status, 200, "{name} at {path}: {}", answer.body);
    }
}
