//! Which conditions decided, and what they saw. Asks the very evaluator that decided about the parts of its policies,
//! on the deny path only; evaluates no other question and decides nothing.

use std::sync::Arc;

use bailiwick_model::{
    decision::Effect,
    examined::{Condition, Examined, Part, Saw},
};
use cedar_policy_core::{
    ast::{
        Entity, EntityReference, Expr, ExprKind, Literal, PrincipalOrResourceConstraint, SlotEnv, UnaryOp, ValueKind,
        Var,
    },
    evaluator::Evaluator,
    parser::Loc,
};

use super::policy::{Acting, Attempt};
use crate::{
    catalogue::{ArgumentPath, FieldStep, Tool, records},
    finding::line_of,
    index::Miss,
    parts::{is_comparison, scope_text},
    snapshot::{Compiled, Snapshot},
};

/// Permits of one request whose conditions are asked about.
pub(super) const PERMITS_EXAMINED_MAX: usize = 32;
/// Policies of other scopes that one request looks at.
const SCOPES_EXAMINED_MAX: usize = 4_096;
/// Policies that are told about one request.
const TOLD_PER_REQUEST_MAX: usize = 5;
/// Policies that are told about one evaluation.
pub(super) const TOLD_MAX: usize = 24;
/// Conditions that are told of one policy.
const CONDITIONS_MAX: usize = 8;
/// Characters of one condition's text.
const TEXT_CHARS_MAX: usize = 400;
/// Characters of one value.
const VALUE_CHARS_MAX: usize = 200;
/// Names that are told of one set of parents.
const PARENTS_MAX: usize = 8;
/// What stands for a value that is not shown.
const MASKED: &str = "masked";

/// One request that was decided, with the evaluator that decided it.
pub(super) struct DecidedRequest<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) evaluator: &'a Evaluator<'a>,
    pub(super) acting: &'a Acting<'a>,
    pub(super) attempt: &'a Attempt<'a>,
}

