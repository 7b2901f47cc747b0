//! The layers around everything that is served over the network, put on once by
//! the server. Not for the local socket, where `Host` and `Origin` mean nothing.

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};

use crate::{entrance::Entrance, headers, origin};

/// Checks `Host` and `Origin`, echoes `X-Request-ID`, adds the security headers.
pub fn around(entrance: &Entrance, router: Router) -> Router {
    let router = router
        .layer(from_fn_with_state(entrance.own_names().clone(), origin::guard))
        .layer(from_fn(headers::request_id))
        .layer(from_fn(headers::security));
    if entrance.issuer().starts_with("https://") { router.layer(from_fn(headers::strict_transport)) } else { router }
}
