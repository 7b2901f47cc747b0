//! `GET /api/v1/systems`: all systems of the active bundle.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Shared, SystemView};
use crate::openapi::Refusals;

/// All systems by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Systems")]
pub(crate) struct Systems {
    systems: Vec<SystemView>,
}

/// Lists all systems.
#[utoipa::path(get, path = "/api/v1/systems", tag = "systems", responses((status = 200, body = Systems), Refusals))]
pub(super) async fn list(State(admin): State<Shared>) -> Json<Systems> {
    let live = admin.broker.live();
    let systems = live.policy.as_deref().map(|policy| policy.catalogue().systems()).into_iter().flatten();
    let systems = systems.map(|system| SystemView::of(system, live.definitions.get(&system.name))).collect();
    Json(Systems { systems })
}
