//! Conditions of one policy that cannot come out both ways, or stand there twice.

use std::collections::BTreeSet;

use cedar_policy_core::ast::{Expr, ExprKind, UnaryOp};

use super::{Rule, text, truth::Truth};
use crate::{finding::Finding, parts::written};

/// What is suspicious about the conditions of one policy.
pub(super) fn check(rule: &Rule<'_>) -> Vec<Finding> {
    let truth = Truth::of(&rule.principal, &rule.resource);
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (part, wanted) in &rule.parts {
        let said = written(part);
        if truth.is_impossible(part, *wanted) {
            let message = format!("`{}` never matches: {}", rule.compiled.id, never(&said, *wanted));
            return vec![
                rule.warning_at(part, "never-matches", message)
                    .with_help("correct the condition, or remove the policy: it protects nothing and allows nothing"),
            ];
        }
        if truth.is_impossible(part, !*wanted) {
            let message = format!("a condition of `{}` always holds: {}", rule.compiled.id, always(&said, *wanted));
            findings.push(
                rule.warning_at(part, "always-true", message)
                    .with_help("remove it if the policy is meant to hold without it, or write what was meant"),
            );
        } else {
            dead(rule, &truth, part, *wanted, &mut findings);
        }
        if !seen.insert(text(part, *wanted)) {
            let message = format!("`{}` has the condition `{said}` twice", rule.compiled.id);
            findings.push(
                rule.warning_at(part, "condition-repeated", message)
                    .with_help("remove one, or write what the second was meant to be"),
            );
        }
    }
    if truth.contradict(&rule.parts) {
        let message = format!("`{}` never matches: its conditions contradict each other", rule.compiled.id);
        let finding = match rule.parts.first() {
            Some((part, _)) => rule.warning_at(part, "never-matches", message),
            None => rule.warning("never-matches", message),
        };
        return vec![finding.with_help("correct the conditions: no call can satisfy all of them")];
    }
    findings
}

/// Alternatives of an `||` that can never be the one that decides.
fn dead(rule: &Rule<'_>, truth: &Truth<'_>, expr: &Expr, wanted: bool, findings: &mut Vec<Finding>) {
    let sides = match (expr.expr_kind(), wanted) {
        (ExprKind::UnaryApp { op: UnaryOp::Not, arg }, _) => return dead(rule, truth, arg, !wanted, findings),
        (ExprKind::Or { left, right }, true) | (ExprKind::And { left, right }, false) => [left, right],
        (ExprKind::And { left, right }, true) | (ExprKind::Or { left, right }, false) => {
            return [left, right].into_iter().for_each(|side| dead(rule, truth, side, wanted, findings));
        }
        _ => return,
    };
    for side in sides {
        if truth.is_impossible(side, wanted) {
            let message = format!("a part of `{}` never decides: {}", rule.compiled.id, never(&written(side), wanted));
            findings.push(
                rule.warning_at(side, "never-decides", message).with_help("correct it, or remove this alternative"),
            );
        } else {
            dead(rule, truth, side, wanted, findings);
        }
    }
}

fn never(said: &str, wanted: bool) -> String {
    if wanted { format!("`{said}` is always false") } else { format!("`{said}` is always true, and must be false") }
}

fn always(said: &str, wanted: bool) -> String {
    if wanted { format!("`{said}`") } else { format!("`{said}` is never true") }
}
