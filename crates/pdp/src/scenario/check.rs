//! Runs one call of a scenario and compares what it states with what came.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use bailiwick_model::{
    decision::{Decision, Evaluated, Obligation, Reason},
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::{EvaluationId, TaskId},
    name::SystemName,
    observation::Observation,
    principal::Principal,
    task::ToolGrant,
};
use jiff::Timestamp;
use similar::TextDiff;

use super::{
    Case,
    file::{CallEntry, GrantEntry, ScenarioFile},
};
use crate::{
    coaz::Claims,
    finding::{Finding, Severity},
    mapping::Call,
    snapshot::Snapshot,
    templates,
    visibility::{Listing, Visibility},
};

/// A Monday morning, when nothing special is on.
const NOW: &str = "2026-06-15T10:00:00Z";

/// Who issued the tokens of a scenario.
const ISSUER: &str = "https://broker.example";

/// What a call came to, in the terms of a scenario.
#[derive(Debug, Default)]
struct Seen {
    outcome: String,
    reasons: BTreeSet<String>,
    rules: BTreeSet<String>,
    gates: BTreeSet<String>,
    obligations: BTreeSet<String>,
    budgets: BTreeSet<String>,
    listed: Option<bool>,
    /// Whether the arguments were understood.
    mapped: bool,
    observed: Option<String>,
    told: Vec<Reason>,
}

/// Runs one call. `Ok(None)`: as expected. `Err`: the scenario itself is wrong.
pub(super) fn call(snapshot: &Snapshot, file: &ScenarioFile, call: &CallEntry) -> Result<Option<String>, String> {
    let parties = parties(file, call)?;
    let now = call.at.as_deref().or(file.now.as_deref()).unwrap_or(NOW);
    let now: Timestamp = now.parse().map_err(|_| format!("`{now}` is not a moment such as `{NOW}`"))?;
    let action = call.call.get_ref();
    let system: SystemName = action.system().parse().map_err(|error| format!("{error}"))?;
    let rest = action.as_str().get(system.as_str().len()..).unwrap_or_default();
    let (method, name) = match rest.strip_prefix('.') {
        Some(tool) => ("tools/call", Some(tool)),
        None => (rest.trim_start_matches(':'), call.named.as_deref()),
    };
    let raw = Call { system: &system, method, name, arguments: &call.arguments };
    let mut authority = Authority {
        scopes: BTreeSet::new(),
        details: call.details.as_ref().map(|entries| entries.iter().map(grant).collect()),
        safe_modes: call.safe_modes.clone(),
        observations: observations(&call.observations)?,
        authentication: call.authentication.as_ref().map(|proof| proof.read(now)).transpose()?,
    };
    let task = task(snapshot, call)?;
    let network_zone = call.network_zone.clone().unwrap_or_else(|| String::from("unknown"));
    let (Some(initiating), Some(current)) = (parties.first(), parties.last()) else {
        return Err(String::from("nobody calls"));
    };
    let claims = Claims::of(ISSUER, &initiating.principal, &current.principal);
    let mut seen = match snapshot.map_for(&raw, &claims) {
        Err(reason) => Seen { outcome: String::from("deny"), ..Seen::default() }.with_reasons([reason]),
        Ok(operations) => {
            let needed = snapshot.required_scopes(&operations).into_iter().collect();
            authority.scopes = call.scopes.clone().unwrap_or(needed);
            let evaluation = Evaluation {
                id: EvaluationId::new(0, [0; 10]),
                now,
                parties: parties.clone(),
                operations,
                arguments: call.arguments.clone().into_iter().collect::<BTreeMap<_, _>>(),
                network_zone: network_zone.clone(),
                task: task.clone(),
                approvals: call.approvals.iter().map(|gate| gate.get_ref().clone()).collect(),
                authority: authority.clone(),
            };
            Seen::of(snapshot.evaluate(&evaluation))
        }
    };
    let listing = Listing { now, parties: &parties, network_zone: &network_zone, task: &task, authority: &authority };
    let lookout = snapshot.lookout(listing);
    seen.listed = Some(lookout.visibility(action) == Visibility::Shown);
    let told = lookout.prospect(action).outcomes;
    // What it tells leaves approvals and observation out.
    let as_told = seen.mapped && call.approvals.is_empty() && call.observations.is_empty();
    if as_told && !told.iter().any(|outcome| outcome.as_str() == seen.outcome) {
        return Err(format!("the broker would tell its caller {told:?}, and decides `{}`", seen.outcome));
    }
    Ok(difference(call, &seen))
}

