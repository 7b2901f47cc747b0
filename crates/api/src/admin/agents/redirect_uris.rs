//! `POST /api/v1/agents/{name}/redirect-uris`: replaces where its users are sent back to.

use axum::{Json, extract::State};
use bailiwick_engine::agents;
use bailiwick_model::{name::AgentName, redirect_uri::RedirectUri};
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{AgentView, Shared};
use crate::{Operator, extract::Named, openapi::Refusals};

/// All redirect URIs of an agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "RedirectUris")]
pub(crate) struct RedirectUris {
    /// `https`, or `http` on the user's own machine at any port; eight at most. None: it acts for itself alone.
    #[schema(value_type = Vec<String>, example = json!(["http://127.0.0.1/callback"]))]
    redirect_uris: Vec<RedirectUri>,
}

/// Replaces the redirect URIs of an agent.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{name}/redirect-uris",
    tag = "agents",
    params(("name" = String, Path, description = "the agent's name")),
    request_body = RedirectUris,
    responses((status = 200, body = AgentView), Refusals)
)]
pub(super) async fn redirect_uris(
    State(admin): State<Shared>,
    operator: Operator,
    Named(name): Named<AgentName>,
    StrictJson(body): StrictJson<RedirectUris>,
) -> Result<Json<AgentView>, Problem> {
    let RedirectUris { redirect_uris } = body;
    let agent = agents::set_redirect_uris(&admin.broker, &operator.principal(), &name, redirect_uris).await?;
    Ok(Json(AgentView::of(&agent, &admin.broker)))
}