impl DecidedRequest<'_> {
    /// What held of a forbid that matched.
    pub(super) fn held(&self, policy: &Compiled) -> Examined {
        self.examined(policy, Part::Conditions, self.deciding(policy, true))
    }

    /// The permits that came nearest, the nearest first: those whose scope fits by how few conditions failed, then those
    /// for somebody else, then those for something else.
    pub(super) fn nearest(&self, unmatched: &[&Compiled]) -> Vec<Examined> {
        let examined = unmatched.iter().take(PERMITS_EXAMINED_MAX);
        let mut near: Vec<Examined> =
            examined.map(|policy| self.examined(policy, Part::Conditions, self.deciding(policy, false))).collect();
        near.sort_by_key(|one| one.conditions.len());
        near.truncate(TOLD_PER_REQUEST_MAX);
        if near.len() < TOLD_PER_REQUEST_MAX {
            let room = TOLD_PER_REQUEST_MAX.saturating_sub(near.len());
            near.extend(self.elsewhere().into_iter().take(room));
        }
        near
    }

    /// Permits of the same action whose scope misses by the principal or by the resource.
    fn elsewhere(&self) -> Vec<Examined> {
        let (acting, attempt) = (self.acting, self.attempt);
        let misses =
            self.snapshot.index().near_misses(&acting.side, attempt.action, &attempt.side, SCOPES_EXAMINED_MAX);
        let permits = misses.into_iter().filter_map(|(number, miss)| Some((self.snapshot.policy(number)?, miss)));
        let mut near: Vec<(Miss, &Compiled)> = permits
            .filter(|(policy, miss)| policy.effect == Effect::Permit && self.is_kin(policy, *miss))
            .map(|(policy, miss)| (miss, policy))
            .collect();
        near.sort_by_key(|(miss, _)| *miss);
        near.truncate(TOLD_PER_REQUEST_MAX);
        near.into_iter().map(|(miss, policy)| self.missed(policy, miss)).collect()
    }

    /// Whether this principal or resource could have been meant by the scope at all: an agent by a role, not by a group.
    fn is_kin(&self, policy: &Compiled, miss: Miss) -> bool {
        let types = &self.snapshot.store().types;
        let policy: &cedar_policy_core::ast::Policy = policy.policy.as_ref();
        match miss {
            Miss::Principal => {
                let own = self.acting.entity.uid().entity_type();
                let constraint = policy.principal_constraint().into_inner();
                let named = match &constraint {
                    PrincipalOrResourceConstraint::IsIn(kind, _) if **kind != *own => return false,
                    PrincipalOrResourceConstraint::Eq(EntityReference::EUID(uid))
                    | PrincipalOrResourceConstraint::In(EntityReference::EUID(uid))
                    | PrincipalOrResourceConstraint::IsIn(_, EntityReference::EUID(uid)) => uid.entity_type(),
                    _ => return false,
                };
                let over = if *own == types.user { &types.group } else { &types.role };
                named == own || named == over
            }
            Miss::Resource => true,
        }
    }

    fn missed(&self, policy: &Compiled, miss: Miss) -> Examined {
        let scope: &cedar_policy_core::ast::Policy = policy.policy.as_ref();
        let (what, constraint, entity, part) = match miss {
            Miss::Principal => {
                ("principal", scope.principal_constraint().into_inner(), &self.acting.entity, Part::Principal)
            }
            Miss::Resource => {
                ("resource", scope.resource_constraint().into_inner(), &self.attempt.resource, Part::Resource)
            }
        };
        let condition = Condition {
            text: shortened(&scope_text(what, &constraint), TEXT_CHARS_MAX),
            line: constraint.get_euid().and_then(|uid| uid.loc().cloned()).map(|loc| line(policy, &loc)),
            holds: false,
            saw: vec![Saw {
                what: what.to_owned(),
                value: if self.is_masked(what) { String::from(MASKED) } else { entity_text(entity) },
            }],
        };
        self.examined(policy, part, vec![condition])
    }

    fn examined(&self, policy: &Compiled, part: Part, conditions: Vec<Condition>) -> Examined {
        Examined {
            policy: policy.id.clone(),
            effect: policy.effect,
            file: policy.file.to_string(),
            line: policy.line,
            principal: self.acting.party.principal.clone(),
            action: self.attempt.operation.action.clone(),
            part,
            conditions,
        }
    }

    /// The conditions that made the clauses of a policy come out as they did.
    fn deciding(&self, policy: &Compiled, came_out: bool) -> Vec<Condition> {
        let scope: &cedar_policy_core::ast::Policy = policy.policy.as_ref();
        let mut found = Vec::new();
        if let Some(clauses) = scope.non_scope_constraints() {
            self.blame(policy, clauses, came_out, &mut found);
        }
        found
    }

    fn blame(&self, policy: &Compiled, expr: &Expr, came_out: bool, found: &mut Vec<Condition>) {
        if found.len() >= CONDITIONS_MAX {
            return;
        }
        match expr.expr_kind() {
            ExprKind::And { left, right } | ExprKind::Or { left, right } => {
                for side in [left, right] {
                    // A side that cannot be evaluated is guarded by the other one.
                    if self.truth(side) == Some(came_out) {
                        self.blame(policy, side, came_out, found);
                    }
                }
            }
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } if !is_comparison(expr, arg) => {
                self.blame(policy, arg, !came_out, found);
            }
            _ => found.extend(self.condition(policy, expr, came_out)),
        }
    }

    /// One condition; `None` for the clause by which a gate is lifted, which the decision tells in other words.
    fn condition(&self, policy: &Compiled, expr: &Expr, holds: bool) -> Option<Condition> {
        let mut saw = Vec::new();
        self.see(expr, &mut saw);
        if saw.iter().any(|one: &Saw| one.what == "context.approvals") {
            return None;
        }
        let loc = written(expr);
        let text = loc.and_then(Loc::snippet).map_or_else(|| expr.to_string(), str::to_owned);
        let line = loc.map(|loc| line(policy, loc));
        Some(Condition { text: shortened(&text, TEXT_CHARS_MAX), line, holds, saw })
    }

    /// The values that an expression looks at: whole paths such as `context.effect.records`, not their steps.
    fn see(&self, expr: &Expr, saw: &mut Vec<Saw>) {
        if saw.len() >= CONDITIONS_MAX {
            return;
        }
        if let Some(what) = path(expr) {
            let value = match (expr.expr_kind(), self.evaluator.interpret(expr, &SlotEnv::new())) {
                _ if self.is_masked(&what) => String::from(MASKED),
                (ExprKind::Var(Var::Principal), _) => entity_text(&self.acting.entity),
                (ExprKind::Var(Var::Resource), _) => entity_text(&self.attempt.resource),
                (_, Ok(value)) if self.holds_masked(value.value_kind()) => String::from(MASKED),
                (_, Ok(value)) => value_text(value.value_kind()),
                (_, Err(_)) => String::from("absent"),
            };
            let seen = Saw { what, value };
            if seen.what != "context" && !saw.contains(&seen) {
                saw.push(seen);
            }
            return;
        }
        match expr.expr_kind() {
            ExprKind::HasAttr { expr: base, attr } => {
                self.see(&Expr::get_attr(Expr::clone(base), attr.clone()), saw);
            }
            ExprKind::ExtHasAttr { expr: base, attrs } => {
                let whole = attrs.iter().fold(Expr::clone(base), |base, attr| Expr::get_attr(base, attr.clone()));
                self.see(&whole, saw);
            }
            _ => children(expr).into_iter().for_each(|child| self.see(child, saw)),
        }
    }

    /// Whether a value may hold what the tool declares in one of its field classes, under whatever parent: those fields
    /// are masked in results, so an explanation does not show them either. What a record has goes by the names of the
    /// arguments that it has it from, and by its own.
    fn is_masked(&self, what: &str) -> bool {
        let Some(tool) = self.tool() else { return false };
        let mut parts = what.split('.');
        match (parts.next(), parts.next()) {
            (Some("context"), Some("input")) if what == "context.input" => {
                tool.field_classes.values().flatten().count() > 0
            }
            (Some("context"), Some("input")) => parts.any(|part| is_hidden(tool, part)),
            (Some("resource"), attribute) => {
                let Some(records) = &tool.records else { return false };
                let from: Vec<&ArgumentPath> = match attribute {
                    None | Some(records::ID) => records.ids.iter().collect(),
                    Some(attribute) => records.attributes.get(attribute).into_iter().collect(),
                };
                let from = from.into_iter().flat_map(ArgumentPath::steps).map(String::as_str);
                from.chain(attribute).chain(parts).any(|part| is_hidden(tool, part))
            }
            _ => false,
        }
    }

    /// Whether such a field is somewhere inside a value.
    fn holds_masked(&self, value: &ValueKind) -> bool {
        let Some(tool) = self.tool() else { return false };
        match value {
            ValueKind::Record(members) => {
                members.iter().any(|(name, value)| is_hidden(tool, name) || self.holds_masked(value.value_kind()))
            }
            ValueKind::Set(elements) => elements.iter().any(|element| self.holds_masked(element.value_kind())),
            ValueKind::Lit(_) | ValueKind::ExtensionValue(_) => false,
        }
    }

    fn tool(&self) -> Option<&Tool> {
        self.snapshot.catalogue().tool_of(&self.attempt.operation.action)
    }

    fn truth(&self, expr: &Expr) -> Option<bool> {
        match self.evaluator.interpret(expr, &SlotEnv::new()).ok()?.value_kind() {
            ValueKind::Lit(Literal::Bool(truth)) => Some(*truth),
            _ => None,
        }
    }
}

