//! Which tools a caller is shown: all but those that it certainly could not
//! call or ask for. Never decides a call.

mod partial;

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_model::{
    decision::{Effect, Reason, ReasonCode},
    evaluation::{Authority, Party, TaskContext},
    name::{ActionName, PolicyId},
    operation::ActionClass,
};
use cedar_policy_core::{
    ast::{Context, Entity, EntityType, EntityUID, Literal, Request, RequestSchemaAllPass, SlotEnv, ValueKind},
    evaluator::Evaluator,
    extensions::Extensions,
};
use jiff::Timestamp;

pub(crate) use self::partial::{Reads, reads};
use crate::{
    actions::uid,
    entities,
    evaluate::{Acting, Asked, Shared, authority_of_listing, principals, refused, shared_context},
    snapshot::{Compiled, Snapshot},
};

/// Who asks for a list, in which situation. The arguments of later calls are unknown.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// When.
    pub now: Timestamp,
    /// Everybody in the delegation chain, initiating principal first.
    pub parties: &'a [Party],
    /// The network zone that the caller's address falls into.
    pub network_zone: &'a str,
    /// The task that the list is asked for in.
    pub task: &'a TaskContext,
    /// Scopes and safe modes.
    pub authority: &'a Authority,
}

/// Whether something is shown in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// Some call of it could be allowed, or asked for.
    Shown,
    /// No call of it could.
    Hidden(Reason),
}

/// What a call that is yet to come would be about.
struct Target {
    /// The entity type.
    kind: EntityType,
    /// The entity, if every call of the action is about this one.
    known: Option<Arc<Entity>>,
}

/// Whether an action is shown.
pub(crate) fn of(snapshot: &Snapshot, listing: &Listing<'_>, action: &ActionName) -> Visibility {
    match reason_to_hide(snapshot, listing, action) {
        None => Visibility::Shown,
        Some(reason) => Visibility::Hidden(reason),
    }
}

fn reason_to_hide(snapshot: &Snapshot, listing: &Listing<'_>, action: &ActionName) -> Option<Reason> {
    let Some(entity) = snapshot.callable(action) else {
        return Some(refused(ReasonCode::UnknownTool, format!("`{action}` is not in the published bundle")));
    };
    if listing.parties.is_empty() {
        return Some(refused(ReasonCode::EvaluationError, "a list is asked for by somebody"));
    }
    let asked = asked(snapshot, action, entity);
    if let Some(reason) =
        authority_of_listing(asked, listing.parties, listing.authority, listing.task).into_iter().next()
    {
        return Some(reason);
    }
    let acting = match principals(snapshot, listing.parties) {
        Ok(acting) => acting,
        Err(reason) => return Some(reason),
    };
    // Whatever can be lifted by asking counts as lifted.
    let gates: BTreeSet<PolicyId> = snapshot.gates().cloned().collect();
    let Listing { now, parties, network_zone, task, .. } = *listing;
    let context = match shared_context(snapshot, now, network_zone, task, parties, &gates) {
        Ok(context) => context,
        Err(reason) => return Some(reason),
    };
    let mut first = None;
    for target in targets(snapshot, action, entity) {
        let question = Question { snapshot, context: &context, action: entity, target };
        match acting.iter().find_map(|acting| question.reason_to_hide(acting)) {
            None => return None,
            Some(reason) => first = first.or(Some(reason)),
        }
    }
    let nothing = || refused(ReasonCode::UnknownTool, format!("`{action}` is about nothing that the bundle knows"));
    Some(first.unwrap_or_else(nothing))
}

/// Class and tags as the schema has them: the groups of the action.
fn asked<'a>(snapshot: &Snapshot, action: &'a ActionName, entity: &Entity) -> Asked<'a> {
    let within = |group: &str| entity.is_descendant_of(&uid(&snapshot.store().types.action, group));
    let class = ActionClass::ALL.into_iter().rev().find(|class| within(class.as_str())).unwrap_or(ActionClass::Write);
    Asked { action, class, sends_out: within("egress") || within("export") }
}

/// The resources that the mapping of an action can yield.
fn targets(snapshot: &Snapshot, action: &ActionName, entity: &Entity) -> Vec<Target> {
    let types = &snapshot.store().types;
    let known = |uid: EntityUID| snapshot.store().entity(&uid).cloned();
    let schema = snapshot.validator_schema();
    let kinds = schema.resources_for_action(entity.uid()).into_iter().flatten();
    let target = |kind: &EntityType| Target {
        kind: kind.clone(),
        known: if *kind == types.tool {
            known(uid(kind, action.as_str()))
        } else if *kind == types.system {
            known(uid(kind, action.system()))
        } else {
            None
        },
    };
    kinds.map(target).collect()
}

