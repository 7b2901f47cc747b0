//! The second stage: what token, task, limits and safe mode allow. Never wider
//! than policy, and never lifted by an approval.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use bailiwick_model::{
    decision::{BudgetDraw, Reason, ReasonCode},
    evaluation::{Authority, Evaluation, Party, TaskContext},
    name::{Acr, ActionName, Scope},
    operation::{ActionClass, ActionTag, Operation},
    principal::Principal,
    safe_mode::SafeModeScope,
    task::ToolGrant,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{pins, refused};
use crate::{catalogue::Catalogue, snapshot::Snapshot};

/// An action with what the second stage needs to know of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Its name.
    pub(crate) action: &'a ActionName,
    /// Its class.
    pub(crate) class: ActionClass,
    /// Whether it has the tag `egress` or `export`.
    pub(crate) sends_out: bool,
}

impl<'a> From<&'a Operation> for Asked<'a> {
    fn from(operation: &'a Operation) -> Self {
        let sends_out = operation.tags.iter().any(|tag| matches!(tag, ActionTag::Egress | ActionTag::Export));
        Self { action: &operation.action, class: operation.class, sends_out }
    }
}

/// Everything that the second stage has against a call.
pub(super) fn check(snapshot: &Snapshot, evaluation: &Evaluation) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let (mut asked_for, mut own) = (BTreeSet::new(), BTreeSet::new());
    for operation in &evaluation.operations {
        // Operations of one action differ in their resource, which this stage does not look at …
        if asked_for.insert((&operation.action, operation.class, &operation.tags)) {
            let asked = Asked::from(operation);
            reasons.extend(listed(asked, &evaluation.parties, &evaluation.authority, &evaluation.task));
            let Evaluation { parties, authority, now, .. } = evaluation;
            reasons.extend(step_up(snapshot.catalogue(), &operation.action, (parties, authority), *now));
        }
        // … and, where the tool's mapping asks for them, in their arguments: each is held to what the task pins.
        let refusal = match &operation.arguments {
            Some(arguments) => pinned(&operation.action, arguments, &evaluation.task),
            None if own.insert(&operation.action) => pinned(&operation.action, &evaluation.arguments, &evaluation.task),
            None => None,
        };
        if let Some(reason) = refusal.filter(|reason| !reasons.contains(reason)) {
            reasons.push(reason);
        }
    }
    reasons
}

/// What the second stage has against an action whatever its arguments.
pub(crate) fn listed(asked: Asked<'_>, parties: &[Party], authority: &Authority, task: &TaskContext) -> Vec<Reason> {
    let checks = [safe_mode(asked, parties, authority), scope(asked, authority), tool(asked.action, task)];
    checks.into_iter().flatten().collect()
}

/// The scope that an action needs, unless the token names the action itself.
pub(crate) fn required_scope(action: &ActionName, class: ActionClass) -> Result<Scope, Reason> {
    format!("{}:{}", action.system(), class.as_str())
        .parse()
        .map_err(|_| refused(ReasonCode::EvaluationError, format!("`{action}` has no scope")))
}

fn scope(asked: Asked<'_>, authority: &Authority) -> Option<Reason> {
    let needed = match required_scope(asked.action, asked.class) {
        Ok(needed) => needed,
        Err(reason) => return Some(reason),
    };
    let exact = |scope: &Scope| scope.as_str() == asked.action.as_str();
    if authority.scopes.contains(&needed) || authority.scopes.iter().any(exact) {
        return None;
    }
    let message = format!("the token lacks the scope `{needed}`");
    let help = format!("ask for a token with scope `{needed}`, or `{}` for this action alone", asked.action);
    Some(Reason { help: Some(help), ..refused(ReasonCode::InsufficientScope, message) })
}

