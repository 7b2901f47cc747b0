//! `POST /api/v1/users/{id}/groups`: gives a user other groups, from the very next decision on.

use std::collections::BTreeSet;

use axum::{Json, extract::State};
use bailiwick_engine::users;
use bailiwick_model::name::UserId;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Shared, UserView};
use crate::{Operator, extract::Named, openapi::Refusals};

/// A user's groups.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "UserGroups")]
pub(crate) struct Groups {
    /// All of them from now on. Those that begin with `bailiwick:` are given in another way, and stay.
    groups: BTreeSet<String>,
}

/// Gives a user other groups.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/groups",
    tag = "users",
    params(("id" = String, Path, description = "the user's id")),
    request_body = Groups,
    responses((status = 200, body = UserView), Refusals)
)]
pub(super) async fn groups(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<UserId>,
    StrictJson(body): StrictJson<Groups>,
) -> Result<Json<UserView>, Problem> {
    let user = users::set_groups(&admin.broker, &operator.principal(), &id, body.groups).await?;
    Ok(Json(UserView::of(&user)))
}
