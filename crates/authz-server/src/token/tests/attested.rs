//! Clients that an attester vouches for: who is let in, and above all who is not.

use bailiwick_keys::signing_key::SigningKey;
use bailiwick_model::agent::{AttestedClient, Authenticator};
use bailiwick_oauth::{
    client_attestation::{ATTESTATION_HEADER, Attester, Attesters, CHALLENGE_HEADER, PROOF_HEADER},
    jws::{SigningInput, TokenType},
};

use super::*;

/// Headers, or parameters of a form.
type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// A scene whose broker believes two attesters, of which `acme` is a credential of `reader`.
struct Attested {
    scene: Scene,
    acme: SigningKey,
    other: SigningKey,
    instance: AgentKey,
    instance_signer: SigningKey,
}

fn signed(key: &SigningKey, token_type: TokenType, claims: &Value) -> String {
    let input = SigningInput::new(token_type, key.public(), &claims.to_string());
    let signature = key.sign(input.as_bytes()).unwrap();
    input.assemble(&signature)
}

fn attesters(keys: &[(&str, &SigningKey)]) -> Attesters {
    let attester = |key: &SigningKey| {
        let jwk: Value = serde_json::from_str(&key.public().jwk).unwrap();
        Attester::new(json!({ "keys": [jwk] }).to_string().as_bytes(), 3_600).unwrap()
    };
    keys.iter().map(|(name, key)| (name.parse().unwrap(), attester(key))).collect()
}

impl Attested {
    async fn new() -> Self {
        let world = World::new().await;
        let [acme, other] = [(), ()].map(|()| SigningKey::generate(SigningAlgorithm::ES256).unwrap());
        let instance_signer = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let instance = AgentKey::parse(instance_signer.to_pem().unwrap().expose()).unwrap();
        let entrance = Entrance::new(Arc::clone(&world.broker), world.nonces(), DeclaredProxies::default()).unwrap();
        let entrance = entrance.with_attesters(attesters(&[("acme", &acme), ("other", &other)]));
        let router = crate::router(Arc::new(entrance), Fetcher::new(FetchRules::default()).unwrap());
        let attested = Self { scene: Scene { world, router }, acme, other, instance, instance_signer };
        attested.trust("reader", "acme").await;
        attested
    }

    async fn trust(&self, agent: &str, attester: &str) {
        let client = AttestedClient { attester: attester.parse().unwrap(), agent: agent.parse().unwrap() };
        let credential = Authenticator::Attester(client);
        let broker = &self.scene.world.broker;
        agents::add_credential(broker, &operator(), &agent.parse().unwrap(), credential).await.unwrap();
    }

    fn now(&self) -> i64 {
        self.scene.world.clock.now().as_second()
    }

    /// What an attester says of the instance, about a client.
    fn says(&self, attester: &SigningKey, client: &str) -> String {
        let jwk: Value = serde_json::from_str(self.instance.public_jwk()).unwrap();
        let claims = json!({
            "sub": client, "iat": self.now() - 5, "exp": self.now() + 600, "cnf": { "jwk": jwk },
        });
        signed(attester, TokenType::ClientAttestation, &claims)
    }

    fn pop(&self, challenge: &str) -> String {
        let claims = json!({ "aud": ISSUER, "iat": self.now(), "jti": self.scene.world.jti(), "challenge": challenge });
        signed(&self.instance_signer, TokenType::ClientAttestationProof, &claims)
    }

    fn dpop(&self, key: &AgentKey) -> String {
        let nonce = self.scene.world.nonce();
        let subject = ProofSubject { method: "POST", uri: TOKEN_URL, nonce: Some(&nonce), access_token: None };
        key.sign_dpop(&subject, self.scene.world.clock.now(), &self.scene.world.jti()).unwrap()
    }

    /// A token request with these headers and nothing of the client in the body but what `more` has.
    async fn ask(&self, headers: &[(&str, &str)], more: &[(&str, &str)]) -> Answer {
        self.ask_at("/oauth/token", headers, more).await
    }

    async fn ask_at(&self, path: &str, headers: &[(&str, &str)], more: &[(&str, &str)]) -> Answer {
        let mut message = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            message = message.header(*name, *value);
        }
        let fixed = [("grant_type", "client_credentials"), ("resource", RESOURCE)];
        let form: Vec<_> = fixed.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.scene.send(message, &form).await
    }
}

