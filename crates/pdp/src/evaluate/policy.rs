//! The first stage: one Cedar request per principal and operation, each over
//! the policies that can match it. Every one must be permitted, none forbidden;
//! a policy that errs denies, which Cedar by itself would skip.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_model::{
    decision::{Determining, Effect, Obligation, Reason, ReasonCode},
    evaluation::{Evaluation, Party},
    examined::Examined,
    name::PolicyId,
    operation::{Operation, Resource},
    principal::Principal,
};
use cedar_policy_core::{
    ast::{Context, Entity, EntityUID, Literal, Request, RequestSchema as _, SlotEnv, ValueKind},
    entities::Entities,
    evaluator::{EvaluationError, Evaluator},
    extensions::Extensions,
    validator::ValidatorSchema,
};

use super::{
    context::{self, Shared},
    delegation,
    denial::{self, Denial, refused},
    explain::{self, PERMITS_EXAMINED_MAX, TOLD_MAX},
    fit,
};
use crate::{
    entities::{self, Missing},
    index::Side,
    snapshot::{Compiled, Snapshot},
};

/// What the first stage found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// What stands in the way; empty if nothing does.
    pub(super) denials: Vec<Denial>,
    /// Policies that decided.
    pub(super) determining: BTreeSet<Determining>,
    /// Policies that could not be evaluated, with why.
    pub(super) errors: BTreeMap<PolicyId, String>,
    /// Obligations of all satisfied permits.
    pub(super) obligations: BTreeSet<Obligation>,
    /// The policies that came nearest or stood in the way, and why.
    pub(super) examined: Vec<Examined>,
    /// Obligations of permits whose scope fits and whose conditions do not hold.
    pub(super) obligations_near: BTreeSet<Obligation>,
}

impl Verdict {
    /// A verdict that denies for one reason.
    pub(super) fn denied(reason: Reason) -> Self {
        Self { denials: vec![Denial::Final(reason)], ..Self::default() }
    }

    /// Tells of policies, each once for a principal and an action: of 200 elements that fail alike, the first will do.
    fn tell(&mut self, examined: impl IntoIterator<Item = Examined>) {
        for one in examined {
            let told = |other: &Examined| {
                other.policy == one.policy && other.principal == one.principal && other.action == one.action
            };
            if self.examined.len() < TOLD_MAX && !self.examined.iter().any(told) {
                self.examined.push(one);
            }
        }
    }

    /// Whether it is told already which permits came nearest.
    fn tells_nearest(&self, acting: &Acting<'_>, operation: &Operation) -> bool {
        let same = |one: &Examined| {
            one.effect == Effect::Permit && one.principal == acting.party.principal && one.action == operation.action
        };
        self.examined.len() >= TOLD_MAX || self.examined.iter().any(same)
    }
}

/// A principal of the chain, ready to be decided on.
pub(crate) struct Acting<'a> {
    /// Who.
    pub(crate) party: &'a Party,
    /// Its entity.
    pub(crate) entity: Arc<Entity>,
    /// Its place in the index.
    pub(crate) side: Side,
    /// Named in reasons if it is one of several.
    named: Option<Principal>,
}

/// The principals of a chain as entities, if each was allowed to hand work on to the next.
pub(crate) fn principals<'a>(snapshot: &Snapshot, parties: &'a [Party]) -> Result<Vec<Acting<'a>>, Reason> {
    let several = parties.len() > 1;
    delegation::check(snapshot, parties)?;
    let acting = parties.iter().map(|party| {
        let named = several.then(|| party.principal.clone());
        let entity = snapshot.store().principal(party).and_then(|entity| {
            conforms(snapshot, &entity)?;
            Ok(entity)
        });
        match entity {
            Ok(entity) => Ok(Acting { party, side: snapshot.index().side(&entity), entity, named }),
            Err(missing) => Err(denial::missing(&missing, named)),
        }
    });
    acting.collect()
}

fn conforms(snapshot: &Snapshot, entity: &Entity) -> Result<(), Missing> {
    let (schema, known) = (snapshot.validator_schema(), |uid: &EntityUID| snapshot.store().entity(uid).is_some());
    if fit::plainly_conforms(entity, schema, &known) { Ok(()) } else { entities::conforms(entity, schema) }
}