fn parties(file: &ScenarioFile, call: &CallEntry) -> Result<Vec<Party>, String> {
    let only = || match (call.by.is_empty(), file.agents.len()) {
        (true, 1) => Ok(file.agents.keys().cloned().collect::<Vec<_>>()),
        (true, _) => Err(String::from("who calls? say `by = [\"…\"]`")),
        (false, _) => Ok(call.by.iter().map(|name| name.get_ref().clone()).collect()),
    };
    let party = |name: String| {
        if let Some(agent) = file.agents.get(&name) {
            return Ok(Party {
                principal: Principal::Agent(name.parse().map_err(|error| format!("{error}"))?),
                owner: agent.owner.clone(),
                environment: Some(agent.environment),
                role: agent.role.as_ref().map(|role| role.get_ref().clone()),
                groups: BTreeSet::new(),
                promoted: agent.promoted,
                task_required: agent.task_required,
            });
        }
        let user = file.users.get(&name).ok_or_else(|| format!("`{name}` is no agent or user of this file"))?;
        Ok(Party {
            principal: Principal::User(name.parse().map_err(|error| format!("{error}"))?),
            owner: String::new(),
            environment: None,
            role: None,
            groups: user.groups.clone(),
            promoted: true,
            task_required: false,
        })
    };
    only()?.into_iter().map(party).collect()
}

/// `system:files`, or `system:files in production`.
fn observations(texts: &[String]) -> Result<BTreeSet<Observation>, String> {
    let read = |text: &String| {
        let (scope, production) = match text.strip_suffix(" in production") {
            Some(scope) => (scope, true),
            None => (text.as_str(), false),
        };
        Ok(Observation { scope: scope.parse().map_err(|error| format!("{error}"))?, production })
    };
    texts.iter().map(read).collect()
}

fn grant(entry: &GrantEntry) -> ToolGrant {
    ToolGrant { action: entry.call.get_ref().clone(), pins: entry.pins.clone() }
}

fn task(snapshot: &Snapshot, call: &CallEntry) -> Result<TaskContext, String> {
    let grants = match (&call.task, &call.template) {
        (Some(_), Some(_)) => return Err(String::from("a call has a `task` or a `template`, not both")),
        (Some(grants), None) => Some(grants.iter().map(grant).collect()),
        (None, Some(name)) => {
            let template = snapshot.template(name).ok_or_else(|| format!("there is no template `{name}`"))?;
            let expanded = template.expand(&templates::stated(call.stated.clone()));
            Some(expanded.map_err(|error| error.to_string())?)
        }
        (None, None) => None,
    };
    let id = grants.is_some().then(|| TaskId::new(0, [0; 10]));
    let facts = call.facts.iter().map(|fact| fact.get_ref().clone()).collect();
    Ok(TaskContext { id, tools: grants, self_made: false, facts })
}

impl Seen {
    fn of(evaluated: Evaluated) -> Self {
        let seen = Self {
            outcome: evaluated.decision.as_str().to_owned(),
            mapped: true,
            budgets: evaluated.budgets.iter().map(|draw| draw.budget.clone()).collect(),
            observed: evaluated.observed.as_ref().map(|observed| observed.would_be().as_str().to_owned()),
            ..Self::default()
        };
        match evaluated.decision {
            Decision::Allow { obligations } => Self {
                obligations: obligations.iter().map(obligation).collect(),
                rules: evaluated.determining.iter().map(|one| one.policy.to_string()).collect(),
                ..seen
            },
            Decision::RequestableDenial { gates, reasons } => {
                Self { gates: gates.iter().map(|gate| gate.rule.to_string()).collect(), ..seen }.with_reasons(reasons)
            }
            Decision::Deny { reasons } => seen.with_reasons(reasons),
        }
    }

