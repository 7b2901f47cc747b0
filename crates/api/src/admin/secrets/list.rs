//! `GET /api/v1/secrets`: the names of all upstream credentials.

use axum::{Json, extract::State};
use bailiwick_engine::secrets;
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// Names of credentials.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Secrets")]
pub(crate) struct Secrets {
    /// `<system>/<name>` each.
    secrets: Vec<String>,
}

/// Lists the names of credentials; never their values.
#[utoipa::path(get, path = "/api/v1/secrets", tag = "secrets", responses((status = 200, body = Secrets), Refusals))]
pub(super) async fn list(State(admin): State<Shared>) -> Result<Json<Secrets>, Problem> {
    let names = secrets::list(&admin.broker).await?;
    Ok(Json(Secrets { secrets: names.iter().map(ToString::to_string).collect() }))
}
