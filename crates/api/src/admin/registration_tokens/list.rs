//! `GET /api/v1/registration-tokens`: the initial access tokens that are not over.

use axum::{Json, extract::State};
use bailiwick_engine::registration;
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{RegistrationTokenView, Shared};
use crate::openapi::Refusals;

/// Initial access tokens, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "RegistrationTokens")]
pub(crate) struct RegistrationTokens {
    registration_tokens: Vec<RegistrationTokenView>,
}

/// Lists initial access tokens, without what they open.
#[utoipa::path(
    get,
    path = "/api/v1/registration-tokens",
    tag = "agents",
    responses((status = 200, body = RegistrationTokens), Refusals)
)]
pub(super) async fn list(State(admin): State<Shared>) -> Result<Json<RegistrationTokens>, Problem> {
    let tokens = registration::list(&admin.broker).await?;
    let registration_tokens = tokens.into_iter().map(RegistrationTokenView::of).collect();
    Ok(Json(RegistrationTokens { registration_tokens }))
}
