//! Observation: for a while, what policy would deny goes through and is recorded as such. Says what is observed and
//! which reasons it can go past; when it is on, and whether it lifts anything, is decided elsewhere.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    decision::{Decision, ReasonCode},
    name::{AgentName, NameError, SystemName, serde_by_str},
};

/// What is observed. Written `agent:<name>` or `system:<name>`; there is no way to observe everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObservationScope {
    /// Calls of one agent.
    Agent(AgentName),
    /// Calls to one system.
    System(SystemName),
}

impl fmt::Display for ObservationScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => write!(f, "agent:{name}"),
            Self::System(name) => write!(f, "system:{name}"),
        }
    }
}

impl FromStr for ObservationScope {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once(':') {
            Some(("agent", name)) => name.parse().map(Self::Agent),
            Some(("system", name)) => name.parse().map(Self::System),
            _ => Err(NameError::new("observation", text, "write `agent:<name>` or `system:<name>`")),
        }
    }
}

serde_by_str!(ObservationScope);

/// An observation that is on, as decisions see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// What is observed.
    pub scope: ObservationScope,
    /// Whether it covers production too: agents and systems of that environment.
    pub production: bool,
}

/// That a decision was made under observation, and what it would have been without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The observations that cover the call.
    pub by: Vec<ObservationScope>,
    /// What policy alone decides.
    pub would_be: Decision,
}

/// What policy alone decides about an observed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WouldBe {
    /// Allowed by policy too.
    Allowed,
    /// Denied, and people could have approved it.
    Asked,
    /// Denied.
    Denied,
}

impl WouldBe {
    /// The word in evidence and lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "would_allow",
            Self::Asked => "would_ask",
            Self::Denied => "would_deny",
        }
    }
}

impl Observed {
    /// What policy alone decides, in one word.
    pub const fn would_be(&self) -> WouldBe {
        match self.would_be {
            Decision::Allow { .. } => WouldBe::Allowed,
            Decision::RequestableDenial { .. } => WouldBe::Asked,
            Decision::Deny { .. } => WouldBe::Denied,
        }
    }
}

/// Whether observation can go past a reason. A list of what it may, not of what it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderObservation {
    /// A rule of the organisation: recorded, and gone past.
    GoesPast,
    /// It denies, observed or not.
    Stays,
}

impl ReasonCode {
    /// What observation makes of this reason. A new reason does not compile until somebody has decided.
    pub const fn under_observation(self) -> UnderObservation {
        match self {
            Self::NoPermit | Self::Forbidden | Self::ApprovalRequired => UnderObservation::GoesPast,
            Self::PrincipalInactive
            | Self::DelegationNotAllowed
            | Self::UnknownTool
            | Self::UnknownMethod
            | Self::DefinitionChanged
            | Self::DefinitionUnverified
            | Self::ArgumentInvalid
            | Self::OperationCount
            | Self::EvaluationError
            | Self::ObligationUnfulfillable
            | Self::InsufficientScope
            | Self::InsufficientUserAuthentication
            | Self::TaskRequired
            | Self::TaskEnded
            | Self::GrantEnded
            | Self::TaskTool
            | Self::TaskPin
            | Self::DetailTool
            | Self::DetailPin
            | Self::SafeMode
            | Self::LimitReached
            | Self::EvidenceUnavailable
            | Self::Conflict
            | Self::Replayed => UnderObservation::Stays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_one_agent_or_one_system() {
        for good in ["agent:support-bot", "system:files"] {
            assert_eq!(good.parse::<ObservationScope>().unwrap().to_string(), good);
        }
        for bad in ["everything", "", "files", "user:usr-1", "system:", "agent:*", "system:Files", "agent:a:b"] {
            assert!(bad.parse::<ObservationScope>().is_err(), "{bad:?}");
        }
    }
}
