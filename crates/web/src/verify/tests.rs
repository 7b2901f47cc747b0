//! Abuse cases of token and proof verification: whatever is presented wrongly never becomes a caller.

use std::collections::BTreeSet;

use axum::response::IntoResponse as _;
use bailiwick_engine::{
    agents, grants,
    tokens::{Audience, TokenAsk, TokenRefusal},
    users,
};
use bailiwick_keys::agent_key::ProofSubject;
use bailiwick_model::{
    agent::Authenticator,
    confirmation::Confirmation,
    grant::{Grant, GrantKind, GrantStatus},
    id::GrantId,
    principal::{DelegationChain, Principal},
};
use bailiwick_ports::{chance::Clock as _, signer::TokenSigner as _};
use bailiwick_testkit_engine::{
    bundle,
    world::{ISSUER, World, operator, part},
};
use http::Request;
use serde_json::{Value, json};

use super::*;
use crate::address::DeclaredProxies;

const URL: &str = "https://broker.test/mcp/files";
const OTHER_URL: &str = "https://broker.test/mcp/mail";

struct Scene {
    world: World,
    entrance: Entrance,
    resource: ProtectedResource,
    /// A bound token of `reader`.
    bound: String,
    /// A plain token of `scripted`.
    plain: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let entrance = Entrance::new(Arc::clone(&world.broker), world.nonces(), DeclaredProxies::default()).unwrap();
        let audience = Audience::System(bundle::system());
        let resource = ProtectedResource {
            only_asks: false,
            audience: audience.resource(ISSUER),
            scopes: ["files:read".parse().unwrap()].into(),
            at: "gateway",
        };
        let bound = world.token("reader", audience.clone(), true).await;
        let plain = world.token("scripted", audience, false).await;
        Self { world, entrance, resource, bound, plain }
    }

    async fn verify(&self, headers: &[(&str, String)]) -> Result<Caller, Refused> {
        self.verify_at("/mcp/files", headers).await
    }

    async fn verify_at(&self, target: &str, headers: &[(&str, String)]) -> Result<Caller, Refused> {
        let mut message = Request::post(target);
        for (name, value) in headers {
            message = message.header(*name, value);
        }
        verify(&self.entrance, &message.body(()).unwrap().into_parts().0, &self.resource).await
    }

    /// What an honest client sends.
    fn honest(&self) -> Vec<(&'static str, String)> {
        let proof = self.world.proof("reader", "POST", URL, Some(&self.bound));
        vec![("authorization", format!("DPoP {}", self.bound)), ("dpop", proof)]
    }

    /// The honest token with another header and other claims, signed with the issuer's own key.
    fn reissued(&self, header: &[(&str, Value)], claims: &[(&str, Value)]) -> String {
        let change = |index, changes: &[(&str, Value)]| {
            let mut json = part(&self.bound, index);
            for (name, value) in changes {
                json[*name] = value.clone();
            }
            json
        };
        self.world.sign_as_issuer(&change(0, header), &change(1, claims))
    }

    /// The honest proof for any token, which itself is as wanted.
    fn proved(&self, token: &str) -> Vec<(&'static str, String)> {
        let proof = self.world.proof("reader", "POST", URL, Some(token));
        vec![("authorization", format!("DPoP {token}")), ("dpop", proof)]
    }

    /// The honest token with a proof about something else.
    fn misproved(&self, signer: &str, subject: &ProofSubject<'_>, age_s: i64) -> Vec<(&'static str, String)> {
        let at = self.world.clock.now() - jiff::SignedDuration::from_secs(age_s);
        let proof = self.world.key(signer).sign_dpop(subject, at, &self.world.jti()).unwrap();
        vec![("authorization", format!("DPoP {}", self.bound)), ("dpop", proof)]
    }
}

#[tokio::test]
async fn honest_callers_come_in() {
    let scene = Scene::new().await;
    let caller = scene.verify(&scene.honest()).await.unwrap();
    assert_eq!(caller.chain.current(), &Principal::Agent("reader".parse().unwrap()));
    assert_eq!(caller.audience, URL);
    assert_eq!(caller.confirmation, Some(Confirmation::Key(scene.world.key("reader").public().thumbprint)));
    assert_eq!(caller.spent.len(), 1, "the proof is to be used up");
    let caller = scene.verify(&[("authorization", format!("bearer {}", scene.plain))]).await.unwrap();
    assert_eq!(caller.chain.current(), &Principal::Agent("scripted".parse().unwrap()));
    assert_eq!((caller.confirmation, caller.spent.len()), (None, 0));
}

