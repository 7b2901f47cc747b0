//! The JWT attack set against the running program: every forgery of `forgeries` at every door that takes a token, an
//! assertion or a proof. Not one is let in, none ends in an error of ours, and none is turned away by a throttle before it
//! was looked at.

use std::{cell::Cell, collections::BTreeMap, path::Path};

use bailiwick_keys::signing_key::SigningKey;
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_testkit_broker::{
    broker::Agent,
    http_client::{HttpAnswer, HttpClient, Revision, send},
    tools::{Need, ready},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{RequestBuilder, header::HeaderValue};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    attacks::{
        claims::{ASSERTIONS, Case, Here, PROOFS, PROOFS_WITH_TOKEN, TOKENS},
        forgeries::{FORGERIES, Honest},
    },
    world::Depot,
};

mod claims;
mod forgeries;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What is forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Assertion,
    Proof,
    AccessToken,
}

/// Where it is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    TokenAssertion,
    PushAssertion,
    IntrospectAssertion,
    RevokeAssertion,
    TokenProof,
    PushProof,
    GatewayProof,
    AuthzenProof,
    GatewayToken,
    AuthzenToken,
    ExchangedToken,
    IntrospectedToken,
}

const DOORS: [(Door, Kind); 12] = [
    (Door::TokenAssertion, Kind::Assertion),
    (Door::PushAssertion, Kind::Assertion),
    (Door::IntrospectAssertion, Kind::Assertion),
    (Door::RevokeAssertion, Kind::Assertion),
    (Door::TokenProof, Kind::Proof),
    (Door::PushProof, Kind::Proof),
    (Door::GatewayProof, Kind::Proof),
    (Door::AuthzenProof, Kind::Proof),
    (Door::GatewayToken, Kind::AccessToken),
    (Door::AuthzenToken, Kind::AccessToken),
    (Door::ExchangedToken, Kind::AccessToken),
    (Door::IntrospectedToken, Kind::AccessToken),
];

impl Door {
    /// The path that a proof is made for there.
    const fn path(self) -> &'static str {
        match self {
            Self::TokenAssertion | Self::TokenProof | Self::ExchangedToken => "/oauth/token",
            Self::PushAssertion | Self::PushProof => "/oauth/par",
            Self::IntrospectAssertion | Self::IntrospectedToken => "/oauth/introspect",
            Self::RevokeAssertion => "/oauth/revoke",
            Self::GatewayProof | Self::GatewayToken => "/mcp/depot",
            Self::AuthzenProof | Self::AuthzenToken => "/access/v1/evaluation",
        }
    }

    /// Who presents it.
    const fn speaker(self) -> usize {
        match self {
            Self::AuthzenProof | Self::AuthzenToken | Self::IntrospectAssertion | Self::IntrospectedToken => ASKER,
            Self::ExchangedToken => PEER,
            _ => ACTOR,
        }
    }

    /// Whether what is presented stands in a header, which has no line breaks and no spaces around it.
    const fn is_header(self) -> bool {
        !matches!(
            self,
            Self::TokenAssertion
                | Self::PushAssertion
                | Self::IntrospectAssertion
                | Self::RevokeAssertion
                | Self::ExchangedToken
                | Self::IntrospectedToken
        )
    }

    /// Whether the answer lets somebody in.
    fn lets_in(self, answer: &HttpAnswer) -> bool {
        match self {
            Self::IntrospectedToken => answer.message_or_body()["active"] != json!(false),
            Self::GatewayProof | Self::GatewayToken => answer.status.is_success() && !is_denied(answer),
            _ => answer.status.is_success(),
        }
    }
}

/// A broker behind a declared proxy, so that each attempt can come from an address of its own; its agents and keys.
struct Scene {
    depot: Depot,
    agents: [Agent; 3],
    /// Each agent's own key, the issuer's, and one that nobody knows.
    keys: [SigningKey; 5],
    http: reqwest::Client,
    attempts: Cell<u32>,
}

/// Acts at the gateway, asks for tokens and for users' consent, hands work over.
const ACTOR: usize = 0;
/// Asks about decisions and tokens.
const ASKER: usize = 1;
/// Exchanges what it is handed.
const PEER: usize = 2;
const ISSUER: usize = 3;
const STRANGER: usize = 4;

const SUPPORT: &str = "purpose = \"Answer\"\nallow = [\"depot:read\", \"depot:write\"]\ndelegates_to = [\"writer\"]\n";
const WRITER: &str = "purpose = \"Write\"\nallow = [\"depot.write_note\"]\n";