#[tokio::test]
async fn an_instance_gets_tokens_that_are_bound_to_its_key() {
    let attested = Attested::new().await;
    let says = attested.says(&attested.acme, "reader");
    let key = attested.instance.public().thumbprint.to_string();
    // The combined mode, without and with the client's id in the body, and one attestation more than once.
    for more in [&[][..], &[("client_id", "reader")]] {
        let proof = attested.dpop(&attested.instance);
        let answer = attested.ask(&[(ATTESTATION_HEADER, &says), ("dpop", &proof)], more).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        assert_eq!(part(answer.json["access_token"].as_str().unwrap(), 1)["cnf"]["jkt"], key);
    }
    // A proof of its own, by the challenge of the endpoint, beside a DPoP proof of the same key.
    let challenge = attested.ask_at("/oauth/challenge", &[], &[]).await;
    assert_eq!(
        (challenge.status, &challenge.headers[header::CACHE_CONTROL]),
        (200, &header::HeaderValue::from_static("no-store"))
    );
    assert!(challenge.headers.contains_key(DPOP_NONCE));
    let challenge = challenge.json["attestation_challenge"].as_str().unwrap().to_owned();
    let (pop, proof) = (attested.pop(&challenge), attested.dpop(&attested.instance));
    let headers = [(ATTESTATION_HEADER, says.as_str()), (PROOF_HEADER, &pop), ("dpop", &proof)];
    let answer = attested.ask(&headers, &[]).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    // The same proof again, with a fresh one for the token.
    let proof = attested.dpop(&attested.instance);
    let headers = [(ATTESTATION_HEADER, says.as_str()), (PROOF_HEADER, &pop), ("dpop", &proof)];
    refused(&attested.ask(&headers, &[]).await, 401, "invalid_client");
    let issued = attested.scene.world.events("token_issued").await;
    assert_eq!(issued.len(), 3);
    // It also gives back what it holds, by a proof of its own.
    let pop = attested.pop(&challenge);
    let message = Request::post("/oauth/revoke")
        .header("content-type", "application/x-www-form-urlencoded")
        .header(ATTESTATION_HEADER, &says)
        .header(PROOF_HEADER, pop);
    let answer = attested.scene.send(message, &[("token", "x".to_owned())]).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
}

#[tokio::test]
async fn a_challenge_is_asked_for_and_a_fresh_attestation_too() {
    let attested = Attested::new().await;
    let says = attested.says(&attested.acme, "reader");
    let proof = attested.dpop(&attested.instance);
    let pop = attested.pop("an old one");
    let headers = [(ATTESTATION_HEADER, says.as_str()), (PROOF_HEADER, &pop), ("dpop", &proof)];
    let answer = attested.ask(&headers, &[]).await;
    refused(&answer, 400, "use_attestation_challenge");
    let challenge = answer.headers[CHALLENGE_HEADER].to_str().unwrap().to_owned();
    let pop = attested.pop(&challenge);
    let headers = [(ATTESTATION_HEADER, says.as_str()), (PROOF_HEADER, &pop), ("dpop", &proof)];
    assert_eq!(attested.ask(&headers, &[]).await.status, 200);
    assert_eq!(attested.scene.world.events("token_refused").await.len(), 0, "that was a step of the protocol");
    attested.scene.world.clock.advance(3_600);
    let proof = attested.dpop(&attested.instance);
    let answer = attested.ask(&[(ATTESTATION_HEADER, &says), ("dpop", &proof)], &[]).await;
    refused(&answer, 400, "use_fresh_attestation");
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let attested = Attested::new().await;
    let says = attested.says(&attested.acme, "reader");
    let challenge = attested.scene.world.nonce();
    let stranger = AgentKey::generate(SigningAlgorithm::ES256).unwrap();
    let own = attested.dpop(&attested.instance);
    let theirs = attested.dpop(&stranger);
    let by_other = attested.says(&attested.other, "reader");
    let of_scripted = attested.says(&attested.acme, "scripted");
    let nobodys = attested.says(&attested.acme, "nobody");
    let pop = attested.pop(&challenge);
    let assertion = attested.scene.world.assertion("reader");
    let client = |name| vec![("client_id", name)];
    let by_key = vec![("client_assertion_type", TYPE), ("client_assertion", assertion.as_str())];
    let none = Vec::new;
    let cases: Vec<(&str, Pairs<'_>, Pairs<'_>)> = vec![
        ("an attester that is not the agent's", vec![(ATTESTATION_HEADER, &by_other), ("dpop", &own)], none()),
        ("about an agent without an attester", vec![(ATTESTATION_HEADER, &of_scripted), ("dpop", &own)], none()),
        ("about nobody", vec![(ATTESTATION_HEADER, &nobodys), ("dpop", &own)], none()),
        ("another client in the body", vec![(ATTESTATION_HEADER, &says), ("dpop", &own)], client("scripted")),
        ("a proof by another key", vec![(ATTESTATION_HEADER, &says), ("dpop", &theirs)], none()),
        ("no proof", vec![(ATTESTATION_HEADER, &says)], none()),
        ("a proof without an attestation", vec![(PROOF_HEADER, &pop), ("dpop", &own)], client("reader")),
        ("two attestations", vec![(ATTESTATION_HEADER, &says), (ATTESTATION_HEADER, &says), ("dpop", &own)], none()),
        (
            "two proofs",
            vec![(ATTESTATION_HEADER, &says), (PROOF_HEADER, &pop), (PROOF_HEADER, &pop), ("dpop", &own)],
            none(),
        ),
        ("an assertion beside it", vec![(ATTESTATION_HEADER, &says), ("dpop", &own)], by_key),
        ("the proof as the attestation", vec![(ATTESTATION_HEADER, &pop), ("dpop", &own)], none()),
        (
            "the attestation as the proof",
            vec![(ATTESTATION_HEADER, &says), (PROOF_HEADER, &says), ("dpop", &own)],
            none(),
        ),
        ("something else", vec![(ATTESTATION_HEADER, "x.y.z"), ("dpop", &own)], none()),
    ];
    for (index, (what, headers, more)) in cases.iter().enumerate() {
        let mut message = Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            message = message.header(*name, *value);
        }
        let fixed = [("grant_type", "client_credentials"), ("resource", RESOURCE)];
        let form: Vec<_> = fixed.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&form);
        // Each from an address of its own: none is held back for the others' failures.
        let (answer, _) = attested.scene.send_from(&format!("198.51.100.{index}"), message, body.finish()).await;
        assert_eq!(answer.json["error"], "invalid_client", "{what}: {:?}", answer.json);
        assert_eq!(answer.status, 401, "{what}");
    }
    // A token bound to another key than the instance's, with a proof that is the instance's.
    let headers = [(ATTESTATION_HEADER, says.as_str()), (PROOF_HEADER, &pop), ("dpop", &theirs)];
    refused(&attested.ask(&headers, &[]).await, 400, "invalid_dpop_proof");
    let pop = attested.pop(&challenge);
    let headers = [(ATTESTATION_HEADER, says.as_str()), (PROOF_HEADER, &pop)];
    refused(&attested.ask(&headers, &[]).await, 400, "invalid_dpop_proof");
    // Where proofs are not used up, none stands for a proof of the instance.
    let headers = [(ATTESTATION_HEADER, says.as_str()), ("dpop", &own)];
    let mut message = Request::post("/oauth/revoke").header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        message = message.header(name, value);
    }
    refused(&attested.scene.send(message, &[("token", "x".to_owned())]).await, 401, "invalid_client");
    assert!(attested.scene.world.events("token_issued").await.is_empty());
}

