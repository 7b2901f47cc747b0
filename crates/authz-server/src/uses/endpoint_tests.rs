//! Through the real router: what is told of credentials in two places and of addresses that guess, and to whom not.

use bailiwick_engine::findings::{self, FindingKind, UNUSED_DAYS};
use bailiwick_model::name::AgentName;

use super::CLIENTS_PER_ADDRESS_MAX;
use crate::token::tests::{Answer, Scene, refused};

impl Scene {
    async fn ask_from(&self, address: &str, agent: &str) -> Answer {
        let message = http::Request::post("/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("dpop", self.proof(agent));
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(self.form(agent));
        self.send_from(address, message, body.finish()).await.0
    }

    async fn found(&self) -> Vec<(FindingKind, Option<AgentName>)> {
        let found = findings::list(&self.world.broker, UNUSED_DAYS).await.unwrap();
        found.into_iter().map(|one| (one.kind, one.agent)).collect()
    }
}

#[tokio::test]
async fn a_credential_in_two_places_at_once_is_found() {
    let scene = Scene::new().await;
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        assert_eq!(scene.ask_from(address, "reader").await.status, 200);
    }
    assert_eq!(scene.ask_from("192.0.2.2", "scripted").await.status, 200);
    assert_eq!(scene.found().await, [], "who moves is one");
    assert_eq!(scene.ask_from("192.0.2.1", "reader").await.status, 200, "an alert refuses nobody");
    assert_eq!(scene.found().await, [(FindingKind::SharedCredential, Some("reader".parse().unwrap()))]);
    let alerts = scene.world.events("alert").await;
    assert_eq!((alerts.len(), alerts[0].body["what"].clone()), (1, "shared_credential".into()));
    scene.world.clock.advance(8 * 24 * 60 * 60);
    let kinds: Vec<_> = scene.found().await.into_iter().map(|(kind, _)| kind).collect();
    assert!(!kinds.contains(&FindingKind::SharedCredential), "a week later it is history");
}

#[tokio::test]
async fn an_address_that_tries_many_clients_is_told_of_and_held_back() {
    let scene = Scene::new().await;
    let form = |name: &str| {
        let claims = format!(r#"{{"iss":"{name}","sub":"{name}"}}"#);
        let part = |text: &str| {
            use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
            URL_SAFE_NO_PAD.encode(text)
        };
        let assertion = format!("{}.{}.AAAA", part(r#"{"alg":"ES256"}"#), part(&claims));
        let mut form = scene.form("reader");
        form.iter_mut()
            .filter(|(name, _)| *name == "client_assertion")
            .for_each(|(_, value)| value.clone_from(&assertion));
        form
    };
    for number in 0..CLIENTS_PER_ADDRESS_MAX {
        let told = |found: &[(FindingKind, _)]| found.iter().any(|(kind, _)| *kind == FindingKind::Spraying);
        assert!(!told(&scene.found().await), "{number}");
        refused(&scene.ask(&form(&format!("guess-{number}")), None).await, 401, "invalid_client");
    }
    let found = scene.found().await;
    assert_eq!(found, [(FindingKind::Spraying, None)], "once, and it is no agent's");
    for number in 0..crate::clients::PER_ADDRESS.burst {
        scene.ask(&form(&format!("more-{number}")), None).await;
    }
    assert_eq!(scene.ask(&form("last"), None).await.status, 429);
}

#[tokio::test]
async fn what_nobody_uses_is_found() {
    let scene = Scene::new().await;
    assert_eq!(scene.found().await, [], "whoever was registered lately is not unused");
    scene.world.clock.advance(31 * 24 * 60 * 60);
    assert_eq!(scene.honest("reader").await.status, 200);
    let unused: Vec<_> = scene.found().await;
    let expected = ["gate", "scripted"].map(|name| (FindingKind::UnusedAgent, Some(name.parse().unwrap())));
    assert_eq!(unused, expected);
    let key = bailiwick_keys::agent_key::AgentKey::generate(bailiwick_model::jwk::SigningAlgorithm::EdDSA).unwrap();
    let key = bailiwick_model::agent::Authenticator::Key(key.public().clone());
    let (broker, by) = (&scene.world.broker, bailiwick_testkit_engine::world::operator());
    let scripted = "scripted".parse().unwrap();
    bailiwick_engine::agents::add_credential(broker, &by, &scripted, key).await.unwrap();
    let found = scene.found().await;
    assert!(found.contains(&(FindingKind::DormantCredential, Some(scripted))), "{found:?}");
}
