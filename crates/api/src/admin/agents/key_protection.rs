//! `POST /api/v1/agents/{name}/key-protection`: demands that an agent's keys are held in hardware, or no longer does.

use axum::{Json, extract::State};
use bailiwick_engine::lifecycle;
use bailiwick_model::{agent::KeyProtection, name::AgentName};
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AgentView, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// How an agent's keys must be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewKeyProtection")]
pub(crate) struct NewKeyProtection {
    /// `any`, or `hardware`, attested.
    #[schema(value_type = String, example = "hardware")]
    key_protection: KeyProtection,
    /// Why, in one line; kept sealed in the evidence.
    #[serde(default)]
    reason: String,
}

/// An agent whose keys must be kept so.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Protected")]
pub(crate) struct ProtectedView {
    #[serde(flatten)]
    agent: AgentView,
    /// Access tokens that were revoked.
    tokens_revoked: usize,
}

/// Demands that an agent's keys are held in hardware, or no longer does. Its role may all the same.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/key-protection",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = NewKeyProtection,
    responses((status = 200, body = ProtectedView), Refusals)
)]
pub(super) async fn key_protection(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(body): StrictJson<NewKeyProtection>,
) -> Result<Json<ProtectedView>, Problem> {
    let NewKeyProtection { key_protection, reason } = body;
    let by = operator.principal();
    let (agent, tokens_revoked) = lifecycle::protect(&admin.broker, &by, &name, key_protection, &reason).await?;
    Ok(Json(ProtectedView { agent: AgentView::of(&agent, &admin.broker), tokens_revoked }))
}
