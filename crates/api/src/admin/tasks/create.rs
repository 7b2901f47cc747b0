//! `POST /api/v1/tasks`: makes a task, always narrower than its agent's role.

use axum::{Json, extract::State};
use bailiwick_engine::tasks::{self, TaskAsk, Work};
use bailiwick_model::name::{AgentName, TemplateName};
use bailiwick_pdp::templates::stated;
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
    /// All that it may call; or name a `template`.
    #[serde(default)]
    tools: Vec<GrantBody>,
    /// The kind of task, a file of `templates/`, instead of `tools`.
    #[schema(value_type = Option<String>, example = "handle-ticket")]
    template: Option<TemplateName>,
    /// What the template asks for: per parameter one value, or a list of them.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"ticket": 4711}))]
    parameters: serde_json::Map<String, serde_json::Value>,
    /// Seconds until it ends by itself; what its template says, or eight hours, if left out.
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
    let NewTask { agent, purpose, prompt, tools, template, parameters, lifetime_s } = body;
    let work = match template {
        Some(name) if tools.is_empty() => Work::Template(name, stated(parameters)),
        None if parameters.is_empty() => Work::Tools(tools.into_iter().map(Into::into).collect()),
        _ => {
            let detail = "a task has `tools`, or a `template` with its `parameters`, not both";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "task_malformed", detail));
        }
    };
    let ask = TaskAsk { agent, purpose, prompt, work, lifetime_s };
    let task = tasks::create(&admin.broker, &operator.principal(), ask).await?;
    Ok((StatusCode::CREATED, Json(TaskView::of(&task, admin.broker.now()))))
}
