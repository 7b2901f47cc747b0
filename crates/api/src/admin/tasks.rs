//! Tasks: what one piece of work needs. One file per endpoint; this one holds what they share.

use std::collections::BTreeMap;

use bailiwick_model::{
    name::ActionName,
    task::{Pin, Task, TaskStatus, ToolGrant},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod create;
mod end;
mod list;
mod show;
mod templates;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(show::show))
        .routes(routes!(end::end))
        .routes(routes!(templates::templates))
}

/// A tool that a task may call.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "ToolGrant")]
pub(super) struct GrantBody {
    /// `<system>.<tool>`.
    #[schema(value_type = String, example = "files.read_text_file")]
    action: ActionName,
    /// Per argument, what it is pinned to; an argument without a pin is free.
    #[serde(default)]
    pins: BTreeMap<String, PinBody>,
}

/// What one argument may be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(title = "Pin")]
pub(super) enum PinBody {
    /// Exactly one of these values.
    #[schema(value_type = Vec<Object>)]
    OneOf(Vec<serde_json::Value>),
    /// A path under this folder.
    #[schema(example = "/data/orders")]
    Under(String),
    /// An integer that is at most this.
    AtMost(i64),
}

impl From<GrantBody> for ToolGrant {
    fn from(GrantBody { action, pins }: GrantBody) -> Self {
        let pins = pins.into_iter().map(|(argument, pin)| (argument, pin.into())).collect();
        Self { action, pins }
    }
}

impl From<&ToolGrant> for GrantBody {
    fn from(ToolGrant { action, pins }: &ToolGrant) -> Self {
        let pins = pins.iter().map(|(argument, pin)| (argument.clone(), pin.into())).collect();
        Self { action: action.clone(), pins }
    }
}

impl From<PinBody> for Pin {
    fn from(pin: PinBody) -> Self {
        match pin {
            PinBody::OneOf(values) => Self::OneOf(values),
            PinBody::Under(folder) => Self::Under(folder),
            PinBody::AtMost(most) => Self::AtMost(most),
        }
    }
}

impl From<&Pin> for PinBody {
    fn from(pin: &Pin) -> Self {
        match pin {
            Pin::OneOf(values) => Self::OneOf(values.clone()),
            Pin::Under(folder) => Self::Under(folder.clone()),
            Pin::AtMost(most) => Self::AtMost(*most),
        }
    }
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Task")]
pub(super) struct TaskView {
    /// Its id: `task_…`.
    id: String,
    /// Who may work in it.
    agent: String,
    /// What it is for.
    purpose: String,
    /// Whether its prompt is sealed in the evidence.
    prompt_kept: bool,
    /// All that it may call.
    tools: Vec<GrantBody>,
    /// Whether its agent made it for itself: it narrows, and is none that a rule asks for.
    self_made: bool,
    /// `open`, `ended`, or `expired` once its time is over.
    state: String,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl TaskView {
    pub(super) fn of(task: &Task, now: Timestamp) -> Self {
        let Task { id, agent, purpose, prompt_commitment, tools, self_made, status, created_at, expires_at } = task;
        let (state, state_reason, ended_at) = match status {
            TaskStatus::Open if now < *expires_at => ("open", None, None),
            TaskStatus::Open => ("expired", None, None),
            TaskStatus::Ended { at, reason } => ("ended", Some(reason.clone()), Some(*at)),
        };
        Self {
            id: id.to_string(),
            agent: agent.to_string(),
            purpose: purpose.clone(),
            prompt_kept: prompt_commitment.is_some(),
            tools: tools.iter().map(GrantBody::from).collect(),
            self_made: *self_made,
            state: state.to_owned(),
            state_reason,
            ended_at,
            created_at: *created_at,
            expires_at: *expires_at,
        }
    }
}