/// Whether one principal could do one action to one kind of resource.
struct Question<'a> {
    snapshot: &'a Snapshot,
    context: &'a Shared,
    action: &'a Arc<Entity>,
    target: Target,
}

impl Question<'_> {
    fn reason_to_hide(&self, acting: &Acting<'_>) -> Option<Reason> {
        let index = self.snapshot.index();
        let side = self.target.known.as_ref().map(|entity| index.side(entity));
        let numbers = index.candidates(&acting.side, self.action, side.as_ref());
        let candidates = numbers.into_iter().filter_map(|number| self.snapshot.policy(number));
        let (certain, open): (Vec<&Compiled>, Vec<&Compiled>) = candidates
            .partition(|policy| !policy.reads.arguments && (self.target.known.is_some() || !policy.reads.resource));
        let permitted = match self.settle(acting, &certain) {
            Ok(permitted) => permitted,
            Err(reason) => return Some(reason),
        };
        let forbids = open.iter().any(|policy| policy.effect == Effect::Forbid);
        if permitted && !forbids {
            return None;
        }
        let no_permit = || {
            let who = acting.party.principal.id();
            refused(ReasonCode::NoPermit, format!("no policy permits any call of it for `{who}`"))
        };
        if !permitted && !open.iter().any(|policy| policy.effect == Effect::Permit) {
            return Some(no_permit());
        }
        match self.partial(acting, &open) {
            Some(outcome) if outcome.denies => {
                Some(refused(ReasonCode::Forbidden, "a policy forbids every call of it"))
            }
            Some(outcome) if !permitted && !outcome.may_permit => Some(no_permit()),
            // What cannot be evaluated in part proves nothing.
            _ => None,
        }
    }

    /// Evaluates the policies that depend on nothing unknown: whether one permits; or why all is denied.
    fn settle(&self, acting: &Acting<'_>, policies: &[&Compiled]) -> Result<bool, Reason> {
        let resource = match &self.target.known {
            Some(entity) => entity.uid().clone(),
            None => uid(&self.target.kind, ""), // never looked at by these policies
        };
        let literals = policies.iter().flat_map(|policy| policy.literals.iter());
        let all = [&acting.entity, self.action].into_iter().chain(&self.target.known).chain(literals).cloned();
        let doubt = |why: String| refused(ReasonCode::EvaluationError, why);
        let entities = entities::slice(all).map_err(|missing| doubt(format!("{missing:?}")))?;
        let context = Context::Value(Arc::new(self.context.known().map(|(k, v)| (k.into(), v.clone())).collect()));
        let extensions = Extensions::all_available();
        let known = |entity: &Entity| (entity.uid().clone(), None);
        let request = Request::new(
            known(&acting.entity),
            known(self.action),
            (resource, None),
            context,
            None::<&RequestSchemaAllPass>,
            extensions,
        )
        .map_err(|_| doubt(String::from("the list cannot be evaluated")))?;
        let evaluator = Evaluator::new(request, &entities, extensions);
        let mut permitted = false;
        for policy in policies {
            let value = evaluator.interpret(&policy.condition, &SlotEnv::new());
            let satisfied = match value.as_ref().map(|value| value.value_kind()) {
                Ok(ValueKind::Lit(Literal::Bool(satisfied))) => *satisfied,
                _ => return Err(doubt(format!("policy `{}` cannot be evaluated", policy.id))),
            };
            match policy.effect {
                Effect::Permit => permitted |= satisfied,
                Effect::Forbid if satisfied => {
                    let message = policy.annotations.reason.clone();
                    let message = message.unwrap_or_else(|| format!("policy `{}` forbids it", policy.id));
                    let reason = refused(ReasonCode::Forbidden, message);
                    return Err(Reason {
                        rule: Some(policy.id.clone()),
                        help: policy.annotations.help.clone(),
                        ..reason
                    });
                }
                Effect::Forbid => {}
            }
        }
        Ok(permitted)
    }

    fn partial(&self, acting: &Acting<'_>, policies: &[&Compiled]) -> Option<partial::Outcome> {
        let resource = match &self.target.known {
            Some(entity) => partial::Resource::Known(entity),
            None => partial::Resource::OfType(&self.target.kind),
        };
        partial::evaluate(self.snapshot, self.context, &acting.entity, self.action, resource, policies)
    }
}

#[cfg(test)]
mod tests;
