//! `GET /api/v1/tasks/{id}`: one task, open or ended.

use axum::{Json, extract::State};
use bailiwick_engine::tasks;
use bailiwick_model::id::TaskId;
use bailiwick_web::problem::Problem;

use super::{Shared, TaskView};
use crate::{extract::Named, openapi::Refusals};

/// Shows one task.
#[utoipa::path(
    get,
    path = "/api/v1/tasks/{id}",
    tag = "tasks",
    params(("id" = String, Path, description = "the task's id")),
    responses((status = 200, body = TaskView), Refusals)
)]
pub(super) async fn show(State(admin): State<Shared>, Named(id): Named<TaskId>) -> Result<Json<TaskView>, Problem> {
    let task = tasks::show(&admin.broker, id).await?;
    Ok(Json(TaskView::of(&task, admin.broker.now())))
}
