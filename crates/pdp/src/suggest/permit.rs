//! Calls of one action, and the permit that covers them, as text that a person reads before publishing it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use bailiwick_model::{
    name::ActionName,
    value::{Record, Value},
};

use super::{
    Line, Question, SAMPLES_MAX, Seen,
    clauses::{Clause, Closeness, Writer},
    text,
};
use crate::{propose::render::whole_line, schema::literal, snapshot::Snapshot};

/// Good calls of one action that need a permit.
pub(super) struct Group<'a> {
    pub(super) action: ActionName,
    pub(super) calls: Vec<&'a Seen>,
    /// Whether the policy in force denies them.
    pub(super) widens: bool,
}

impl<'a> Group<'a> {
    /// The group itself; where whole calls are asked for, one group per different call.
    pub(super) fn parts(&self, closeness: Closeness) -> Vec<Group<'a>> {
        let of = |calls: Vec<&'a Seen>| Group { action: self.action.clone(), calls, widens: self.widens };
        if closeness < Closeness::Calls {
            return vec![of(self.calls.clone())];
        }
        let mut by_input: BTreeMap<Record, Vec<&'a Seen>> = BTreeMap::new();
        for call in &self.calls {
            if let Some(operation) = call.evaluation.operations.first() {
                by_input.entry(canonical(&operation.input)).or_default().push(call);
            }
        }
        by_input.into_values().map(of).collect()
    }

    /// The permit of these calls for whom `principal` says.
    pub(super) fn permit(&self, current: &Snapshot, id: &str, principal: &str, values_max: usize) -> Line {
        let tool = current.catalogue().tool_of(&self.action);
        let operations = self.calls.iter().filter_map(|call| call.evaluation.operations.first());
        let inputs: Vec<&Record> = operations.map(|operation| &operation.input).collect();
        let clauses = Writer { tool, values_max }.clauses(&inputs);
        let mut samples: Vec<String> = self.calls.iter().map(|call| call.id()).collect();
        samples.sort();
        samples.truncate(SAMPLES_MAX);
        let mut line = Line {
            policy: id.to_owned(),
            action: self.action.clone(),
            calls: self.calls.len(),
            samples,
            arguments: clauses.iter().map(|clause| whole_line(&clause.said)).collect(),
            widens: self.widens,
            cedar: String::new(),
        };
        line.cedar = cedar(&line, principal, &clauses);
        line
    }
}

/// The permit, headed by what it covers and what was made of each argument.
fn cedar(line: &Line, principal: &str, clauses: &[Clause]) -> String {
    let mut cedar = String::new();
    let calls = if line.calls == 1 { String::from("1 call") } else { format!("{} calls", line.calls) };
    let _ = writeln!(
        cedar,
        "// {calls}: {}{}",
        line.samples.join(", "),
        if line.calls > line.samples.len() { ", …" } else { "" }
    );
    if line.widens {
        cedar.push_str("// WIDENS: the policy that it was made from denies this.\n");
    }
    let _ = writeln!(cedar, "@id({})", literal(&line.policy));
    let action = literal(line.action.as_str());
    let _ = write!(cedar, "permit (\n    {principal},\n    action == Bailiwick::Action::{action},\n    resource\n)");
    let mut free = String::new();
    for clause in clauses {
        let said = whole_line(&clause.said);
        match &clause.cedar {
            Some(rule) => {
                let _ = write!(cedar, "\n// {said}\nwhen {{ {rule} }}");
            }
            None => {
                let _ = write!(free, "\n// {said}");
            }
        }
    }
    cedar.push_str(&free);
    cedar.push_str("\n;\n");
    cedar
}

/// The file that the permits go to, after what is there already.
pub(super) fn file(question: &Question<'_>, drafts: &[Line]) -> Option<(String, String)> {
    let path = format!("policies/roles/suggested-{}.cedar", question.role);
    let before = text(question.files, &path);
    appended(path, before, drafts)
}

/// A file with permits after what is there already.
pub(super) fn appended(path: String, before: String, drafts: &[Line]) -> Option<(String, String)> {
    if drafts.is_empty() {
        return None;
    }
    let mut after = before;
    for draft in drafts {
        if !after.is_empty() {
            after.push_str(if after.ends_with('\n') { "\n" } else { "\n\n" });
        }
        after.push_str(&draft.cedar);
    }
    Some((path, after))
}

/// Input as policy sees it: lists are sets.
pub(super) fn canonical(input: &Record) -> Record {
    input.iter().map(|(name, value)| (name.clone(), as_set(value))).collect()
}

fn as_set(value: &Value) -> Value {
    match value {
        Value::Set(elements) => {
            let elements: BTreeSet<Value> = elements.iter().map(as_set).collect();
            Value::Set(elements.into_iter().collect())
        }
        Value::Record(record) => Value::Record(canonical(record)),
        scalar => scalar.clone(),
    }
}
