//! `POST /oauth/challenge` (draft-ietf-oauth-attestation-based-client-auth §6.3): a challenge for the proof of an attested
//! client, and a nonce for its DPoP proof.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bailiwick_web::entrance::Entrance;
use http::StatusCode;
use serde_json::json;

use crate::failure;

pub(crate) async fn challenge(State(entrance): State<Arc<Entrance>>) -> Response {
    if entrance.attesters().is_empty() {
        return failure::answer(&entrance, StatusCode::NOT_FOUND, "{}");
    }
    let challenge = entrance.nonces().nonce(entrance.broker().now());
    failure::answer(&entrance, StatusCode::OK, &json!({ "attestation_challenge": challenge }).to_string())
}
