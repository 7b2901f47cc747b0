//! `POST /api/v1/agents/{name}/promote`: ends an agent's read-only start; from the next token on its scopes may include writes.

use axum::{Json, extract::State};
use bailiwick_engine::agents;
use bailiwick_model::name::AgentName;
use bailiwick_web::{json::StrictJson, problem::Problem};

use super::{AgentView, Because, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Ends an agent's read-only start.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/promote",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = Because,
    responses((status = 200, body = AgentView), Refusals)
)]
pub(super) async fn promote(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(because): StrictJson<Because>,
) -> Result<Json<AgentView>, Problem> {
    let agent = agents::promote(&admin.broker, &operator.principal(), &name, &because.reason).await?;
    Ok(Json(AgentView::of(&agent, &admin.broker)))
}
