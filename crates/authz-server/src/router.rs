//! All routes of the authorization server.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use bailiwick_fetch::Fetcher;
use bailiwick_oauth::{
    form::FORM_BYTES_MAX,
    metadata::{
        AUTHORIZATION_SERVER_PATH, BACKCHANNEL_PATH, CHALLENGE_PATH, DEREGISTRATION_PATH, DEVICE_AUTHORIZATION_PATH,
        INTROSPECTION_PATH, JWKS_PATH, PROTECTED_RESOURCE_PATH, PUSHED_REQUEST_PATH, REGISTRATION_PATH,
        REVOCATION_PATH, TOKEN_PATH,
    },
};
use bailiwick_web::{
    entrance::Entrance,
    limits::{EXCHANGE_TIME_MAX, Limits},
};

use crate::{
    apart, challenge, clients::ClientDoor, deregister, introspect, jwks, metadata, par, protected_resource, register,
    revoke, token,
};

/// The endpoints below `/oauth` and the discovery documents below `/.well-known`.
pub fn router(entrance: Arc<Entrance>, fetcher: Fetcher) -> Router {
    let tokens = Router::new()
        .route(TOKEN_PATH, post(token::token))
        .route(DEREGISTRATION_PATH, post(deregister::deregister))
        .route(REGISTRATION_PATH, post(register::register))
        .route(
            &format!("{REGISTRATION_PATH}/{{client}}"),
            get(register::read).put(register::update).delete(register::end),
        )
        .route(REVOCATION_PATH, post(revoke::revoke))
        .route(INTROSPECTION_PATH, post(introspect::introspect))
        .route(PUSHED_REQUEST_PATH, post(par::push))
        .route(DEVICE_AUTHORIZATION_PATH, post(apart::device))
        .route(BACKCHANNEL_PATH, post(apart::backchannel))
        .with_state(Arc::new(ClientDoor::new(Arc::clone(&entrance), fetcher)));
    let documents = Router::new()
        .route(CHALLENGE_PATH, post(challenge::challenge))
        .route(JWKS_PATH, get(jwks::jwks))
        .route(AUTHORIZATION_SERVER_PATH, get(metadata::metadata))
        .route(PROTECTED_RESOURCE_PATH, get(protected_resource::root))
        .route(&format!("{PROTECTED_RESOURCE_PATH}/{{*path}}"), get(protected_resource::of_path))
        .with_state(entrance);
    let limits =
        Limits { body_bytes_max: FORM_BYTES_MAX, exchange_time_max: Some(EXCHANGE_TIME_MAX), to_its_end: true };
    limits.around(tokens.merge(documents))
}
