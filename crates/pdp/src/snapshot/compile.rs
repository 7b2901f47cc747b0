//! From files to a snapshot, in an order in which each step can rely on the
//! one before. Everything that is wrong is reported, not only the first thing.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    bundle::BundleFiles,
    decision::{Effect, Obligation},
};
use cedar_policy::{PolicySet, Schema, ValidationMode, Validator, pst::Clause};
use cedar_policy_core::ast;
use miette::Diagnostic;

use super::{Compiled, Snapshot};
use crate::{
    actions::Actions,
    annotations::{self, Annotations},
    approvals,
    calendar::Calendar,
    catalogue::Catalogue,
    clients,
    entities::Store,
    expression::{DEPTH_MAX, body, depth},
    finding::{Finding, Severity},
    index::Index,
    issuers, literals, over_grant,
    policies::{self, Layer, SourcePolicy},
    roles,
    schema::{self, Vocabulary},
    templates,
    visibility::reads,
};

/// Bytes of stack to compile on: Cedar's parser and typechecker recurse, and
/// what they are given is bounded so that this is several times enough.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Compiles a bundle.
pub(super) fn compile(files: &BundleFiles) -> Result<Snapshot, Vec<Finding>> {
    stacker::grow(STACK_BYTES, || compile_files(files))
}

fn compile_files(files: &BundleFiles) -> Result<Snapshot, Vec<Finding>> {
    let (catalogue, mut findings) = Catalogue::read(files);
    let (calendar, more) = Calendar::read(files);
    findings.extend(more);
    let (mut policies, more) = policies::read(files);
    findings.extend(more);
    let (issuers, more) = issuers::read(files);
    findings.extend(more);
    let (clients, more) = clients::read(files);
    findings.extend(more);
    findings.extend(unread(files));

    let vocabulary = Vocabulary { zones: calendar.zones(), ..Vocabulary::default() };
    let generated = schema::generate(&catalogue, &vocabulary);
    let schema = match parse_schema(&generated.text) {
        Ok(schema) => schema,
        Err(finding) => return Err(refuse(findings, [finding])),
    };
    let actions = schema
        .action_entities()
        .map_err(|error| refuse(std::mem::take(&mut findings), [Finding::error("schema", "", error.to_string())]))?;
    let actions =
        Actions::new(actions.iter().map(|entity| AsRef::<ast::Entity>::as_ref(entity).clone()), &generated.witnesses);
    let (roles, generated_policies, more) = roles::read(files, &actions);
    policies.extend(generated_policies);
    findings.extend(more);
    let (templates, more) = templates::read(files, &catalogue, &actions, &roles);
    findings.extend(more);
    if has_errors(&findings) {
        return Err(refuse(findings, []));
    }

    let facts: BTreeSet<String> = generated.facts;
    let store = match Store::new(&catalogue, &roles, &actions, &facts, schema.as_ref()) {
        Ok(store) => store,
        Err(finding) => return Err(refuse(findings, [finding])),
    };
    findings.extend(policies.iter().filter_map(too_deep));
    if has_errors(&findings) {
        return Err(refuse(findings, []));
    }
    findings.extend(validate(&policies, &schema));
    let compiled = compile_policies(&policies, &store, &field_classes(&catalogue), &mut findings);
    if has_errors(&findings) {
        return Err(refuse(findings, []));
    }
    let index = Index::new(compiled.iter().map(|policy| AsRef::<ast::Policy>::as_ref(&policy.policy)));
    let mut snapshot = Snapshot {
        revision: files.revision(),
        warnings: findings,
        catalogue,
        calendar,
        roles,
        templates,
        clients,
        issuers,
        actions,
        schema_text: generated.text,
        schema,
        store,
        policies: compiled,
        index,
    };
    let wider = templates::wider(&snapshot);
    if !wider.is_empty() {
        return Err(refuse(snapshot.warnings, wider));
    }
    let surplus = over_grant::find(&snapshot);
    snapshot.warnings.extend(surplus);
    snapshot.warnings.sort();
    Ok(snapshot)
}

