//! `GET /api/v1/observations`: what is observed now, until when, and what it showed up to now.

use axum::{Json, extract::State};
use bailiwick_engine::observation;
use bailiwick_ports::store::ObservationRow;
use bailiwick_web::problem::Problem;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// Observations that are on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Observations")]
pub(crate) struct Observations {
    observations: Vec<ObservationView>,
}

/// One observation. What its rules would stop is forwarded until it ends.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Observation")]
pub(crate) struct ObservationView {
    /// `agent:<name>` or `system:<name>`.
    scope: String,
    /// Whether it covers production too.
    production: bool,
    /// Why it is on.
    reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// From when on everything is enforced again, by itself.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// Calls that went through and that policy allows too.
    would_allow: u64,
    /// Calls that went through and that somebody would have had to approve.
    would_ask: u64,
    /// Calls that went through and that policy would have denied.
    would_deny: u64,
}

async fn views(admin: &Shared) -> Result<Vec<ObservationView>, Problem> {
    let rows = observation::list(&admin.broker).await?;
    let view = |row: ObservationRow| ObservationView {
        scope: row.observation.scope.to_string(),
        production: row.observation.production,
        reason: row.reason,
        since: row.since,
        until: row.until,
        would_allow: row.calls.would_allow,
        would_ask: row.calls.would_ask,
        would_deny: row.calls.would_deny,
    };
    Ok(rows.into_iter().map(view).collect())
}

pub(super) async fn all(admin: &Shared) -> Result<Json<Observations>, Problem> {
    Ok(Json(Observations { observations: views(admin).await? }))
}

/// Lists what is observed now.
#[utoipa::path(
    get,
    path = "/api/v1/observations",
    tag = "observation",
    responses((status = 200, body = Observations), Refusals)
)]
pub(super) async fn list(State(admin): State<Shared>) -> Result<Json<Observations>, Problem> {
    all(&admin).await
}
