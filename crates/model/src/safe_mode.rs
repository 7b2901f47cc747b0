//! Safe mode: reads go on, everything else stops.

use std::{fmt, str::FromStr};

use crate::name::{AgentName, NameError, SystemName, serde_by_str};

/// What is in safe mode. Written `everything`, `agent:<name>` or `system:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SafeModeScope {
    /// The whole installation.
    Everything,
    /// One agent.
    Agent(AgentName),
    /// One system.
    System(SystemName),
}

impl fmt::Display for SafeModeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Agent(name) => write!(f, "agent:{name}"),
            Self::System(name) => write!(f, "system:{name}"),
        }
    }
}

impl FromStr for SafeModeScope {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once(':') {
            None if text == "everything" => Ok(Self::Everything),
            Some(("agent", name)) => name.parse().map(Self::Agent),
            Some(("system", name)) => name.parse().map(Self::System),
            _ => Err(NameError::new("safe mode scope", text, "write `everything`, `agent:<name>` or `system:<name>`")),
        }
    }
}

serde_by_str!(SafeModeScope);
