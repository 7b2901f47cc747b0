//! Whoever cannot prove who they are gets nowhere: each wrong credential is refused, and the upstream saw nothing.

use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_testkit_broker::{
    broker::{Agent, Broker},
    http_client::{HttpClient, Revision, send},
    stdio_client::succeeded,
    tools::{Need, ready},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::json;

use crate::world::Depot;

/// How often all wrong credentials are tried: together more than a thousand requests.
const ROUNDS: usize = 80;

/// Everything that a wrong credential can be made from.
struct Attempt<'a> {
    client: &'a HttpClient<'a>,
    other: &'a HttpClient<'a>,
    stranger: &'a AgentKey,
    ask: RequestBuilder,
}

impl Attempt<'_> {
    fn with(self, scheme: &str, token: &str, proof: Option<String>) -> RequestBuilder {
        let ask = self.ask.header("authorization", format!("{scheme} {token}"));
        match proof {
            Some(proof) => ask.header("dpop", proof),
            None => ask,
        }
    }

    fn good_proof(&self, token: &str) -> Option<String> {
        Some(self.client.proof("POST", self.client.resource(), Some(token)))
    }
}

type Wrong = (&'static str, fn(Attempt<'_>) -> RequestBuilder);

/// A token with the first character of its signature changed.
fn tampered(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}

/// The token's claims under the header `{"alg":"none","typ":"at+jwt"}` and no signature.
fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{claims}.")
}

/// The token with an actor put into its claims, as if somebody had delegated to it.
fn with_actor(token: &str, act: &serde_json::Value) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims["act"] = act.clone();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

const WRONG: &[Wrong] = &[
    ("a forged actor", |a| {
        let token = with_actor(&a.client.token, &json!({ "sub": "reader-2" }));
        let proof = a.good_proof(&token);
        a.with("DPoP", &token, proof)
    }),
    ("a forged chain of actors", |a| {
        let token = with_actor(&a.client.token, &json!({ "sub": "reader-2", "act": { "sub": "user:ann" } }));
        let proof = a.good_proof(&token);
        a.with("DPoP", &token, proof)
    }),
    ("no credential", |a| a.ask),
    ("a proof without a token", |a| {
        let proof = a.good_proof("x").unwrap();
        a.ask.header("dpop", proof)
    }),
    ("a token that is none", |a| {
        let proof = a.good_proof("nonsense");
        a.with("DPoP", "nonsense", proof)
    }),
    ("a changed signature", |a| {
        let token = tampered(&a.client.token);
        let proof = a.good_proof(&token);
        a.with("DPoP", &token, proof)
    }),
    ("no signature", |a| {
        let token = unsigned(&a.client.token);
        let proof = a.good_proof(&token);
        a.with("DPoP", &token, proof)
    }),
    ("a bound token without a proof", |a| {
        let token = a.client.token.clone();
        a.with("DPoP", &token, None)
    }),
    ("a bound token as a bearer token", |a| {
        let token = a.client.token.clone();
        a.with("Bearer", &token, None)
    }),
    ("a proof by a stranger's key", |a| {
        let token = a.client.token.clone();
        let proof = a.client.proof_by(a.stranger, "POST", a.client.resource(), Some(&token));
        a.with("DPoP", &token, Some(proof))
    }),
    ("a proof by another agent's key", |a| {
        let token = a.client.token.clone();
        let proof = a.other.proof("POST", a.client.resource(), Some(&token));
        a.with("DPoP", &token, Some(proof))
    }),
    ("a proof for another method", |a| {
        let token = a.client.token.clone();
        let proof = a.client.proof("GET", a.client.resource(), Some(&token));
        a.with("DPoP", &token, Some(proof))
    }),
    ("a proof for another url", |a| {
        let token = a.client.token.clone();
        let proof = a.client.proof("POST", "http://127.0.0.1:1/mcp/depot", Some(&token));
        a.with("DPoP", &token, Some(proof))
    }),
    ("a proof for another token", |a| {
        let token = a.client.token.clone();
        let proof = a.good_proof(&a.other.token);
        a.with("DPoP", &token, proof)
    }),
    ("two proofs", |a| {
        let token = a.client.token.clone();
        let (one, two) = (a.good_proof(&token), a.good_proof(&token).unwrap());
        a.with("DPoP", &token, one).header("dpop", two)
    }),
];