/// Decides every principal on every operation.
pub(super) fn verdict(snapshot: &Snapshot, evaluation: &Evaluation, approvals: &BTreeSet<PolicyId>) -> Verdict {
    let Evaluation { now, network_zone, task, parties, .. } = evaluation;
    let shared = context::shared(snapshot, *now, network_zone, task, parties, approvals);
    let acting = principals(snapshot, &evaluation.parties);
    let (shared, acting) = match (shared, acting) {
        (Ok(shared), Ok(acting)) => (shared, acting),
        (Err(reason), _) | (_, Err(reason)) => return Verdict::denied(reason),
    };
    let mut verdict = Verdict::default();
    for operation in &evaluation.operations {
        if let Err(reason) = decide_operation(snapshot, &shared, &acting, operation, &mut verdict) {
            verdict.denials.push(Denial::Final(reason));
        }
    }
    verdict
}

/// What all principals' requests about one operation have in common.
pub(super) struct Attempt<'a> {
    pub(super) operation: &'a Operation,
    pub(super) action: &'a Arc<Entity>,
    pub(super) resource: Arc<Entity>,
    pub(super) side: Side,
    context: Context,
}

fn decide_operation(
    snapshot: &Snapshot,
    shared: &Shared,
    acting: &[Acting<'_>],
    operation: &Operation,
    verdict: &mut Verdict,
) -> Result<(), Reason> {
    let action = snapshot.callable(&operation.action).ok_or_else(|| {
        refused(ReasonCode::UnknownTool, format!("`{}` is not in the published bundle", operation.action))
    })?;
    coherent(operation)?;
    let misfit = |missing: Missing| denial::missing(&missing, None);
    let resource = snapshot.store().resource(&operation.resource).map_err(misfit)?;
    conforms(snapshot, &resource).map_err(misfit)?;
    let side = snapshot.index().side(&resource);
    let attempt = Attempt { operation, action, resource, side, context: shared.of(operation)? };
    let mut checked: Option<&Party> = None;
    for acting in acting {
        // The schema sees a principal's type only, so one check per type will do.
        let schema = match checked {
            Some(party) if party.principal.kind() == acting.party.principal.kind() => None,
            _ => Some(snapshot.validator_schema()),
        };
        checked = Some(acting.party);
        decide_request(snapshot, acting, &attempt, schema, verdict)?;
    }
    Ok(())
}

/// An operation whose action and resource belong to different systems or tools is a mistake of its maker.
fn coherent(operation: &Operation) -> Result<(), Reason> {
    let same = match &operation.resource {
        Resource::Tool { system, tool } => operation.action.as_str() == format!("{system}.{tool}"),
        Resource::System { system } | Resource::Record { system, .. } => operation.action.system() == system.as_str(),
    };
    if same {
        Ok(())
    } else {
        Err(refused(ReasonCode::EvaluationError, "the action and the resource do not belong together"))
    }
}

fn decide_request(
    snapshot: &Snapshot,
    acting: &Acting<'_>,
    attempt: &Attempt<'_>,
    schema: Option<&ValidatorSchema>,
    verdict: &mut Verdict,
) -> Result<(), Reason> {
    let request = cedar_request(snapshot, acting, attempt, schema)?;
    let candidates = candidates(snapshot, acting, attempt);
    let entities = slice(&candidates, acting, attempt)?;
    let evaluator = Evaluator::new(request, &entities, Extensions::all_available());
    let asked = explain::DecidedRequest { snapshot, evaluator: &evaluator, acting, attempt };
    let mut permitted = false;
    let mut barred = false;
    let mut unmatched: Vec<&Compiled> = Vec::new();
    for policy in candidates {
        match satisfied(&evaluator, policy) {
            Ok(false) => {
                if policy.effect == Effect::Permit {
                    verdict.obligations_near.extend(policy.annotations.obligations.iter().cloned());
                    if unmatched.len() < PERMITS_EXAMINED_MAX {
                        unmatched.push(policy);
                    }
                }
                continue;
            }
            Ok(true) => {}
            Err(why) => {
                verdict.errors.insert(policy.id.clone(), why.to_owned());
                verdict.denials.push(denial::unevaluable(policy, why, acting.named.clone()));
                barred = true;
                continue;
            }
        }
        verdict.determining.insert(Determining {
            policy: policy.id.clone(),
            effect: policy.effect,
            principal: acting.party.principal.clone(),
            action: attempt.operation.action.clone(),
        });
        match policy.effect {
            Effect::Permit => {
                permitted = true;
                verdict.obligations.extend(policy.annotations.obligations.iter().cloned());
            }
            Effect::Forbid => {
                let denial = denial::forbidden(policy, acting.named.clone());
                barred |= denial.gate().is_none();
                verdict.denials.push(denial);
                verdict.tell([asked.held(policy)]);
            }
        }
    }
    if !permitted && !barred {
        let action = &attempt.operation.action;
        let near = unmatched.first().copied();
        verdict.denials.push(denial::not_permitted(acting.party, action, near, acting.named.clone()));
        if !verdict.tells_nearest(acting, attempt.operation) {
            verdict.tell(asked.nearest(&unmatched));
        }
    }
    Ok(())
}

/// The request as Cedar takes it, checked against the schema if there is one.
fn cedar_request(
    snapshot: &Snapshot,
    acting: &Acting<'_>,
    attempt: &Attempt<'_>,
    schema: Option<&ValidatorSchema>,
) -> Result<Request, Reason> {
    let uid = |entity: &Entity| (entity.uid().clone(), None);
    let (principal, action, resource) = (uid(&acting.entity), uid(attempt.action), uid(&attempt.resource));
    let context = attempt.context.clone();
    let schema = schema.filter(|schema| {
        let scope = schema.validate_scope_variables(Some(&principal.0), Some(&action.0), Some(&resource.0));
        let known = |uid: &EntityUID| snapshot.store().entity(uid).is_some();
        let plain =
            schema.context_type(&action.0).is_some_and(|expected| fit::plainly_fits(&context, expected, &known));
        scope.is_err() || !plain
    });
    Request::new(principal, action, resource, context, schema, Extensions::all_available())
        .map_err(|error| denial::missing(&Missing::Misfit(error.to_string()), acting.named.clone()))
}

/// The policies that can match, in a fixed order.
fn candidates<'a>(snapshot: &'a Snapshot, acting: &Acting<'_>, attempt: &Attempt<'_>) -> Vec<&'a Compiled> {
    let numbers = snapshot.index().candidates(&acting.side, attempt.action, Some(&attempt.side));
    numbers.into_iter().filter_map(|number| snapshot.policy(number)).collect()
}

