//! Names in a scenario that are nowhere. A misspelt role holds nothing, so every test that expects a denial would pass
//! for the wrong reason; here it is an error, with its place and what was meant.

use std::collections::BTreeSet;

use bailiwick_model::decision::ReasonCode;
use toml::Spanned;

use super::file::{CallEntry, ScenarioFile};
use crate::{finding::Finding, snapshot::Snapshot, strict_toml::did_you_mean};

/// Every name that the bundle or the file does not know, in the order of the file.
pub(super) fn check(snapshot: &Snapshot, path: &str, bytes: &[u8], file: &ScenarioFile) -> Vec<Finding> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let mut names = Names { path, text, findings: Vec::new() };
    let roles: BTreeSet<String> = snapshot.roles().iter().map(|(name, _)| name.to_string()).collect();
    for role in file.agents.values().filter(|agent| !agent.role_unknown).filter_map(|agent| agent.role.as_ref()) {
        names.known(role, &roles, ("role-unknown", "is no role of this bundle"));
    }
    let actions: BTreeSet<String> = snapshot.action_names().map(ToString::to_string).collect();
    let people: BTreeSet<String> = file.agents.keys().chain(file.users.keys()).cloned().collect();
    let gates: BTreeSet<String> = snapshot.gates().map(ToString::to_string).collect();
    for call in &file.calls {
        for name in &call.by {
            names.known(name, &people, ("caller-unknown", "is no agent or user of this file"));
        }
        if !states(call, &[ReasonCode::UnknownTool, ReasonCode::UnknownMethod]) {
            names.known(&call.call, &actions, ("action-unknown", "is no action of this bundle"));
        }
        for grant in call.task.iter().flatten() {
            names.known(&grant.call, &actions, ("action-unknown", "is no action of this bundle"));
        }
        for gate in &call.approvals {
            names.known(gate, &gates, ("gate-unknown", "is no policy that approvers can lift"));
        }
        let declared = |fact: &&Spanned<_>| snapshot.store().fact(fact.get_ref()).is_none();
        if !states(call, &[ReasonCode::EvaluationError]) {
            for fact in call.facts.iter().filter(declared) {
                names.unknown(fact, None, ("fact-unknown", "is no fact that a system of this bundle declares"));
            }
        }
    }
    names.findings.sort();
    names.findings
}

/// Whether a call says that one of these reasons is what it expects.
fn states(call: &CallEntry, codes: &[ReasonCode]) -> bool {
    let stated = call.reasons.iter().flatten();
    stated.into_iter().any(|reason| codes.iter().any(|code| code.as_str() == reason))
}

struct Names<'a> {
    path: &'a str,
    text: &'a str,
    findings: Vec<Finding>,
}

impl Names<'_> {
    fn known<T: ToString>(&mut self, name: &Spanned<T>, known: &BTreeSet<String>, what: (&'static str, &str)) {
        let written = name.get_ref().to_string();
        if !known.contains(&written) {
            let near = did_you_mean(&written, known.iter().map(String::as_str)).map(str::to_owned);
            self.unknown(name, near, what);
        }
    }

    fn unknown<T: ToString>(&mut self, name: &Spanned<T>, near: Option<String>, (code, what): (&'static str, &str)) {
        let message = format!("`{}` {what}", name.get_ref().to_string());
        let finding = Finding::error(code, self.path, message).at_byte(self.text, name.span().start);
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if code == "role-unknown" => {
                String::from("correct it; an agent whose role must be nowhere says `role_unknown = true`")
            }
            None if code == "action-unknown" => {
                format!("correct it; a call that must be unknown says `reasons = [\"{}\"]`", ReasonCode::UnknownTool)
            }
            None => String::from("correct it: a misspelt name is denied for the wrong reason"),
        };
        self.findings.push(finding.with_help(help));
    }
}
