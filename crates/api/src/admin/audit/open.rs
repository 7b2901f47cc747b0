//! `POST /api/v1/audit/entries/{id}/open`: the same with its sealed values opened. The opening is recorded first.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};
use bailiwick_engine::history;
use bailiwick_ports::entry::{Opened, OpenedField};
use bailiwick_web::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{EntryView, Shared};
use crate::{Operator, openapi::Refusals};

/// The entries of one event with what lay sealed beside them.
#[derive(Serialize, ToSchema)]
#[schema(title = "OpenedEntries")]
pub(crate) struct OpenedEntries {
    entries: Vec<OpenedEntry>,
}

/// One entry, opened.
#[derive(Serialize, ToSchema)]
#[schema(title = "OpenedEntry")]
pub(crate) struct OpenedEntry {
    #[serde(flatten)]
    entry: EntryView,
    /// By field name, as in the entry's commitments.
    opened: BTreeMap<String, OpenedValue>,
}

/// One sealed value.
#[derive(Serialize, ToSchema)]
#[schema(title = "OpenedValue")]
pub(crate) struct OpenedValue {
    /// The salt of its commitment, in hex.
    salt: String,
    /// The value; absent where only its salt was kept.
    value: Option<String>,
}

/// Opens the sealed values of one event, and records who did.
#[utoipa::path(
    post,
    path = "/api/v1/audit/entries/{id}/open",
    tag = "audit",
    params(("id" = String, Path, description = "the event's id: `eval_…` or `evt_…`")),
    responses((status = 200, body = OpenedEntries), Refusals)
)]
pub(super) async fn open(
    State(admin): State<Shared>,
    operator: Operator,
    Path(id): Path<String>,
) -> Result<Json<OpenedEntries>, Problem> {
    let stored = history::of(&admin.broker, &id).await?;
    let mut opened = history::open(&admin.broker, &operator.principal(), &id, &stored).await?;
    let entries = stored.iter().map(|entry| {
        let fields = opened.remove(&entry.sequence).map(|Opened { fields }| fields).unwrap_or_default();
        let value = |OpenedField { salt, value }| OpenedValue { salt, value };
        let opened = fields.into_iter().map(|(name, field)| (name, value(field))).collect();
        OpenedEntry { entry: EntryView::of(entry), opened }
    });
    Ok(Json(OpenedEntries { entries: entries.collect() }))
}
