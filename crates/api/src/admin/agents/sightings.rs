//! `GET /api/v1/sightings`: callers that were seen and are not registered.

use axum::{Json, extract::State};
use bailiwick_engine::alerts;
use bailiwick_web::problem::Problem;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// Unregistered callers, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Sightings")]
pub(crate) struct Sightings {
    sightings: Vec<SightingView>,
}

/// One unregistered caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Sighting")]
pub(crate) struct SightingView {
    /// The name that it claimed; absent if it claimed none.
    agent: Option<String>,
    /// The network zone that it called from.
    zone: String,
    /// Where it knocked.
    at: String,
    /// When it was first seen.
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    /// When it was last recorded.
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// The newest entry of evidence; its address is sealed there.
    event: String,
}

/// Lists callers that are not registered.
#[utoipa::path(get, path = "/api/v1/sightings", tag = "agents", responses((status = 200, body = Sightings), Refusals))]
pub(super) async fn sightings(State(admin): State<Shared>) -> Result<Json<Sightings>, Problem> {
    let sightings = alerts::unregistered(&admin.broker)
        .await?
        .into_iter()
        .map(|alerts::Sighting { agent, zone, at, first_seen, last_seen, event }| SightingView {
            agent: agent.map(|name| name.to_string()),
            zone,
            at,
            first_seen,
            last_seen,
            event,
        })
        .collect();
    Ok(Json(Sightings { sightings }))
}
