//! `GET /api/v1/grants`: all active grants.

use axum::{Json, extract::State};
use bailiwick_engine::inventory;
use serde::Serialize;
use utoipa::ToSchema;

use super::{GrantView, Shared};
use crate::openapi::Refusals;

/// Active grants, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Grants")]
pub(crate) struct Grants {
    grants: Vec<GrantView>,
}

/// Lists active grants; an ended one is still shown by its id.
#[utoipa::path(get, path = "/api/v1/grants", tag = "grants", responses((status = 200, body = Grants), Refusals))]
pub(super) async fn list(State(admin): State<Shared>) -> Json<Grants> {
    let now = admin.broker.now();
    let grants = inventory::grants(&admin.broker);
    Json(Grants { grants: grants.iter().map(|grant| GrantView::of(grant, now)).collect() })
}
