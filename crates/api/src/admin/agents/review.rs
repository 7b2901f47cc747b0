//! `POST /api/v1/agents/{name}/review`: says that an agent is still needed, until its next review.

use axum::{Json, extract::State};
use bailiwick_engine::lifecycle;
use bailiwick_model::name::AgentName;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{AgentView, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// A review of an agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Review")]
pub(crate) struct Review {
    /// What was looked at, in one line; kept sealed in the evidence.
    #[serde(default)]
    reason: String,
    /// Days until the next review: 1 to 366, 90 if left out. Never beyond the end of the registration.
    days: Option<u32>,
}

/// Notes a review. A suspended agent stays so until it is resumed.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/review",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = Review,
    responses((status = 200, body = AgentView), Refusals)
)]
pub(super) async fn review(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(body): StrictJson<Review>,
) -> Result<Json<AgentView>, Problem> {
    let Review { reason, days } = body;
    let agent = lifecycle::review(&admin.broker, &operator.principal(), &name, days, &reason).await?;
    Ok(Json(AgentView::of(&agent, &admin.broker)))
}
