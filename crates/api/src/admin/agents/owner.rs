//! `POST /api/v1/agents/{name}/owner`: gives an agent to somebody else, who answers for it from now on.

use axum::{Json, extract::State};
use bailiwick_engine::lifecycle;
use bailiwick_model::name::AgentName;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{AgentView, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Who answers for an agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Owner")]
pub(crate) struct Owner {
    /// The person or team; a user who left is refused.
    owner: String,
    /// Why, in one line; kept sealed in the evidence.
    #[serde(default)]
    reason: String,
}

/// Gives an agent to another owner.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/owner",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = Owner,
    responses((status = 200, body = AgentView), Refusals)
)]
pub(super) async fn owner(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(body): StrictJson<Owner>,
) -> Result<Json<AgentView>, Problem> {
    let Owner { owner, reason } = body;
    let agent = lifecycle::set_owner(&admin.broker, &operator.principal(), &name, &owner, &reason).await?;
    Ok(Json(AgentView::of(&agent, &admin.broker)))
}
