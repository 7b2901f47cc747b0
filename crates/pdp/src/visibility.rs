//! Which tools a caller is shown: all but those that it certainly could not
//! call or ask for. Never decides a call.

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    evaluation::{Authority, Party, TaskContext},
    name::ActionName,
};
use jiff::Timestamp;

use crate::{evaluate::refused, snapshot::Snapshot};

/// Who asks for a list, in which situation. The arguments of later calls are unknown.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// When.
    pub now: Timestamp,
    /// Everybody in the delegation chain, initiating principal first.
    pub parties: &'a [Party],
    /// The network zone that the caller's address falls into.
    pub network_zone: &'a str,
    /// The task that the list is asked for in.
    pub task: &'a TaskContext,
    /// Scopes and safe modes.
    pub authority: &'a Authority,
}

/// Whether something is shown in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// Some call of it could be allowed, or asked for.
    Shown,
    /// No call of it could.
    Hidden(Reason),
}

/// Whether an action is shown.
pub(crate) fn of(snapshot: &Snapshot, listing: &Listing<'_>, action: &ActionName) -> Visibility {
    let _ = (snapshot, listing);
    Visibility::Hidden(refused(ReasonCode::UnknownTool, format!("`{action}` is not in the published bundle")))
}
