//! `GET /api/v1/agents`: everybody who is or was registered.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{AgentView, Shared};
use crate::openapi::Refusals;

/// All agents by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Agents")]
pub(crate) struct Agents {
    agents: Vec<AgentView>,
}

/// Lists all agents, retired ones included.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", responses((status = 200, body = Agents), Refusals))]
pub(super) async fn list(State(admin): State<Shared>) -> Json<Agents> {
    let live = admin.broker.live();
    let mut agents: Vec<_> = live.agents.values().collect();
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    Json(Agents { agents: agents.into_iter().map(|agent| AgentView::of(agent, &admin.broker)).collect() })
}
