//! The answer of the policy decision point. No decision is a `bool`, and
//! explanation and decision come from one evaluation.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    bundle::BundleRevision,
    examined::Examined,
    id::EvaluationId,
    name::{ActionName, PolicyId},
    observation::Observed,
    principal::Principal,
};

/// What must be done when a call is allowed. One that the gateway does not know is a deny.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Obligation {
    /// Keep the whole arguments and result, sealed, beside the evidence: `@obligation("capture_payload")`.
    CapturePayload,
    /// Forward at most this many result bytes, else withhold: `@obligation("result_bytes_max=65536")`.
    ResultBytesMax {
        /// Bytes.
        bytes: u64,
    },
    /// Mask these field classes in the result: `@obligation("mask=pii")`.
    Mask {
        /// The field class.
        field_class: String,
    },
}

impl Obligation {
    /// Whether whoever discharges all of `others` discharges this one too.
    pub fn is_met_by(&self, others: &[Self]) -> bool {
        others.iter().any(|other| match (self, other) {
            (Self::ResultBytesMax { bytes }, Self::ResultBytesMax { bytes: fewer }) => fewer <= bytes,
            _ => self == other,
        })
    }
}

/// Why a call was denied, as a stable word for programs. `docs/reasons.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// A principal of the chain may not act now.
    PrincipalInactive,
    /// An agent of the chain may not delegate to the next one.
    DelegationNotAllowed,
    /// The tool is not in the catalogue.
    UnknownTool,
    /// The method is not one that the gateway maps.
    UnknownMethod,
    /// The tool's definition is not the pinned one.
    DefinitionChanged,
    /// Nobody verified the upstream's definitions recently enough.
    DefinitionUnverified,
    /// An argument does not fit its declared type, or cannot be made one spelling.
    ArgumentInvalid,
    /// An array argument names nothing, or too much.
    OperationCount,
    /// No policy permits it.
    NoPermit,
    /// A policy forbids it.
    Forbidden,
    /// A policy forbids it, and people named in that policy can lift it for this one call.
    ApprovalRequired,
    /// A policy could not be evaluated, so nothing is allowed.
    EvaluationError,
    /// An obligation is unknown or conflicts with another.
    ObligationUnfulfillable,
    /// The token lacks a scope.
    InsufficientScope,
    /// The user of the chain did not prove who they are well enough, or too long ago.
    InsufficientUserAuthentication,
    /// The agent must work in a task, and the token names none.
    TaskRequired,
    /// The task has ended.
    TaskEnded,
    /// The grant that the token was issued from has ended, or the token was revoked.
    GrantEnded,
    /// The task does not name this tool.
    TaskTool,
    /// An argument is not what the task pins it to.
    TaskPin,
    /// The token's `authorization_details` do not name this tool.
    DetailTool,
    /// An argument is not what the token's `authorization_details` allow.
    DetailPin,
    /// Safe mode is on.
    SafeMode,
    /// A budget is used up.
    LimitReached,
    /// The evidence could not be written, so nothing was forwarded.
    EvidenceUnavailable,
    /// What the decision relied on changed meanwhile.
    Conflict,
    /// A proof or an assertion was used before.
    Replayed,
}

