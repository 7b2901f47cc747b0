//! What tests of both interfaces share: a world, routers, answers.

use std::sync::Arc;

use axum::{Router, body::Body};
use bailiwick_engine::tokens::Audience;
use bailiwick_testkit_engine::world::{TestUpstreams, World};
use bailiwick_web::{address::DeclaredProxies, entrance::Entrance};
use http::{HeaderMap, Request};
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{Administration, Authzen, Facts, Operator, Scim, closed_over_network};

mod admin;
mod authzen;
mod certification;
mod coaz;
mod door;
mod hook;
mod inventory;
mod lifecycle;
mod observation;
mod scim;
mod search;
mod standing;
mod suggest;

struct Scene {
    world: World,
    admin: Router,
    network: Router,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let facts = Facts {
            version: "0.0.0".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            listeners: Vec::new(),
            store: ":memory:".to_owned(),
            configuration: String::new(),
            keys: Vec::new(),
        };
        let administration = Administration {
            broker: Arc::clone(&world.broker),
            upstreams: Arc::new(TestUpstreams),
            try_out: Arc::new(|_| Box::pin(async { Ok(bailiwick_testkit_engine::bundle::discovered()) })),
            checkpoint_signer: Arc::clone(&world.checkpoint) as _,
            facts,
        };
        let entrance = Entrance::new(Arc::clone(&world.broker), world.nonces(), DeclaredProxies::default());
        let entrance = Arc::new(entrance.unwrap());
        let rooms = Authzen::new(Arc::clone(&entrance))
            .router()
            .merge(Scim::new(Arc::clone(&entrance)).router())
            .merge(closed_over_network(Arc::clone(&entrance)));
        let network = bailiwick_web::listener::around(&entrance, rooms);
        Self { admin: crate::admin::router(administration), network, world }
    }

    /// As an operator at the socket.
    async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let message = Request::builder().method(method).uri(path).extension(Operator("root".parse().unwrap()));
        send(&self.admin, message, body).await
    }

    /// Over the network, with a fresh token and proof of `agent` for the decision interface.
    async fn asking(&self, agent: &str, path: &str, body: Value) -> Answer {
        let token = self.world.token(agent, Audience::Access, true).await;
        let proof = self.world.proof(agent, "POST", &format!("https://broker.test{path}"), Some(&token));
        self.presenting(path, &token, &proof, body).await
    }

    async fn presenting(&self, path: &str, token: &str, proof: &str, body: Value) -> Answer {
        let message = Request::post(path)
            .header("host", "broker.test")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof)
            .header("x-request-id", "the-callers-own");
        send(&self.network, message, Some(body)).await
    }
}

async fn send(router: &Router, message: http::request::Builder, body: Option<Value>) -> Answer {
    let message = match body {
        Some(body) => message.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => message.body(Body::empty()),
    };
    let response = router.clone().oneshot(message.unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
    Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}
