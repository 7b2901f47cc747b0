//! `POST /api/v1/tasks`: makes a task, always narrower than its agent's role.

use axum::{Json, extract::State};
use bailiwick_engine::tasks::{self, TaskAsk};
use bailiwick_model::name::AgentName;
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{GrantBody, Shared, TaskView};
use crate::{Operator, openapi::Refusals};

/// A new task.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewTask")]
pub(crate) struct NewTask {
    /// Who will work in it.
    #[schema(value_type = String, example = "support-bot")]
    agent: AgentName,
    /// What it is for, in one sentence; sealed in the evidence; required.
    #[serde(default)]
    purpose: String,
    /// The user's words; sealed, and committed to in the evidence.
    prompt: Option<String>,
    /// All that it may call.
    tools: Vec<GrantBody>,
    /// Seconds until it ends by itself; eight hours if left out.
    lifetime_s: Option<u64>,
}

/// Makes a task.
#[utoipa::path(
    post,
    path = "/api/v1/tasks",
    tag = "tasks",
    request_body = NewTask,
    responses((status = 201, body = TaskView), Refusals)
)]
pub(super) async fn create(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<NewTask>,
) -> Result<(StatusCode, Json<TaskView>), Problem> {
    let NewTask { agent, purpose, prompt, tools, lifetime_s } = body;
    let tools = tools.into_iter().map(Into::into).collect();
    let ask = TaskAsk { agent, purpose, prompt, tools, lifetime_s };
    let task = tasks::create(&admin.broker, &operator.principal(), ask).await?;
    Ok((StatusCode::CREATED, Json(TaskView::of(&task, admin.broker.now()))))
}
