//! What calls of an action can come to, while their arguments are unknown: for an agent that asks what it may do. Says
//! more than can happen rather than less, so what it leaves out is certain. Decides no call.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_model::{
    decision::{Effect, Obligation, Reason, ReasonCode},
    name::{ActionName, PolicyId},
};
use cedar_policy_core::ast::{self, BinaryOp, Entity, Expr, ExprKind, Name, PrincipalOrResourceConstraint, UnaryOp};
use serde::Serialize;

use super::{Acting, Lookout, Question, Rules, Situation, about_nothing, forbidden, no_permit, targets};
use crate::{
    evaluate::{narrowing, refused},
    parts::{flatten, scope_text, written},
    snapshot::Compiled,
};

/// Rules that are told of one action; what is left out is counted.
const RULES_MAX: usize = 16;

/// What a call can come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Allowed.
    Allow,
    /// Denied, but can be asked for.
    Ask,
    /// Denied.
    Deny,
}

impl Outcome {
    /// As decisions write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// What calls of one action can come to. Calls whose arguments the tool's own schema refuses are not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// One if it does not depend on the arguments; never empty.
    pub outcomes: BTreeSet<Outcome>,
    /// Why every call is denied, if that is so.
    pub reason: Option<Reason>,
    /// The rules that decide on the arguments, and the gates that hold whatever they are.
    pub deciding: Vec<Deciding>,
    /// How many more of them there are.
    pub more: usize,
    /// Whether the task or the token pins arguments.
    pub pinned: bool,
}

/// A rule that decides on arguments, or a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deciding {
    /// Its id.
    pub policy: PolicyId,
    /// Permit or forbid.
    pub effect: Effect,
    /// Who can lift it for one call; empty if nobody can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// What must hold for it to apply, each as its author wrote it; empty if it always applies.
    pub when: Vec<String>,
    /// What must not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
}

impl Prospect {
    /// Every call is denied.
    pub fn denied(reason: Reason) -> Self {
        let outcomes = BTreeSet::from([Outcome::Deny]);
        Self { outcomes, reason: Some(reason), deciding: Vec::new(), more: 0, pinned: false }
    }
}

/// What calls of an action can come to. If both stages deny, policy's reason is told, as in a decision it comes first.
pub(super) fn of(lookout: &Lookout<'_>, action: &ActionName) -> Prospect {
    let known = lookout.known(action).and_then(|known| Ok((known, lookout.as_is()?)));
    let ((entity, acting), situation) = match known {
        Ok(known) => known,
        Err(reason) => return Prospect::denied(reason),
    };
    let by_policy = by_policy(lookout, action, entity, (acting, situation));
    match lookout.unauthorised(action, entity).filter(|_| by_policy.reason.is_none()) {
        Some(reason) => Prospect::denied(reason),
        None => by_policy,
    }
}

/// What policy and the pins of task and token make of it.
fn by_policy<'a>(
    lookout: &'a Lookout<'_>,
    action: &ActionName,
    entity: &'a Arc<Entity>,
    (acting, situation): (&[Acting<'_>], &'a Situation),
) -> Prospect {
    let mut all = Odds::default();
    for target in targets(lookout.snapshot, action, entity) {
        // What policy alone decides: that a call is observed is not told to the agent.
        let question = Question { snapshot: lookout.snapshot, situation, action: entity, target, rules: Rules::All };
        all.or(chain(&question, acting));
    }
    // What two kinds of resource oblige to may meet in one call.
    all.deny |= all.sizes_possible.len() > 1;
    if !(all.allow || all.ask) {
        return Prospect::denied(all.reason.unwrap_or_else(|| about_nothing(action)));
    }
    // What a mapping asks for besides depends on the arguments too.
    let mapped = lookout.snapshot.is_mapped(action);
    (all.ask, all.deny) = (all.ask || mapped, all.deny || mapped || lookout.unproved(action).is_some());
    let pinned = narrowing(lookout.listing.authority, lookout.listing.task).any(|tools| tools.pins(action));
    let odds = [(all.allow, Outcome::Allow), (all.ask, Outcome::Ask), (all.deny || pinned, Outcome::Deny)];
    let outcomes = odds.into_iter().filter_map(|(possible, outcome)| possible.then_some(outcome)).collect();
    let more = all.deciding.len().saturating_sub(RULES_MAX);
    let deciding = all.deciding.values().take(RULES_MAX).map(|policy| Deciding::of(policy)).collect();
    Prospect { outcomes, reason: None, deciding, more, pinned }
}

/// What is possible; `deny` besides whatever is not.
#[derive(Default)]
struct Odds<'a> {
    allow: bool,
    ask: bool,
    deny: bool,
    reason: Option<Reason>,
    deciding: BTreeMap<&'a PolicyId, &'a Compiled>,
    sizes_certain: BTreeSet<u64>,
    sizes_possible: BTreeSet<u64>,
}

impl<'a> Odds<'a> {
    fn never(reason: Reason) -> Self {
        Self { deny: true, reason: Some(reason), ..Self::default() }
    }

    /// A call of either kind.
    fn or(&mut self, other: Self) {
        self.allow |= other.allow;
        self.ask |= other.ask;
        self.deny |= other.deny;
        self.reason = self.reason.take().or(other.reason);
        self.deciding.extend(other.deciding);
        self.sizes_possible.extend(other.sizes_possible);
    }

    /// Both principals must be permitted, and a gate of either is a gate.
    fn and(mut self, other: Self) -> Self {
        let neither_denied = (self.allow || self.ask) && (other.allow || other.ask);
        self.ask = neither_denied && (self.ask || other.ask);
        self.allow &= other.allow;
        self.deny |= other.deny;
        self.reason = self.reason.take().or(other.reason);
        self.deciding.extend(other.deciding);
        self.sizes_certain.extend(other.sizes_certain);
        self.sizes_possible.extend(other.sizes_possible);
        self
    }
}

