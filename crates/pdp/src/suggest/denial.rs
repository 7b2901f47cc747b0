//! From one denial to the narrowest grant that would turn it, or to why no grant may. A rule that forbids is not
//! proposed away.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    bundle::BundleFiles,
    decision::{Decision, Reason, ReasonCode},
    evaluation::Evaluation,
    name::{AgentName, PolicyId, Scope},
    principal::Principal,
    task::{Pin, ToolGrant},
};
use serde_json::Value;

use super::{
    Change, Line, Mark, NoSuggestion, Seen, changes,
    clauses::VALUES_EXACT_MAX,
    compile, only_action,
    permit::{Group, appended},
    replay::{allows, decide},
    text, with,
};
use crate::snapshot::Snapshot;

/// What would turn a denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What policy says of the call now.
    pub reasons: Vec<Reason>,
    /// Those that no grant may turn; if there is one, nothing is proposed.
    pub stands: Vec<Reason>,
    /// Files that change.
    pub files: BTreeMap<String, Change>,
    /// Permits of exactly this call, one for each agent that lacks one.
    pub lines: Vec<Line>,
    /// A task of exactly this call, if its task does not allow it.
    pub task: Option<TaskProposal>,
    /// Scopes that its token would need.
    pub scopes: Vec<Scope>,
    /// What the decision would be with all of this in place; `None` if nothing is proposed.
    pub then: Option<Decision>,
}

/// A task to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskProposal {
    /// For whom.
    pub agent: AgentName,
    /// What it grants.
    pub tools: Vec<ToolGrant>,
}

/// The narrowest grant that would turn the denial of a call under this bundle.
pub fn for_denial(files: &BundleFiles, evaluation: &Evaluation) -> Result<Proposal, NoSuggestion> {
    let current = compile(files).map_err(|_| {
        NoSuggestion::new("the bundle in force does not compile any more", "`bailiwick policy validate` says why")
    })?;
    let now = decide(&current, evaluation);
    if allows(&now) {
        return Err(NoSuggestion::new(
            "the policy in force allows this call by now",
            "let the agent call again; `bailiwick explain` shows what denied it then",
        ));
    }
    let reasons = now.decision.reasons().to_vec();
    let turned = |reason: &&Reason| turnable(reason, evaluation);
    let stands: Vec<Reason> = reasons.iter().filter(|reason| !turned(reason)).cloned().collect();
    let mut proposal = Proposal {
        reasons,
        stands,
        files: BTreeMap::new(),
        lines: Vec::new(),
        task: None,
        scopes: Vec::new(),
        then: None,
    };
    if !proposal.stands.is_empty() {
        return Ok(proposal);
    }
    propose(files, &current, evaluation, &mut proposal)?;
    Ok(proposal)
}

fn propose(
    files: &BundleFiles,
    current: &Snapshot,
    evaluation: &Evaluation,
    proposal: &mut Proposal,
) -> Result<(), NoSuggestion> {
    let mut then = evaluation.clone();
    let has = |code: ReasonCode| proposal.reasons.iter().any(|reason| reason.code == code);
    if has(ReasonCode::TaskTool) || has(ReasonCode::TaskPin) {
        let task = task(evaluation)?;
        then.task.tools = Some(task.tools.clone());
        proposal.task = Some(task);
    }
    if has(ReasonCode::InsufficientScope) {
        proposal.scopes = current.required_scopes(&evaluation.operations);
        then.authority.scopes.extend(proposal.scopes.iter().cloned());
    }
    let mut after = files.clone();
    for agent in lacking(&proposal.reasons, evaluation) {
        let snapshot = compile(&after).map_err(|_| mistake())?;
        let drafted = permit(&snapshot, evaluation, &agent)?;
        let path = format!("policies/roles/granted-{agent}.cedar");
        let before = text(&after, &path);
        if let Some(changed) = appended(path, before, std::slice::from_ref(&drafted)) {
            after = with(&after, [changed])?;
        }
        proposal.lines.push(drafted);
    }
    let snapshot = compile(&after).map_err(|findings| {
        let first = findings.first().map(ToString::to_string).unwrap_or_default();
        NoSuggestion::new(format!("no permit of exactly this call can be written: {first}"), "write it by hand")
    })?;
    proposal.files = changes(files, &after);
    proposal.then = Some(decide(&snapshot, &then).decision);
    Ok(())
}

fn mistake() -> NoSuggestion {
    NoSuggestion::new("the proposal does not compile", "this is a mistake of the broker: please report it")
}

/// Whether a grant may turn it. A missing permit of a user may not: what people may do is not an agent's to propose.
fn turnable(reason: &Reason, evaluation: &Evaluation) -> bool {
    match reason.code {
        ReasonCode::NoPermit => whose(reason, evaluation).is_some(),
        // A gate stays: with a permit in place, the people it names are asked.
        ReasonCode::ApprovalRequired => true,
        ReasonCode::TaskTool | ReasonCode::TaskPin | ReasonCode::InsufficientScope => true,
        _ => false,
    }
}

/// The agent that lacks a permit.
fn whose(reason: &Reason, evaluation: &Evaluation) -> Option<AgentName> {
    let principal = match (&reason.principal, evaluation.parties.as_slice()) {
        (Some(principal), _) => principal,
        (None, [only]) => &only.principal,
        (None, _) => return None,
    };
    match principal {
        Principal::Agent(name) => Some(name.clone()),
        _ => None,
    }
}

fn lacking(reasons: &[Reason], evaluation: &Evaluation) -> BTreeSet<AgentName> {
    let missing = reasons.iter().filter(|reason| reason.code == ReasonCode::NoPermit);
    missing.filter_map(|reason| whose(reason, evaluation)).collect()
}

/// A permit of exactly this call for this agent, which no other holder of its role gets.
fn permit(snapshot: &Snapshot, evaluation: &Evaluation, agent: &AgentName) -> Result<Line, NoSuggestion> {
    let action = only_action(evaluation)?.clone();
    let mut ids = (1_usize..).map(|number| format!("granted-{agent}-{number}"));
    let free = |id: &String| id.parse::<PolicyId>().is_ok_and(|id| snapshot.policy_source(&id).is_none());
    let id = ids.find(free).unwrap_or_default();
    let seen = Seen { evaluation: evaluation.clone(), mark: Mark::Good };
    let group = Group { action, calls: vec![&seen], widens: true };
    let principal = format!("principal == Bailiwick::Agent::\"{agent}\"");
    Ok(group.permit(snapshot, &id, &principal, VALUES_EXACT_MAX))
}

/// A task of exactly this call: a task that exists cannot be widened.
fn task(evaluation: &Evaluation) -> Result<TaskProposal, NoSuggestion> {
    let agents = evaluation.parties.iter().rev().filter_map(|party| match &party.principal {
        Principal::Agent(name) => Some(name.clone()),
        _ => None,
    });
    let agent = agents.into_iter().next().ok_or_else(mistake)?;
    let pins = evaluation.arguments.iter().filter_map(|(name, value)| {
        let values = match value {
            Value::Array(elements) if elements.is_empty() => return None,
            Value::Array(elements) => elements.clone(),
            one => vec![one.clone()],
        };
        Some((name.clone(), Pin::OneOf(values)))
    });
    let grant = ToolGrant { action: only_action(evaluation)?.clone(), pins: pins.collect() };
    Ok(TaskProposal { agent, tools: vec![grant] })
}