/// One way to present the wrong thing. `seed` varies where and how.
fn abuse(scene: &Scene, kind: usize, seed: usize) -> Vec<(&'static str, String)> {
    let world = &scene.world;
    let now = world.clock.now().as_second();
    let nonce = world.nonce();
    let good = ProofSubject { method: "POST", uri: URL, nonce: Some(&nonce), access_token: Some(&scene.bound) };
    let headless = |token: String| vec![("authorization", format!("DPoP {token}"))];
    let claimed = |claims: &[(&str, Value)]| scene.proved(&scene.reissued(&[], claims));
    let headed = |header: &[(&str, Value)]| scene.proved(&scene.reissued(header, &[]));
    let with = |header: &'static str, value: String| [scene.honest(), vec![(header, value)]].concat();
    match kind {
        0 => {
            let token = scene.reissued(&[("alg", json!("none"))], &[]);
            let (header, claims, _) = split(&token);
            scene.proved(&format!("{header}.{claims}."))
        }
        1 => headed(&[("alg", json!(["HS256", "RS256", "ES384", "none", "EdDSA", "es256"][seed % 6]))]),
        2 => scene.proved(&tampered(&scene.bound, seed)),
        3 => {
            let mut headers = scene.honest();
            headers[1].1 = tampered(&headers[1].1, seed);
            headers
        }
        4 => claimed(&[("exp", json!(now - (seed % 1_000) as i64))]),
        5 => claimed(&[(
            "aud",
            [json!(OTHER_URL), json!(format!("{URL}/")), json!([URL, OTHER_URL]), json!(ISSUER)][seed % 4].clone(),
        )]),
        6 => claimed(&[(
            "iss",
            json!(["https://broker.test/", "https://evil.test", "", "HTTPS://broker.test"][seed % 4]),
        )]),
        7 => claimed(&[("iat", json!(now + 1_000 + seed as i64)), ("exp", json!(now + 5_000 + seed as i64))]),
        8 => claimed(&[("bailiwick_env", json!(["development", "staging", "PRODUCTION", ""][seed % 4]))]),
        9 => claimed(&[(["admin", "act", "roles", "nbf", "may_act"][seed % 5], json!({"sub": "root"}))]),
        10 => claimed(&[("client_id", json!("scripted"))]),
        11 => claimed(&[("client_id", json!("nobody")), ("sub", json!("nobody"))]),
        12 => claimed(&[("exp", json!(["9999999999", "never"][seed % 2]))]),
        13 => headed(&[("typ", json!(["JWT", "dpop+jwt", "client-authentication+jwt", ""][seed % 4]))]),
        14 => headed(&[("kid", json!(["../../etc/passwd", "", "other", "' OR 1=1"][seed % 4]))]),
        15 => headed(&[(["jwk", "jku", "x5u", "crit"][seed % 4], part(&scene.honest()[1].1, 0)["jwk"].clone())]),
        // The right claims, signed by the agent itself under the issuer's key name.
        16 => {
            let proof = world.proof("reader", "POST", URL, None);
            let (header, claims, _) = split(&scene.bound);
            scene.proved(&format!("{header}.{claims}.{}", split(&proof).2))
        }
        17 => headless(scene.bound.clone()),
        18 => scene.misproved("reader", &ProofSubject { nonce: None, ..good }, 0),
        19 => {
            let stale = tampered(&nonce, seed);
            scene.misproved("reader", &ProofSubject { nonce: Some(&stale), ..good }, 0)
        }
        20 => scene.misproved("reader", &ProofSubject { method: ["GET", "post", "DELETE", ""][seed % 4], ..good }, 0),
        21 => {
            let uri = [OTHER_URL, "http://broker.test/mcp/files", "https://evil.test/mcp/files", ISSUER][seed % 4];
            scene.misproved("reader", &ProofSubject { uri, ..good }, 0)
        }
        22 => scene.misproved("reader", &ProofSubject { access_token: Some(&scene.plain), ..good }, 0),
        23 => scene.misproved("reader", &ProofSubject { access_token: None, ..good }, 0),
        24 => scene.misproved(["scripted", "gate"][seed % 2], &good, 0),
        25 => scene.misproved("reader", &good, 200 + seed as i64),
        26 => scene.misproved("reader", &good, -200 - seed as i64),
        27 => vec![("authorization", format!("Bearer {}", scene.bound))],
        28 => {
            let mut headers = scene.honest();
            headers[0].1 = format!("Bearer {}", scene.bound);
            headers
        }
        29 => with("authorization", format!("Bearer {}", scene.plain)),
        30 => with("dpop", world.proof("reader", "POST", URL, Some(&scene.bound))),
        31 => vec![(
            "authorization",
            ["Basic cmVhZGVyOng=", "DPoP", "Bearer ", "Bearer a b", "Negotiate x"][seed % 5].to_owned(),
        )],
        // A plain token of an agent that may have none, as if its registration had changed since.
        32 => {
            let claims = part(&scene.bound, 1);
            let mut claims = claims.as_object().cloned().unwrap();
            claims.remove("cnf");
            let token = world.sign_as_issuer(&part(&scene.bound, 0), &Value::Object(claims));
            vec![("authorization", format!("Bearer {token}"))]
        }
        33 => vec![
            ("authorization", format!("DPoP {}", scene.plain)),
            ("dpop", world.proof("scripted", "POST", URL, Some(&scene.plain))),
        ],
        34 => vec![("authorization", format!("Bearer {}", world.proof("reader", "POST", URL, None)))],
        35 => vec![("authorization", format!("Bearer {}", world.assertion("scripted")))],
        36 => {
            claimed(&[("cnf", [json!({}), json!({"jkt": "x"}), json!({"jwk": {}}), json!("reader")][seed % 4].clone())])
        }
        37 => claimed(&[("jti", json!(["", "x", "task_00000000000000000000000000000000"][seed % 3]))]),
        38 => claimed(&[("scope", json!(["files:read  files:write", " ", "files:\"read"][seed % 3]))]),
        _ => vec![("x-access-token", scene.plain.clone())],
    }
}

