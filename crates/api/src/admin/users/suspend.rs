//! `POST /api/v1/users/{id}/suspend`: stops a user; nobody acts for them, and their sessions end.

use axum::{Json, extract::State};
use bailiwick_engine::users;
use bailiwick_model::name::UserId;
use bailiwick_web::{json::StrictJson, problem::Problem};

use super::{Shared, UserBecause, UserView};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Stops a user until they are resumed.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/suspend",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    request_body = UserBecause,
    responses((status = 200, body = UserView), Refusals)
)]
pub(super) async fn suspend(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<UserId>,
    StrictJson(because): StrictJson<UserBecause>,
) -> Result<Json<UserView>, Problem> {
    let user = users::suspend(&admin.broker, &operator.principal(), &id, &because.reason).await?;
    Ok(Json(UserView::of(&user)))
}
