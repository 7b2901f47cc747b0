//! `POST /api/v1/policy/rollback`: makes an earlier bundle the active one again.

use axum::{Json, extract::State};
use bailiwick_engine::bundles;
use bailiwick_model::bundle::BundleRevision;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ActivatedView, Shared, problem};
use crate::{Operator, openapi::Refusals};

/// Where to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Rollback")]
pub(crate) struct Rollback {
    /// A published revision: `sha256:…`.
    #[schema(value_type = String)]
    revision: BundleRevision,
    /// Whether a boundary that differs from the active one is meant.
    #[serde(default)]
    boundary_change_meant: bool,
}

/// Rolls back to a published bundle.
#[utoipa::path(
    post,
    path = "/api/v1/policy/rollback",
    tag = "policy",
    request_body = Rollback,
    responses((status = 200, body = ActivatedView), Refusals)
)]
pub(super) async fn rollback(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<Rollback>,
) -> Result<Json<ActivatedView>, Problem> {
    let Rollback { revision, boundary_change_meant } = body;
    let activated = bundles::rollback(&admin.broker, &operator.principal(), revision, boundary_change_meant).await;
    activated.map(|activated| Json(activated.into())).map_err(problem)
}
