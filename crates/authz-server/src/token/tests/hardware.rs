//! Agents whose keys must be held in hardware: what is refused at registration and at the token endpoint, and what ends when
//! the demand comes, whether by the agent's registration or by its role.

use bailiwick_engine::{agents::Registration, bundles, lifecycle, refusal::Refusal};
use bailiwick_model::agent::{
    Agent, Attestation, Authenticator, CertificateName, Environment, KeyProtection, PinnedCertificate,
};
use bailiwick_testkit_engine::device::Maker;

use super::*;

const ROLE: &str = "purpose = \"Read files\"\nallow = [\"files:read\"]\n";

/// A registration under the name `vault` that demands hardware.
fn registration(authenticators: Vec<Authenticator>, attestation: Option<Attestation>) -> Registration {
    Registration {
        name: "vault".parse().unwrap(),
        owner: "team@broker.test".to_owned(),
        purpose: "tests".to_owned(),
        environment: Environment::Production,
        role: "reader".parse().unwrap(),
        authenticators,
        systems: Vec::new(),
        scopes: Vec::new(),
        redirect_uris: Vec::new(),
        bearer_tokens_allowed: true,
        task_required: false,
        token_ttl_s: None,
        lifetime_days: None,
        review_days: None,
        attestation,
        key_protection: KeyProtection::Hardware,
    }
}

fn key() -> AgentKey {
    AgentKey::generate(SigningAlgorithm::ES256).unwrap()
}

fn of(key: &AgentKey) -> Authenticator {
    Authenticator::Key(key.public().clone())
}

impl Scene {
    async fn register(&self, ask: Registration) -> Result<Arc<Agent>, Refusal> {
        agents::register(&self.world.broker, &operator(), ask).await
    }

    /// What `vault` asks with one key, and a proof by another.
    async fn by(&self, authenticates: &AgentKey, proves: Option<&AgentKey>) -> Answer {
        self.by_named("vault", authenticates, proves).await
    }

    async fn by_named(&self, agent: &str, authenticates: &AgentKey, proves: Option<&AgentKey>) -> Answer {
        let (now, jti) = (self.world.clock.now(), self.world.jti());
        let assertion = authenticates.sign_client_assertion(ISSUER, &agent.parse().unwrap(), now, &jti).unwrap();
        let nonce = self.world.nonce();
        let subject = ProofSubject { method: "POST", uri: TOKEN_URL, nonce: Some(&nonce), access_token: None };
        let proof = proves.map(|key| key.sign_dpop(&subject, now, &self.world.jti()).unwrap());
        self.ask(&with(self.form("reader"), "client_assertion", &assertion), proof).await
    }

    async fn demand(&self, agent: &str) {
        let (broker, by) = (&self.world.broker, operator());
        lifecycle::protect(broker, &by, &agent.parse().unwrap(), KeyProtection::Hardware, "high risk").await.unwrap();
    }

    /// Publishes the bundle with another file of the role `reader`.
    async fn publish_role(&self, more: &str) {
        let files = bundle::with_files(&[("roles/reader.toml", &format!("{ROLE}{more}"))]);
        bundles::publish(&self.world.broker, &operator(), files, true).await.unwrap();
    }
}

#[track_caller]
fn unprotected(answer: &Answer, status: u16, error: &str) {
    refused(answer, status, error);
    let description = answer.json["error_description"].as_str().unwrap();
    assert!(description.contains("must be held in hardware"), "{description}");
}

#[tokio::test]
async fn a_software_key_is_refused_at_registration_and_an_attested_one_gets_a_token() {
    let scene = Scene::new().await;
    let (in_device, in_file) = (key(), key());
    let attested = scene.world.maker.attests(in_device.public());
    let stranger = Maker::default().attests(in_device.public());
    let pinned = PinnedCertificate { public_key: in_file.public().thumbprint, certificate: None };
    let named = Authenticator::Certificate(CertificateName::san_dns("vault.test").unwrap());
    for (what, authenticators, attestation) in [
        ("no attestation", vec![of(&in_device)], None),
        ("another key", vec![of(&in_file)], Some(attested.clone())),
        ("another maker", vec![of(&in_device)], Some(stranger.clone())),
        ("one of two", vec![of(&in_device), of(&in_file)], Some(attested.clone())),
        ("a pinned certificate", vec![Authenticator::SelfSigned(pinned)], None),
        ("a certificate by name", vec![named], None),
    ] {
        let error = scene.register(registration(authenticators, attestation)).await.unwrap_err();
        assert!(matches!(error, Refusal::Invalid { hint: Some(_), .. }), "{what}: {error:?}");
    }
    // Also where nothing is demanded, what is claimed must hold.
    let lax = Registration { key_protection: KeyProtection::Any, ..registration(vec![of(&in_device)], Some(stranger)) };
    assert!(scene.register(lax).await.is_err());

    let agent = scene.register(registration(vec![of(&in_device)], Some(attested))).await.unwrap();
    let add = async |key: &AgentKey, attestation| {
        agents::add_attested(&scene.world.broker, &operator(), &agent.name, of(key), attestation).await
    };
    assert!(add(&in_file, None).await.is_err(), "a further key in software");
    assert!(add(&in_file, Some(scene.world.maker.attests(in_device.public()))).await.is_err());

    let token = scene.by(&in_device, Some(&in_device)).await;
    assert_eq!(token.status, 200, "{:?}", token.json);
    assert_eq!(token.json["token_type"], "DPoP");
    // The attested key alone may be what the token is bound to, and there must be one.
    unprotected(&scene.by(&in_device, Some(&in_file)).await, 400, "invalid_dpop_proof");
    unprotected(&scene.by(&in_device, None).await, 400, "invalid_dpop_proof");
    assert_eq!(scene.world.events("token_issued").await.len(), 1);
}

