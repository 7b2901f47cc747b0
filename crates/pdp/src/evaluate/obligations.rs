//! What must be done when a call is allowed: everything that any satisfied
//! permit asks for. Two that cannot both be meant deny.

use std::collections::BTreeSet;

use bailiwick_model::decision::{Obligation, Reason, ReasonCode};

use super::refused;

/// The obligations of a call, or why they cannot all be discharged.
pub(super) fn union(obligations: &BTreeSet<Obligation>) -> Result<Vec<Obligation>, Reason> {
    let sizes = obligations.iter().filter(|one| matches!(one, Obligation::ResultBytesMax { .. }));
    if sizes.count() > 1 {
        let message = "the permits of this call oblige to different values of `result_bytes_max`";
        let help = "an operator has to make the permits agree";
        return Err(Reason { help: Some(help.to_owned()), ..refused(ReasonCode::ObligationUnfulfillable, message) });
    }
    Ok(obligations.iter().cloned().collect())
}
