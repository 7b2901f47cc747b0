//! The question to the policy decision point: one call, everybody on whose
//! authority it is made, and the trusted context. What the caller claims about
//! itself is only ever input.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    agent::Environment,
    authentication::Authentication,
    id::{EvaluationId, TaskId},
    name::{Fact, PolicyId, RoleName, Scope},
    observation::Observation,
    operation::Operation,
    principal::Principal,
    safe_mode::SafeModeScope,
    task::ToolGrant,
};

/// A principal with the attributes that policy may rely on. All come from the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Who.
    pub principal: Principal,
    /// Who answers for it; empty for a user.
    pub owner: String,
    /// Where it runs; `None` for users.
    pub environment: Option<Environment>,
    /// Its role, if it has one.
    pub role: Option<RoleName>,
    /// Groups, from the identity provider; empty until people sign in.
    pub groups: BTreeSet<String>,
    /// Whether it is past its read-only start; `true` for users.
    pub promoted: bool,
    /// Whether it may act only within an explicit task.
    pub task_required: bool,
}

/// The task of a call, as policy sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskContext {
    /// The explicit task; `None` is the implicit one.
    pub id: Option<TaskId>,
    /// What the explicit task grants; `None` is the implicit task, which does not narrow.
    pub tools: Option<Vec<ToolGrant>>,
    /// Whether its agent made it for itself: it narrows, and policy sees no explicit task in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub self_made: bool,
    /// What the initiating principal came to know or do within its window.
    pub facts: BTreeSet<Fact>,
}

/// What the token and the state allow, checked after policy and, but for observation, never wider than it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// The scopes of the access token.
    pub scopes: BTreeSet<Scope>,
    /// The tools, and their arguments, that the token may be used for (RFC 9396); `None` is all that its scopes open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<ToolGrant>>,
    /// The safe modes that are on.
    pub safe_modes: BTreeSet<SafeModeScope>,
    /// The observations that are on: the one thing here that widens, and only past rules of the organisation.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub observations: BTreeSet<Observation>,
    /// How the user of the chain proved who they are; `None` where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
}

/// One question. All its operations must be allowed for all its parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Its id, from the wire to the evidence.
    pub id: EvaluationId,
    /// When.
    pub now: Timestamp,
    /// Everybody in the delegation chain, initiating principal first, current actor last.
    pub parties: Vec<Party>,
    /// What; at least one.
    pub operations: Vec<Operation>,
    /// The raw arguments as JSON, which pins are compared with.
    pub arguments: BTreeMap<String, serde_json::Value>,
    /// The network zone that the caller's address falls into; `unknown` where none fits.
    pub network_zone: String,
    /// Its task.
    pub task: TaskContext,
    /// The gates that were approved for exactly this operation.
    pub approvals: BTreeSet<PolicyId>,
    /// Typed checks.
    pub authority: Authority,
}