const KINDS: usize = 40;

fn split(token: &str) -> (&str, &str, &str) {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = input.split_once('.').unwrap();
    (header, claims, signature)
}

/// One character replaced by another one of base64url.
fn tampered(text: &str, seed: usize) -> String {
    let at = seed.wrapping_mul(7_919) % text.len();
    let other = |c: char| if c == 'A' { 'B' } else { 'A' };
    text.char_indices().map(|(index, c)| if index == at { other(c) } else { c }).collect()
}

#[tokio::test]
async fn a_thousand_abuses_give_no_caller() {
    let scene = Scene::new().await;
    for number in 0..1_000 {
        let (kind, seed) = (number % KINDS, number / KINDS + number);
        let headers = abuse(&scene, kind, seed);
        match scene.verify(&headers).await {
            Ok(caller) => panic!("kind {kind}, seed {seed}: became {caller:?}"),
            Err(refused) => {
                let status = refused.status().as_u16();
                assert!(matches!(status, 400 | 401), "kind {kind}, seed {seed}: {status}");
                let response = refused.into_response();
                assert!(response.headers().contains_key(header::WWW_AUTHENTICATE), "kind {kind}");
            }
        }
    }
    assert!(scene.verify(&scene.honest()).await.is_ok(), "the honest one still comes in");
}

#[tokio::test]
async fn a_token_in_the_url_is_refused_even_beside_an_honest_one() {
    let scene = Scene::new().await;
    for target in ["/mcp/files?access_token=x", "/mcp/files?a=1&ACCESS_TOKEN=", "/mcp/files?%61ccess_token=x"] {
        let refused = scene.verify_at(target, &scene.honest()).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{target}");
    }
    assert!(scene.verify_at("/mcp/files?cursor=x", &scene.honest()).await.is_ok(), "`htu` is without query");
}