/// Whether some class of the tool's fields has a field of this name.
fn is_hidden(tool: &Tool, name: &str) -> bool {
    let steps = tool.field_classes.values().flatten().flat_map(|field| field.steps());
    steps.into_iter().any(|step| match step {
        FieldStep::Name(hidden) => hidden == name,
        FieldStep::Every => true,
    })
}

/// Where an expression was written.
fn written(expr: &Expr) -> Option<&Loc> {
    expr.source_loc().filter(|loc| loc.snippet().is_some_and(|text| !text.is_empty()))
}

/// The line of a place; that of the policy if it was generated.
fn line(policy: &Compiled, loc: &Loc) -> usize {
    if policy.is_generated() { policy.line } else { line_of(&loc.src, loc.start()) }
}

/// `context.effect.records`, if the expression is such a path.
fn path(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Var(var) => Some(var.to_string()),
        ExprKind::GetAttr { expr, attr } => Some(format!("{}.{attr}", path(expr)?)),
        _ => None,
    }
}

fn children(expr: &Expr) -> Vec<&Expr> {
    match expr.expr_kind() {
        ExprKind::If { test_expr, then_expr, else_expr } => vec![test_expr, then_expr, else_expr],
        ExprKind::And { left, right } | ExprKind::Or { left, right } => vec![left, right],
        ExprKind::UnaryApp { arg, .. } => vec![arg],
        ExprKind::BinaryApp { arg1, arg2, .. } => vec![arg1, arg2],
        ExprKind::ExtensionFunctionApp { args, .. } => args.iter().collect(),
        ExprKind::GetAttr { expr, .. } | ExprKind::Like { expr, .. } | ExprKind::Is { expr, .. } => vec![expr],
        ExprKind::Set(items) => items.iter().collect(),
        ExprKind::Record(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// An entity and what it is in.
fn entity_text(entity: &Arc<Entity>) -> String {
    let mut above: Vec<String> = entity.ancestors().map(ToString::to_string).collect();
    above.sort();
    let more = above.len().saturating_sub(PARENTS_MAX);
    above.truncate(PARENTS_MAX);
    let mut text = entity.uid().to_string();
    if !above.is_empty() {
        text.push_str(&format!(" in [{}{}]", above.join(", "), if more > 0 { ", …" } else { "" }));
    }
    shortened(&text, TEXT_CHARS_MAX)
}

fn value_text(value: &ValueKind) -> String {
    match value {
        ValueKind::Lit(Literal::String(text)) => {
            let short = shortened(text, VALUE_CHARS_MAX);
            format!("\"{}\"", short.escape_debug())
        }
        other => shortened(&other.to_string(), VALUE_CHARS_MAX),
    }
}

/// One line of at most so many characters.
fn shortened(text: &str, chars_max: usize) -> String {
    let mut kept = String::new();
    let mut count = 0_usize;
    for word in text.split_whitespace() {
        let space = usize::from(!kept.is_empty());
        for character in std::iter::repeat_n(' ', space).chain(word.chars()) {
            if count == chars_max {
                kept.push('…');
                return kept;
            }
            kept.push(character);
            count += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests;
