//! Deregistration through the real router: who ends, what ends with it, and whom nobody else can end.

use bailiwick_model::{
    agent::AgentStatus,
    grant::{GrantKind, GrantStatus},
};
use serde_json::json;

use crate::token::tests::{Answer, Scene, TYPE, granted, refused};

const PATH: &str = "/oauth/deregister";

impl Scene {
    async fn deregister(&self, assertion: String) -> Answer {
        let form = [("client_assertion_type", TYPE.to_owned()), ("client_assertion", assertion)];
        let head = http::Request::post(PATH).header("content-type", "application/x-www-form-urlencoded");
        self.send(head, &form).await
    }

    fn is_retired(&self, agent: &str) -> bool {
        let agent = self.world.broker.agent(&agent.parse().unwrap()).unwrap();
        matches!(agent.status, AgentStatus::Retired { .. }) && agent.credentials.is_empty()
    }
}

#[tokio::test]
async fn a_client_ends_itself_with_all_that_it_was_given_and_nobody_else() {
    let scene = Scene::new().await;
    let broker = &scene.world.broker;
    let (own, other) = (
        granted(&scene, "reader", GrantKind::AuthorizationCode).await,
        granted(&scene, "scripted", GrantKind::AuthorizationCode).await,
    );
    let answer = scene.deregister(scene.world.assertion("reader")).await;
    assert_eq!((answer.status, &answer.json), (200, &json!({})));
    assert!(scene.is_retired("reader") && !scene.is_retired("scripted"));
    let stands = |grant| broker.live().grant_stands(Some(grant), broker.now());
    assert!(!stands(own.id) && stands(other.id));
    refused(&scene.honest("reader").await, 401, "invalid_client");
    assert_eq!(scene.honest("scripted").await.status, 200, "nobody else notices");
    let told = scene.world.events("agent_changed").await;
    let last: Vec<_> = told.iter().rev().take(2).map(|event| event.body["change"].clone()).collect();
    assert_eq!(last, ["retired", "deregistration asked"].map(Into::into));
    assert_eq!(told.last().unwrap().body["by"], "agent:reader".into());
    let kept = broker.store().grant(own.id).await.unwrap().unwrap();
    assert!(matches!(kept.status, GrantStatus::Ended { .. }), "{kept:?}");
}

#[tokio::test]
async fn nobody_is_ended_by_what_is_not_its_own_credential() {
    let scene = Scene::new().await;
    let assertion = scene.world.assertion("reader");
    let [head, claims, _] = assertion.split('.').collect::<Vec<_>>().try_into().unwrap();
    refused(&scene.deregister(format!("{head}.{claims}.AAAA")).await, 401, "invalid_client");
    refused(&scene.deregister("x".to_owned()).await, 401, "invalid_client");
    // Used before: whoever saw it pass ends nobody with it.
    let mut form = scene.form("reader");
    let (_, used) = form.iter_mut().find(|(name, _)| *name == "client_assertion").unwrap();
    let used = used.clone();
    assert_eq!(scene.ask(&form, Some(scene.proof("reader"))).await.status, 200);
    refused(&scene.deregister(used).await, 401, "invalid_client");
    assert!(!scene.is_retired("reader"));
}
