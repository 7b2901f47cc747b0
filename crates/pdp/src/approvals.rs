//! Approval never widens: the only thing that `context.approvals` can do is to
//! lift the very forbid that asks for it. Every other use refuses the bundle.

use bailiwick_model::name::PolicyId;
use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal};

use crate::{
    annotations::Annotations,
    expression::{body, children, is_context},
    finding::Finding,
    policies::SourcePolicy,
};

const ATTRIBUTE: &str = "approvals";

/// What of the context an expression uses that it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misuse {
    Approvals,
    WholeContext,
    Unknown,
}

/// Checks the clauses of one policy.
pub(crate) fn check(policy: &SourcePolicy, clauses: &[Clause], annotations: &Annotations) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut lifted = false;
    for clause in clauses {
        let own = matches!(clause, Clause::Unless(expr) if is_own_gate(expr, &policy.id));
        if own && policy.is_forbid() && annotations.gate.is_some() {
            lifted = true;
        } else if own && policy.is_forbid() {
            findings.push(
                policy
                    .error(
                        "approval-without-approvers",
                        format!("`{}` can be lifted, and nobody is named who may", policy.id),
                    )
                    .with_help("add `@approvers(\"group:…\")`"),
            );
        } else if let Some(misuse) = misuse(body(clause)) {
            findings.push(finding(policy, misuse));
        }
    }
    if annotations.gate.is_some() && !lifted && findings.is_empty() {
        findings.push(
            policy
                .error(
                    "approvers-without-gate",
                    format!("`{}` names approvers, and no approval can lift it", policy.id),
                )
                .with_help(help(&policy.id)),
        );
    }
    findings
}

fn help(id: &PolicyId) -> String {
    format!(
        "write it exactly as `unless {{ context.approvals.contains(\"{id}\") }}`, alone, on the forbid with that `@id`"
    )
}

fn finding(policy: &SourcePolicy, misuse: Misuse) -> Finding {
    match misuse {
        Misuse::Approvals => policy
            .error("approval-misuse", "`context.approvals` is used for something else than lifting this very forbid")
            .with_help(help(&policy.id)),
        Misuse::WholeContext => policy
            .error("context-whole", "the context is used as a whole, which would let approvals in by a side door")
            .with_help("name the attribute: `context.now`, `context.effect.records` …"),
        Misuse::Unknown => policy.error("expression-unknown", "an expression of a kind that cannot be checked"),
    }
}

/// Whether an expression is exactly `context.approvals.contains("<id>")`.
fn is_own_gate(expr: &Expr, id: &PolicyId) -> bool {
    let Expr::BinaryOp { op: BinaryOp::Contains, left, right } = expr else { return false };
    let Expr::GetAttr { expr, attr } = &**left else { return false };
    let Expr::Literal(Literal::String(text)) = &**right else { return false };
    is_context(expr) && attr == ATTRIBUTE && text.as_str() == id.as_str()
}

fn misuse(expr: &Expr) -> Option<Misuse> {
    match expr {
        Expr::GetAttr { expr, attr } if is_context(expr) => (attr == ATTRIBUTE).then_some(Misuse::Approvals),
        Expr::HasAttr { expr, attrs } if is_context(expr) => (attrs.head == ATTRIBUTE).then_some(Misuse::Approvals),
        _ if is_context(expr) => Some(Misuse::WholeContext),
        _ => match children(expr) {
            Ok(children) => children.into_iter().find_map(|child| misuse(child)),
            Err(_) => Some(Misuse::Unknown),
        },
    }
}
