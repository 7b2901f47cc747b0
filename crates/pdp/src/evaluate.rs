//! The decision. Total and closed on failure: two stages, both of which must
//! allow; whatever cannot be decided is denied; the reasons come from the same
//! evaluation. Knows no clock, and asks nobody.

mod authority;
mod context;
mod delegation;
mod denial;
mod explain;
mod fit;
mod obligations;
mod observe;
mod pins;
mod policy;

use std::collections::BTreeSet;

use bailiwick_model::{
    decision::{Decision, Determining, Effect, Evaluated, Gate, Reason, ReasonCode},
    evaluation::Evaluation,
    limits::{CHAIN_DEPTH_MAX, OPERATIONS_PER_CALL_MAX},
    name::PolicyId,
};

pub(crate) use self::{
    authority::{Asked, listed as authority_of_listing, narrowing, required_scope, step_up},
    context::{KNOWN, Shared, shared as shared_context},
    denial::refused,
    observe::covering as observed_by,
    pins::holds as pin_holds,
    policy::{Acting, principals},
};
use self::{denial::Denial, policy::Verdict};
use crate::snapshot::Snapshot;

/// Decides one evaluation.
pub(crate) fn evaluate(snapshot: &Snapshot, evaluation: &Evaluation) -> Evaluated {
    let mut verdict = match malformed(evaluation) {
        Some(reason) => Verdict::denied(reason),
        None => policy::verdict(snapshot, evaluation, &evaluation.approvals),
    };
    let authority = authority::check(snapshot, evaluation);
    let obligations = obligations::union(&verdict.obligations);
    let decision = match (verdict.denials.is_empty(), authority.is_empty(), obligations) {
        (true, true, Ok(obligations)) => Decision::Allow { obligations },
        (true, true, Err(reason)) => Decision::deny(reason),
        _ => deny(snapshot, evaluation, &mut verdict, authority.clone()),
    };
    let (decision, observed) = observe::apply(snapshot, evaluation, &verdict, &authority, decision);
    let budgets = match &decision {
        Decision::Allow { .. } => authority::budgets(snapshot, evaluation),
        Decision::RequestableDenial { .. } | Decision::Deny { .. } => Vec::new(),
    };
    if !verdict.denials.is_empty() {
        verdict.determining.retain(|determining| determining.effect == Effect::Forbid);
    }
    Evaluated {
        id: evaluation.id,
        bundle: snapshot.revision(),
        decision,
        determining: verdict.determining.into_iter().collect::<Vec<Determining>>(),
        errors: verdict.errors,
        budgets,
        examined: verdict.examined,
        observed,
    }
}

/// A question that is none: nobody acts, nothing is attempted, or too much.
fn malformed(evaluation: &Evaluation) -> Option<Reason> {
    if evaluation.parties.is_empty() || evaluation.parties.len() > CHAIN_DEPTH_MAX {
        let message = format!("a call is made by 1 to {CHAIN_DEPTH_MAX} principals");
        return Some(refused(ReasonCode::EvaluationError, message));
    }
    if evaluation.operations.is_empty() || evaluation.operations.len() > OPERATIONS_PER_CALL_MAX {
        let message = format!("a call stands for 1 to {OPERATIONS_PER_CALL_MAX} operations");
        return Some(refused(ReasonCode::OperationCount, message));
    }
    None
}

/// A denial, and whether asking could turn it: only if gates alone stand in
/// the way, shown by evaluating once more with all of them lifted.
fn deny(snapshot: &Snapshot, evaluation: &Evaluation, verdict: &mut Verdict, authority: Vec<Reason>) -> Decision {
    let gates: BTreeSet<PolicyId> =
        verdict.denials.iter().filter_map(Denial::gate).map(|gate| gate.rule.clone()).collect();
    let only_gates = authority.is_empty() && !gates.is_empty() && verdict.denials.iter().all(|d| d.gate().is_some());
    if only_gates {
        let lifted = gates.union(&evaluation.approvals).cloned().collect();
        let second = policy::verdict(snapshot, evaluation, &lifted);
        if second.denials.is_empty() && obligations::union(&second.obligations).is_ok() {
            return requestable(&verdict.denials);
        }
    }
    let reasons = verdict.denials.iter().map(Denial::reason).chain(authority);
    Decision::Deny { reasons: distinct(reasons) }
}

fn requestable(denials: &[Denial]) -> Decision {
    let mut gates: Vec<Gate> = denials.iter().filter_map(Denial::gate).cloned().collect();
    gates.sort_by(|a, b| a.rule.cmp(&b.rule));
    gates.dedup_by(|a, b| a.rule == b.rule);
    let reasons = denials.iter().map(Denial::as_request);
    Decision::RequestableDenial { gates, reasons: distinct(reasons) }
}

/// Reasons without repeats: an array of 200 elements fails for one reason, not for 200.
fn distinct(reasons: impl Iterator<Item = Reason>) -> Vec<Reason> {
    let mut kept: Vec<Reason> = Vec::new();
    for reason in reasons {
        if !kept.contains(&reason) {
            kept.push(reason);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
