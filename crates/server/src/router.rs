//! What is served where: agents' routes on the network, operators' routes on the socket.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use bailiwick_api::{Authzen, Hook, Scim, closed_over_network};
use bailiwick_console::federated::Providers;
use bailiwick_fetch::Fetcher;
use bailiwick_gateway::mcp;
use bailiwick_ports::connections::FormPosts;
use bailiwick_web::{entrance::Entrance, listener};

/// Everything that agents reach.
pub fn network(
    entrance: &Arc<Entrance>,
    gateway: Arc<mcp::Gateway>,
    fetcher: &Fetcher,
    (providers, posts): (Providers, Arc<dyn FormPosts>),
) -> Router {
    let rooms = Router::new()
        .merge(bailiwick_authz_server::router(Arc::clone(entrance), fetcher.clone()))
        .merge(bailiwick_console::router(Arc::clone(entrance), providers))
        .merge(bailiwick_console::consent::router(Arc::clone(entrance), fetcher.clone()))
        .merge(bailiwick_console::connections::router(Arc::clone(entrance), posts))
        .merge(mcp::router(gateway))
        .merge(Authzen::new(Arc::clone(entrance)).router())
        .merge(Scim::new(Arc::clone(entrance)).router())
        .merge(Hook::new(Arc::clone(entrance)).router())
        .merge(closed_over_network(Arc::clone(entrance)));
    // Probes come by address, so they stay outside the check of `Host`.
    listener::around(entrance, rooms)
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready).with_state(Arc::clone(entrance)))
}

/// Ready is: the store answers and a policy is active.
async fn ready(State(entrance): State<Arc<Entrance>>) -> impl IntoResponse {
    let broker = entrance.broker();
    if broker.store().ping().await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n");
    }
    if broker.live().policy.is_none() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no policy bundle is active\n");
    }
    (StatusCode::OK, "ready\n")
}
