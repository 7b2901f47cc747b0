//! `GET /api/v1/audit/entries/{id}`: everything about one event, sealed values left sealed.

use axum::{
    Json,
    extract::{Path, State},
};
use bailiwick_engine::history;
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{EntryView, Shared};
use crate::openapi::Refusals;

/// The entries of one event: what was decided and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "EventEntries")]
pub(crate) struct EventEntries {
    entries: Vec<EntryView>,
}

/// Shows the entries of one event.
#[utoipa::path(
    get,
    path = "/api/v1/audit/entries/{id}",
    tag = "audit",
    params(("id" = String, Path, description = "the event's id: `eval_…` or `evt_…`")),
    responses((status = 200, body = EventEntries), Refusals)
)]
pub(super) async fn show(State(admin): State<Shared>, Path(id): Path<String>) -> Result<Json<EventEntries>, Problem> {
    let entries = history::of(&admin.broker, &id).await?;
    Ok(Json(EventEntries { entries: entries.iter().map(EntryView::of).collect() }))
}