/// The agents' clients, and the token that hands work over.
struct Cast<'a> {
    clients: [HttpClient<'a>; 3],
    handed: String,
}

impl Cast<'_> {
    fn speaker(&self, door: Door) -> &HttpClient<'_> {
        &self.clients[door.speaker()]
    }

    /// The honest token that is forged at this door.
    fn token(&self, door: Door) -> &str {
        match door {
            Door::AuthzenToken => &self.clients[ASKER].token,
            Door::ExchangedToken => &self.handed,
            _ => &self.clients[ACTOR].token,
        }
    }
}

impl Scene {
    fn new() -> Option<Self> {
        let tools = ready(&[Need::Broker])?;
        let mut depot = Depot::stdio(&tools);
        depot.broker.kill();
        depot.broker.edit("bailiwick.toml", &[("[listen]", "[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]")]);
        depot.broker.write("roles/support.toml", SUPPORT);
        depot.broker.write("roles/writer.toml", WRITER);
        depot.broker.serve_verified();
        depot.broker.publish();
        let agents = [
            depot.broker.register("actor-1", "support", &["--redirect-uri", "http://127.0.0.1/cb"]),
            depot.broker.register("asker-1", "reader", &["--scope", "access:evaluate", "--scope", "token:introspect"]),
            depot.broker.register("peer-1", "writer", &[]),
        ];
        let read = |path: &Path| SigningKey::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        let tokens = std::fs::read_dir(depot.broker.home().join("keys/tokens")).unwrap();
        let mut pems =
            tokens.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "pem"));
        let issuer = read(&pems.next().unwrap());
        let stranger = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let [actor, asker, peer] = [0, 1, 2].map(|which| read(&agents[which].key_file));
        Some(Self {
            depot,
            agents,
            keys: [actor, asker, peer, issuer, stranger],
            http: reqwest::Client::new(),
            attempts: Cell::new(0),
        })
    }

    async fn cast(&self) -> Cast<'_> {
        let (broker, [actor, asker, peer]) = (&self.depot.broker, &self.agents);
        let handed = HttpClient::hand_over(broker, actor, "peer-1", "depot:write").await;
        let clients = [
            HttpClient::connect(broker, actor, "depot", Revision::Stateless).await,
            HttpClient::connect_at(broker, asker, "/access/v1").await,
            HttpClient::connect(broker, peer, "depot", Revision::Stateless).await,
        ];
        Cast { clients, handed }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.depot.broker.url())
    }

    /// A request from an address of its own: a door that counts failures per address lets each of them be looked at.
    fn post(&self, path: &str) -> RequestBuilder {
        let count = self.attempts.get() + 1;
        self.attempts.set(count);
        let [_, a, b, c] = count.to_be_bytes();
        self.http.post(self.url(path)).header("x-forwarded-for", format!("10.{a}.{b}.{c}"))
    }

    /// What an honest token of this kind says at this door.
    fn header(&self, door: Door, kind: Kind) -> Value {
        let own = self.keys[Self::owner(door, kind)].public();
        match kind {
            Kind::Assertion => json!({ "alg": "ES256", "kid": own.kid, "typ": "client-authentication+jwt" }),
            Kind::Proof => {
                let jwk: Value = serde_json::from_str(&own.jwk).unwrap();
                json!({ "alg": "ES256", "jwk": jwk, "typ": "dpop+jwt" })
            }
            Kind::AccessToken => json!({ "alg": "ES256", "kid": own.kid, "typ": "at+jwt" }),
        }
    }

    const fn owner(door: Door, kind: Kind) -> usize {
        match kind {
            Kind::AccessToken => ISSUER,
            Kind::Assertion | Kind::Proof => door.speaker(),
        }
    }

    fn claims(&self, door: Door, kind: Kind, cast: &Cast<'_>) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let speaker = cast.speaker(door);
        match kind {
            Kind::Assertion => {
                let name = &self.agents[door.speaker()].name;
                json!({
                    "iss": name, "sub": name, "aud": self.depot.broker.url(), "iat": now, "exp": now + 60,
                    "jti": Uuid::new_v4().to_string(),
                })
            }
            // The nonce and the token's hash are what an honest client would put there.
            Kind::Proof => {
                let token = matches!(door, Door::GatewayProof | Door::AuthzenProof).then_some(speaker.token.as_str());
                claims_of(&speaker.proof("POST", &self.url(door.path()), token))
            }
            Kind::AccessToken => {
                let mut claims = claims_of(cast.token(door));
                if door == Door::ExchangedToken {
                    // Good once, so each is another one.
                    let mut id = Uuid::new_v4().simple().to_string();
                    id.replace_range(12..13, "7");
                    claims["jti"] = format!("tok_{id}").into();
                }
                claims
            }
        }
    }

    /// What an honest token would be at this door, given to whoever forges one.
    fn forge<T>(&self, door: Door, kind: Kind, cast: &Cast<'_>, forge: impl Fn(&Honest<'_>) -> T) -> T {
        let claims = || self.claims(door, kind, cast);
        let (own, stranger) = (&self.keys[Self::owner(door, kind)], &self.keys[STRANGER]);
        forge(&Honest { header: self.header(door, kind), claims: &claims, own, stranger })
    }

    /// Presents `forged` where the honest one would stand; all the rest is as it should be.
    async fn present(&self, door: Door, client: &HttpClient<'_>, forged: &str) -> HttpAnswer {
        let asks_itself = HttpClient::assertion;
        let path = door.path();
        let proof = |token: Option<&str>| client.proof("POST", &self.url(path), token);
        let form = |fields: &[(&str, &str)]| {
            let mut all = vec![("client_assertion_type", ASSERTION_TYPE)];
            all.extend(fields);
            self.post(path).form(&all)
        };
        let token_form = |assertion: &str| {
            form(&[
                ("grant_type", "client_credentials"),
                ("resource", &self.url("/mcp/depot")),
                ("client_assertion", assertion),
            ])
        };
        let push_form = |assertion: &str| {
            form(&[
                ("response_type", "code"),
                ("redirect_uri", "http://127.0.0.1:51234/cb"),
                ("resource", &self.url("/mcp/depot")),
                ("code_challenge_method", "S256"),
                ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
                ("client_assertion", assertion),
            ])
        };
        let ask = match door {
            Door::TokenAssertion => token_form(forged).header("dpop", proof(None)),
            Door::PushAssertion => push_form(forged).header("dpop", proof(None)),
            Door::IntrospectAssertion | Door::RevokeAssertion => {
                form(&[("token", "unknown"), ("client_assertion", forged)])
            }
            Door::TokenProof => token_form(&asks_itself(client)).header("dpop", forged),
            Door::PushProof => push_form(&asks_itself(client)).header("dpop", forged),
            Door::GatewayProof => self.call(client, &client.token, forged),
            Door::GatewayToken => self.call(client, forged, &proof(Some(forged))),
            Door::AuthzenProof => self.evaluate(&client.token, forged),
            Door::AuthzenToken => self.evaluate(forged, &proof(Some(forged))),
            Door::ExchangedToken => form(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", forged),
                ("subject_token_type", ACCESS_TOKEN),
                ("resource", &self.url("/mcp/depot")),
                ("client_assertion", &asks_itself(client)),
            ])
            .header("dpop", proof(None)),
            Door::IntrospectedToken => form(&[("token", forged), ("client_assertion", &asks_itself(client))]),
        };
        send(ask).await
    }

    fn call(&self, client: &HttpClient<'_>, token: &str, proof: &str) -> RequestBuilder {
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "lookup", "arguments": { "path": "/public/a" }, "_meta": {
                "io.modelcontextprotocol/protocolVersion": Revision::Stateless.as_str(),
                "io.modelcontextprotocol/clientInfo": { "name": "testkit", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            } },
        });
        client.bare(message.to_string()).header("authorization", format!("DPoP {token}")).header("dpop", proof)
    }

    fn evaluate(&self, token: &str, proof: &str) -> RequestBuilder {
        let question = json!({
            "subject": { "type": "agent", "id": "actor-1" }, "action": { "name": "depot.lookup" },
            "resource": { "type": "tool", "id": "depot.lookup" }, "context": { "arguments": { "path": "/public/a" } },
        });
        let ask = self.post("/access/v1/evaluation").header("content-type", "application/json");
        ask.header("authorization", format!("DPoP {token}")).header("dpop", proof).body(question.to_string())
    }
}

