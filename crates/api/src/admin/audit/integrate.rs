//! `POST /api/v1/audit/checkpoint`: integrates every durable entry now and signs a checkpoint over them.

use std::sync::Arc;

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_web::problem::Problem;

use super::{Shared, checkpoint::CheckpointView};
use crate::{Operator, openapi::Refusals};

/// Signs a checkpoint over everything that is durable.
#[utoipa::path(
    post,
    path = "/api/v1/audit/checkpoint",
    tag = "audit",
    responses((status = 200, body = CheckpointView), Refusals)
)]
pub(super) async fn integrate(
    State(admin): State<Shared>,
    _operator: Operator,
) -> Result<Json<CheckpointView>, Problem> {
    let store = admin.broker.store();
    store.integrate(Arc::clone(&admin.checkpoint_signer)).await.map_err(Refusal::from)?;
    let note = store.checkpoint().await.map_err(Refusal::from)?;
    Ok(Json(CheckpointView { note }))
}
