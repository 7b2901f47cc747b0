//! `GET /oauth/jwks`: the public keys that access tokens are signed with (RFC 7517 §5).

use std::sync::Arc;

use axum::{extract::State, response::IntoResponse};
use bailiwick_oauth::key_policy::jwks_document;
use bailiwick_web::entrance::Entrance;
use http::header;

/// How long the set may be kept: a new key is published for longer than this before it signs.
const CACHE: &str = "public, max-age=300";

pub(crate) async fn jwks(State(entrance): State<Arc<Entrance>>) -> impl IntoResponse {
    let document = jwks_document(&entrance.broker().token_signer().published());
    ([(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, CACHE)], document)
}
