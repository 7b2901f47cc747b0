//! One call of a tool: what it asks, what it says on the way, what it answers.
#![expect(deprecated, reason = "logging is deprecated, and the suite still checks it")]

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, CreateTaskResult,
        JsonObject, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

use crate::{
    asks, catalogue, content, jobs,
    rounds::Progress,
    server::{Change, ConformanceServer},
};

/// Between two messages of one call.
const PAUSE: Duration = Duration::from_millis(50);
/// How much work there is to report progress of.
const WORK: f64 = 100.0;

/// Calls a tool.
pub(crate) async fn call(
    server: &ConformanceServer,
    call: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let CallToolRequestParams { name, arguments, input_responses, request_state, .. } = call;
    let arguments = arguments.unwrap_or_default();
    let client = context.client_capabilities().unwrap_or_default();
    if name == "test_missing_capability" && client.sampling.is_none() {
        let needed = ClientCapabilities::builder().enable_sampling().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    let answers = match server.handles.progress(&name, &client, input_responses, request_state.as_deref())? {
        Progress::NotAsked => None,
        Progress::Asking(questions) => return Ok(questions.into()),
        Progress::Answered(answers) => Some(answers),
    };
    if let Some(answers) = answers {
        let told = json!(answers).to_string();
        return Ok(match name.as_ref() {
            "test_tool_with_task" => CreateTaskResult::new(jobs::done(&server.tasks, told)).into(),
            _ => said(format!("state-ok {told}")),
        });
    }
    if let Some(response) = job(server, &name, &arguments, &client).await? {
        return Ok(response);
    }
    if let Some(line) = asks::ask(&name, &arguments, context).await? {
        return Ok(said(line));
    }
    speak(server, &name, context).await;
    match content::of_tool(&name) {
        Some(result) => Ok(content::result::<CallToolResult>(result)?.into()),
        None if name == "greet" => {
            let whom = arguments.get("name").and_then(Value::as_str).unwrap_or_default();
            Ok(said(format!("Hello, {whom}!")))
        }
        None if catalogue::tool(&name).is_some() => Ok(said(format!("{name} is done"))),
        None => Err(ErrorData::invalid_params(format!("unknown tool: {name}"), None)),
    }
}

fn said(line: String) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(line)]).into()
}

/// What becomes a task, where the client knows tasks.
async fn job(
    server: &ConformanceServer,
    name: &str,
    arguments: &JsonObject,
    client: &ClientCapabilities,
) -> Result<Option<CallToolResponse>, ErrorData> {
    if client.supports_tasks() {
        return Ok(jobs::start(&server.tasks, name, arguments).map(|task| CreateTaskResult::new(task).into()));
    }
    match name {
        "slow_compute" => Ok(jobs::at_once(name, arguments).await.map(Into::into)),
        "failing_job" | "protocol_error_job" | "confirm_delete" | "multi_input" => {
            let needed = ClientCapabilities::builder().enable_tasks().build();
            Err(ErrorData::missing_required_client_capability(needed))
        }
        _ => Ok(None),
    }
}

/// What a tool says while it runs. A client that went away hears none of it.
async fn speak(server: &ConformanceServer, name: &str, context: &RequestContext<RoleServer>) {
    match name {
        "test_tool_with_logging" => {
            for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                log(line, context).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
        // A client of 2026-07-28 gets logs only if it says from which level on.
        "test_logging_tool" if context.meta.log_level().is_some() => log("Tool was called", context).await,
        "test_tool_with_progress" => progress(context).await,
        "test_trigger_tool_change" => server.announce(Change::Tools),
        "test_trigger_prompt_change" => server.announce(Change::Prompts),
        "test_reconnection" => tokio::time::sleep(PAUSE).await,
        _ => {}
    }
}

async fn log(line: &str, context: &RequestContext<RoleServer>) {
    let params = LoggingMessageNotificationParam::new(LoggingLevel::Info, line.into());
    drop(context.peer.notify_logging_message(params).await);
}

async fn progress(context: &RequestContext<RoleServer>) {
    for share in [0.0, 0.5, 1.0] {
        if let Some(token) = context.meta.get_progress_token() {
            let params = ProgressNotificationParam::new(token, share * WORK).with_total(WORK);
            drop(context.peer.notify_progress(params).await);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