/// All entities that these policies can look into: those of the attempt, and those they name.
fn slice(candidates: &[&Compiled], acting: &Acting<'_>, attempt: &Attempt<'_>) -> Result<Entities, Reason> {
    let literals = candidates.iter().flat_map(|policy| policy.literals.iter().cloned());
    let all = [&acting.entity, attempt.action, &attempt.resource].into_iter().cloned().chain(literals);
    entities::slice(all).map_err(|missing| denial::missing(&missing, acting.named.clone()))
}

/// Whether a policy holds; or why nobody can say.
fn satisfied(evaluator: &Evaluator<'_>, policy: &Compiled) -> Result<bool, &'static str> {
    match evaluator.interpret(&policy.condition, &SlotEnv::new()) {
        Ok(value) => match value.value_kind() {
            ValueKind::Lit(Literal::Bool(satisfied)) => Ok(*satisfied),
            _ => Err("its condition is neither true nor false"),
        },
        Err(error) => Err(kind_of(&error)),
    }
}

/// What went wrong, without the values that it went wrong with.
fn kind_of(error: &EvaluationError) -> &'static str {
    match error {
        EvaluationError::EntityDoesNotExist(_) => "it looks into an entity that does not exist",
        EvaluationError::EntityAttrDoesNotExist(_) => "it reads an attribute that the entity does not have",
        EvaluationError::RecordAttrDoesNotExist(_) => "it reads an attribute that is not there",
        EvaluationError::IntegerOverflow(_) => "a number in it becomes too large",
        EvaluationError::TypeError(_) => "a value in it is of the wrong type",
        EvaluationError::FailedExtensionFunctionExecution(_) => "a date, duration, decimal or address in it is invalid",
        EvaluationError::RecursionLimit(_) => "it is nested too deeply",
        _ => "its evaluation failed",
    }
}
