//! Decides recorded calls again: which need a permit at all, and whether a suggestion keeps its word. No evidence but a
//! decision of the real evaluation counts.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    decision::{Decision, Evaluated, ReasonCode},
    evaluation::{Authority, Evaluation, Party},
    name::ActionName,
    principal::Principal,
};

use super::{
    Beyond, Group, Line, Mark, NoSuggestion, Question, Replayed, Seen, clauses::Closeness, in_system, only_action,
};
use crate::snapshot::Snapshot;

/// The calls that concern a role, sorted by what they need.
pub(super) struct Judged<'a> {
    /// Good calls that need a permit, by action.
    pub(super) groups: Vec<Group<'a>>,
    /// How many good calls need none, by the policies that permit them.
    pub(super) kept: BTreeMap<String, usize>,
    /// Good calls that stay denied.
    pub(super) beyond: Vec<Beyond>,
    /// Good calls that have to be allowed.
    pub(super) good: Vec<&'a Seen>,
    /// Bad calls.
    pub(super) bad: Vec<&'a Seen>,
}

/// What a replay came to.
pub(super) enum Outcome {
    /// It keeps its word.
    Stands(Replayed),
    /// It would, if the permits of these actions followed more closely what was seen.
    Closer(BTreeSet<ActionName>),
}

impl<'a> Judged<'a> {
    /// Sorts calls by how the bundle in force and the one without the role's entries decide them.
    pub(super) fn new(current: &Snapshot, base: &Snapshot, question: &Question<'a>) -> Result<Self, NoSuggestion> {
        let mut judged =
            Self { groups: Vec::new(), kept: BTreeMap::new(), beyond: Vec::new(), good: Vec::new(), bad: Vec::new() };
        let mut groups: BTreeMap<(ActionName, bool), Vec<&'a Seen>> = BTreeMap::new();
        let concerned = question.calls.iter().filter(|call| concerns(current, call, question));
        for call in concerned {
            if call.mark == Mark::Bad {
                judged.bad.push(call);
                continue;
            }
            let now = decide(current, &call.evaluation);
            let widens = !allows(&now);
            if widens && let Some(beyond) = beyond(call, &now, question) {
                judged.beyond.push(beyond);
                continue;
            }
            if widens && call.mark == Mark::Allowed {
                let because = vec![String::from("no_permit: denied by now; mark it good to widen")];
                judged.beyond.push(Beyond { evaluation: call.id(), because });
                continue;
            }
            judged.good.push(call);
            let without = decide(base, &call.evaluation);
            if allows(&without) {
                let policies: BTreeSet<String> =
                    without.determining.iter().map(|determining| determining.policy.to_string()).collect();
                *judged.kept.entry(policies.into_iter().collect::<Vec<_>>().join(", ")).or_default() += 1;
            } else {
                groups.entry((only_action(&call.evaluation)?.clone(), widens)).or_default().push(call);
            }
        }
        if judged.good.is_empty() {
            return Err(NoSuggestion::new(
                format!("no good call of role `{}` was seen in this span", question.role),
                "ask for an earlier `since`, or mark calls with `good`",
            ));
        }
        judged.groups = groups.into_iter().map(|((action, widens), calls)| Group { action, calls, widens }).collect();
        Ok(judged)
    }
}

