//! Walking Cedar expressions. Holds no rule of its own.

use std::sync::Arc;

use cedar_policy::pst::{Clause, EntityUID, Expr, Literal, Var};

/// Expressions within expressions of one clause: `a && b && c` nests twice.
pub(crate) const DEPTH_MAX: usize = 128;

/// An expression of a kind that this crate has never seen: nothing can be said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownKind;

/// The expressions directly inside another.
pub(crate) fn children(expr: &Expr) -> Result<Vec<&Arc<Expr>>, UnknownKind> {
    Ok(match expr {
        Expr::Literal(_) | Expr::Var(_) => Vec::new(),
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => vec![expr],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::Is { expr, in_expr, .. } => std::iter::once(expr).chain(in_expr).collect(),
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![cond, then_expr, else_expr],
        Expr::Set(items) => items.iter().collect(),
        Expr::Record(members) => members.values().collect(),
        _ => return Err(UnknownKind),
    })
}

/// Calls `visit` on an expression and on everything inside it.
pub(crate) fn walk<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) -> Result<(), UnknownKind> {
    visit(expr);
    for child in children(expr)? {
        walk(child, visit)?;
    }
    Ok(())
}

/// How deeply an expression nests.
pub(crate) fn depth(expr: &Expr) -> usize {
    let inner = children(expr).unwrap_or_default();
    1 + inner.into_iter().map(|child| depth(child)).max().unwrap_or_default()
}

/// The expression of a clause.
pub(crate) fn body(clause: &Clause) -> &Arc<Expr> {
    match clause {
        Clause::When(expr) | Clause::Unless(expr) => expr,
    }
}

/// Whether an expression is the context as a whole.
pub(crate) fn is_context(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Context))
}

/// The entity literals that an expression can stand for.
pub(crate) fn entity_values<'a>(expr: &'a Expr, values: &mut Vec<&'a EntityUID>) {
    match expr {
        Expr::Literal(Literal::EntityUID(uid)) => values.push(uid),
        Expr::IfThenElse { then_expr, else_expr, .. } => {
            entity_values(then_expr, values);
            entity_values(else_expr, values);
        }
        _ => {}
    }
}
