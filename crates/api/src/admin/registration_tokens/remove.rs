//! `DELETE /api/v1/registration-tokens/{id}`: nobody registers by it any more; who did stays.

use axum::extract::State;
use bailiwick_engine::registration;
use bailiwick_model::id::RegistrationTokenId;
use bailiwick_web::problem::Problem;
use http::StatusCode;

use super::Shared;
use crate::{Operator, extract::Named, openapi::Refusals};

/// Removes an initial access token.
#[utoipa::path(
    delete,
    path = "/api/v1/registration-tokens/{id}",
    tag = "agents",
    params(("id" = String, Path, description = "the token's id, `regtok_…`")),
    responses((status = 204), Refusals)
)]
pub(super) async fn remove(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<RegistrationTokenId>,
) -> Result<StatusCode, Problem> {
    registration::remove_token(&admin.broker, &operator.principal(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
