//! Calls that become tasks (the extension `io.modelcontextprotocol/tasks`).

use std::time::Duration;

use rmcp::{
    ErrorData,
    model::{CallToolResult, ContentBlock, JsonObject},
    task_manager::{TaskContext, TaskExit, TaskFuture, TaskManager, TaskOptions},
};
use serde_json::Value;

use crate::{content, rounds::form};

/// How often clients are told to look.
const POLL_MS: u64 = 100;
/// A task that nobody fetches is forgotten after so long.
const KEPT_MS: u64 = 120_000;
/// The longest that `slow_compute` takes, whatever it is told.
const SECONDS_MAX: f64 = 60.0;

/// Starts the task of a tool; `None` if the tool has none.
pub(crate) fn start(tasks: &TaskManager, name: &str, arguments: &JsonObject) -> Option<rmcp::model::Task> {
    let job: fn(TaskContext, JsonObject) -> TaskFuture = match name {
        "slow_compute" => |task, arguments| Box::pin(slow(task, arguments)),
        "failing_job" => |_, _| Box::pin(async { Ok(CallToolResult::error(vec![ContentBlock::text("it failed")])) }),
        "protocol_error_job" => {
            |_, _| Box::pin(async { Err(TaskExit::Error(ErrorData::internal_error("it broke", None))) })
        }
        "confirm_delete" => |task, arguments| Box::pin(confirm(task, arguments)),
        "multi_input" => |task, _| Box::pin(two_questions(task)),
        _ => return None,
    };
    let arguments = arguments.clone();
    Some(tasks.spawn(options(), |task| job(task, arguments)))
}

/// A task that is done as soon as it is looked at.
pub(crate) fn done(tasks: &TaskManager, line: String) -> rmcp::model::Task {
    tasks.spawn(options(), |_| Box::pin(async { Ok(said(line)) }))
}

fn options() -> TaskOptions {
    TaskOptions::new().with_poll_interval_ms(POLL_MS).with_ttl_ms(KEPT_MS)
}

fn said(line: String) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(line)])
}

/// Whether the tool can also answer at once.
pub(crate) async fn at_once(name: &str, arguments: &JsonObject) -> Option<CallToolResult> {
    if name != "slow_compute" {
        return None;
    }
    tokio::time::sleep(seconds(arguments)).await;
    Some(said(computed(arguments)))
}

fn seconds(arguments: &JsonObject) -> Duration {
    let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX))
}

fn computed(arguments: &JsonObject) -> String {
    format!("computed {}", arguments.get("label").and_then(Value::as_str).unwrap_or("something"))
}

async fn slow(task: TaskContext, arguments: JsonObject) -> Result<CallToolResult, TaskExit> {
    tokio::select! {
        () = task.cancelled() => Err(TaskExit::Cancelled),
        () = tokio::time::sleep(seconds(&arguments)) => Ok(said(computed(&arguments))),
    }
}

async fn confirm(task: TaskContext, arguments: JsonObject) -> Result<CallToolResult, TaskExit> {
    let file = arguments.get("filename").and_then(Value::as_str).unwrap_or("it");
    let question = form(&format!("Delete {file}?"), "confirm", "boolean");
    let answer = task.request_input("confirm", content::typed(question)?).await?;
    Ok(said(format!("{file}: {answer}")))
}

async fn two_questions(task: TaskContext) -> Result<CallToolResult, TaskExit> {
    let (first, second) = tokio::try_join!(
        task.request_input("first", content::typed(form("Who?", "name", "string"))?),
        task.request_input("second", content::typed(form("Really?", "confirm", "boolean"))?),
    )?;
    Ok(said(format!("{first} {second}")))
}
