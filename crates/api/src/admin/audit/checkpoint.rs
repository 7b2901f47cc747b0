//! `GET /api/v1/audit/checkpoint`: the newest signed checkpoint.

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// A signed note over the whole log (C2SP tlog-checkpoint).
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Checkpoint")]
pub(crate) struct CheckpointView {
    /// The note's text; absent before the first entry.
    pub(super) note: Option<String>,
}

/// Shows the newest checkpoint.
#[utoipa::path(
    get,
    path = "/api/v1/audit/checkpoint",
    tag = "audit",
    responses((status = 200, body = CheckpointView), Refusals)
)]
pub(super) async fn checkpoint(State(admin): State<Shared>) -> Result<Json<CheckpointView>, Problem> {
    let note = admin.broker.store().checkpoint().await.map_err(Refusal::from)?;
    Ok(Json(CheckpointView { note }))
}
