//! `GET /api/v1/audit/entries`: a page of evidence, filtered. `tail` asks again with the last `sequence` as `after`.

use axum::{Json, extract::State};
use bailiwick_engine::history;
use bailiwick_model::name::{AgentName, SystemName};
use bailiwick_ports::store::EntryFilter;
use bailiwick_web::problem::Problem;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{EntryView, Shared};
use crate::{extract::StrictQuery, openapi::Refusals};

/// Entries of a page unless the query says otherwise.
const ENTRIES_PER_PAGE: usize = 100;

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only entries after this sequence number.
    after: Option<u64>,
    /// Only those of this agent.
    #[param(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// Only those of this system.
    #[param(value_type = Option<String>)]
    system: Option<SystemName>,
    /// Only those of this kind, such as `denial`.
    kind: Option<String>,
    /// Not before.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Newest first instead of oldest first.
    #[serde(default)]
    newest_first: bool,
    /// At most so many: 1 to 1000, 100 if left out.
    limit: Option<usize>,
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Entries")]
pub(crate) struct Entries {
    entries: Vec<EntryView>,
}

/// Reads evidence.
#[utoipa::path(
    get,
    path = "/api/v1/audit/entries",
    tag = "audit",
    params(Filter),
    responses((status = 200, body = Entries), Refusals)
)]
pub(super) async fn entries(
    State(admin): State<Shared>,
    StrictQuery(filter): StrictQuery<Filter>,
) -> Result<Json<Entries>, Problem> {
    let Filter { after, agent, system, kind, since, until, newest_first, limit } = filter;
    let limit = limit.unwrap_or(ENTRIES_PER_PAGE);
    let filter = EntryFilter { after, agent, system, kind, since, until, newest_first, limit };
    let entries = history::entries(&admin.broker, filter).await?;
    Ok(Json(Entries { entries: entries.iter().map(EntryView::of).collect() }))
}