/// Decides every call again.
pub(super) fn replay(snapshot: &Snapshot, judged: &Judged<'_>, drafts: &[Line]) -> Result<Outcome, NoSuggestion> {
    if let Some(lost) = judged.good.iter().find(|call| !allows(&decide(snapshot, &call.evaluation))) {
        return Err(NoSuggestion::new(
            format!("`{}` is good, and the suggestion would deny it", lost.id()),
            "this is a mistake of the broker: please report it with `bailiwick explain` of that call",
        ));
    }
    let mut closer = BTreeSet::new();
    for call in &judged.bad {
        let again = decide(snapshot, &call.evaluation);
        if !allows(&again) {
            continue;
        }
        let mine = |policy: &str| drafts.iter().any(|draft| draft.policy == policy);
        let permits: BTreeSet<&str> = again.determining.iter().map(|one| one.policy.as_str()).collect();
        let id = call.id();
        if !permits.iter().any(|policy| mine(policy)) {
            let policies: Vec<&str> = permits.into_iter().collect();
            return Err(NoSuggestion::new(
                format!(
                    "`{id}` is bad, and `{}` permits it, which is none of the entries that are rewritten",
                    policies.join("`, `")
                ),
                "narrow that policy first, or write a forbid",
            ));
        }
        closer.extend(call.action().cloned());
    }
    if closer.is_empty() {
        return Ok(Outcome::Stands(Replayed { good: judged.good.len(), bad: judged.bad.len() }));
    }
    Ok(Outcome::Closer(closer))
}

/// One step closer for these actions; an error once there is none.
pub(super) fn closer(
    closeness: &mut BTreeMap<ActionName, Closeness>,
    actions: &BTreeSet<ActionName>,
) -> Result<(), NoSuggestion> {
    for action in actions {
        let next = match closeness.get(action) {
            None | Some(Closeness::Ranges) => Closeness::Values,
            Some(Closeness::Values) => Closeness::Calls,
            Some(Closeness::Calls) => {
                return Err(NoSuggestion::new(
                    format!("a good and a bad call of `{action}` look the same to policy"),
                    "take one of the two marks back, or tell them apart by a task's pins",
                ));
            }
        };
        closeness.insert(action.clone(), next);
    }
    Ok(())
}

/// What policy alone decides, whatever was observed then.
pub(super) fn decide(snapshot: &Snapshot, evaluation: &Evaluation) -> Evaluated {
    if evaluation.authority.observations.is_empty() {
        return snapshot.evaluate(evaluation);
    }
    let authority = Authority { observations: BTreeSet::new(), ..evaluation.authority.clone() };
    snapshot.evaluate(&Evaluation { authority, ..evaluation.clone() })
}

/// Whether it comes out as allowed.
pub(super) fn allows(evaluated: &Evaluated) -> bool {
    matches!(evaluated.decision, Decision::Allow { .. })
}

/// Whether an agent of the role takes part in a call of the system.
fn concerns(current: &Snapshot, call: &Seen, question: &Question<'_>) -> bool {
    let holds = |party: &Party| {
        let role = party.role.as_ref().filter(|_| matches!(party.principal, Principal::Agent(_)));
        role.is_some_and(|role| current.roles().family(role).any(|(name, _)| name == question.role))
    };
    let evaluation = &call.evaluation;
    let here = evaluation.operations.iter().any(|operation| in_system(&operation.action, question.system));
    here && evaluation.parties.iter().any(holds)
}

/// Why no permit of the role can allow a call that is denied; `None` if one can.
fn beyond(call: &Seen, now: &Evaluated, question: &Question<'_>) -> Option<Beyond> {
    let reasons = now.decision.reasons();
    let agents = |principal: &Principal| matches!(principal, Principal::Agent(_));
    let several = call.evaluation.parties.len() > 1;
    let missing = |reason: &&bailiwick_model::decision::Reason| {
        let whose = match &reason.principal {
            Some(principal) => call.evaluation.parties.iter().find(|party| party.principal == *principal),
            None if several => None,
            None => call.evaluation.parties.first(),
        };
        let held = whose.is_some_and(|party| agents(&party.principal) && party.role.as_ref() == Some(question.role));
        reason.code == ReasonCode::NoPermit && held
    };
    if !reasons.is_empty() && reasons.iter().all(|reason| missing(&reason)) {
        return None;
    }
    let because = reasons.iter().map(|reason| match &reason.rule {
        Some(rule) => format!("{}: {rule}", reason.code),
        None => reason.code.to_string(),
    });
    Some(Beyond { evaluation: call.id(), because: because.collect() })
}
