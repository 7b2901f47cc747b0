//! A compiled bundle: immutable, swapped whole, shared by reference count.
//! Must not know where its files came from, nor what time it is.

mod compile;

use std::sync::Arc;

use bailiwick_model::{
    agent::KeyProtection,
    authentication::StepUp,
    bundle::{BundleFiles, BundleRevision},
    decision::{Effect, Evaluated, Reason},
    evaluation::{Authority, Evaluation, Party},
    name::{ActionName, PolicyId, RoleName, Scope, SystemName, TemplateName},
    observation::ObservationScope,
    operation::Operation,
};
use cedar_policy::Schema;
use cedar_policy_core::{
    ast::{Entity, Expr},
    validator::ValidatorSchema,
};

use crate::{
    actions::Actions,
    annotations::Annotations,
    calendar::Calendar,
    catalogue::Catalogue,
    clients::Clients,
    entities::Store,
    evaluate,
    finding::Finding,
    index::{Index, PolicyNumber},
    issuers::Issuers,
    mapping::{self, Call},
    policies::Layer,
    roles::Roles,
    templates::{Template, Templates},
    visibility::{Listing, Lookout, Reads, Visibility},
};

/// Bytes of stack that a decision finds, or is given: what policies nest is
/// bounded, and Cedar errs rather than overflow, which denies.
pub(crate) const STACK_BYTES_MIN: usize = 1024 * 1024;
/// Bytes of stack that a decision is given.
pub(crate) const STACK_BYTES: usize = 16 * 1024 * 1024;

/// A compiled bundle.
#[derive(Debug)]
pub struct Snapshot {
    revision: BundleRevision,
    warnings: Vec<Finding>,
    catalogue: Catalogue,
    calendar: Calendar,
    roles: Roles,
    templates: Templates,
    clients: Clients,
    issuers: Issuers,
    actions: Actions,
    schema_text: String,
    schema: Schema,
    store: Store,
    policies: Vec<Compiled>,
    index: Index,
}

/// One policy, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// Its `@id`.
    pub(crate) id: PolicyId,
    /// Permit or forbid.
    pub(crate) effect: Effect,
    /// Where it belongs.
    pub(crate) layer: Layer,
    /// Its file inside the bundle.
    pub(crate) file: Arc<str>,
    /// Its line in that file.
    pub(crate) line: usize,
    /// The character in that line, from 1.
    pub(crate) column: usize,
    /// What its annotations say.
    pub(crate) annotations: Annotations,
    /// Scope and clauses as one expression, made once.
    pub(crate) condition: Expr,
    /// The entities of the bundle that it names.
    pub(crate) literals: Vec<Arc<Entity>>,
    /// What of a call it looks at.
    pub(crate) reads: Reads,
    /// As Cedar has it.
    pub(crate) policy: cedar_policy::Policy,
}

impl Compiled {
    /// Whether it was made from `roles/*.toml`, so that its own positions mean nothing.
    pub(crate) fn is_generated(&self) -> bool {
        self.layer == Layer::Generated
    }
}

impl Snapshot {
    /// Compiles a bundle, or says everything that is wrong with it.
    pub fn compile(files: &BundleFiles) -> Result<Self, Vec<Finding>> {
        compile::compile(files)
    }

    /// What somebody should look at, although the bundle can be published.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The digest of the bundle's files, which every decision cites.
    pub fn revision(&self) -> BundleRevision {
        self.revision
    }

    /// The systems and tools of the bundle.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The generated schema in Cedar's own syntax.
    pub fn cedar_schema(&self) -> &str {
        &self.schema_text
    }

    /// Turns a call into the operations that it stands for.
    pub fn map(&self, call: &Call<'_>) -> Result<Vec<Operation>, Reason> {
        mapping::map(&self.catalogue, call)
    }

    /// Decides. Total: whatever cannot be decided is denied.
    pub fn evaluate(&self, evaluation: &Evaluation) -> Evaluated {
        stacker::maybe_grow(STACK_BYTES_MIN, STACK_BYTES, || evaluate::evaluate(self, evaluation))
    }

    /// Whether an action is shown in a list to this caller.
    pub fn visibility(&self, listing: &Listing<'_>, action: &ActionName) -> Visibility {
        self.lookout(*listing).visibility(action)
    }

    /// The same for many actions: what does not depend on the action is worked out once.
    pub fn lookout<'a>(&'a self, listing: Listing<'a>) -> Lookout<'a> {
        stacker::maybe_grow(STACK_BYTES_MIN, STACK_BYTES, || Lookout::new(self, listing))
    }

