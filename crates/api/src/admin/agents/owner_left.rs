//! `POST /api/v1/owners/left`: an owner left; their agents get a successor, or stop in time.

use axum::{Json, extract::State};
use bailiwick_engine::lifecycle::{self, SUCCESSOR_HOURS, Succession};
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AgentView, Shared};
use crate::{Operator, openapi::Refusals};

/// An owner who left.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "OwnerLeft")]
pub(crate) struct OwnerLeft {
    /// Who, as the agents' registrations say it.
    owner: String,
    /// Who answers for all of their agents from now on.
    successor: Option<String>,
    /// Or hours after which each is suspended that nobody took over: 0 to 720, 72 if left out.
    hours: Option<u32>,
    /// Why, in one line; kept sealed in the evidence.
    #[serde(default)]
    reason: String,
}

/// The agents that an owner left behind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "AgentsLeftBehind")]
pub(crate) struct LeftBehind {
    agents: Vec<AgentView>,
}

/// Looks after the agents of an owner who left.
#[utoipa::path(
    post,
    path = "/api/v1/owners/left",
    tag = "agents",
    request_body = OwnerLeft,
    responses((status = 200, body = LeftBehind), Refusals)
)]
pub(super) async fn owner_left(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<OwnerLeft>,
) -> Result<Json<LeftBehind>, Problem> {
    let OwnerLeft { owner, successor, hours, reason } = body;
    let succession = match (successor, hours) {
        (Some(successor), None) => Succession::To(successor),
        (None, hours) => Succession::Within(hours.unwrap_or(SUCCESSOR_HOURS)),
        (Some(_), Some(_)) => {
            let told = "either a successor is named, or the agents wait for one";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "succession", told));
        }
    };
    let agents = lifecycle::owner_left(&admin.broker, &operator.principal(), &owner, succession, &reason).await?;
    Ok(Json(LeftBehind { agents: agents.iter().map(|agent| AgentView::of(agent, &admin.broker)).collect() }))
}
