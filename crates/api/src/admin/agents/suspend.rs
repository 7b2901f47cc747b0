//! `POST /api/v1/agents/{name}/suspend`: stops an agent until it is resumed; its very next call is refused.

use axum::{Json, extract::State};
use bailiwick_engine::agents;
use bailiwick_model::name::AgentName;
use bailiwick_web::{json::StrictJson, problem::Problem};

use super::{AgentView, Because, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// Stops an agent until it is resumed.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/suspend",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = Because,
    responses((status = 200, body = AgentView), Refusals)
)]
pub(super) async fn suspend(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(because): StrictJson<Because>,
) -> Result<Json<AgentView>, Problem> {
    let agent = agents::suspend(&admin.broker, &operator.principal(), &name, &because.reason).await?;
    Ok(Json(AgentView::of(&agent, &admin.broker)))
}
