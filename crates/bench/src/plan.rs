//! How much is measured: enough to be believed, or just enough to see that it runs.

use std::time::Duration;

/// The size of a run.
pub(crate) struct Plan {
    /// How often everything is measured, one after the other, so that a slow minute hits all of it.
    pub(crate) rounds: usize,
    /// How long one thing is measured in a round.
    pub(crate) round: Duration,
    /// Agents that are registered where many are.
    pub(crate) agents: u32,
    /// Tools of a large catalogue.
    pub(crate) tools: usize,
}

impl Plan {
    pub(crate) const FULL: Self =
        Self { rounds: 5, round: Duration::from_millis(1_500), agents: 100_000, tools: 1_000 };
    pub(crate) const SMOKE: Self = Self { rounds: 1, round: Duration::from_millis(200), agents: 500, tools: 50 };
}
