//! `POST /api/v1/users`: makes a user known.

use std::collections::BTreeSet;

use axum::{Json, extract::State};
use bailiwick_engine::users;
use bailiwick_model::name::UserId;
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Shared, UserView};
use crate::{Operator, openapi::Refusals};

/// A user to be made known.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewUser")]
pub(crate) struct NewUser {
    /// A pseudonym, never a name or an address: it is in the evidence for good.
    #[schema(value_type = String, example = "u-4711")]
    id: UserId,
    /// What people call them.
    name: String,
    /// Where to reach them.
    email: Option<String>,
    /// Groups that policy may rely on.
    #[serde(default)]
    groups: BTreeSet<String>,
}

/// Makes a user known.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "users",
    request_body = NewUser,
    responses((status = 201, body = UserView), Refusals)
)]
pub(super) async fn add(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<NewUser>,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    let NewUser { id, name, email, groups } = body;
    let user = users::add(&admin.broker, &operator.principal(), id, &name, email.as_deref(), groups).await?;
    Ok((StatusCode::CREATED, Json(UserView::of(&user))))
}
