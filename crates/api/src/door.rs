//! The administrative interface over the network: closed. Whoever knocks gets a
//! 403, and an operator gets an alert. An agent's credential opens nothing here.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::any,
};
use bailiwick_engine::alerts::{Alert, AlertKind};
use bailiwick_web::{address::Peer, entrance::Entrance, problem::Problem};
use http::StatusCode;

/// Answers every path under `/api` with a refusal, and records an alert.
pub fn closed_over_network(entrance: Arc<Entrance>) -> Router {
    Router::new()
        .route("/api", any(refuse))
        .route("/api/", any(refuse))
        .route("/api/{*path}", any(refuse))
        .with_state(entrance)
}

async fn refuse(State(entrance): State<Arc<Entrance>>, message: Request) -> Response {
    let headers = message.headers();
    let address = entrance.client_address(message.extensions().get::<Peer>().copied(), headers);
    let agent = entrance.claimed_agent(headers);
    entrance.alert(Alert { kind: AlertKind::OperatorDoor, agent, address, at: "administrative interface" }).await;
    Problem::new(StatusCode::FORBIDDEN, "operator_door", "the administrative interface is not open over the network")
        .with_hint("run `bailiwick` on the broker's own machine; it uses the local socket")
        .into_response()
}
