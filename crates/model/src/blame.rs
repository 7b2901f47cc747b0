//! Who has to act for an error to go away: the first thing its reader asks.

use serde::{Deserialize, Serialize};

/// Whose move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The caller sent something wrong or asked for what it may not have.
    Agent,
    /// Configuration, policy or registration has to change.
    Operator,
    /// The system behind the broker misbehaved.
    Upstream,
    /// The broker itself failed.
    Us,
}