/// Whether the call was decided on, and denied: such an answer is a result of its own.
fn is_denied(answer: &HttpAnswer) -> bool {
    answer.message_or_body()["result"]["isError"] == json!(true)
}

fn claims_of(token: &str) -> Value {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

/// Whether this can be sent in a header, and comes out of it as it went in.
fn fits_a_header(token: &str) -> bool {
    token.trim() == token && HeaderValue::from_str(token).is_ok()
}

/// Presents a token that must not be let in, and must be looked at. Says what is wrong, if anything is.
async fn refuse(scene: &Scene, cast: &mut Cast<'_>, door: Door, name: &str, token: &str) -> Option<String> {
    let answer = scene.present(door, cast.speaker(door), token).await;
    cast.clients[door.speaker()].learn_nonce_of(&answer.headers);
    let status = answer.status.as_u16();
    let told = door == Door::IntrospectedToken && status == 200;
    let looked_at =
        told || (door == Door::GatewayToken && is_denied(&answer)) || matches!(status, 400 | 401 | 413 | 431);
    let about = || format!("{name} at {door:?}: {status} {:.200}\n{token:.400}", answer.body);
    match (door.lets_in(&answer), looked_at) {
        (true, _) => Some(format!("let in: {}", about())),
        (false, false) => Some(format!("not looked at: {}", about())),
        (false, true) => None,
    }
}

/// The instrument would have noticed: the same doors let the honest ones in.
async fn let_the_honest_in(scene: &Scene, cast: &mut Cast<'_>) {
    assert_eq!(scene.depot.ledger.acts(), 0, "nothing reached the upstream");
    for (door, kind) in DOORS {
        let honest = scene.forge(door, kind, cast, |honest| honest.token());
        let answer = scene.present(door, cast.speaker(door), &honest).await;
        assert!(door.lets_in(&answer), "honest at {door:?}: {} {}", answer.status, answer.body);
        cast.clients[door.speaker()].learn_nonce_of(&answer.headers);
    }
    assert_eq!(scene.depot.ledger.acts(), 2, "by a proof and by a token made like the forged ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forgery_is_let_in_at_any_door() {
    let Some(scene) = Scene::new() else { return };
    let mut cast = scene.cast().await;
    let (mut counts, mut wrong) = (BTreeMap::<Door, usize>::new(), Vec::new());
    for (door, kind) in DOORS {
        for (attack, forge) in FORGERIES {
            let forged = scene.forge(door, kind, &cast, forge);
            for token in forged.into_iter().filter(|token| !door.is_header() || fits_a_header(token)) {
                wrong.extend(refuse(&scene, &mut cast, door, attack, &token).await);
                *counts.entry(door).or_default() += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counts.len() == DOORS.len() && counts.values().all(|count| *count > 100), "{counts:?}");
    let_the_honest_in(&scene, &mut cast).await;
}

/// The claims that are wrong at one door; a few of the others are right there.
fn cases(door: Door, kind: Kind) -> Vec<Case> {
    let claims_matter_less = |name: &str| match door {
        // Whoever may ask learns of every token of these systems, whatever it is for, and never presents it.
        Door::IntrospectedToken => {
            ["-another-audience", "-the-issuer", "-several", "-another-key"].iter().any(|end| name.ends_with(end))
        }
        // It belongs to the agent that `may_act` names, not to a key.
        Door::ExchangedToken => name.contains("-bound-to-"),
        _ => false,
    };
    let all: Vec<Case> = match kind {
        Kind::Assertion => ASSERTIONS.to_vec(),
        Kind::Proof if matches!(door, Door::GatewayProof | Door::AuthzenProof) => [PROOFS, PROOFS_WITH_TOKEN].concat(),
        Kind::Proof => PROOFS.to_vec(),
        Kind::AccessToken => TOKENS.to_vec(),
    };
    all.into_iter().filter(|(name, _)| !claims_matter_less(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_claim_that_is_off_is_let_in_however_well_it_is_signed() {
    let Some(scene) = Scene::new() else { return };
    let mut cast = scene.cast().await;
    let (issuer, mut wrong) = (scene.depot.broker.url(), Vec::new());
    for (door, kind) in DOORS {
        let url = scene.url(door.path());
        for (name, changes) in cases(door, kind) {
            let here = Here { now: jiff::Timestamp::now().as_second(), issuer: &issuer, url: &url };
            let changes = changes(&here);
            let token = scene.forge(door, kind, &cast, |honest| {
                honest.sign(&honest.header.to_string(), &honest.claims_with(&changes))
            });
            wrong.extend(refuse(&scene, &mut cast, door, name, &token).await);
        }
        // One that was let in comes again.
        if kind != Kind::AccessToken {
            let once = scene.forge(door, kind, &cast, |honest| honest.token());
            let answer = scene.present(door, cast.speaker(door), &once).await;
            assert!(door.lets_in(&answer), "{door:?}: {} {}", answer.status, answer.body);
            wrong.extend(refuse(&scene, &mut cast, door, "the same again", &once).await);
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    let acts = scene.depot.ledger.acts();
    assert_eq!(acts, 1, "by the one proof at the gateway that was honest");
}
