//! Under observation a call goes past the rules of the organisation, and past nothing else. Decides only whether the
//! rest of the decision leaves it that; what policy alone says stays beside it.

use std::collections::BTreeSet;

use bailiwick_model::{
    agent::Environment,
    decision::{Decision, Obligation, Reason},
    evaluation::{Authority, Evaluation, Party},
    observation::{ObservationScope, Observed, UnderObservation},
    operation::Operation,
    principal::Principal,
};

use super::{authority::safe_mode_on, obligations, policy::Verdict};
use crate::{catalogue::System, snapshot::Snapshot};

/// The decision under observation, and what it would be without; the decision itself if nobody observes the call.
pub(super) fn apply(
    snapshot: &Snapshot,
    evaluation: &Evaluation,
    verdict: &Verdict,
    authority: &[Reason],
    decision: Decision,
) -> (Decision, Option<Observed>) {
    let by = covering_all(snapshot, evaluation);
    if by.is_empty() {
        return (decision, None);
    }
    let gone_past = match &decision {
        Decision::Allow { .. } => None,
        Decision::RequestableDenial { .. } | Decision::Deny { .. } => go_past(snapshot, evaluation, verdict, authority),
    };
    let observed = Observed { by, would_be: decision.clone() };
    (gone_past.unwrap_or(decision), Some(observed))
}

/// The observations that cover every operation of a call.
fn covering_all(snapshot: &Snapshot, evaluation: &Evaluation) -> Vec<ObservationScope> {
    let Evaluation { parties, operations, authority, .. } = evaluation;
    let mut all = BTreeSet::new();
    for operation in operations {
        let by = covering(snapshot, operation.action.system(), parties, authority);
        if by.is_empty() {
            return Vec::new();
        }
        all.extend(by);
    }
    all.into_iter().collect()
}

/// The observations that cover what these principals do on this system: the system's own, or one for each of them.
/// None while a safe mode concerns them: it wins.
pub(crate) fn covering(
    snapshot: &Snapshot,
    system: &str,
    parties: &[Party],
    authority: &Authority,
) -> Vec<ObservationScope> {
    if authority.observations.is_empty() || safe_mode_on(system, parties, authority).is_some() {
        return Vec::new();
    }
    let Some(entry) = entry(snapshot, system) else { return Vec::new() };
    let environments = parties.iter().filter_map(|party| party.environment).chain([entry.environment]);
    let production = environments.into_iter().any(|environment| environment == Environment::Production);
    let usable = || authority.observations.iter().filter(|one| one.production || !production).map(|one| &one.scope);
    if let Some(scope) =
        usable().find(|scope| matches!(scope, ObservationScope::System(name) if name.as_str() == system))
    {
        return vec![scope.clone()];
    }
    let of = |party: &Party| match &party.principal {
        Principal::Agent(agent) => {
            usable().find(|scope| matches!(scope, ObservationScope::Agent(name) if name == agent)).cloned()
        }
        Principal::User(_) | Principal::Workload(_) | Principal::Operator(_) => None,
    };
    parties.iter().map(of).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The call allowed, if nothing stands in its way but what observation goes past.
fn go_past(snapshot: &Snapshot, evaluation: &Evaluation, verdict: &Verdict, authority: &[Reason]) -> Option<Decision> {
    let only_rules = verdict.denials.iter().all(|denial| denial.under_observation() == UnderObservation::GoesPast);
    let decided = authority.is_empty() && verdict.errors.is_empty() && !verdict.denials.is_empty();
    if !only_rules || !decided || obligations::union(&verdict.obligations).is_err() {
        return None;
    }
    let mut duties = verdict.obligations.clone();
    duties.extend(verdict.obligations_near.iter().cloned());
    duties.extend(evaluation.operations.iter().flat_map(|operation| masks(snapshot, operation)));
    let smallest = duties.iter().find(|duty| matches!(duty, Obligation::ResultBytesMax { .. })).cloned();
    duties.retain(|duty| !matches!(duty, Obligation::ResultBytesMax { .. }) || Some(duty) == smallest.as_ref());
    obligations::union(&duties).ok().map(|obligations| Decision::Allow { obligations })
}

/// A mask for every class of fields that the tool declares: no permit says that this caller may see any of them.
fn masks(snapshot: &Snapshot, operation: &Operation) -> Vec<Obligation> {
    let tool = snapshot.catalogue().tool_of(&operation.action);
    let classes = tool.into_iter().flat_map(|tool| tool.field_classes.keys());
    classes.map(|class| Obligation::Mask { field_class: class.clone() }).collect()
}

fn entry<'a>(snapshot: &'a Snapshot, system: &str) -> Option<&'a System> {
    snapshot.catalogue().system(&system.parse().ok()?)
}

#[cfg(test)]
mod tests;
