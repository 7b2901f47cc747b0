//! Conditions taken apart as their authors think of them, and in their words. Judges nothing.

use cedar_policy_core::{
    ast::{EntityReference, Expr, ExprKind, PrincipalOrResourceConstraint, UnaryOp},
    parser::Loc,
};

/// Characters of a condition in a message.
const TEXT_CHARS_MAX: usize = 120;

/// The parts that must all hold if an expression is to come out as wanted, and as what.
pub(crate) fn flatten<'a>(expr: &'a Expr, wanted: bool, parts: &mut Vec<(&'a Expr, bool)>) {
    match (expr.expr_kind(), wanted) {
        (ExprKind::And { left, right }, true) | (ExprKind::Or { left, right }, false) => {
            flatten(left, wanted, parts);
            flatten(right, wanted, parts);
        }
        (ExprKind::UnaryApp { op: UnaryOp::Not, arg }, _) if !is_comparison(expr, arg) => flatten(arg, !wanted, parts),
        _ => parts.push((expr, wanted)),
    }
}

/// `a > b` and `a != b` are negations to Cedar, and one comparison to their author.
pub(crate) fn is_comparison(not: &Expr, inner: &Expr) -> bool {
    match (not.source_loc(), inner.source_loc()) {
        (Some(outer), Some(inner)) => outer.span == inner.span,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// A part of a condition as its author wrote it, in one line.
pub(crate) fn written(expr: &Expr) -> String {
    let source = expr.source_loc().and_then(Loc::snippet).map_or_else(|| expr.to_string(), str::to_owned);
    let line = source.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// A scope as its author wrote it.
pub(crate) fn scope_text(what: &str, constraint: &PrincipalOrResourceConstraint) -> String {
    let uid = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => uid.to_string(),
        EntityReference::Slot(_) => String::from("?"),
    };
    match constraint {
        PrincipalOrResourceConstraint::Any => what.to_owned(),
        PrincipalOrResourceConstraint::Eq(to) => format!("{what} == {}", uid(to)),
        PrincipalOrResourceConstraint::In(to) => format!("{what} in {}", uid(to)),
        PrincipalOrResourceConstraint::Is(kind) => format!("{what} is {kind}"),
        PrincipalOrResourceConstraint::IsIn(kind, to) => format!("{what} is {kind} in {}", uid(to)),
    }
}
