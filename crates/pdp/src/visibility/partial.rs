//! Partial evaluation of a few policies while the arguments of the call are
//! unknown. Proves or says nothing; an answer that is in doubt is no answer.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use bailiwick_model::{decision::Effect, name::PolicyId};
use cedar_policy::{
    Policy,
    pst::{self, BinaryOp, Clause, Expr, Literal, UnaryOp},
};
use cedar_policy_core::{
    ast::{self, Entity, EntityType, Value, ValueKind},
    tpe::{
        self,
        entities::PartialEntities,
        request::{PartialEntityUID, PartialRequest},
    },
};

use crate::{
    entities,
    evaluate::{KNOWN, Shared},
    expression::{self, is_context},
    snapshot::{Compiled, Snapshot},
};

/// What is known of every call: the context, without what its operations add.
pub(super) struct Situation {
    pub(super) context: Shared,
    /// Policies with the context written into them, so that each is rewritten once for a whole list.
    filled: RefCell<BTreeMap<PolicyId, Option<ast::Policy>>>,
}

impl Situation {
    pub(super) fn new(context: Shared) -> Self {
        Self { context, filled: RefCell::default() }
    }

    fn filled_in(&self, policy: &Compiled) -> Option<ast::Policy> {
        if let Some(known) = self.filled.borrow().get(&policy.id) {
            return known.clone();
        }
        let filled = filled_in(&policy.policy, &self.context);
        let filled = filled.map(|policy| AsRef::<ast::Policy>::as_ref(&policy).clone());
        self.filled.borrow_mut().insert(policy.id.clone(), filled.clone());
        filled
    }
}

/// What is certain about every call.
#[derive(Debug, Default)]
pub(super) struct Outcome<'a> {
    /// Policies that hold whatever the arguments.
    pub(super) certain: Vec<&'a Compiled>,
    /// Policies that some arguments may satisfy.
    pub(super) open: Vec<&'a Compiled>,
    /// Some policy errs whatever the arguments.
    pub(super) errs: bool,
}

impl Outcome<'_> {
    /// A forbid holds, or a policy errs, whatever the arguments.
    pub(super) fn denies(&self) -> bool {
        self.errs || self.certain.iter().any(|policy| policy.effect == Effect::Forbid)
    }

    /// Some arguments may satisfy a permit.
    pub(super) fn may_permit(&self) -> bool {
        self.certain.iter().chain(&self.open).any(|policy| policy.effect == Effect::Permit)
    }
}

/// What the calls are about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource<'a> {
    /// This.
    Known(&'a Arc<Entity>),
    /// Something of this type.
    OfType(&'a EntityType),
}

/// Evaluates as far as possible; `None` if nothing can be said.
pub(super) fn evaluate<'a>(
    snapshot: &Snapshot,
    situation: &Situation,
    principal: &Arc<Entity>,
    action: &Arc<Entity>,
    resource: Resource<'_>,
    policies: &[&'a Compiled],
) -> Option<Outcome<'a>> {
    let schema = snapshot.validator_schema();
    let mut set = ast::PolicySet::new();
    for policy in policies {
        set.add(situation.filled_in(policy)?).ok()?;
    }
    let uid = match resource {
        Resource::Known(entity) => PartialEntityUID::from(entity.uid().clone()),
        Resource::OfType(kind) => PartialEntityUID { ty: kind.clone(), eid: None },
    };
    let request =
        PartialRequest::new(PartialEntityUID::from(principal.uid().clone()), action.uid().clone(), uid, None, schema);
    let request = request.ok()?;
    let known = match resource {
        Resource::Known(entity) => Some(entity),
        Resource::OfType(_) => None,
    };
    let literals = policies.iter().flat_map(|policy| policy.literals.iter());
    let named: Vec<Arc<Entity>> = std::iter::once(principal).chain(known).chain(literals).cloned().collect();
    let above = named.iter().flat_map(|entity| entity.ancestors()).map(|uid| match snapshot.store().entity(uid) {
        Some(entity) => entity.clone(),
        None => Arc::new(Entity::with_uid(uid.clone())),
    });
    let all: Vec<Arc<Entity>> = above.chain(named.iter().cloned()).filter(|entity| !entity.uid().is_action()).collect();
    let entities = PartialEntities::from_concrete(entities::slice(all).ok()?, schema).ok()?;
    let response = tpe::is_authorized(&set, &request, &entities, schema).ok()?;
    let mut outcome = Outcome {
        errs: response.error_forbids().next().is_some() || response.error_permits().next().is_some(),
        ..Outcome::default()
    };
    let named = |one: &tpe::response::ResidualPolicy, policy: &Compiled| {
        one.get_policy_id() == AsRef::<ast::Policy>::as_ref(&policy.policy).id()
    };
    for policy in policies {
        if response.true_permits().chain(response.true_forbids()).any(|one| named(one, policy)) {
            outcome.certain.push(policy);
        } else if response.residual_permits().chain(response.residual_forbids()).any(|one| named(one, policy)) {
            outcome.open.push(policy);
        }
    }
    Some(outcome)
}

/// The policy with what is known of the context written into its clauses.
fn filled_in(policy: &Policy, context: &Shared) -> Option<Policy> {
    let pst::Policy::Static(fixed) = policy.to_pst().ok()? else { return None };
    let body = fixed.body().clone();
    let clauses = body.clauses().iter().map(|clause| {
        Some(match clause {
            Clause::When(expr) => Clause::When(Arc::new(fill(expr, context)?)),
            Clause::Unless(expr) => Clause::Unless(Arc::new(fill(expr, context)?)),
        })
    });
    let clauses: Vec<Clause> = clauses.collect::<Option<_>>()?;
    let mut empty = pst::Template::new(
        body.id.clone(),
        body.effect,
        body.principal.clone(),
        body.action.clone(),
        body.resource.clone(),
    );
    for clause in clauses {
        empty.try_add_clause(clause).ok()?;
    }
    Policy::from_pst(pst::Policy::Static(empty.try_into().ok()?)).ok()
}

