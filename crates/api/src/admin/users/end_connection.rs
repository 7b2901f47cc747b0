//! `DELETE /api/v1/users/{id}/connections/{system}`: ends a connected account of a user, from the very next call on.

use axum::extract::{Path, State};
use bailiwick_engine::connections;
use bailiwick_model::name::{SystemName, UserId};
use bailiwick_web::problem::Problem;
use http::StatusCode;

use super::Shared;
use crate::{Operator, extract::parsed, openapi::Refusals};

/// Ends a connected account; its tokens are taken back and erased.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}/connections/{system}",
    tag = "users",
    params(
        ("id" = String, Path, description = "the user's id"),
        ("system" = String, Path, description = "where the account is"),
    ),
    responses((status = 204), Refusals)
)]
pub(super) async fn end_connection(
    State(admin): State<Shared>,
    operator: Operator,
    Path((id, system)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (user, system): (UserId, SystemName) = (parsed(&id)?, parsed(&system)?);
    connections::end(&admin.broker, &operator.principal(), &user, &system).await?;
    Ok(StatusCode::NO_CONTENT)
}
