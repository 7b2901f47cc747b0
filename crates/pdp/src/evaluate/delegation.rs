//! Whether the agents of a chain may delegate to each other under this bundle: asked on every call, so that a chain ends
//! with the permission that it came from.

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    evaluation::Party,
    principal::Principal,
};

use super::refused;
use crate::snapshot::Snapshot;

/// Refuses a chain in which somebody works for an agent whose role may not delegate to theirs. A user needs no such
/// permission: their consent to the first agent is a grant.
pub(super) fn check(snapshot: &Snapshot, parties: &[Party]) -> Result<(), Reason> {
    parties.windows(2).try_for_each(|pair| match pair {
        [from, to] => hop(snapshot, from, to),
        _ => Ok(()),
    })
}

fn hop(snapshot: &Snapshot, from: &Party, to: &Party) -> Result<(), Reason> {
    let allowed = match (&from.principal, &to.principal) {
        (Principal::User(_), Principal::Agent(_)) => true,
        (Principal::Agent(_), Principal::Agent(_)) => match (&from.role, &to.role) {
            (Some(from), Some(to)) => snapshot.delegation(from, to).is_some(),
            _ => false,
        },
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    let message = format!("`{}` may not delegate to `{}`", from.principal, to.principal);
    let help = match (&from.role, &to.role) {
        (Some(from), Some(to)) => {
            format!("an operator can allow it: `delegates_to = [\"{to}\"]` in `roles/{from}.toml`")
        }
        _ => String::from("only agents are delegated to, and by users and agents alone"),
    };
    Err(Reason {
        principal: Some(to.principal.clone()),
        help: Some(help),
        ..refused(ReasonCode::DelegationNotAllowed, message)
    })
}
