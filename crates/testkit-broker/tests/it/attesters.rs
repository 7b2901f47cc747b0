//! Instances that an attester vouches for, through the real binary: no key of theirs is registered, and what one has been
//! given is of no use to another.

use bailiwick_keys::{
    agent_key::{AgentKey, ProofSubject},
    signing_key::SigningKey,
};
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_testkit_broker::{
    http_client::{HttpAnswer, send},
    tools::{Need, ready},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::world::Depot;

/// A depot whose broker believes the attester `acme`.
struct Place {
    depot: Depot,
    acme: SigningKey,
}

fn key() -> SigningKey {
    SigningKey::generate(SigningAlgorithm::ES256).unwrap()
}

fn instance() -> AgentKey {
    AgentKey::generate(SigningAlgorithm::ES256).unwrap()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A compact JWS of this type.
fn signed(key: &SigningKey, typ: &str, claims: &Value) -> String {
    let header = json!({ "alg": "ES256", "typ": typ, "kid": key.public().kid });
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let input = format!("{}.{}", part(&header), part(claims));
    let signature = key.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl Place {
    fn open() -> Option<Self> {
        let mut depot = Depot::stdio(&ready(&[Need::Broker])?);
        let acme = key();
        let jwk: Value = serde_json::from_str(&acme.public().jwk).unwrap();
        depot.broker.kill();
        depot.broker.write("acme.jwks", &json!({ "keys": [jwk] }).to_string());
        let config = depot.broker.read("bailiwick.toml");
        let rules = "\n[attestation]\nclient_authentication = true\n\
                     [[attestation.attesters]]\nname = \"acme\"\nkeys = \"acme.jwks\"\nmax_age_s = 600\n";
        depot.broker.write("bailiwick.toml", &format!("{config}{rules}"));
        depot.broker.serve_verified();
        Some(Self { depot, acme })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.depot.broker.url())
    }

    /// What an attester says of an instance of `robot`.
    fn says(attester: &SigningKey, of: &AgentKey) -> String {
        let jwk: Value = serde_json::from_str(of.public_jwk()).unwrap();
        let claims = json!({ "sub": "robot", "iat": now(), "exp": now() + 300, "cnf": { "jwk": jwk } });
        signed(attester, "oauth-client-attestation+jwt", &claims)
    }

    async fn challenge(&self) -> String {
        let answer = send(reqwest::Client::new().post(self.url("/oauth/challenge"))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        json["attestation_challenge"].as_str().unwrap().to_owned()
    }

    async fn ask(&self, attestation: &str, proof: &str) -> HttpAnswer {
        let resource = self.url("/mcp/depot");
        let form = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
        let ask = reqwest::Client::new().post(self.url("/oauth/token")).form(&form);
        send(ask.header("oauth-client-attestation", attestation).header("dpop", proof)).await
    }

    fn proof(&self, by: &AgentKey, path: &str, nonce: &str, token: Option<&str>) -> String {
        let uri = self.url(path);
        let subject = ProofSubject { method: "POST", uri: &uri, nonce: Some(nonce), access_token: token };
        let id = format!("{}-{path}-{}", by.public().kid, jiff::Timestamp::now().as_nanosecond());
        by.sign_dpop(&subject, jiff::Timestamp::now(), &id).unwrap()
    }

    async fn call(&self, by: &AgentKey, nonce: &str, token: &str) -> HttpAnswer {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "testkit", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({ "name": "lookup", "arguments": { "path": "/public/a" }, "_meta": meta });
        let ask = reqwest::Client::new()
            .post(self.url("/mcp/depot"))
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "lookup")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", self.proof(by, "/mcp/depot", nonce, Some(token)))
            .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }));
        send(ask).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_instance_has_a_key_that_nobody_registered() {
    let Some(mut place) = Place::open() else { return };
    let broker = &place.depot.broker;
    broker.register("robot", "clerk", &[]);
    let (one, two) = (instance(), instance());
    let nonce = place.challenge().await;
    let says = Place::says(&place.acme, &one);
    let refused = place.ask(&says, &place.proof(&one, "/oauth/token", &nonce, None)).await;
    assert_eq!(refused.status, 401, "nobody said that acme speaks for robot: {}", refused.body);
    broker.run(&["agents", "add-certificate", "robot", "attester=acme"]).succeeded();
    let listed = broker.run(&["agents", "show", "robot", "--output", "json"]).succeeded().json();
    let credential = &listed["certificates"][0];
    assert_eq!((&credential["method"], &credential["value"]), (&json!("attest_jwt_client_auth"), &json!("acme")));

    let answer = place.ask(&says, &place.proof(&one, "/oauth/token", &nonce, None)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    let token = json["access_token"].as_str().unwrap().to_owned();
    let answer = place.call(&one, &nonce, &token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(place.depot.ledger.acts(), 1);

    // Another instance of the same agent has its own tokens, and not these.
    let second = place.ask(&Place::says(&place.acme, &two), &place.proof(&two, "/oauth/token", &nonce, None)).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_eq!(place.call(&two, &nonce, &token).await.status, 401);
    let stolen = place.ask(&says, &place.proof(&two, "/oauth/token", &nonce, None)).await;
    assert_eq!(stolen.status, 401, "an attestation without its key: {}", stolen.body);
    let forged = place.ask(&Place::says(&key(), &two), &place.proof(&two, "/oauth/token", &nonce, None)).await;
    assert_eq!(forged.status, 401, "{}", forged.body);
    assert_eq!(place.depot.ledger.acts(), 1, "nothing of it reached the system");

    // Without the flag there is nothing of it.
    place.depot.broker.kill();
    let config = place.depot.broker.read("bailiwick.toml");
    let (before, _) = config.split_once("\n[attestation]").unwrap();
    place.depot.broker.write("bailiwick.toml", before);
    place.depot.broker.serve_verified();
    let refused = place.ask(&says, &place.proof(&one, "/oauth/token", &nonce, None)).await;
    assert_eq!(refused.status, 401, "{}", refused.body);
    let gone = send(reqwest::Client::new().post(place.url("/oauth/challenge"))).await;
    assert_eq!(gone.status, 404);
}
