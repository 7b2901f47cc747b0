//! `GET /api/v1/users`: everybody who is or was known.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Shared, UserView};
use crate::openapi::Refusals;

/// All users by id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Users")]
pub(crate) struct Users {
    users: Vec<UserView>,
}

/// Lists all users, those who left included.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", responses((status = 200, body = Users), Refusals))]
pub(super) async fn list(State(admin): State<Shared>) -> Json<Users> {
    let live = admin.broker.live();
    let mut users: Vec<_> = live.users.values().collect();
    users.sort_by(|a, b| a.id.cmp(&b.id));
    Json(Users { users: users.into_iter().map(|user| UserView::of(user)).collect() })
}
