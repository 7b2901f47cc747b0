//! Which tools a caller is shown: all but those that it certainly could not
//! call or ask for. Never decides a call.

mod partial;
mod prospect;

use std::{cell::OnceCell, collections::BTreeSet, sync::Arc};

use bailiwick_model::{
    decision::{Effect, Reason, ReasonCode},
    evaluation::{Authority, Party, TaskContext},
    name::{ActionName, PolicyId},
    operation::ActionClass,
    principal::Principal,
};
use cedar_policy_core::{
    ast::{Context, Entity, EntityType, EntityUID, Literal, Request, RequestSchemaAllPass, SlotEnv, ValueKind},
    evaluator::Evaluator,
    extensions::Extensions,
};
use jiff::Timestamp;

use self::partial::Situation;
pub(crate) use self::partial::{Reads, reads};
pub use self::prospect::{Deciding, Outcome, Prospect};
use crate::{
    actions::uid,
    entities,
    evaluate::{Acting, Asked, authority_of_listing, observed_by, principals, refused, shared_context, step_up},
    snapshot::{Compiled, STACK_BYTES, STACK_BYTES_MIN, Snapshot},
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

/// Questions about one caller in one situation. What they have in common is worked out once, so that a catalogue of a
/// thousand tools costs little more than its policies.
pub struct Lookout<'a> {
    snapshot: &'a Snapshot,
    listing: Listing<'a>,
    acting: Result<Vec<Acting<'a>>, Reason>,
    /// Whatever can be lifted by asking counts as lifted.
    lifted: OnceCell<Result<Situation, Reason>>,
    /// Nothing is lifted.
    as_is: OnceCell<Result<Situation, Reason>>,
}

impl<'a> Lookout<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, listing: Listing<'a>) -> Self {
        let acting = principals(snapshot, listing.parties);
        Self { snapshot, listing, acting, lifted: OnceCell::new(), as_is: OnceCell::new() }
    }

    /// Whether an action is shown in a list to this caller.
    pub fn visibility(&self, action: &ActionName) -> Visibility {
        match stacker::maybe_grow(STACK_BYTES_MIN, STACK_BYTES, || self.reason_to_hide(action)) {
            None => Visibility::Shown,
            Some(reason) => Visibility::Hidden(reason),
        }
    }

    /// What calls of an action can come to for this caller.
    pub fn prospect(&self, action: &ActionName) -> Prospect {
        stacker::maybe_grow(STACK_BYTES_MIN, STACK_BYTES, || prospect::of(self, action))
    }

    fn reason_to_hide(&self, action: &ActionName) -> Option<Reason> {
        let (entity, acting) = match self.known(action) {
            Ok(known) => known,
            Err(reason) => return Some(reason),
        };
        if let Some(reason) = self.unauthorised(action, entity) {
            return Some(reason);
        }
        let situation = match self.lifted() {
            Ok(situation) => situation,
            Err(reason) => return Some(reason),
        };
        let Listing { parties, authority, .. } = self.listing;
        let observed = !observed_by(self.snapshot, action.system(), parties, authority).is_empty();
        let rules = if observed { Rules::Walls } else { Rules::All };
        let mut first = None;
        for target in targets(self.snapshot, action, entity) {
            let question = Question { snapshot: self.snapshot, situation, action: entity, target, rules };
            match acting.iter().find_map(|acting| question.reason_to_hide(acting)) {
                None => return None,
                Some(reason) => first = first.or(Some(reason)),
            }
        }
        Some(first.unwrap_or_else(|| about_nothing(action)))
    }

    /// The action and the principals; or why there is nothing to decide.
    fn known(&self, action: &ActionName) -> Result<(&'a Arc<Entity>, &[Acting<'a>]), Reason> {
        let Some(entity) = self.snapshot.callable(action) else {
            let message = format!("`{action}` is not in the published bundle");
            return Err(refused(ReasonCode::UnknownTool, message));
        };
        if self.listing.parties.is_empty() {
            return Err(refused(ReasonCode::EvaluationError, "a list is asked for by somebody"));
        }
        self.acting.as_ref().map(|acting| (entity, acting.as_slice())).map_err(Clone::clone)
    }

    /// What token, task and safe mode have against every call of an action, whatever policy says.
    fn unauthorised(&self, action: &ActionName, entity: &Entity) -> Option<Reason> {
        let Listing { parties, authority, task, .. } = self.listing;
        let against = authority_of_listing(asked(self.snapshot, action, entity), parties, authority, task);
        // A user who is there can be asked to prove who they are; where none is, no call can be allowed.
        let of_user = matches!(parties.first().map(|party| &party.principal), Some(Principal::User(_)));
        against.into_iter().next().or_else(|| self.unproved(action).filter(|_| !of_user))
    }

    /// What a user has yet to prove for every call of an action.
    fn unproved(&self, action: &ActionName) -> Option<Reason> {
        let Listing { parties, authority, now, .. } = self.listing;
        step_up(self.snapshot.catalogue(), action, (parties, authority), now)
    }

    fn lifted(&self) -> Result<&Situation, Reason> {
        let gates = || self.snapshot.gates().cloned().collect();
        self.lifted.get_or_init(|| self.situation(&gates())).as_ref().map_err(Clone::clone)
    }

    fn as_is(&self) -> Result<&Situation, Reason> {
        self.as_is.get_or_init(|| self.situation(&BTreeSet::new())).as_ref().map_err(Clone::clone)
    }

    fn situation(&self, approvals: &BTreeSet<PolicyId>) -> Result<Situation, Reason> {
        let Listing { now, parties, network_zone, task, .. } = self.listing;
        shared_context(self.snapshot, now, network_zone, task, parties, approvals).map(Situation::new)
    }
}

