//! `GET /api/v1/tasks`: all open tasks.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Shared, TaskView};
use crate::openapi::Refusals;

/// Open tasks, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Tasks")]
pub(crate) struct Tasks {
    tasks: Vec<TaskView>,
}

/// Lists open tasks; an ended one is still shown by its id.
#[utoipa::path(get, path = "/api/v1/tasks", tag = "tasks", responses((status = 200, body = Tasks), Refusals))]
pub(super) async fn list(State(admin): State<Shared>) -> Json<Tasks> {
    let now = admin.broker.now();
    let live = admin.broker.live();
    let mut tasks: Vec<_> = live.tasks.values().filter(|task| task.is_open(now)).collect();
    tasks.sort_by_key(|task| task.id);
    Json(Tasks { tasks: tasks.into_iter().map(|task| TaskView::of(task, now)).collect() })
}
