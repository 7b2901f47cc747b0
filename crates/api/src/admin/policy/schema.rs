//! `GET /api/v1/policy/schema`: the Cedar schema that the active catalogue gives.

use axum::extract::State;
use bailiwick_engine::refusal::Refusal;
use bailiwick_web::problem::Problem;

use super::Shared;
use crate::openapi::Refusals;

/// Shows the generated schema in Cedar's own syntax.
#[utoipa::path(
    get,
    path = "/api/v1/policy/schema",
    tag = "policy",
    responses((status = 200, body = String, content_type = "text/plain"), Refusals)
)]
pub(super) async fn schema(State(admin): State<Shared>) -> Result<String, Problem> {
    let live = admin.broker.live();
    let policy = live.policy.as_deref().ok_or_else(|| Refusal::Missing("an active bundle".to_owned()))?;
    Ok(policy.cedar_schema().to_owned())
}
