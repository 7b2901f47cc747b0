//! `GET /api/v1/users/{id}`: one user.

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_model::name::UserId;
use bailiwick_web::problem::Problem;

use super::{Shared, UserView};
use crate::{extract::Named, openapi::Refusals};

/// Shows one user.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    responses((status = 200, body = UserView), Refusals)
)]
pub(super) async fn show(State(admin): State<Shared>, Named(id): Named<UserId>) -> Result<Json<UserView>, Problem> {
    let found = admin.broker.live().users.get(&id).cloned();
    let user = found.ok_or_else(|| Refusal::Missing(format!("user `{id}`")))?;
    Ok(Json(UserView::of(&user)))
}
