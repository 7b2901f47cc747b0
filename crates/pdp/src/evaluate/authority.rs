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
        // … and, where the tool's mapping asks for them, in their arguments: each is held to what task and token pin.
        let arguments = match &operation.arguments {
            Some(arguments) => arguments,
            None if own.insert(&operation.action) => &evaluation.arguments,
            None => continue,
        };
        for tools in narrowing(&evaluation.authority, &evaluation.task) {
            if let Some(reason) = tools.pinned(&operation.action, arguments).filter(|reason| !reasons.contains(reason))
            {
                reasons.push(reason);
            }
        }
    }
    reasons
}

/// What the second stage has against an action whatever its arguments.
pub(crate) fn listed(asked: Asked<'_>, parties: &[Party], authority: &Authority, task: &TaskContext) -> Vec<Reason> {
    let checks = [safe_mode(asked, parties, authority), scope(asked, authority)];
    let tools = narrowing(authority, task).filter_map(|tools| tools.unnamed(asked.action));
    checks.into_iter().flatten().chain(tools).collect()
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

/// A list of tools, each with what its arguments are pinned to, that nothing beyond is allowed of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Narrowing<'a> {
    tools: &'a [ToolGrant],
    by: NarrowedBy,
}

/// Where such a list comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NarrowedBy {
    /// The task.
    Task,
    /// The token's `authorization_details` (RFC 9396).
    Details,
}

/// Everything that narrows a call to some tools and arguments: each alone must let it through.
pub(crate) fn narrowing<'a>(authority: &'a Authority, task: &'a TaskContext) -> impl Iterator<Item = Narrowing<'a>> {
    let lists = [(&task.tools, NarrowedBy::Task), (&authority.details, NarrowedBy::Details)];
    lists.into_iter().filter_map(|(tools, by)| Some(Narrowing { tools: tools.as_ref()?, by }))
}

impl Narrowing<'_> {
    /// Whether calls of an action are let through for some arguments alone, if they are named at all.
    pub(crate) fn pins(&self, action: &ActionName) -> bool {
        self.tools.iter().filter(|grant| grant.action == *action).all(|grant| !grant.pins.is_empty())
    }

    fn unnamed(&self, action: &ActionName) -> Option<Reason> {
        if self.tools.iter().any(|grant| grant.action == *action) {
            return None;
        }
        let (code, message, named, help) = match self.by {
            NarrowedBy::Task => {
                let message = format!("the task does not name `{action}`");
                (ReasonCode::TaskTool, message, "the task names", "ask whoever made it for one that")
            }
            NarrowedBy::Details => {
                let message = format!("the token's `authorization_details` do not name `{action}`");
                (ReasonCode::DetailTool, message, "they name", "ask for a token with `authorization_details` that")
            }
        };
        let help = match self.tools.len() {
            0 => format!("{named} no tools at all; {help} does"),
            count => format!("{named} {count} other tools; {help} names this too"),
        };
        Some(Reason { help: Some(help), ..refused(code, message) })
    }

    /// What is wrong with the arguments, if every grant for this action has something against them.
    fn pinned(&self, action: &ActionName, arguments: &BTreeMap<String, Value>) -> Option<Reason> {
        let mut refusal = None;
        for grant in self.tools.iter().filter(|grant| grant.action == *action) {
            match pins::check(grant, arguments, self.by) {
                Ok(()) => return None,
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        refusal
    }
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
