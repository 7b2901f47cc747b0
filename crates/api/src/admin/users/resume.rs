//! `POST /api/v1/users/{id}/resume`: lets a suspended user go on.

use axum::{Json, extract::State};
use bailiwick_engine::users;
use bailiwick_model::name::UserId;
use bailiwick_web::problem::Problem;

use super::{Shared, UserView};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Lets a suspended user go on.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/resume",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    responses((status = 200, body = UserView), Refusals)
)]
pub(super) async fn resume(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<UserId>,
) -> Result<Json<UserView>, Problem> {
    let user = users::resume(&admin.broker, &operator.principal(), &id).await?;
    Ok(Json(UserView::of(&user)))
}
