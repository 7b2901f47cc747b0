//! Whether a condition can come out a certain way at all. Says so only where it is certain: from constants, from what
//! the same expression is compared with elsewhere in the condition, and from the ranges of what the broker measures.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::ast::{
    BinaryOp, EntityType, Expr, ExprKind, Literal, PatternElem, PrincipalOrResourceConstraint, UnaryOp, Var,
};

use crate::parts::flatten;

/// Minutes of a day, from 0.
const MINUTE_OF_DAY_MAX: i64 = 1_439;

/// What the scope of a policy makes certain.
pub(super) struct Truth<'a> {
    principal: Option<&'a EntityType>,
    resource: Option<&'a EntityType>,
}

impl<'a> Truth<'a> {
    /// With what the scope says of the types.
    pub(super) fn of(
        principal: &'a PrincipalOrResourceConstraint,
        resource: &'a PrincipalOrResourceConstraint,
    ) -> Self {
        let kind = |constraint: &'a PrincipalOrResourceConstraint| match constraint {
            PrincipalOrResourceConstraint::Is(kind) | PrincipalOrResourceConstraint::IsIn(kind, _) => Some(&**kind),
            PrincipalOrResourceConstraint::Eq(_) => constraint.get_euid().map(|uid| uid.entity_type()),
            _ => None,
        };
        Self { principal: kind(principal), resource: kind(resource) }
    }

    /// Whether an expression can certainly not come out as wanted.
    pub(super) fn is_impossible(&self, expr: &Expr, wanted: bool) -> bool {
        match (expr.expr_kind(), wanted) {
            (ExprKind::UnaryApp { op: UnaryOp::Not, arg }, _) => self.is_impossible(arg, !wanted),
            (ExprKind::And { left, right }, false) | (ExprKind::Or { left, right }, true) => {
                self.is_impossible(left, wanted) && self.is_impossible(right, wanted)
            }
            (ExprKind::And { .. } | ExprKind::Or { .. }, _) => {
                let mut parts = Vec::new();
                flatten(expr, wanted, &mut parts);
                parts.iter().any(|(part, wanted)| self.is_impossible(part, *wanted)) || self.contradict(&parts)
            }
            _ => self.contradict(&[(expr, wanted)]),
        }
    }

    /// Whether parts that must all hold cannot all hold.
    pub(super) fn contradict(&self, parts: &[(&Expr, bool)]) -> bool {
        let mut known = Known::default();
        parts.iter().any(|(part, wanted)| self.contradicts(part, *wanted, &mut known))
    }

    fn contradicts(&self, part: &Expr, wanted: bool, known: &mut Known) -> bool {
        let (mut part, mut wanted) = (part, wanted);
        while let ExprKind::UnaryApp { op: UnaryOp::Not, arg } = part.expr_kind() {
            (part, wanted) = (arg, !wanted);
        }
        let before = *known.truths.entry(part.to_string()).or_insert(wanted);
        before != wanted
            || match part.expr_kind() {
                ExprKind::Lit(Literal::Bool(constant)) => *constant != wanted,
                ExprKind::BinaryApp { op, arg1, arg2 } => compared(*op, arg1, arg2, wanted, known),
                ExprKind::Like { pattern, .. } => {
                    let every = |elem: &PatternElem| matches!(elem, PatternElem::Wildcard);
                    !wanted && !pattern.is_empty() && pattern.iter().all(every)
                }
                ExprKind::Is { expr, entity_type } => match self.kind(expr) {
                    Some(kind) => (kind == entity_type) != wanted,
                    None => false,
                },
                _ => false,
            }
    }

    fn kind(&self, expr: &Expr) -> Option<&'a EntityType> {
        match expr.expr_kind() {
            ExprKind::Var(Var::Principal) => self.principal,
            ExprKind::Var(Var::Resource) => self.resource,
            _ => None,
        }
    }
}

/// What is known of expressions, by their text.
#[derive(Default)]
struct Known {
    truths: BTreeMap<String, bool>,
    terms: BTreeMap<String, Term>,
}

/// What is known of the value of one expression.
struct Term {
    min: i64,
    max: i64,
    /// The values that it can have, if they are few.
    among: Option<BTreeSet<String>>,
    not: BTreeSet<String>,
}

