//! `DELETE /api/v1/secrets/{system}/{name}`: removes an upstream credential.

use axum::extract::{Path, State};
use bailiwick_engine::secrets;
use bailiwick_web::problem::Problem;
use http::StatusCode;

use super::{Shared, named};
use crate::{Operator, extract::parsed, openapi::Refusals};

/// Removes a credential.
#[utoipa::path(
    delete,
    path = "/api/v1/secrets/{system}/{name}",
    tag = "secrets",
    params(
        ("system" = String, Path, description = "the system that it is for"),
        ("name" = String, Path, description = "its name within the system"),
    ),
    responses((status = 204), Refusals)
)]
pub(super) async fn remove(
    State(admin): State<Shared>,
    operator: Operator,
    Path((system, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    secrets::remove(&admin.broker, &operator.principal(), named(&system, &name)?).await?;
    admin.upstreams.secret_changed(&parsed(&system)?);
    Ok(StatusCode::NO_CONTENT)
}