fn compile_policies(
    policies: &[SourcePolicy],
    store: &Store,
    field_classes: &BTreeSet<&str>,
    findings: &mut Vec<Finding>,
) -> Vec<Compiled> {
    let mut compiled = Vec::with_capacity(policies.len());
    for policy in policies {
        match compile_policy(policy, store, field_classes) {
            Ok((policy, warnings)) => {
                findings.extend(warnings);
                compiled.push(policy);
            }
            Err(errors) => findings.extend(errors),
        }
    }
    compiled
}

fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

fn refuse(mut findings: Vec<Finding>, more: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    findings.extend(more);
    findings.sort();
    findings.dedup();
    findings
}

/// Files that no part of the broker reads.
fn unread(files: &BundleFiles) -> Vec<Finding> {
    let read = ["clients/", "issuers/", "policies/", "roles/", "systems/", "templates/"];
    let ignored = files.iter().filter(|(path, _)| !read.iter().any(|folder| path.starts_with(folder)));
    ignored
        .map(|(path, _)| {
            Finding::warning("file-ignored", path, "nothing reads this file")
                .with_help("a bundle has `clients/`, `issuers/`, `policies/`, `roles/`, `systems/` and `templates/`")
        })
        .collect()
}

fn parse_schema(text: &str) -> Result<Schema, Finding> {
    let refused = |error: &dyn std::fmt::Display| {
        Finding::error("schema", "", format!("the schema made from `systems/` is not valid: {error}"))
            .with_help("this is a mistake of the broker: please report it with the files in `systems/`")
    };
    let (schema, mut warnings) = Schema::from_cedarschema_str(text).map_err(|error| refused(&error))?;
    match warnings.next() {
        Some(warning) => Err(refused(&warning)),
        None => Ok(schema),
    }
}

/// Asked before anything else walks the policy: whatever walks it recurses.
fn too_deep(source: &SourcePolicy) -> Option<Finding> {
    let tree = source.policy.to_pst().ok()?;
    if tree.body().clauses().iter().all(|clause| depth(body(clause)) <= DEPTH_MAX) {
        return None;
    }
    let message = format!("`{}` nests expressions more than {DEPTH_MAX} deep", source.id);
    let finding = source.error("policy-too-large", message);
    Some(finding.with_help("write `[…].contains(…)` instead of a chain of `||`, or split it"))
}

/// Validates all policies strictly. A warning refuses as an error does: a
/// policy that can never match protects nothing.
fn validate(policies: &[SourcePolicy], schema: &Schema) -> Vec<Finding> {
    let by_id: BTreeMap<&str, &SourcePolicy> = policies.iter().map(|policy| (policy.id.as_str(), policy)).collect();
    let set = match PolicySet::from_policies(policies.iter().map(|policy| policy.policy.clone())) {
        Ok(set) => set,
        Err(error) => return vec![Finding::error("policy-set", "", error.to_string())],
    };
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let finding = |code: &'static str, id: &cedar_policy::PolicyId, diagnostic: &dyn Diagnostic| {
        let message = diagnostic.to_string();
        let found = match by_id.get(AsRef::<str>::as_ref(id)) {
            Some(policy) => {
                let (line, column) = policy.place_of(diagnostic);
                Finding::error(code, &*policy.file, message).at(line).at_column(column)
            }
            None => Finding::error(code, "", message),
        };
        match diagnostic.help() {
            Some(help) => found.with_help(help.to_string()),
            None => found,
        }
    };
    let errors = result.validation_errors().map(|error| finding("policy-invalid", error.policy_id(), error));
    // What is suspicious about an invalid policy is mostly that it is invalid.
    let invalid: BTreeSet<&cedar_policy::PolicyId> =
        result.validation_errors().map(|error| error.policy_id()).collect();
    let warnings = result.validation_warnings().filter(|warning| !invalid.contains(warning.policy_id()));
    let pointless = "correct it, or remove it: a rule that no call can match protects nothing and allows nothing";
    let warnings = warnings.map(|warning| {
        let found = finding("policy-suspicious", warning.policy_id(), warning);
        if found.help.is_some() { found } else { found.with_help(pointless) }
    });
    errors.chain(warnings).collect()
}

