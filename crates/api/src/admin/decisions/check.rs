//! `POST /api/v1/check`: what would be decided if an agent made this call now. An allow from here is no permit.

use std::net::IpAddr;

use axum::{Json, extract::State};
use bailiwick_engine::check::{self, Question};
use bailiwick_model::{
    id::TaskId,
    name::{AgentName, Scope, SystemName},
};
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use crate::{Operator, openapi::Refusals};

/// A call that nobody makes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Question")]
pub(crate) struct QuestionBody {
    /// Who would call.
    #[schema(value_type = String, example = "support-bot")]
    agent: AgentName,
    /// Which system.
    #[schema(value_type = String, example = "files")]
    system: SystemName,
    /// The MCP method; `tools/call` if left out.
    #[serde(default = "tools_call")]
    method: String,
    /// The tool's or prompt's name, or the MCP resource's uri.
    name: Option<String>,
    /// With which arguments.
    #[serde(default)]
    #[schema(value_type = Object)]
    arguments: serde_json::Map<String, serde_json::Value>,
    /// In which task.
    #[schema(value_type = Option<String>)]
    task: Option<TaskId>,
    /// With which scopes; every scope of the system if left out.
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Option<Vec<Scope>>,
    /// From which address.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
}

fn tools_call() -> String {
    "tools/call".to_owned()
}

/// What was decided and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Answer")]
pub(crate) struct Answer {
    /// `allow`, `ask` or `deny`.
    decision: String,
    /// The evaluation's id, as in the evidence.
    evaluation_id: String,
    /// The whole evaluation: decision with reasons or obligations, determining policies, errors, budgets.
    #[schema(value_type = Object)]
    evaluated: serde_json::Value,
}

/// Checks a call without making it.
#[utoipa::path(
    post,
    path = "/api/v1/check",
    tag = "decisions",
    request_body = QuestionBody,
    responses((status = 200, body = Answer), Refusals)
)]
pub(super) async fn check(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<QuestionBody>,
) -> Result<Json<Answer>, Problem> {
    let QuestionBody { agent, system, method, name, arguments, task, scopes, address } = body;
    let scopes = scopes.map(|scopes| scopes.into_iter().collect());
    let question = Question { agent, system, method, name, arguments, task, scopes, address };
    let evaluated = check::check(&admin.broker, &operator.principal(), question, Vec::new())
        .await
        .map_err(|denied| Problem::from(denied.as_ref()))?;
    Ok(Json(Answer {
        decision: evaluated.decision.as_str().to_owned(),
        evaluation_id: evaluated.id.to_string(),
        evaluated: serde_json::to_value(&evaluated).unwrap_or_default(),
    }))
}