impl ReasonCode {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrincipalInactive => "principal_inactive",
            Self::DelegationNotAllowed => "delegation_not_allowed",
            Self::UnknownTool => "unknown_tool",
            Self::UnknownMethod => "unknown_method",
            Self::DefinitionChanged => "definition_changed",
            Self::DefinitionUnverified => "definition_unverified",
            Self::ArgumentInvalid => "argument_invalid",
            Self::OperationCount => "operation_count",
            Self::NoPermit => "no_permit",
            Self::Forbidden => "forbidden",
            Self::ApprovalRequired => "approval_required",
            Self::EvaluationError => "evaluation_error",
            Self::ObligationUnfulfillable => "obligation_unfulfillable",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::TaskRequired => "task_required",
            Self::TaskEnded => "task_ended",
            Self::GrantEnded => "grant_ended",
            Self::TaskTool => "task_tool",
            Self::TaskPin => "task_pin",
            Self::DetailTool => "detail_tool",
            Self::DetailPin => "detail_pin",
            Self::SafeMode => "safe_mode",
            Self::LimitReached => "limit_reached",
            Self::EvidenceUnavailable => "evidence_unavailable",
            Self::Conflict => "conflict",
            Self::Replayed => "replayed",
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::LimitReached
                | Self::EvidenceUnavailable
                | Self::Conflict
                | Self::DefinitionUnverified
                | Self::Replayed
        )
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One reason for a denial: what, by which rule, what would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// The policy that decided, if one did.
    pub rule: Option<PolicyId>,
    /// For whom it failed, if it was one of several.
    pub principal: Option<Principal>,
    /// For people: a lower-case fragment without a full stop.
    pub message: String,
    /// What would help: the next step, in plain words.
    pub help: Option<String>,
    /// Seconds after which a retry can succeed, where that is known.
    pub retry_after_s: Option<u64>,
}

/// How a denial could be turned by asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The rule that can be lifted.
    pub rule: PolicyId,
    /// Who may lift it: `group:data-owners`.
    pub approvers: Vec<String>,
    /// How many of them.
    pub quorum: u32,
    /// Whether they must prove presence, and how.
    pub step_up: Option<String>,
    /// Seconds an approval lasts.
    pub expires_s: u64,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    /// Allowed, with what must be done.
    Allow {
        /// Union over all satisfied permits.
        obligations: Vec<Obligation>,
    },
    /// Denied, and these gates would turn it; each needs its own approvers.
    RequestableDenial {
        /// All of them are needed.
        gates: Vec<Gate>,
        /// Why it is denied now.
        reasons: Vec<Reason>,
    },
    /// Denied.
    Deny {
        /// Why; never empty.
        reasons: Vec<Reason>,
    },
}

impl Decision {
    /// A denial for one reason.
    pub fn deny(reason: Reason) -> Self {
        Self::Deny { reasons: vec![reason] }
    }

    /// `allow`, `ask` or `deny`, as logs, metrics and evidence say it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "allow",
            Self::RequestableDenial { .. } => "ask",
            Self::Deny { .. } => "deny",
        }
    }

    /// Why it is denied; empty if it is not.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Allow { .. } => &[],
            Self::RequestableDenial { reasons, .. } | Self::Deny { reasons } => reasons,
        }
    }
}

/// A policy that determined the decision, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Determining {
    /// The policy.
    pub policy: PolicyId,
    /// `permit` or `forbid`.
    pub effect: Effect,
    /// For which principal's request.
    pub principal: Principal,
    /// For which action.
    pub action: ActionName,
}

/// A policy's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Allows unless something forbids.
    Permit,
    /// Forbids whatever permits.
    Forbid,
}

/// A decision with all that explains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluated {
    /// Which evaluation.
    pub id: EvaluationId,
    /// By which bundle.
    pub bundle: BundleRevision,
    /// What was decided.
    pub decision: Decision,
    /// Which policies decided, in order and without repeats.
    pub determining: Vec<Determining>,
    /// Policies that could not be evaluated, with why: each of them denies.
    pub errors: BTreeMap<PolicyId, String>,
    /// Budgets that the call draws on; settled in the commit of its intent.
    pub budgets: Vec<BudgetDraw>,
    /// Of a denial: the policies that came nearest or stood in the way, and what of them decided. Holds values of the
    /// call: for operators and the sealed evidence, never for the caller. Older evidence has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examined: Vec<Examined>,
    /// Present if the call was observed: `decision` may then be wider than what policy alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
}

/// What one call takes from one budget: a count per window that the store holds exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetDraw {
    /// Whose and which: `agent:support-bot/writes-per-hour`.
    pub budget: String,
    /// Start of the window, in seconds since 1970.
    pub window_start_s: i64,
    /// Length of the window in seconds.
    pub window_s: u64,
    /// How much this call takes.
    pub amount: u64,
    /// How much the window holds.
    pub amount_max: u64,
}