#[tokio::test]
async fn refusals_tell_where_to_get_a_token_and_which_nonce_to_use() {
    let scene = Scene::new().await;
    let response = scene.verify(&[]).await.unwrap_err().into_response();
    let challenges: Vec<_> =
        response.headers().get_all(header::WWW_AUTHENTICATE).iter().map(|value| value.to_str().unwrap()).collect();
    let metadata = "resource_metadata=\"https://broker.test/.well-known/oauth-protected-resource/mcp/files\"";
    assert!(challenges[0].starts_with("Bearer ") && challenges[0].contains(metadata), "{challenges:?}");
    assert!(challenges[1].starts_with("DPoP ") && challenges[1].contains("scope=\"files:read\""), "{challenges:?}");
    assert!(!challenges.iter().any(|challenge| challenge.contains("error=")), "{challenges:?}");

    let subject = ProofSubject { method: "POST", uri: URL, nonce: None, access_token: Some(&scene.bound) };
    let response = scene.verify(&scene.misproved("reader", &subject, 0)).await.unwrap_err().into_response();
    let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.starts_with("DPoP ") && challenge.contains("error=\"use_dpop_nonce\""), "{challenge}");
    let nonce = response.headers()[DPOP_NONCE].to_str().unwrap().to_owned();
    let subject = ProofSubject { nonce: Some(&nonce), ..subject };
    assert!(scene.verify(&scene.misproved("reader", &subject, 0)).await.is_ok(), "the nonce that was given is good");
}

#[tokio::test]
async fn an_agent_that_may_not_act_is_turned_away_on_its_next_call_and_recorded() {
    let scene = Scene::new().await;
    assert!(scene.verify(&scene.honest()).await.is_ok());
    agents::suspend(&scene.world.broker, &operator(), &"reader".parse().unwrap(), "test").await.unwrap();
    let refused = scene.verify(&scene.honest()).await.unwrap_err();
    assert_eq!((refused.status(), refused.problem().code()), (StatusCode::FORBIDDEN, "principal_inactive"));
    assert!(refused.headers().is_empty(), "a new token would not help");
    assert_eq!(scene.world.events("denial").await.len(), 1);
    agents::resume(&scene.world.broker, &operator(), &"reader".parse().unwrap(), "test").await.unwrap();
    assert!(scene.verify(&scene.honest()).await.is_ok());
}