    /// The observations that cover what these principals do on a system; none while a safe mode concerns them.
    pub fn observed_by(&self, system: &SystemName, parties: &[Party], authority: &Authority) -> Vec<ObservationScope> {
        evaluate::observed_by(self, system.as_str(), parties, authority)
    }

    /// The scopes that a token needs for these operations, each once.
    pub fn required_scopes(&self, operations: &[Operation]) -> Vec<Scope> {
        let needed = |operation: &Operation| evaluate::required_scope(&operation.action, operation.class).ok();
        let mut scopes: Vec<Scope> = operations.iter().filter_map(needed).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// What lets the agents of one role delegate to those of another, as evidence cites it; `None` is nothing.
    pub fn delegation(&self, from: &RoleName, to: &RoleName) -> Option<String> {
        self.roles.delegates(from, to).map(|by| format!("role:{by}:delegates-to:{to}"))
    }

    /// What a user has to have proved for all of these operations, if anything.
    pub fn required_step_up(&self, operations: &[Operation]) -> Option<StepUp> {
        let wanted = operations.iter().filter_map(|operation| self.catalogue.step_up(&operation.action).cloned());
        wanted.reduce(|all, one| all.and(&one))
    }

    /// How the keys of a role's agents must be kept.
    pub fn key_protection(&self, role: &RoleName) -> KeyProtection {
        self.roles.key_protection(role)
    }

    /// The roles to whose agents those of a role may delegate, in name order.
    pub fn delegates_to(&self, from: &RoleName) -> impl Iterator<Item = &RoleName> {
        self.roles.iter().map(|(name, _)| name).filter(move |to| self.roles.delegates(from, to).is_some())
    }

    /// Every role of the bundle with its purpose, in name order.
    pub fn roles_with_purpose(&self) -> impl Iterator<Item = (&RoleName, &str)> {
        self.roles.iter().map(|(name, role)| (name, role.purpose.as_str()))
    }

    /// Clients that are known by a document of their own.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The issuers that are trusted.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// The kinds of tasks of the bundle, in name order.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.iter()
    }

    /// One kind of task.
    pub fn template(&self, name: &TemplateName) -> Option<&Template> {
        self.templates.template(name)
    }

    /// Whether the holders of a role take tasks of a kind: because it names their role, or one that theirs inherits.
    pub fn takes_tasks_of(&self, role: &RoleName, template: &Template) -> bool {
        self.roles.family(role).any(|(name, _)| template.roles.contains(name))
    }

    /// Whether a role is another one, or inherits it.
    pub fn role_includes(&self, role: &RoleName, other: &RoleName) -> bool {
        self.roles.family(role).any(|(name, _)| name == other)
    }

    /// Every action that a call can have, in name order.
    pub fn action_names(&self) -> impl Iterator<Item = &ActionName> {
        self.actions.callable().iter()
    }

    /// Where a policy stands: its file inside the bundle and its line.
    pub fn policy_source(&self, id: &PolicyId) -> Option<(&str, usize)> {
        let policy = self.policies.iter().find(|policy| policy.id == *id)?;
        Some((&policy.file, policy.line))
    }

    pub(crate) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    pub(crate) fn actions(&self) -> &Actions {
        &self.actions
    }

    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn validator_schema(&self) -> &ValidatorSchema {
        self.schema.as_ref()
    }

    pub(crate) fn policy(&self, number: PolicyNumber) -> Option<&Compiled> {
        self.policies.get(usize::try_from(number).ok()?)
    }

    /// Puts other policies in, which nobody validated.
    #[cfg(test)]
    pub(crate) fn replace_policies(&mut self, sources: &[crate::policies::SourcePolicy]) {
        let compiled = |source| compile::compile_policy(source, &self.store, &Default::default());
        self.policies = sources.iter().map(|source| compiled(source).map(|(policy, _)| policy).unwrap()).collect();
        self.index = Index::new(self.policies.iter().map(|policy| policy.policy.as_ref()));
    }

    /// Every policy.
    pub(crate) fn policies(&self) -> &[Compiled] {
        &self.policies
    }

    /// The policies that people can lift for one call.
    pub(crate) fn gates(&self) -> impl Iterator<Item = &PolicyId> {
        self.policies.iter().filter(|policy| policy.annotations.gate.is_some()).map(|policy| &policy.id)
    }

    /// Scope and clauses of every policy.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Expr> {
        self.policies.iter().map(|policy| &policy.condition)
    }

    /// The entity of an action that a call can have.
    pub(crate) fn callable(&self, action: &ActionName) -> Option<&Arc<Entity>> {
        self.actions.callable().get(action).and_then(|action| self.actions.entity(action.as_str()))
    }
}

#[cfg(test)]
mod tests;