#[tokio::test]
async fn a_refresh_token_stays_with_its_instance() {
    let attested = Attested::new().await;
    let grant = granted(&attested.scene, "reader", GrantKind::AuthorizationCode).await;
    let confirmation = bailiwick_model::confirmation::Confirmation::Key(attested.instance.public().thumbprint);
    let broker = &attested.scene.world.broker;
    let token = bailiwick_engine::refresh::first(broker, &grant, Some(confirmation)).await.unwrap();
    let says = attested.says(&attested.acme, "reader");
    let another = {
        let signer = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        AgentKey::parse(signer.to_pem().unwrap().expose()).unwrap()
    };
    let jwk: Value = serde_json::from_str(another.public_jwk()).unwrap();
    let claims = json!({ "sub": "reader", "iat": attested.now(), "exp": attested.now() + 600, "cnf": { "jwk": jwk } });
    let of_another = signed(&attested.acme, TokenType::ClientAttestation, &claims);
    let refresh = async |says: &str, key: &AgentKey| {
        let proof = attested.dpop(key);
        let message = Request::post("/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header(ATTESTATION_HEADER, says)
            .header("dpop", proof);
        let form = [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.expose().clone())];
        attested.scene.send(message, &form).await
    };
    let answer = refresh(&of_another, &another).await;
    assert_eq!(answer.status, 400, "another instance of the same client: {:?}", answer.json);
    let answer = refresh(&says, &attested.instance).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
}

#[tokio::test]
async fn without_the_flag_there_is_nothing_of_it() {
    let scene = Scene::new().await;
    let attested = Attested::new().await;
    let says = attested.says(&attested.acme, "reader");
    let message = Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header(ATTESTATION_HEADER, says);
    let form = [("grant_type", "client_credentials".to_owned()), ("resource", RESOURCE.to_owned())];
    refused(&scene.send(message, &form).await, 401, "invalid_client");
    let challenge = Request::post("/oauth/challenge");
    assert_eq!(scene.send(challenge, &[]).await.status, 404);
    let read = async |scene: &Scene| {
        let message = Request::get("/.well-known/oauth-authorization-server");
        scene.send(message, &[]).await.json
    };
    let (without, with) = (read(&scene).await, read(&attested.scene).await);
    for member in ["challenge_endpoint", "client_attestation_signing_alg_values_supported"] {
        assert!(without.get(member).is_none() && with.get(member).is_some(), "{member}");
    }
    assert_eq!(with["challenge_endpoint"], format!("{ISSUER}/oauth/challenge"));
    let methods = |document: &Value, of: &str| {
        document[of].as_array().unwrap().iter().filter(|one| one.as_str().unwrap().starts_with("attest")).count()
    };
    assert_eq!(methods(&without, "token_endpoint_auth_methods_supported"), 0);
    assert_eq!(methods(&with, "token_endpoint_auth_methods_supported"), 2);
    assert_eq!(methods(&with, "revocation_endpoint_auth_methods_supported"), 1);
}