    fn with_reasons(mut self, reasons: impl IntoIterator<Item = Reason>) -> Self {
        for reason in reasons {
            self.reasons.insert(reason.code.to_string());
            self.rules.extend(reason.rule.as_ref().map(ToString::to_string));
            self.told.push(reason);
        }
        self
    }
}

/// An obligation as its annotation writes it.
fn obligation(obligation: &Obligation) -> String {
    match obligation {
        Obligation::CapturePayload => String::from("capture_payload"),
        Obligation::ResultBytesMax { bytes } => format!("result_bytes_max={bytes}"),
        Obligation::Mask { field_class } => format!("mask={field_class}"),
    }
}

/// Writes expectation and observation in one form, as far as the call states something.
fn difference(call: &CallEntry, seen: &Seen) -> Option<String> {
    let mut expected = format!("decision: {}\n", call.expect.as_str());
    let mut observed = format!("decision: {}\n", seen.outcome);
    let sets = [
        ("reasons", &call.reasons, &seen.reasons),
        ("rules", &call.rules, &seen.rules),
        ("gates", &call.gates, &seen.gates),
        ("obligations", &call.obligations, &seen.obligations),
        ("budgets", &call.budgets, &seen.budgets),
    ];
    for (name, wanted, found) in sets {
        if let Some(wanted) = wanted {
            list(&mut expected, name, wanted);
            list(&mut observed, name, found);
        }
    }
    if let (Some(wanted), Some(found)) = (call.listed, seen.listed) {
        let _ = writeln!(expected, "listed: {wanted}");
        let _ = writeln!(observed, "listed: {found}");
    }
    if let Some(wanted) = &call.observed {
        let _ = writeln!(expected, "observed: {wanted}");
        let _ = writeln!(observed, "observed: {}", seen.observed.as_deref().unwrap_or("no"));
    }
    if let Some(wanted) = &call.help {
        let helps =
            seen.told.iter().any(|reason| reason.help.as_ref().is_some_and(|help| help.contains(wanted.as_str())));
        let _ = writeln!(expected, "help: … {wanted} …");
        let _ = writeln!(
            observed,
            "help: {}",
            if helps { format!("… {wanted} …") } else { String::from("(says nothing of that)") }
        );
    }
    if expected == observed {
        return None;
    }
    let mut text = TextDiff::from_lines(&expected, &observed).unified_diff().header("expected", "observed").to_string();
    for reason in &seen.told {
        let rule = reason.rule.as_ref().map_or_else(String::new, |rule| format!(" ({rule})"));
        let _ = writeln!(text, "because: {}{rule}: {}", reason.code, reason.message);
    }
    Some(text)
}

fn list(text: &mut String, name: &str, items: &BTreeSet<String>) {
    let _ = writeln!(text, "{name}:");
    for item in items {
        let _ = writeln!(text, "  - {item}");
    }
}

/// Compares the findings of a bundle that must be refused.
pub(super) fn refusal(path: &str, file: &ScenarioFile, findings: Option<Vec<Finding>>) -> Case {
    let findings = findings.unwrap_or_default();
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let codes: BTreeSet<String> = errors.map(|finding| finding.code.to_owned()).collect();
    let difference = (codes != file.refused).then(|| {
        let (mut expected, mut observed) = (String::new(), String::new());
        list(&mut expected, "refused", &file.refused);
        list(&mut observed, "refused", &codes);
        let mut text =
            TextDiff::from_lines(&expected, &observed).unified_diff().header("expected", "observed").to_string();
        for finding in &findings {
            let _ = writeln!(text, "{finding}");
        }
        text
    });
    Case { file: path.to_owned(), name: format!("{} / refused", file.title), difference }
}