fn about_nothing(action: &ActionName) -> Reason {
    refused(ReasonCode::UnknownTool, format!("`{action}` is about nothing that the bundle knows"))
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

/// Which rules can hide an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Every one.
    All,
    /// Under observation: only those that nothing goes past.
    Walls,
}

/// Whether one principal could do one action to one kind of resource.
struct Question<'a> {
    snapshot: &'a Snapshot,
    situation: &'a Situation,
    action: &'a Arc<Entity>,
    target: Target,
    rules: Rules,
}

impl<'a> Question<'a> {
    fn reason_to_hide(&self, acting: &Acting<'_>) -> Option<Reason> {
        let (certain, open) = self.candidates(acting);
        let settled = match self.settle(acting, &certain) {
            Ok(settled) => settled,
            Err(reason) => return Some(reason),
        };
        if let Some(policy) = settled.forbids.first() {
            return Some(forbidden(policy));
        }
        let permitted = !settled.permits.is_empty() || self.rules == Rules::Walls;
        let forbids = open.iter().any(|policy| policy.effect == Effect::Forbid);
        if permitted && !forbids {
            return None;
        }
        if !permitted && !open.iter().any(|policy| policy.effect == Effect::Permit) {
            return Some(no_permit(acting));
        }
        match self.partial(acting, &open) {
            Some(outcome) if outcome.denies() => {
                Some(refused(ReasonCode::Forbidden, "a policy forbids every call of it"))
            }
            Some(outcome) if !permitted && !outcome.may_permit() => Some(no_permit(acting)),
            // What cannot be evaluated in part proves nothing.
            _ => None,
        }
    }

    /// The policies that can match: those that depend on nothing unknown, and the others.
    fn candidates(&self, acting: &Acting<'_>) -> (Vec<&'a Compiled>, Vec<&'a Compiled>) {
        let index = self.snapshot.index();
        let side = self.target.known.as_ref().map(|entity| index.side(entity));
        let numbers = index.candidates(&acting.side, self.action, side.as_ref());
        let candidates = numbers.into_iter().filter_map(|number| self.snapshot.policy(number));
        let candidates = candidates.filter(|policy| self.rules == Rules::All || policy.layer.is_wall());
        candidates
            .partition(|policy| !policy.reads.arguments && (self.target.known.is_some() || !policy.reads.resource))
    }

    /// Evaluates the policies that depend on nothing unknown; or says why all is denied.
    fn settle(&self, acting: &Acting<'_>, policies: &[&'a Compiled]) -> Result<Settled<'a>, Reason> {
        let resource = match &self.target.known {
            Some(entity) => entity.uid().clone(),
            None => uid(&self.target.kind, ""), // never looked at by these policies
        };
        let literals = policies.iter().flat_map(|policy| policy.literals.iter());
        let all = [&acting.entity, self.action].into_iter().chain(&self.target.known).chain(literals).cloned();
        let doubt = |why: String| refused(ReasonCode::EvaluationError, why);
        let entities = entities::slice(all).map_err(|missing| doubt(format!("{missing:?}")))?;
        let known = self.situation.context.known().map(|(name, value)| (name.into(), value.clone()));
        let context = Context::Value(Arc::new(known.collect()));
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
        let mut settled = Settled::default();
        for policy in policies {
            let value = evaluator.interpret(&policy.condition, &SlotEnv::new());
            match value.as_ref().map(|value| value.value_kind()) {
                Ok(ValueKind::Lit(Literal::Bool(false))) => {}
                Ok(ValueKind::Lit(Literal::Bool(true))) => match policy.effect {
                    Effect::Permit => settled.permits.push(policy),
                    Effect::Forbid => settled.forbids.push(policy),
                },
                _ => return Err(doubt(format!("policy `{}` cannot be evaluated", policy.id))),
            }
        }
        Ok(settled)
    }

    fn partial(&self, acting: &Acting<'_>, policies: &[&'a Compiled]) -> Option<partial::Outcome<'a>> {
        let resource = match &self.target.known {
            Some(entity) => partial::Resource::Known(entity),
            None => partial::Resource::OfType(&self.target.kind),
        };
        partial::evaluate(self.snapshot, self.situation, &acting.entity, self.action, resource, policies)
    }
}

/// The policies that are satisfied, whatever the arguments.
#[derive(Default)]
struct Settled<'a> {
    permits: Vec<&'a Compiled>,
    forbids: Vec<&'a Compiled>,
}

fn forbidden(policy: &Compiled) -> Reason {
    let message = policy.annotations.reason.clone().unwrap_or_else(|| format!("policy `{}` forbids it", policy.id));
    let reason = refused(ReasonCode::Forbidden, message);
    Reason { rule: Some(policy.id.clone()), help: policy.annotations.help.clone(), ..reason }
}

fn no_permit(acting: &Acting<'_>) -> Reason {
    let who = acting.party.principal.id();
    refused(ReasonCode::NoPermit, format!("no policy permits any call of it for `{who}`"))
}

#[cfg(test)]
mod tests;
