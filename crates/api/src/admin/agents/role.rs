//! `POST /api/v1/agents/{name}/role`: gives an agent another job; what it was given for the old one ends.

use axum::{Json, extract::State};
use bailiwick_engine::lifecycle::{self, Reassigned};
use bailiwick_model::name::{AgentName, RoleName};
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AgentView, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Another job for an agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewRole")]
pub(crate) struct NewRole {
    /// A role of the active bundle.
    #[schema(value_type = String, example = "support")]
    role: RoleName,
    /// Why, in one line; kept sealed in the evidence.
    #[serde(default)]
    reason: String,
}

/// An agent with another job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Reassigned")]
pub(crate) struct ReassignedView {
    #[serde(flatten)]
    agent: AgentView,
    /// Grants that ended with its old job.
    grants_ended: Vec<String>,
    /// Access tokens of its old job that were revoked.
    tokens_revoked: usize,
}

/// Gives an agent another role. It starts read-only again.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/role",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = NewRole,
    responses((status = 200, body = ReassignedView), Refusals)
)]
pub(super) async fn role(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(body): StrictJson<NewRole>,
) -> Result<Json<ReassignedView>, Problem> {
    let NewRole { role, reason } = body;
    let done = lifecycle::reassign(&admin.broker, &operator.principal(), &name, role, &reason).await?;
    let Reassigned { agent, grants, tokens } = done;
    Ok(Json(ReassignedView {
        agent: AgentView::of(&agent, &admin.broker),
        grants_ended: grants.iter().map(ToString::to_string).collect(),
        tokens_revoked: tokens,
    }))
}
