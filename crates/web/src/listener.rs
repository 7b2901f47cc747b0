//! The layers around everything that is served over the network, put on once by
//! the server. Not for the local socket, where `Host` and `Origin` mean nothing.

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};

use crate::{entrance::Entrance, headers, origin, problem::REASONS_PATH, reasons};

/// Adds the page of reasons, checks `Host` and `Origin`, echoes `X-Request-ID`, adds the security headers.
pub fn around(entrance: &Entrance, router: Router) -> Router {
    let router = router
        .route(REASONS_PATH, get(reasons::reasons))
        .layer(from_fn_with_state(entrance.own_names().clone(), origin::guard))
        .layer(from_fn(headers::request_id))
        .layer(from_fn(headers::security));
    if entrance.issuer().starts_with("https://") { router.layer(from_fn(headers::strict_transport)) } else { router }
}
