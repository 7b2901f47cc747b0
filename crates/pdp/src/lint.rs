//! What is suspicious about a bundle that compiles: rules that never matter, never match or always hold, and rules that
//! contradict each other. Compares texts and ranges, so what it finds is there, and what it cannot prove it leaves out.
//! Decides nothing, and a bundle with findings can be published.

mod conditions;
mod cover;
mod truth;

use std::collections::BTreeSet;

use cedar_policy_core::{
    ast::{self, EntityUID, Expr, PrincipalOrResourceConstraint},
    parser::Loc,
};

use crate::{
    finding::{Finding, place_of},
    parts::flatten,
    policies::Layer,
    snapshot::{Compiled, STACK_BYTES, STACK_BYTES_MIN, Snapshot},
};

/// Everything suspicious, in the order of files and lines: the warnings of the compiler included.
pub fn lint(snapshot: &Snapshot) -> Vec<Finding> {
    stacker::maybe_grow(STACK_BYTES_MIN, STACK_BYTES, || {
        let rules: Vec<Rule<'_>> = snapshot.policies().iter().map(Rule::new).collect();
        let mut findings = snapshot.warnings().to_vec();
        findings.extend(rules.iter().filter(|rule| !rule.is_builtin()).flat_map(conditions::check));
        findings.extend(cover::check(snapshot, &rules, cover::PAIRS_MAX));
        findings.sort();
        findings.dedup();
        findings
    })
}

/// One policy, taken apart.
struct Rule<'a> {
    compiled: &'a Compiled,
    /// What must hold beside its scope: each part, and whether it must be true or false.
    parts: Vec<(&'a Expr, bool)>,
    /// The same as texts.
    texts: BTreeSet<String>,
    /// The actions and groups of its scope; none: any.
    actions: Vec<&'a EntityUID>,
    principal: PrincipalOrResourceConstraint,
    resource: PrincipalOrResourceConstraint,
}

impl<'a> Rule<'a> {
    fn new(compiled: &'a Compiled) -> Self {
        let policy: &ast::Policy = compiled.policy.as_ref();
        let mut parts = Vec::new();
        if let Some(expr) = policy.non_scope_constraints() {
            flatten(expr, true, &mut parts);
        }
        let texts = parts.iter().map(|(expr, wanted)| text(expr, *wanted)).collect();
        Self {
            compiled,
            parts,
            texts,
            actions: policy.action_constraint().iter_euids().collect(),
            principal: policy.principal_constraint().into_inner(),
            resource: policy.resource_constraint().into_inner(),
        }
    }

    fn is_builtin(&self) -> bool {
        self.compiled.layer == Layer::Builtin
    }

    fn is_boundary(&self) -> bool {
        self.compiled.layer == Layer::Boundary
    }

    /// A warning about the policy as a whole.
    fn warning(&self, code: &'static str, message: String) -> Finding {
        Finding::warning(code, &*self.compiled.file, message).at(self.compiled.line).at_column(self.compiled.column)
    }

    /// A warning about one of its expressions.
    fn warning_at(&self, expr: &Expr, code: &'static str, message: String) -> Finding {
        let finding = self.warning(code, message);
        match innermost(expr).filter(|_| !self.compiled.is_generated()) {
            Some(loc) => {
                let (line, column) = place_of(&loc.src, loc.start());
                finding.at(line).at_column(column)
            }
            None => finding,
        }
    }

    /// How another rule names this one: its id and its place.
    fn named(&self) -> String {
        format!("`{}` ({}:{})", self.compiled.id, self.compiled.file, self.compiled.line)
    }
}

/// Where an expression was written: where itself or the first thing inside it was.
fn innermost(expr: &Expr) -> Option<&Loc> {
    expr.source_loc().or_else(|| expr.subexpressions().find_map(Expr::source_loc))
}

/// A part of a condition as text, for comparison.
fn text(expr: &Expr, wanted: bool) -> String {
    if wanted { expr.to_string() } else { format!("!({expr})") }
}