#[tokio::test]
async fn unregistered_callers_are_listed_and_repeats_held_back() {
    let scene = Scene::new().await;
    let token = scene.reissued(&[], &[("client_id", json!("ghost")), ("sub", json!("ghost"))]);
    for _ in 0..50 {
        assert!(scene.verify(&scene.proved(&token)).await.is_err());
    }
    let sightings = alerts::unregistered(&scene.world.broker).await.unwrap();
    let [sighting] = sightings.as_slice() else { panic!("{sightings:?}") };
    assert_eq!(sighting.agent.as_ref().unwrap().as_str(), "ghost");
    assert_eq!(sighting.at, "gateway");
    assert_eq!(scene.world.events("alert").await.len(), 1);
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_survives_a_rotation() {
    let scene = Scene::new().await;
    scene.world.token_keys.begin_rotation(scene.world.clock.now()).unwrap();
    assert!(scene.verify(&scene.honest()).await.is_ok(), "a key that was added changes nothing");
    scene.world.clock.advance(899);
    assert!(scene.verify(&scene.honest()).await.is_ok(), "one second before its end");
    scene.world.clock.advance(1);
    let refused = scene.verify(&scene.honest()).await.unwrap_err();
    assert!(refused.problem().detail().contains("expired"), "{:?}", refused.problem());
}

/// A grant of `reader` for a user, from another one if that is named.
async fn grant(world: &World, number: u8, parent: Option<GrantId>) -> GrantId {
    let chain = vec![Principal::User("u-1".parse().unwrap()), Principal::Agent("reader".parse().unwrap())];
    let now = world.clock.now();
    let grant = Grant {
        id: GrantId::from_bytes([number; 16]),
        kind: GrantKind::AuthorizationCode,
        chain: DelegationChain::new(chain).unwrap(),
        parent,
        subject: None,
        resources: [Audience::System(bundle::system()).resource(ISSUER)].into(),
        scopes: ["files:read".parse().unwrap()].into(),
        details: None,
        task: None,
        authentication: None,
        vouched: None,
        status: GrantStatus::Active,
        created_at: now,
        expires_at: now + jiff::SignedDuration::from_secs(600),
    };
    grants::give(&world.broker, &operator(), grant, Vec::new()).await.unwrap().id
}

/// A token of a grant, which only a user who is known can have.
async fn token_of(scene: &Scene, grant: GrantId) -> Result<String, TokenRefusal> {
    let thumbprint = scene.world.key("reader").public().thumbprint;
    let ask = TokenAsk {
        agent: "reader".parse().unwrap(),
        credential: thumbprint,
        grant: Some(grant),
        audience: Audience::System(bundle::system()),
        scopes: None,
        details: None,
        task: None,
        confirmation: Some(Confirmation::Key(thumbprint)),
        spent: Vec::new(),
    };
    tokens::issue(&scene.world.broker, ask).await.map(|issued| issued.token.expose().clone())
}

#[tokio::test]
async fn a_token_ends_with_its_grant_and_with_the_one_that_it_comes_from() {
    let scene = Scene::new().await;
    let first = grant(&scene.world, 1, None).await;
    assert!(matches!(token_of(&scene, first).await, Err(TokenRefusal::Grant(_))), "nobody knows the user");
    users::add(&scene.world.broker, &operator(), "u-1".parse().unwrap(), "Ada", None, BTreeSet::new()).await.unwrap();
    let second = grant(&scene.world, 2, Some(first)).await;
    let tokens = [token_of(&scene, first).await.unwrap(), token_of(&scene, second).await.unwrap()];
    let sent = |token: &str| {
        let proof = scene.world.proof("reader", "POST", URL, Some(token));
        [("authorization", format!("DPoP {token}")), ("dpop", proof)]
    };
    for token in &tokens {
        let caller = scene.verify(&sent(token)).await.unwrap();
        assert_eq!(caller.chain.principals().len(), 2);
    }
    grants::end(&scene.world.broker, &operator(), first, "withdrawn").await.unwrap();
    for token in &tokens {
        let refused = scene.verify(&sent(token)).await.unwrap_err();
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.problem().code(), "invalid_token");
    }
    assert!(matches!(token_of(&scene, second).await, Err(TokenRefusal::Grant(_))), "nothing new comes from it");
    assert!(scene.verify(&scene.honest()).await.is_ok(), "the agent's own token is another matter");
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_no_other() {
    let scene = Scene::new().await;
    let caller = scene.verify(&scene.honest()).await.unwrap();
    let until = scene.world.clock.now() + jiff::SignedDuration::from_secs(900);
    grants::revoke_token(&scene.world.broker, &operator(), caller.token, until).await.unwrap();
    grants::revoke_token(&scene.world.broker, &operator(), caller.token, until).await.unwrap();
    assert_eq!(scene.verify(&scene.honest()).await.unwrap_err().status(), 401);
    assert_eq!(scene.world.events("grant_changed").await.len(), 1, "revoked once, however often it is said");
    let plain = [("authorization", format!("Bearer {}", scene.plain))];
    assert!(scene.verify(&plain).await.is_ok());
}

/// A bundle that demands hardware holds for tokens that were given before it.
#[tokio::test]
async fn a_token_of_a_software_key_ends_when_hardware_is_demanded() {
    let scene = Scene::new().await;
    let plain = vec![("authorization", format!("Bearer {}", scene.plain))];
    let role = "purpose = \"Read files\"\nallow = [\"files:read\"]\n";
    let demanding = format!("{role}key_protection = \"hardware\"\n");
    scene.world.publish(bundle::with_files(&[("roles/reader.toml", &demanding)])).await;
    for (what, headers) in [("bound", scene.honest()), ("plain", plain.clone())] {
        let refused = scene.verify(&headers).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{what}");
        assert!(refused.problem().detail().contains("must be held in hardware"), "{what}");
    }
    // The same key, once its device's maker vouches for it, is what the same token is bound to.
    let (broker, by, reader) = (&scene.world.broker, operator(), "reader".parse().unwrap());
    let key = scene.world.key("reader").public().clone();
    let attestation = Some(scene.world.maker.attests(&key));
    let taken = agents::add_attested(broker, &by, &reader, Authenticator::Key(key.clone()), attestation.clone()).await;
    assert!(taken.is_err(), "a key is added once");
    let other = scene.world.key("gate").public().clone();
    agents::add_credential(broker, &by, &reader, Authenticator::Key(other.clone())).await.unwrap_err();
    let spare = Some(scene.world.maker.attests(&other));
    agents::add_attested(broker, &by, &reader, Authenticator::Key(other), spare).await.unwrap();
    agents::remove_credential(broker, &by, &reader, &key.kid).await.unwrap();
    agents::add_attested(broker, &by, &reader, Authenticator::Key(key), attestation).await.unwrap();
    assert!(scene.verify(&scene.honest()).await.is_ok());
    assert!(scene.verify(&plain).await.is_err());
    scene.world.publish(bundle::with_files(&[("roles/reader.toml", role)])).await;
    assert!(scene.verify(&plain).await.is_ok());
}