/// An expression with the known parts of the context in it. `None` if it is of an unknown kind.
fn fill(expr: &Expr, context: &Shared) -> Option<Expr> {
    if let Some(value) = known(expr, context) {
        return Some(literal(&value).unwrap_or_else(|| expr.clone()));
    }
    let inner = |expr: &Arc<Expr>| fill(expr, context).map(Arc::new);
    Some(match expr {
        Expr::Literal(_) | Expr::Var(_) => expr.clone(),
        Expr::UnaryOp { op: UnaryOp::IsEmpty, expr: set } => match known(set, context).as_ref().and_then(members) {
            Some(members) => Expr::Literal(Literal::Bool(members.is_empty())),
            None => Expr::UnaryOp { op: UnaryOp::IsEmpty, expr: inner(set)? },
        },
        Expr::BinaryOp { op: BinaryOp::Contains | BinaryOp::ContainsAny, left, .. }
            if known(left, context).as_ref().and_then(members).is_some_and(|members| members.is_empty()) =>
        {
            Expr::Literal(Literal::Bool(false))
        }
        Expr::UnaryOp { op, expr } => Expr::UnaryOp { op: *op, expr: inner(expr)? },
        Expr::BinaryOp { op, left, right } => Expr::BinaryOp { op: *op, left: inner(left)?, right: inner(right)? },
        Expr::GetAttr { expr, attr } => Expr::GetAttr { expr: inner(expr)?, attr: attr.clone() },
        Expr::HasAttr { expr, attrs } => Expr::HasAttr { expr: inner(expr)?, attrs: attrs.clone() },
        Expr::Like { expr, pattern } => Expr::Like { expr: inner(expr)?, pattern: pattern.clone() },
        Expr::Is { expr, entity_type, in_expr } => Expr::Is {
            expr: inner(expr)?,
            entity_type: entity_type.clone(),
            in_expr: in_expr.as_ref().map(&inner).map_or(Some(None), |filled| filled.map(Some))?,
        },
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            Expr::IfThenElse { cond: inner(cond)?, then_expr: inner(then_expr)?, else_expr: inner(else_expr)? }
        }
        Expr::Set(items) => Expr::Set(items.iter().map(inner).collect::<Option<_>>()?),
        Expr::Record(fields) => {
            let fields = fields.iter().map(|(name, field)| Some((name.clone(), inner(field)?)));
            Expr::Record(fields.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The value of `context.<known>.…`, if the expression is that.
fn known(expr: &Expr, context: &Shared) -> Option<Value> {
    let Expr::GetAttr { expr, attr } = expr else { return None };
    if is_context(expr) {
        return context.known().find(|(name, _)| attr == name).map(|(_, value)| value.clone());
    }
    match known(expr, context)?.value_kind() {
        ValueKind::Record(fields) => fields.get(attr).cloned(),
        _ => None,
    }
}

fn members(value: &Value) -> Option<Vec<Value>> {
    match value.value_kind() {
        ValueKind::Set(set) => Some(set.iter().cloned().collect()),
        _ => None,
    }
}

/// A value as an expression. None for what cannot be written so that it
/// validates: an empty set has no type. Moments are left unknown.
fn literal(value: &Value) -> Option<Expr> {
    Some(match value.value_kind() {
        ValueKind::Lit(ast::Literal::Bool(flag)) => Expr::Literal(Literal::Bool(*flag)),
        ValueKind::Lit(ast::Literal::Long(number)) => Expr::Literal(Literal::Long(*number)),
        ValueKind::Lit(ast::Literal::String(text)) => Expr::Literal(Literal::String(text.clone())),
        ValueKind::Lit(ast::Literal::EntityUID(uid)) => {
            Expr::Literal(Literal::EntityUID(ast::EntityUID::clone(uid).into()))
        }
        ValueKind::Set(set) if set.is_empty() => return None,
        ValueKind::Set(set) => Expr::Set(set.iter().map(|item| literal(item).map(Arc::new)).collect::<Option<_>>()?),
        ValueKind::Record(fields) => {
            let fields = fields.iter().map(|(name, field)| Some((name.to_string(), Arc::new(literal(field)?))));
            Expr::Record(fields.collect::<Option<_>>()?)
        }
        ValueKind::ExtensionValue(_) => return None,
    })
}

/// What of a call a policy looks at that a list cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Its arguments or its effect.
    pub(crate) arguments: bool,
    /// Its resource.
    pub(crate) resource: bool,
}

/// What a policy looks at.
pub(crate) fn reads(resource_in_scope: bool, clauses: &[Clause]) -> Reads {
    let mut all = Reads { arguments: false, resource: resource_in_scope };
    let mut contexts = 0_usize;
    let mut known = 0_usize;
    for clause in clauses {
        let walked = expression::walk(expression::body(clause), &mut |expr| match expr {
            Expr::Var(pst::Var::Resource) => all.resource = true,
            Expr::Var(pst::Var::Context) => contexts += 1,
            Expr::GetAttr { expr, attr } if is_context(expr) && KNOWN.contains(&attr.as_str()) => known += 1,
            _ => {}
        });
        if walked.is_err() {
            return Reads { arguments: true, resource: true };
        }
    }
    all.arguments = contexts != known;
    all
}
