//! `GET /api/v1/connections`: for each agent and system whether policy is enforced, observed, or nobody can say.

use axum::{Json, extract::State};
use bailiwick_engine::coverage::{self, Connection};
use bailiwick_model::name::{AgentName, SystemName};
use bailiwick_web::problem::Problem;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use crate::{extract::StrictQuery, openapi::Refusals};

/// Which connections.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only this agent's.
    #[param(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// Only those to this system.
    #[param(value_type = Option<String>)]
    system: Option<SystemName>,
}

/// How many connections there are of each kind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ConnectionCounts")]
pub(crate) struct ConnectionCounts {
    enforced: usize,
    observed: usize,
    unknown: usize,
}

/// Connections of agents that may act now, to systems that they may ask tokens for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Connections")]
pub(super) struct Connections {
    counts: ConnectionCounts,
    /// By agent and system, 10,000 at most.
    connections: Vec<ConnectionView>,
}

/// One agent and one system.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Connection")]
pub(super) struct ConnectionView {
    agent: String,
    system: String,
    /// `enforced`; `observed`: recorded, not enforced; or `unknown`: its definitions were not verified lately, and its
    /// calls are denied.
    state: &'static str,
    /// When the observation that covers it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

pub(crate) fn counts(admin: &Shared) -> ConnectionCounts {
    of(&coverage::connections(&admin.broker, None, None))
}

fn of(all: &coverage::Connections) -> ConnectionCounts {
    ConnectionCounts { enforced: all.enforced, observed: all.observed, unknown: all.unknown }
}

/// Shows what is enforced where. It speaks for calls through this broker, and for no other way to a system.
#[utoipa::path(
    get,
    path = "/api/v1/connections",
    tag = "observation",
    params(Which),
    responses((status = 200, body = Connections), Refusals)
)]
pub(super) async fn connections(
    State(admin): State<Shared>,
    StrictQuery(Which { agent, system }): StrictQuery<Which>,
) -> Result<Json<Connections>, Problem> {
    let all = coverage::connections_of(&admin.broker, agent.as_ref(), system.as_ref())?;
    let view = |Connection { agent, system, coverage, until }: &Connection| ConnectionView {
        agent: agent.to_string(),
        system: system.to_string(),
        state: coverage.as_str(),
        until: *until,
    };
    Ok(Json(Connections { counts: of(&all), connections: all.listed.iter().map(view).collect() }))
}
