//! A use case that did not do what was asked: whose move it is, what to say
//! outside, what would help.

use bailiwick_model::{
    authentication::StepUp,
    blame::Blame,
    decision::{Decision, Evaluated, Reason},
    id::EvaluationId,
};
use bailiwick_ports::{store::StoreError, vault::VaultError};

/// A denied call: the decision that denied it, as evidence holds it.
#[derive(Debug, Clone)]
pub struct Denied {
    /// The decision; its reasons are for the caller.
    pub evaluated: Evaluated,
    /// Whether the denial itself is in the evidence; `false` only when nothing can be recorded.
    pub recorded: bool,
    /// All scopes that the call needs, when a scope is what is missing (RFC 6750 §3.1).
    pub scopes_needed: Vec<bailiwick_model::name::Scope>,
    /// What its user has to prove anew, when that is missing and a user is there to ask (RFC 9470 §3).
    pub step_up: Option<StepUp>,
}

impl Denied {
    /// The decision's id.
    pub fn id(&self) -> EvaluationId {
        self.evaluated.id
    }

    /// Why.
    pub fn reasons(&self) -> &[Reason] {
        self.evaluated.decision.reasons()
    }

    /// The decision.
    pub fn decision(&self) -> &Decision {
        &self.evaluated.decision
    }
}

/// A use case that was refused or failed. `Display` is for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What was asked cannot be: says why and what to do.
    #[error("{message}")]
    Invalid {
        /// Why.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
    /// It does not exist.
    #[error("{0} does not exist")]
    Missing(String),
    /// It exists, or changed meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The call was decided against.
    #[error("denied")]
    Denied(Box<Denied>),
    /// The store or the vault cannot be used now; nothing was changed.
    #[error("{0}")]
    Unavailable(String),
}

impl Refusal {
    /// An invalid request with a next step.
    pub fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), hint: Some(hint.into()) }
    }

    /// Whose move it is.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Invalid { .. } | Self::Missing(_) | Self::Conflict(_) | Self::Denied(_) => Blame::Agent,
            Self::Unavailable(_) => Blame::Us,
        }
    }

    /// The next step, if there is one to name.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Invalid { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_)
            | StoreError::Exists(_)
            | StoreError::Replayed
            | StoreError::BudgetUsedUp { .. } => Self::Conflict(error.to_string()),
            StoreError::Missing(what) => Self::Missing(format!("`{what}`")),
            StoreError::Unavailable(_) | StoreError::Inconsistent { .. } => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
