//! `GET /api/v1/audit/checkpoints`: every signed checkpoint, oldest first, and the key that verifies them.

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_web::problem::Problem;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// All checkpoints.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Checkpoints")]
pub(crate) struct Checkpoints {
    /// The log's name, as in each note.
    origin: String,
    /// The Ed25519 public key that signs now, in base64.
    public_key: String,
    checkpoints: Vec<SizedNote>,
}

/// One checkpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SizedNote")]
pub(crate) struct SizedNote {
    /// How many entries it covers.
    size: u64,
    /// The note's text.
    note: String,
}

/// Lists all checkpoints.
#[utoipa::path(
    get,
    path = "/api/v1/audit/checkpoints",
    tag = "audit",
    responses((status = 200, body = Checkpoints), Refusals)
)]
pub(super) async fn checkpoints(State(admin): State<Shared>) -> Result<Json<Checkpoints>, Problem> {
    let notes = admin.broker.store().checkpoints().await.map_err(Refusal::from)?;
    Ok(Json(Checkpoints {
        origin: admin.checkpoint_signer.origin(),
        public_key: STANDARD.encode(admin.checkpoint_signer.public_key()),
        checkpoints: notes.into_iter().map(|(size, note)| SizedNote { size, note }).collect(),
    }))
}
