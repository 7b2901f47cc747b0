//! Who acts, and for whom.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    limits::CHAIN_DEPTH_MAX,
    name::{AgentName, OperatorName, UserId, WorkloadName},
};

/// Somebody or something that a decision can be about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "id", rename_all = "snake_case")]
pub enum Principal {
    /// A person, by pseudonym.
    User(UserId),
    /// An AI agent.
    Agent(AgentName),
    /// A program that is not an agent.
    Workload(WorkloadName),
    /// A person who runs the broker.
    Operator(OperatorName),
}

impl Principal {
    /// The Cedar entity type, without namespace.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "User",
            Self::Agent(_) => "Agent",
            Self::Workload(_) => "Workload",
            Self::Operator(_) => "Operator",
        }
    }

    /// The id within its kind.
    pub fn id(&self) -> &str {
        match self {
            Self::User(id) => id.as_str(),
            Self::Agent(name) => name.as_str(),
            Self::Workload(name) => name.as_str(),
            Self::Operator(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind().to_ascii_lowercase(), self.id())
    }
}

/// Everybody on whose authority a call is made, the *initiating* principal
/// first and the *current* actor last (RFC 8693 §4.1 nests them the other way
/// round). All of them are decided on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Principal>")]
pub struct DelegationChain(Vec<Principal>);

/// A chain that is empty, too deep, or names somebody twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Nobody acts.
    #[error("a delegation chain names at least one principal")]
    Empty,
    /// More hops than [`CHAIN_DEPTH_MAX`].
    #[error("a delegation chain names at most {CHAIN_DEPTH_MAX} principals")]
    TooDeep,
    /// A principal delegates to itself, directly or through others.
    #[error("`{0}` stands twice in one delegation chain")]
    Repeated(Principal),
}

impl TryFrom<Vec<Principal>> for DelegationChain {
    type Error = ChainError;

    fn try_from(principals: Vec<Principal>) -> Result<Self, ChainError> {
        Self::new(principals)
    }
}

impl DelegationChain {
    /// A chain of one: the principal acts for itself.
    pub fn of(principal: Principal) -> Self {
        Self(vec![principal])
    }

    /// Checks and takes a chain, initiating principal first.
    pub fn new(principals: Vec<Principal>) -> Result<Self, ChainError> {
        if principals.is_empty() {
            return Err(ChainError::Empty);
        }
        if principals.len() > CHAIN_DEPTH_MAX {
            return Err(ChainError::TooDeep);
        }
        let mut seen = std::collections::BTreeSet::new();
        for principal in &principals {
            if !seen.insert(principal) {
                return Err(ChainError::Repeated(principal.clone()));
            }
        }
        Ok(Self(principals))
    }

    /// All principals, initiating first.
    pub fn principals(&self) -> &[Principal] {
        &self.0
    }

    /// Who started it.
    #[expect(clippy::indexing_slicing, reason = "a chain is never empty: its constructors see to it")]
    pub fn initiating(&self) -> &Principal {
        &self.0[0]
    }

    /// Who makes the call.
    #[expect(clippy::indexing_slicing, reason = "a chain is never empty: its constructors see to it")]
    pub fn current(&self) -> &Principal {
        &self.0[self.0.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> Principal {
        Principal::Agent(name.parse().unwrap())
    }

    #[test]
    fn a_chain_refuses_nobody_depth_and_loops() {
        assert_eq!(DelegationChain::new(vec![]), Err(ChainError::Empty));
        let deep = (0..=CHAIN_DEPTH_MAX).map(|i| agent(&format!("a{i}"))).collect();
        assert_eq!(DelegationChain::new(deep), Err(ChainError::TooDeep));
        let twice = vec![agent("a"), agent("b"), agent("a")];
        assert_eq!(DelegationChain::new(twice), Err(ChainError::Repeated(agent("a"))));
    }
}