impl Term {
    /// With the range of what the broker measures.
    fn new(text: &str) -> Self {
        let (min, max) = match text.rsplit('.').next() {
            Some("weekday") if text.starts_with("context.local.") => (1, 7),
            Some("minute_of_day") if text.starts_with("context.local.") => (0, MINUTE_OF_DAY_MAX),
            _ if text == "context.effect.records" => (0, i64::MAX),
            _ => (i64::MIN, i64::MAX),
        };
        Self { min, max, among: None, not: BTreeSet::new() }
    }

    fn is_one_of(&mut self, values: BTreeSet<String>) {
        self.among = Some(match self.among.take() {
            Some(among) => among.intersection(&values).cloned().collect(),
            None => values,
        });
    }

    fn is_empty(&self) -> bool {
        let fits = |value: &String| {
            !self.not.contains(value) && value.parse::<i64>().map_or(true, |n| (self.min..=self.max).contains(&n))
        };
        self.min > self.max || self.among.as_ref().is_some_and(|among| !among.iter().any(fits))
    }
}

/// Whether a comparison cannot come out as wanted, given what is known; adds it to that.
fn compared(op: BinaryOp, left: &Expr, right: &Expr, wanted: bool, known: &mut Known) -> bool {
    let (l, r) = (left.to_string(), right.to_string());
    match op {
        BinaryOp::Eq | BinaryOp::LessEq | BinaryOp::In if l == r => return !wanted,
        BinaryOp::Less if l == r => return wanted,
        _ => {}
    }
    let literal = |expr: &Expr| matches!(expr.expr_kind(), ExprKind::Lit(_));
    match (op, number(left), number(right)) {
        (BinaryOp::Less, Some(a), Some(b)) => return (a < b) != wanted,
        (BinaryOp::LessEq, Some(a), Some(b)) => return (a <= b) != wanted,
        (BinaryOp::Less, None, Some(n)) => return bounded(known, l, wanted, n.saturating_sub(1), n),
        (BinaryOp::LessEq, None, Some(n)) => return bounded(known, l, wanted, n, n.saturating_add(1)),
        // `n < x` is `!(x <= n)`, and `n <= x` is `!(x < n)`.
        (BinaryOp::Less, Some(n), None) => return bounded(known, r, !wanted, n, n.saturating_add(1)),
        (BinaryOp::LessEq, Some(n), None) => return bounded(known, r, !wanted, n.saturating_sub(1), n),
        _ => {}
    }
    match op {
        BinaryOp::Eq if literal(left) && literal(right) => wanted,
        BinaryOp::Eq if literal(right) => among(known, l, BTreeSet::from([r]), wanted),
        BinaryOp::Eq if literal(left) => among(known, r, BTreeSet::from([l]), wanted),
        BinaryOp::Contains => match members(left) {
            Some(values) if literal(right) => values.contains(&r) != wanted,
            Some(values) => among(known, r, values, wanted),
            None => false,
        },
        _ => false,
    }
}

/// Whether a range becomes empty by `term <= max` if that is wanted, else by `term >= min`.
fn bounded(known: &mut Known, term: String, wanted: bool, max: i64, min: i64) -> bool {
    let known = known.terms.entry(term).or_insert_with_key(|text| Term::new(text));
    if wanted {
        known.max = known.max.min(max);
    } else {
        known.min = known.min.max(min);
    }
    known.is_empty()
}

fn among(known: &mut Known, term: String, values: BTreeSet<String>, wanted: bool) -> bool {
    let known = known.terms.entry(term).or_insert_with_key(|text| Term::new(text));
    if wanted {
        known.is_one_of(values);
    } else {
        known.not.extend(values);
    }
    known.is_empty()
}

fn number(expr: &Expr) -> Option<i64> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Long(number)) => Some(*number),
        _ => None,
    }
}

/// The members of a set of literals.
fn members(expr: &Expr) -> Option<BTreeSet<String>> {
    let ExprKind::Set(items) = expr.expr_kind() else { return None };
    let all_literal = items.iter().all(|item| matches!(item.expr_kind(), ExprKind::Lit(_)));
    all_literal.then(|| items.iter().map(ToString::to_string).collect())
}
