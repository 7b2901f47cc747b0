//! `DELETE /api/v1/agents/{name}/credentials/{id}`: removes a key or certificate; the last one stays.

use axum::{
    Json,
    extract::{Path, State},
};
use bailiwick_engine::agents;
use bailiwick_web::problem::Problem;

use super::{AgentView, Shared};
use crate::{Operator, extract::parsed, openapi::Refusals};

/// Removes a credential of an agent.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/{name}/credentials/{id}",
    tag = "agents",
    params(
        ("name" = String, Path, description = "the agent's name"),
        ("id" = String, Path, description = "the `id` of a certificate, or the `kid` of a key"),
    ),
    responses((status = 200, body = AgentView), Refusals)
)]
pub(super) async fn remove_credential(
    State(admin): State<Shared>,
    operator: Operator,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<AgentView>, Problem> {
    let agent = agents::remove_credential(&admin.broker, &operator.principal(), &parsed(&name)?, &id).await?;
    Ok(Json(AgentView::of(&agent, &admin.broker)))
}
