//! A task: what one piece of work needs, narrower than its agent's role, gone when it ends.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::TaskId,
    name::{ActionName, AgentName},
};

/// What one argument may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// Exactly one of these JSON values; each element of an array argument must be one of them.
    OneOf(Vec<serde_json::Value>),
    /// A path under this folder, compared after normalisation, component by component.
    Under(String),
    /// An integer that is at most this.
    AtMost(i64),
}

/// One tool that a task may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolGrant {
    /// The action.
    pub action: ActionName,
    /// Per argument, what it is pinned to. An argument without a pin is free; a pinned argument must be present.
    #[serde(default)]
    pub pins: BTreeMap<String, Pin>,
}

/// The state of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum TaskStatus {
    /// Calls may be made in it until `expires_at`.
    Open,
    /// It ended.
    Ended {
        /// When.
        at: Timestamp,
        /// Why, in the words of whoever ended it.
        reason: String,
    },
}

/// A task as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Who may work in it.
    pub agent: AgentName,
    /// What it is for; sealed in evidence.
    pub purpose: String,
    /// The salted commitment to its prompt; the prompt itself is sealed.
    pub prompt_commitment: Option<[u8; 32]>,
    /// All that it may call.
    pub tools: Vec<ToolGrant>,
    /// Whether its agent made it for itself. Such a task narrows like any other, and is none that a rule asks for.
    pub self_made: bool,
    /// Its state.
    pub status: TaskStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Task {
    /// Whether calls may be made in it at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.status == TaskStatus::Open && now < self.expires_at
    }
}
