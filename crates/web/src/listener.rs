//! The layers around everything that is served over the network, put on once by
//! the server. Not for the local socket, where `Host` and `Origin` mean nothing.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
};

use crate::{entrance::Entrance, headers, origin::OwnNames, problem::REASONS_PATH, reasons};

/// What holds for every message of a listener.
struct Front {
    names: OwnNames,
    /// Whether clients come over https.
    https: bool,
}

/// Adds the page of reasons, checks `Host` and `Origin`, echoes `X-Request-ID`, adds the security headers.
pub fn around(entrance: &Entrance, router: Router) -> Router {
    let front = Front { names: entrance.own_names().clone(), https: entrance.issuer().starts_with("https://") };
    router.route(REASONS_PATH, get(reasons::reasons)).layer(from_fn_with_state(Arc::new(front), enter))
}

/// All of it in one layer: each further one costs every message a copy of the layers below it.
async fn enter(State(front): State<Arc<Front>>, mut message: Request, next: Next) -> Response {
    let id = headers::take_id(&mut message);
    let mut response = match front.names.check(message.uri(), message.headers()) {
        Ok(()) => next.run(message).await,
        Err(problem) => problem.into_response(),
    };
    headers::give_id(&mut response, id);
    headers::secure(&mut response);
    if front.https {
        headers::insist_on_https(&mut response);
    }
    response
}
