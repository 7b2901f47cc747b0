//! `GET /api/v1/policy`: the active bundle in short.

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{FindingView, Shared};
use crate::openapi::Refusals;

/// The active bundle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ActivePolicy")]
pub(crate) struct ActivePolicy {
    /// Its revision, which every decision cites.
    revision: String,
    /// What somebody should look at.
    warnings: Vec<FindingView>,
    /// The state's epoch: rises with every change of agents, tasks, safe modes and bundle.
    epoch: u64,
}

/// Shows the active bundle.
#[utoipa::path(get, path = "/api/v1/policy", tag = "policy", responses((status = 200, body = ActivePolicy), Refusals))]
pub(super) async fn active(State(admin): State<Shared>) -> Result<Json<ActivePolicy>, Problem> {
    let live = admin.broker.live();
    let policy = live.policy.as_deref().ok_or_else(|| Refusal::Missing("an active bundle".to_owned()))?;
    Ok(Json(ActivePolicy {
        revision: policy.revision().to_string(),
        warnings: FindingView::all(policy.warnings()),
        epoch: live.epoch,
    }))
}
