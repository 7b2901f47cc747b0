//! `POST /api/v1/tasks/{id}/end`: ends a task, and its tokens with it.

use axum::{Json, extract::State};
use bailiwick_engine::tasks;
use bailiwick_model::id::TaskId;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Shared, TaskView};
use crate::{Operator, extract::Named, openapi::Refusals};

/// The end of a task.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "TaskEnd")]
pub(crate) struct TaskEnd {
    /// Why; `done` if left out.
    #[serde(default)]
    reason: String,
}

/// Ends a task.
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/end",
    tag = "tasks",
    params(("id" = String, Path, description = "the task's id")),
    request_body = TaskEnd,
    responses((status = 200, body = TaskView), Refusals)
)]
pub(super) async fn end(
    State(admin): State<Shared>,
    operator: Operator,
    Named(id): Named<TaskId>,
    StrictJson(body): StrictJson<TaskEnd>,
) -> Result<Json<TaskView>, Problem> {
    let task = tasks::end(&admin.broker, &operator.principal(), id, &body.reason).await?;
    Ok(Json(TaskView::of(&task, admin.broker.now())))
}
