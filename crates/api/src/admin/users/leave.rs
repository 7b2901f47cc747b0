//! `POST /api/v1/users/{id}/leave`: a user left for good.

use axum::{Json, extract::State};
use bailiwick_engine::users;
use bailiwick_model::name::UserId;
use bailiwick_web::{json::StrictJson, problem::Problem};

use super::{Shared, UserBecause, UserView};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Notes that a user left for good: grants, sessions and passkeys end.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/leave",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    request_body = UserBecause,
    responses((status = 200, body = UserView), Refusals)
)]
pub(super) async fn leave(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<UserId>,
    StrictJson(because): StrictJson<UserBecause>,
) -> Result<Json<UserView>, Problem> {
    let user = users::leave(&admin.broker, &operator.principal(), &id, &because.reason).await?;
    Ok(Json(UserView::of(&user)))
}
