//! `GET /api/v1/agents/{name}`: one agent.

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_model::name::AgentName;
use bailiwick_web::problem::Problem;

use super::{AgentView, Shared};
use crate::{extract::Named, openapi::Refusals};

/// Shows one agent.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{name}",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    responses((status = 200, body = AgentView), Refusals)
)]
pub(super) async fn show(
    State(admin): State<Shared>,
    Named(name): Named<AgentName>,
) -> Result<Json<AgentView>, Problem> {
    let agent = admin.broker.agent(&name).ok_or_else(|| Refusal::Missing(format!("agent `{name}`")))?;
    Ok(Json(AgentView::of(&agent, &admin.broker)))
}