/// What a user has yet to prove for an action. Whoever acts for nobody cannot: nobody is there to ask.
pub(crate) fn step_up(
    catalogue: &Catalogue,
    action: &ActionName,
    (parties, authority): (&[Party], &Authority),
    now: Timestamp,
) -> Option<Reason> {
    let wanted = catalogue.step_up(action)?;
    let of_user = parties.first().is_some_and(|party| matches!(party.principal, Principal::User(_)));
    if of_user && authority.authentication.as_ref().is_some_and(|proof| wanted.is_met_by(proof, now)) {
        return None;
    }
    let mut message = format!("`{action}` needs a user who proved who they are");
    let mut ask = Vec::new();
    if !wanted.acr.is_empty() {
        let classes: Vec<&str> = wanted.acr.iter().map(Acr::as_str).collect();
        let _ = write!(message, " as class `{}`", classes.join("` or `"));
        ask.push(format!("acr_values={}", classes.join(" ")));
    }
    if let Some(seconds) = wanted.max_age_s {
        let _ = write!(message, " within the last {seconds} s");
        ask.push(format!("max_age={seconds}"));
    }
    let help = if of_user {
        format!("send the user to sign in again, with `{}`, and call with the new token", ask.join("&"))
    } else {
        String::from("only an agent that acts for a user can have this, with a token that the user consented to")
    };
    Some(Reason { help: Some(help), ..refused(ReasonCode::InsufficientUserAuthentication, message) })
}

fn safe_mode(asked: Asked<'_>, parties: &[Party], authority: &Authority) -> Option<Reason> {
    if asked.class == ActionClass::Read && !asked.sends_out {
        return None;
    }
    let on = safe_mode_on(asked.action.system(), parties, authority)?;
    let message = format!("safe mode is on for `{on}`: reads go on, everything else stops");
    let help = "wait until an operator lifts it; no approval does";
    Some(Reason { help: Some(help.to_owned()), ..refused(ReasonCode::SafeMode, message) })
}

/// The safe mode that concerns these principals on this system, if one is on.
pub(super) fn safe_mode_on<'a>(system: &str, parties: &[Party], authority: &'a Authority) -> Option<&'a SafeModeScope> {
    authority.safe_modes.iter().find(|scope| match scope {
        SafeModeScope::Everything => true,
        SafeModeScope::Agent(name) => {
            parties.iter().any(|party| matches!(&party.principal, Principal::Agent(agent) if agent == name))
        }
        SafeModeScope::System(name) => system == name.as_str(),
    })
}

fn tool(action: &ActionName, task: &TaskContext) -> Option<Reason> {
    let tools = task.tools.as_ref()?;
    if tools.iter().any(|grant| grant.action == *action) {
        return None;
    }
    let message = format!("the task does not name `{action}`");
    let help = match tools.len() {
        0 => String::from("the task names no tools at all; ask whoever made it for one that does"),
        count => format!("the task names {count} other tools; ask whoever made it for one that names this too"),
    };
    Some(Reason { help: Some(help), ..refused(ReasonCode::TaskTool, message) })
}

/// What is wrong with the arguments, if every grant for this action has something against them.
fn pinned(action: &ActionName, arguments: &BTreeMap<String, Value>, task: &TaskContext) -> Option<Reason> {
    let tools = task.tools.as_ref()?;
    let mut refusal = None;
    for grant in tools.iter().filter(|grant: &&ToolGrant| grant.action == *action) {
        match pins::check(grant, arguments) {
            Ok(()) => return None,
            Err(reason) => refusal = refusal.or(Some(reason)),
        }
    }
    refusal
}

/// What an allowed call takes from the budgets of all agents in the chain.
/// A call counts once, however many operations it stands for.
pub(super) fn budgets(snapshot: &Snapshot, evaluation: &Evaluation) -> Vec<BudgetDraw> {
    let mut draws = Vec::new();
    for party in &evaluation.parties {
        let (Principal::Agent(agent), Some(role)) = (&party.principal, &party.role) else { continue };
        for limit in snapshot.roles().limits(role) {
            if !evaluation.operations.iter().any(|operation| limit.counts(&operation.action, operation.class)) {
                continue;
            }
            let now_s = evaluation.now.as_second();
            let window_s = i64::try_from(limit.window_s).unwrap_or(i64::MAX);
            draws.push(BudgetDraw {
                budget: format!("agent:{agent}/{}", limit.name),
                window_start_s: now_s.div_euclid(window_s).saturating_mul(window_s),
                window_s: limit.window_s,
                amount: 1,
                amount_max: limit.calls_max,
            });
        }
    }
    draws
}
