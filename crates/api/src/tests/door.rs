//! Who gets at administration: nobody over the network, nobody without an account at the socket.

use bailiwick_engine::tokens::Audience;
use http::Request;
use serde_json::json;

use super::{Scene, send};
use crate::openapi;

/// Every method and path of the administrative interface.
fn routes() -> Vec<(String, String)> {
    let document: serde_json::Value = serde_json::from_str(&openapi::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let method = |(path, item): (String, serde_json::Value)| {
        let path = path.replace("{name}", "reader").replace(['{', '}'], "");
        item.as_object().unwrap().keys().map(move |verb| (verb.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    let routes: Vec<_> = paths.into_iter().flat_map(method).collect();
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

#[tokio::test]
async fn an_agents_credential_opens_nothing_over_the_network() {
    let scene = Scene::new().await;
    let token = scene.world.token("reader", Audience::System("files".parse().unwrap()), true).await;
    for (method, path) in routes() {
        let proof = scene.world.proof("reader", &method, &format!("https://broker.test{path}"), Some(&token));
        let message = Request::builder()
            .method(method.as_str())
            .uri(&path)
            .header("host", "broker.test")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof);
        let answer = send(&scene.network, message, Some(json!({}))).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("operator_door")), "{method} {path}");
    }
    let alerts = scene.world.events("alert").await;
    assert_eq!(alerts.len(), 1, "repeats are held back");
    assert_eq!(alerts[0].body["agent"], "reader".into());
    assert_eq!(alerts[0].body["what"], "operator_door".into());
}

#[tokio::test]
async fn without_an_account_the_socket_refuses_everything() {
    let scene = Scene::new().await;
    let unknown = [("GET".to_owned(), "/api/v1/openapi.json".to_owned()), ("GET".to_owned(), "/x".to_owned())];
    for (method, path) in routes().into_iter().chain(unknown) {
        let message = Request::builder().method(method.as_str()).uri(&path);
        let answer = send(&scene.admin, message, Some(json!({}))).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("operator_unknown")), "{method} {path}");
    }
    assert_eq!(scene.world.broker.live().agents.size(), 3);
}