fn agents(broker: &Broker) -> (Agent, Agent) {
    (broker.register("reader-1", "reader", &[]), broker.register("reader-2", "reader", &[]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_wrong_credentials_reach_nobody() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let (one, two) = agents(&depot.broker);
    let stranger = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
    let mut client = HttpClient::connect(&depot.broker, &one, "depot", Revision::Stateless).await;
    let other = HttpClient::connect(&depot.broker, &two, "depot", Revision::Stateless).await;
    for _ in 0..ROUNDS {
        for (name, wrong) in WRONG {
            let body = client.message("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } }));
            let ask = client.bare(body);
            let attempt = Attempt { client: &client, other: &other, stranger: &stranger, ask };
            let answer = send(wrong(attempt)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}: {}", answer.body);
            assert!(answer.header("www-authenticate").is_some(), "{name}: a 401 says how to do better");
        }
    }
    assert_eq!(depot.ledger.acts(), 0);

    // The instrument would have noticed.
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);
    assert_eq!(depot.ledger.acts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_once() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    succeeded(&client.call("lookup", json!({ "path": "/public/a" })).await);

    let proof = client.proof("POST", client.resource(), Some(&client.token));
    let body = client.message("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/b" } }));
    let ask = || {
        let ask = client.bare(body.clone()).header("authorization", format!("DPoP {}", client.token));
        ask.header("dpop", proof.clone())
    };
    let first = send(ask()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let second = send(ask()).await;
    assert_eq!(second.status, StatusCode::UNAUTHORIZED, "{}", second.body);
    assert_eq!(depot.ledger.acts(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_good_once() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let assertion = client.assertion();
    // Proofs of their own, so that it is the assertion that is known already.
    let first = client.ask_token_with(&assertion).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    for _ in 0..3 {
        let again = client.ask_token_with(&assertion).await;
        assert_eq!(again.message_or_body()["error"], "invalid_client", "{} {}", again.status, again.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_resource_only() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    // A token for the aggregate is not one for the system.
    let aggregate = HttpClient::connect(&depot.broker, &agent, "", Revision::Stateless).await;
    let mut client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    client.token.clone_from(&aggregate.token);
    let answer = client.ask("tools/call", json!({ "name": "lookup", "arguments": { "path": "/public/a" } })).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    assert_eq!(depot.ledger.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administration_does_not_answer_agents() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let agent = depot.broker.register("reader-1", "reader", &[]);
    let client = HttpClient::connect(&depot.broker, &agent, "depot", Revision::Stateless).await;
    let url = format!("{}/api/v1/agents", depot.broker.url());
    let proof = client.proof("GET", &url, Some(&client.token));
    let ask = reqwest::Client::new().get(&url).header("authorization", format!("DPoP {}", client.token));
    let answer = send(ask.header("dpop", proof)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    let alerts = depot.broker.run(&["audit", "tail", "--kind", "alert", "--output", "json"]).succeeded();
    assert!(alerts.stdout.contains("reader-1"), "{}", alerts.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_says_how_to_get_in() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let depot = Depot::stdio(&tools);
    let url = depot.broker.url();
    let read = async |path: &str| send(reqwest::Client::new().get(format!("{url}{path}"))).await;

    let resource = read("/.well-known/oauth-protected-resource/mcp/depot").await;
    assert_eq!(resource.status, StatusCode::OK, "{}", resource.body);
    let resource = resource.message_or_body();
    assert_eq!(resource["resource"], format!("{url}/mcp/depot"));
    assert_eq!(resource["authorization_servers"], json!([url]));

    let server = read("/.well-known/oauth-authorization-server").await.message_or_body();
    assert_eq!(server["issuer"], url);
    assert_eq!(server["token_endpoint"], format!("{url}/oauth/token"));
    assert!(server["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!("private_key_jwt")));
    assert!(server["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));

    let keys = read("/oauth/jwks").await.message_or_body();
    assert!(!keys["keys"].as_array().unwrap().is_empty());
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()), "public halves only");
}