fn chain<'a>(question: &Question<'a>, acting: &[Acting<'_>]) -> Odds<'a> {
    let mut all = acting.iter().map(|acting| principal(question, acting));
    let Some(first) = all.next() else { return Odds::default() };
    let mut odds = all.fold(first, Odds::and);
    if odds.sizes_certain.len() > 1 {
        let message = "the permits of every such call oblige to different values of `result_bytes_max`";
        return Odds::never(refused(ReasonCode::ObligationUnfulfillable, message));
    }
    odds.deny |= odds.sizes_possible.len() > 1;
    odds
}

fn principal<'a>(question: &Question<'a>, acting: &Acting<'_>) -> Odds<'a> {
    let (certain, open) = question.candidates(acting);
    let settled = match question.settle(acting, &certain) {
        Ok(settled) => settled,
        Err(reason) => return Odds::never(reason),
    };
    let (permits, forbids) = (settled.permits, settled.forbids);
    let (mut holding, mut open): (Vec<&Compiled>, Vec<&Compiled>) = match question.partial(acting, &open) {
        _ if open.is_empty() => (Vec::new(), Vec::new()),
        Some(outcome) if outcome.errs => {
            return Odds::never(refused(
                ReasonCode::EvaluationError,
                "a policy cannot be evaluated for any call of it",
            ));
        }
        Some(outcome) => (outcome.certain, outcome.open),
        // Nothing can be said, so everything is possible.
        None => (Vec::new(), open),
    };
    holding.extend(permits);
    holding.extend(forbids);
    open.retain(|policy| !holding.iter().any(|other| other.id == policy.id));
    let is_gate = |policy: &Compiled| policy.annotations.gate.is_some();
    let is = |effect: Effect| move |policy: &&&Compiled| policy.effect == effect;
    if let Some(wall) = holding.iter().filter(is(Effect::Forbid)).find(|policy| !is_gate(policy)) {
        return Odds::never(forbidden(wall));
    }
    let permitted = holding.iter().any(|policy| policy.effect == Effect::Permit);
    if !permitted && !open.iter().any(|policy| policy.effect == Effect::Permit) {
        return Odds::never(no_permit(acting));
    }
    let gated = holding.iter().any(|policy| policy.effect == Effect::Forbid);
    let may_gate = open.iter().any(|policy| policy.effect == Effect::Forbid && is_gate(policy));
    let may_wall = open.iter().any(|policy| policy.effect == Effect::Forbid && !is_gate(policy));
    let may_err = open.iter().any(|policy| can_err(&policy.condition));
    let sizes = |policies: &mut dyn Iterator<Item = &&Compiled>| policies.filter_map(|policy| size(policy)).collect();
    let sizes_certain: BTreeSet<u64> = sizes(&mut holding.iter());
    Odds {
        allow: !gated,
        ask: gated || may_gate,
        deny: !permitted || may_wall || may_err,
        reason: None,
        sizes_possible: sizes(&mut holding.iter().chain(&open)),
        sizes_certain,
        deciding: open
            .into_iter()
            .chain(holding.into_iter().filter(|policy| is_gate(policy)))
            .map(|policy| (&policy.id, policy))
            .collect(),
    }
}

fn size(policy: &Compiled) -> Option<u64> {
    let sizes = policy.annotations.obligations.iter().filter_map(|obligation| match obligation {
        Obligation::ResultBytesMax { bytes } => Some(*bytes),
        _ => None,
    });
    if policy.effect == Effect::Permit { sizes.max() } else { None }
}

/// Whether some values make an expression err: numbers that overflow, texts that are no date. Comparisons do not.
fn can_err(expr: &Expr) -> bool {
    const TOTAL: [&str; 12] = [
        "lessThan",
        "lessThanOrEqual",
        "greaterThan",
        "greaterThanOrEqual",
        "isIpv4",
        "isIpv6",
        "isLoopback",
        "isMulticast",
        "isInRange",
        "toDate",
        "toTime",
        "toMilliseconds",
    ];
    let total = |name: &Name| TOTAL.contains(&name.to_string().as_str());
    expr.subexpressions().any(|inner| match inner.expr_kind() {
        ExprKind::BinaryApp { op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul, .. } => true,
        ExprKind::UnaryApp { op: UnaryOp::Neg, .. } => true,
        ExprKind::ExtensionFunctionApp { fn_name, args } => {
            let constant = |arg: &Expr| matches!(arg.expr_kind(), ExprKind::Lit(_));
            !total(fn_name) && !args.iter().all(constant)
        }
        _ => false,
    })
}

impl Deciding {
    fn of(compiled: &Compiled) -> Self {
        let policy: &ast::Policy = compiled.policy.as_ref();
        let (mut when, mut unless) = (Vec::new(), Vec::new());
        let resource = policy.resource_constraint().into_inner();
        if !matches!(resource, PrincipalOrResourceConstraint::Any) {
            when.push(scope_text("resource", &resource));
        }
        let mut parts = Vec::new();
        if let Some(expr) = policy.non_scope_constraints() {
            flatten(expr, true, &mut parts);
        }
        for (part, wanted) in parts {
            let text = written(part);
            // That a gate can be lifted is said by its approvers.
            if !text.starts_with("context.approvals") {
                if wanted { &mut when } else { &mut unless }.push(text);
            }
        }
        let approvers = compiled.annotations.gate.as_ref().map(|gate| gate.approvers.clone()).unwrap_or_default();
        Self { policy: compiled.id.clone(), effect: compiled.effect, approvers, when, unless }
    }
}

#[cfg(test)]
mod tests;