/// One policy, and what somebody should look at; or what is wrong with it.
pub(super) fn compile_policy(
    source: &SourcePolicy,
    store: &Store,
    field_classes: &BTreeSet<&str>,
) -> Result<(Compiled, Vec<Finding>), Vec<Finding>> {
    let tree = source.policy.to_pst().map_err(|error| vec![source.error("policy-syntax", error.to_string())])?;
    let clauses: &[Clause] = tree.body().clauses();
    let annotations = annotations::read(source)?;
    let mut findings = approvals::check(source, clauses, &annotations);
    findings.extend(literals::check(source, clauses, store));
    findings.extend(unmaskable(source, &annotations, field_classes));
    if source.layer == Layer::Boundary && annotations.gate.is_some() {
        findings.push(
            source
                .error("boundary-gate", format!("`{}` could be lifted, and the boundary cannot", source.id))
                .with_help("move it to `policies/organisation`, or remove `@approvers`"),
        );
    }
    if has_errors(&findings) {
        return Err(findings);
    }
    findings.extend(unscoped(source));
    let policy: &ast::Policy = source.policy.as_ref();
    let literals = source.policy.entity_literals();
    let literals = literals.iter().filter_map(|uid| store.entity(uid.as_ref())).cloned();
    let resource = policy.resource_constraint().into_inner();
    let compiled = Compiled {
        id: source.id.clone(),
        effect: if source.is_forbid() { Effect::Forbid } else { Effect::Permit },
        layer: source.layer,
        file: source.file.clone(),
        line: source.line,
        column: source.column,
        annotations,
        condition: policy.condition(),
        literals: literals.collect(),
        reads: reads(!matches!(resource, ast::PrincipalOrResourceConstraint::Any), clauses),
        policy: source.policy.clone(),
    };
    Ok((compiled, findings))
}

fn field_classes(catalogue: &Catalogue) -> BTreeSet<&str> {
    let tools = catalogue.systems().flat_map(|system| system.tools.values());
    tools.flat_map(|tool| tool.field_classes.keys()).map(String::as_str).collect()
}

/// An obligation to mask what no tool declares could never be discharged.
fn unmaskable(source: &SourcePolicy, annotations: &Annotations, known: &BTreeSet<&str>) -> Vec<Finding> {
    let unknown = annotations.obligations.iter().filter_map(|obligation| match obligation {
        Obligation::Mask { field_class } if !known.contains(field_class.as_str()) => Some(field_class),
        _ => None,
    });
    let finding = |class: &String| {
        source
            .error("field-class-unknown", format!("no tool has fields of the class `{class}`"))
            .with_help("declare it under `field_classes` in `systems/`, or correct its name")
    };
    unknown.map(finding).collect()
}

/// A policy without any scope is looked at for every call of everybody.
fn unscoped(source: &SourcePolicy) -> Option<Finding> {
    let policy: &ast::Policy = source.policy.as_ref();
    let open = |constraint: &ast::PrincipalOrResourceConstraint| {
        matches!(constraint, ast::PrincipalOrResourceConstraint::Any | ast::PrincipalOrResourceConstraint::Is(_))
    };
    let unscoped = matches!(policy.action_constraint(), ast::ActionConstraint::Any)
        && open(policy.principal_constraint().as_inner())
        && open(policy.resource_constraint().as_inner());
    let finding = || {
        Finding::warning("policy-unscoped", &*source.file, format!("`{}` is looked at for every call", source.id))
            .at(source.line)
            .at_column(source.column)
            .with_help("name an action or a group of actions in its scope")
    };
    (unscoped && source.layer != Layer::Builtin).then(finding)
}
