//! `GET /api/v1/findings`: what somebody should look at in the registrations.

use axum::{
    Json,
    extract::{Query, State},
};
use bailiwick_engine::findings::{self, Finding, UNUSED_DAYS};
use bailiwick_web::problem::Problem;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// What counts as long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    unused_days: Option<u32>,
}

/// Findings, the most urgent kind first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Findings")]
pub(crate) struct Findings {
    findings: Vec<FindingView>,
}

/// One thing to look at.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "AgentFinding")]
pub(crate) struct FindingView {
    /// `shared_credential`, `refresh_reuse`, `spraying`, `ownerless`, `review_due`, `unused_agent` or `dormant_credential`.
    kind: String,
    /// Whom it concerns; absent for nobody in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// Which of its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    /// The last use, the alert, or when somebody should have come.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// The entry of evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
}

/// Lists findings about agents and their credentials.
#[utoipa::path(
    get,
    path = "/api/v1/findings",
    tag = "agents",
    params(("unused_days" = Option<u32>, Query, description = "days without use that are long; 30 if left out")),
    responses((status = 200, body = Findings), Refusals)
)]
pub(super) async fn findings(
    State(admin): State<Shared>,
    Query(asked): Query<Asked>,
) -> Result<Json<Findings>, Problem> {
    let found = findings::list(&admin.broker, asked.unused_days.unwrap_or(UNUSED_DAYS)).await?;
    let view = |Finding { kind, agent, credential, since, event }| FindingView {
        kind: kind.as_str().to_owned(),
        agent: agent.map(|name| name.to_string()),
        credential,
        since,
        event,
    };
    Ok(Json(Findings { findings: found.into_iter().map(view).collect() }))
}
