//! `GET /api/v1/quarantine`: every tool whose definition is not the pinned one.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{QuarantineView, Shared};
use crate::openapi::Refusals;

/// Tools in quarantine.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "QuarantineList")]
pub(crate) struct QuarantineList {
    quarantine: Vec<QuarantineView>,
}

/// Lists all tools in quarantine.
#[utoipa::path(
    get,
    path = "/api/v1/quarantine",
    tag = "systems",
    responses((status = 200, body = QuarantineList), Refusals)
)]
pub(super) async fn quarantine(State(admin): State<Shared>) -> Json<QuarantineList> {
    let live = admin.broker.live();
    let catalogue = live.policy.as_deref().map(|policy| policy.catalogue());
    let rows = live.definitions.values().flat_map(|seen| seen.quarantined.values());
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| (&a.system, &a.tool).cmp(&(&b.system, &b.tool)));
    let view = |row| QuarantineView::of(row, catalogue.and_then(|catalogue| catalogue.system(&row.system)));
    Json(QuarantineList { quarantine: rows.into_iter().map(view).collect() })
}
