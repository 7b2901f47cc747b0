//! `DELETE /api/v1/agents/{name}/keys/{kid}`: removes a key; the last one stays.

use axum::{
    Json,
    extract::{Path, State},
};
use bailiwick_engine::agents;
use bailiwick_web::problem::Problem;

use super::{AgentView, Shared};
use crate::{Operator, extract::parsed, openapi::Refusals};

/// Removes a key of an agent.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/{name}/keys/{kid}",
    tag = "agents",
    params(
        ("name" = String, Path, description = "the agent's name"),
        ("kid" = String, Path, description = "the key's name"),
    ),
    responses((status = 200, body = AgentView), Refusals)
)]
pub(super) async fn remove_key(
    State(admin): State<Shared>,
    operator: Operator,
    Path((name, kid)): Path<(String, String)>,
) -> Result<Json<AgentView>, Problem> {
    let agent = agents::remove_credential(&admin.broker, &operator.principal(), &parsed(&name)?, &kid).await?;
    Ok(Json(AgentView::of(&agent, &admin.broker)))
}
