//! `POST /api/v1/grants/{id}/end`: ends a grant with all that come from it, and their tokens.

use axum::{Json, extract::State};
use bailiwick_engine::grants;
use bailiwick_model::id::GrantId;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use crate::{Operator, extract::Named, openapi::Refusals};

/// The end of a grant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "GrantEnd")]
pub(crate) struct GrantEnd {
    /// Why, in a few words; recorded in the clear.
    #[serde(default)]
    reason: String,
}

/// What ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "GrantsEnded")]
pub(crate) struct GrantsEnded {
    /// The grant, and those that came from it.
    ended: Vec<String>,
}

/// Ends a grant.
#[utoipa::path(
    post,
    path = "/api/v1/grants/{id}/end",
    tag = "grants",
    params(("id" = String, Path, description = "the grant's id")),
    request_body = GrantEnd,
    responses((status = 200, body = GrantsEnded), Refusals)
)]
pub(super) async fn end(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<GrantId>,
    StrictJson(body): StrictJson<GrantEnd>,
) -> Result<Json<GrantsEnded>, Problem> {
    let ended = grants::end(&admin.broker, &operator.principal(), id, &body.reason).await?;
    Ok(Json(GrantsEnded { ended: ended.iter().map(ToString::to_string).collect() }))
}
