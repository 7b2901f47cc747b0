//! The context of a decision: what the broker knows, never what the caller
//! claims. What all principals and operations share is built once.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    evaluation::{Party, TaskContext},
    name::PolicyId,
    operation::Operation,
};
use cedar_policy_core::ast::{Context, Value};
use jiff::Timestamp;

use super::refused;
use crate::{snapshot::Snapshot, values};

/// The attributes of the context that are known before there is a call, in the order of [`shared`].
pub(crate) const KNOWN: [&str; 6] = ["now", "local", "network", "task", "chain", "approvals"];

/// The context of one call, without what its operations add.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Vec<(&'static str, Value)>);

/// What the whole call has in common.
pub(crate) fn shared(
    snapshot: &Snapshot,
    now: Timestamp,
    network_zone: &str,
    task: &TaskContext,
    parties: &[Party],
    approvals: &BTreeSet<PolicyId>,
) -> Result<Shared, Reason> {
    let doubt = |error: values::NotAValue| {
        refused(ReasonCode::EvaluationError, format!("the context cannot be built: {error}"))
    };
    let local = snapshot.calendar().local(now).map(|(zone, local)| {
        let members: [(&str, Value); 4] = [
            ("date", local.date.as_str().into()),
            ("minute_of_day", local.minute_of_day.into()),
            ("weekday", local.weekday.into()),
            ("holiday", local.holiday.into()),
        ];
        (zone, Value::record(members, None))
    });
    let facts = task.facts.iter().map(|fact| {
        snapshot.store().fact(fact).map(Value::from).ok_or_else(|| {
            let message = format!("the task knows the fact `{fact}`, which the published bundle does not declare");
            let help = "declare it again in `systems/`, or wait until the window of the fact has passed";
            Reason { help: Some(help.to_owned()), ..refused(ReasonCode::EvaluationError, message) }
        })
    });
    let facts: Vec<Value> = facts.collect::<Result<_, _>>()?;
    let task: [(&str, Value); 2] =
        [("implicit", (task.id.is_none() || task.self_made).into()), ("facts", Value::set(facts, None))];
    let network: [(&str, Value); 1] = [("zone", network_zone.into())];
    let approvals = approvals.iter().map(|gate| Value::from(gate.as_str()));
    let values: [Value; KNOWN.len()] = [
        values::datetime(now).map_err(doubt)?,
        Value::record(local, None),
        Value::record(network, None),
        Value::record(task, None),
        chain(parties),
        Value::set(approvals, None),
    ];
    Ok(Shared(KNOWN.into_iter().zip(values).collect()))
}

/// Who hands on to whom, initiating principal first. Principals are text here: that one of them exists is not asked of
/// the bundle, and no policy can look inside somebody else than the one it decides on.
fn chain(parties: &[Party]) -> Value {
    let names: Vec<String> = parties.iter().map(|party| party.principal.to_string()).collect();
    let hops = names.windows(2).map(|hop| Value::from(hop.join(">")));
    let members = names.iter().map(|name| Value::from(name.as_str()));
    let record: [(&str, Value); 3] = [
        ("length", i64::try_from(names.len()).unwrap_or(i64::MAX).into()),
        ("members", Value::set(members, None)),
        ("hops", Value::set(hops, None)),
    ];
    Value::record(record, None)
}

impl Shared {
    /// What is known before there is a call: everything here.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// The context of one operation.
    pub(super) fn of(&self, operation: &Operation) -> Result<Context, Reason> {
        let input = values::record(&operation.input).map_err(|error| {
            refused(ReasonCode::ArgumentInvalid, format!("the arguments cannot be evaluated: {error}"))
        })?;
        let effect: [(&str, Value); 2] =
            [("records", operation.effect.records.into()), ("reversible", operation.effect.reversible.into())];
        let own = [("effect", Value::record(effect, None)), ("input", input)];
        let all = self.0.iter().cloned().chain(own);
        Ok(Context::Value(Arc::new(all.map(|(name, value)| (name.into(), value)).collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{party, snapshot};

    #[test]
    fn what_is_known_before_there_is_a_call_counts_as_no_argument() {
        let reads = |when: &str| {
            let text = format!(
                r#"
title = "known"
[systems.a.tools.b]
class = "read"
input = {{ n = "integer" }}
[policies]
organisation = '''
@id("p") permit (principal is Bailiwick::Agent, action == Bailiwick::Action::"a.b", resource) when {{ {when} }};
'''
"#
            );
            let snapshot = snapshot(&text);
            let task = TaskContext { id: None, tools: None, self_made: false, facts: BTreeSet::new() };
            let parties = [party("bot", "nobody")];
            let shared = shared(&snapshot, Timestamp::UNIX_EPOCH, "office", &task, &parties, &BTreeSet::new()).unwrap();
            assert_eq!(shared.known().map(|(name, _)| name).collect::<Vec<_>>(), KNOWN);
            snapshot.policies().iter().find(|policy| policy.id.as_str() == "p").unwrap().reads.arguments
        };
        for known in [
            "context.now > datetime(\"2020-01-01\")",
            "context.network.zone == \"office\"",
            "context.task.implicit",
            "context.chain.length == 1",
        ] {
            assert!(!reads(known), "{known}");
        }
        assert!(reads("context.input.n > 1") && reads("context.effect.records > 1 && context.chain.length == 1"));
    }
}