#[tokio::test]
async fn the_demand_ends_what_a_software_key_had() {
    let scene = Scene::new().await;
    let by_itself = scene.world.key("reader");
    assert_eq!(scene.honest("reader").await.status, 200);
    scene.demand("reader").await;
    let broker = &scene.world.broker;
    assert_eq!(broker.live().revoked.keys().count(), 1, "its token is revoked");
    unprotected(&scene.honest("reader").await, 401, "invalid_client");
    // Nor can it revoke, introspect or deregister: it is not let in.
    assert_eq!(scene.name("/oauth/revoke", "reader", "x", None).await.status, 401);

    // A device's key is added while the other one is there still, and serves; the other one goes on being refused.
    let in_device = key();
    let attestation = Some(scene.world.maker.attests(in_device.public()));
    let reader = "reader".parse().unwrap();
    agents::add_attested(broker, &operator(), &reader, of(&in_device), attestation).await.unwrap();
    assert_eq!(scene.by_named("reader", &in_device, Some(&in_device)).await.status, 200);
    unprotected(&scene.by_named("reader", by_itself, Some(&in_device)).await, 401, "invalid_client");
    unprotected(&scene.by_named("reader", &in_device, Some(by_itself)).await, 400, "invalid_dpop_proof");

    lifecycle::protect(broker, &operator(), &reader, KeyProtection::Any, "a mistake").await.unwrap();
    assert_eq!(scene.honest("reader").await.status, 200);
    let changes = scene.world.events("agent_changed").await;
    let demanded: Vec<_> = changes.iter().rev().map(|event| event.body["key_protection"].clone()).take(3).collect();
    assert_eq!(demanded, ["any", "hardware", "hardware"].map(Into::into));
}

#[tokio::test]
async fn a_role_demands_it_of_all_its_agents_and_of_those_that_inherit_it() {
    let scene = Scene::new().await;
    assert_eq!(scene.honest("reader").await.status, 200);
    scene.publish_role("key_protection = \"hardware\"\n").await;
    unprotected(&scene.honest("reader").await, 401, "invalid_client");
    let lax = Registration { key_protection: KeyProtection::Any, ..registration(vec![of(&key())], None) };
    assert!(scene.register(lax).await.is_err(), "the role demands it, whatever the registration says");
    let in_device = key();
    let attestation = Some(scene.world.maker.attests(in_device.public()));
    let fine = registration(vec![of(&in_device)], attestation);
    scene.register(Registration { key_protection: KeyProtection::Any, ..fine }).await.unwrap();
    assert_eq!(scene.by(&in_device, Some(&in_device)).await.status, 200);
    let parent = ("roles/parent.toml", "purpose = \"Be careful\"\nkey_protection = \"hardware\"\n");
    let heir = format!("{ROLE}inherits = [\"parent\"]\n");
    let files = bundle::with_files(&[parent, ("roles/reader.toml", &heir)]);
    bundles::publish(&scene.world.broker, &operator(), files, true).await.unwrap();
    unprotected(&scene.honest("reader").await, 401, "invalid_client");
    scene.publish_role("key_protection = \"any\"\n").await;
    assert_eq!(scene.honest("reader").await.status, 200);
}

#[tokio::test]
async fn an_attestation_that_ran_out_attests_nothing() {
    let scene = Scene::new().await;
    let in_device = key();
    let soon = scene.world.clock.now() + jiff::SignedDuration::from_hours(2 * 24);
    let attestation = scene.world.maker.attests_until(in_device.public(), soon);
    scene.register(registration(vec![of(&in_device)], Some(attestation))).await.unwrap();
    assert_eq!(scene.by(&in_device, Some(&in_device)).await.status, 200);
    scene.world.clock.advance(3 * 24 * 60 * 60);
    unprotected(&scene.by(&in_device, Some(&in_device)).await, 401, "invalid_client");
    let reader = scene.honest("reader").await;
    assert_eq!(reader.status, 200, "nobody else is held up: {:?}", reader.json);
}
