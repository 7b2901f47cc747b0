//! `POST /api/v1/users/{id}/administrator`: makes a user an administrator, or ends that.

use axum::{Json, extract::State};
use bailiwick_engine::users;
use bailiwick_model::name::UserId;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Shared, UserView};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Whether somebody administers the broker.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Administrator")]
pub(crate) struct Administrator {
    /// Whether they do from now on.
    administrator: bool,
}

/// Makes a user an administrator, or ends that.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/administrator",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    request_body = Administrator,
    responses((status = 200, body = UserView), Refusals)
)]
pub(super) async fn administrator(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<UserId>,
    StrictJson(body): StrictJson<Administrator>,
) -> Result<Json<UserView>, Problem> {
    let user = users::set_administrator(&admin.broker, &operator.principal(), &id, body.administrator).await?;
    Ok(Json(UserView::of(&user)))
}
