//! Every entity that a policy names must be somewhere. A name that resolves to
//! nothing would make `in` and `has` silently false, so it refuses the bundle.

use std::collections::BTreeSet;

use cedar_policy::pst::{BinaryOp, Clause, EntityUID, Expr, Literal};
use cedar_policy_core::ast;

use crate::{
    expression::{UnknownKind, body, entity_values, walk},
    finding::Finding,
    policies::SourcePolicy,
    strict_toml::did_you_mean,
};

/// What the compiler knows of the entities that a policy can name.
pub(crate) trait KnownEntities {
    /// Whether all entities of this type are part of the bundle. Those of the
    /// others (agents, users, groups, records …) come with each call.
    fn is_closed(&self, entity_type: &str) -> bool;
    /// Whether the bundle has it.
    fn contains(&self, entity_type: &str, id: &str) -> bool;
    /// The ids of a type, to suggest one.
    fn ids(&self, entity_type: &str) -> BTreeSet<String>;
}

/// Checks all entity literals of one policy.
pub(crate) fn check(policy: &SourcePolicy, clauses: &[Clause], known: &dyn KnownEntities) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut unresolved = |entity_type: &str, id: &str| {
        if known.is_closed(entity_type) && !known.contains(entity_type, id) {
            let finding =
                policy.error("entity-unknown", format!("`{entity_type}::\"{id}\"` is nowhere in this bundle"));
            let ids = known.ids(entity_type);
            findings.push(match did_you_mean(id, ids.iter().map(String::as_str)) {
                Some(near) => finding.with_help(format!("did you mean `{near}`?")),
                None => finding.with_help("declare it in `roles/` or `systems/`, or correct its name"),
            });
        }
    };
    for (entity_type, id) in scope_literals(policy) {
        unresolved(&entity_type, &id);
    }
    let mut named: Vec<&EntityUID> = Vec::new();
    let mut opened: Vec<&EntityUID> = Vec::new();
    let walked: Result<(), UnknownKind> = clauses.iter().try_for_each(|clause| {
        walk(body(clause), &mut |expr| {
            if let Expr::Literal(Literal::EntityUID(uid)) = expr {
                named.push(uid);
            }
            if let Some(base) = opened_by(expr) {
                entity_values(base, &mut opened);
            }
        })
    });
    for uid in named {
        unresolved(&uid.ty.to_string(), &uid.eid);
    }
    for uid in opened.into_iter().filter(|uid| !known.is_closed(&uid.ty.to_string())) {
        findings.push(
            policy
                .error("entity-opened", format!("the policy looks inside `{uid}`, which need not exist when it is evaluated"))
                .with_help("compare it with `==` or put it to the right of `in`; look inside `principal` and `resource` instead"),
        );
    }
    if walked.is_err() {
        findings.push(policy.error("expression-unknown", "an expression of a kind that cannot be checked"));
    }
    findings
}

/// The part of an expression whose entity must exist for the answer to mean something.
fn opened_by(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::GetAttr { expr, .. } | Expr::HasAttr { expr, .. } => Some(expr),
        Expr::BinaryOp { op: BinaryOp::In | BinaryOp::HasTag | BinaryOp::GetTag, left, .. } => Some(left),
        Expr::Is { expr, in_expr: Some(_), .. } => Some(expr),
        _ => None,
    }
}

/// The entities in the scope of a policy, actions aside: those the schema knows.
fn scope_literals(policy: &SourcePolicy) -> Vec<(String, String)> {
    let policy = AsRef::<ast::Policy>::as_ref(&policy.policy);
    let principal = policy.principal_constraint();
    let resource = policy.resource_constraint();
    let uids = [principal.as_inner().get_euid(), resource.as_inner().get_euid()];
    uids.into_iter()
        .flatten()
        .map(|uid| (uid.entity_type().to_string(), AsRef::<str>::as_ref(uid.eid()).to_owned()))
        .collect()
}
