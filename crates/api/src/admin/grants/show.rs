//! `GET /api/v1/grants/{id}`: one grant, active or ended.

use axum::{Json, extract::State};
use bailiwick_engine::inventory;
use bailiwick_model::id::GrantId;
use bailiwick_web::problem::Problem;

use super::{GrantView, Shared};
use crate::{extract::Named, openapi::Refusals};

/// Shows one grant.
#[utoipa::path(
    get,
    path = "/api/v1/grants/{id}",
    tag = "grants",
    params(("id" = String, Path, description = "the grant's id")),
    responses((status = 200, body = GrantView), Refusals)
)]
pub(super) async fn show(State(admin): State<Shared>, Named(id): Named<GrantId>) -> Result<Json<GrantView>, Problem> {
    let grant = inventory::grant(&admin.broker, id).await?;
    Ok(Json(GrantView::of(&grant, admin.broker.now())))
}
