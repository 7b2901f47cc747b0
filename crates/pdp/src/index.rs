//! Finds the policies that can match a call, by their scopes. Leaves out only
//! policies that certainly do not match; whether one does, the evaluator says.

use std::collections::HashMap;

use cedar_policy_core::ast::{
    ActionConstraint, Entity, EntityReference, EntityType, EntityUID, Policy, PrincipalOrResourceConstraint,
};

/// A number in place of a uid or a type, so that looking one up hashes it once.
type Key = u32;

/// A policy by its place in the snapshot.
pub(crate) type PolicyNumber = u32;

/// The scope constraint on a principal or a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Any,
    Is(Key),
    Eq(Key),
    In(Key),
    IsIn(Key, Key),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    policy: PolicyNumber,
    principal: Scope,
    resource: Scope,
}

/// Why a policy of the same action is not a candidate, the nearer first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Miss {
    /// It is for another principal.
    Principal,
    /// It is for another resource.
    Resource,
}

/// The policies of one action or group.
#[derive(Debug, Default)]
struct Bucket {
    /// All of them, in the order of their numbers.
    all: Vec<Entry>,
    by_principal: HashMap<Key, Vec<Entry>>,
    by_resource: HashMap<Key, Vec<Entry>>,
    rest: Vec<Entry>,
}

/// Policies by scope.
#[derive(Debug, Default)]
pub(crate) struct Index {
    uids: HashMap<EntityUID, Key>,
    types: HashMap<EntityType, Key>,
    any_action: Bucket,
    by_action: HashMap<Key, Bucket>,
}

/// A principal or resource as the index sees it. What no policy names has no key.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    itself: Option<Key>,
    /// Itself and everything above it.
    closure: Vec<Key>,
    kind: Option<Key>,
}

impl Side {
    fn fits(&self, scope: Scope) -> bool {
        match scope {
            Scope::Any => true,
            Scope::Is(kind) => self.kind == Some(kind),
            Scope::Eq(key) => self.itself == Some(key),
            Scope::In(key) => self.closure.contains(&key),
            Scope::IsIn(kind, key) => self.kind == Some(kind) && self.closure.contains(&key),
        }
    }
}

impl Index {
    /// Indexes policies by their place in `policies`.
    pub(crate) fn new<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let mut index = Self::default();
        for (number, policy) in (0..).zip(policies) {
            index.add(number, policy);
        }
        index
    }

    fn add(&mut self, policy: PolicyNumber, source: &Policy) {
        let principal = self.scope(source.principal_constraint().as_inner());
        let resource = self.scope(source.resource_constraint().as_inner());
        let entry = Entry { policy, principal, resource };
        match source.action_constraint() {
            ActionConstraint::Eq(action) => self.add_under(action, entry),
            ActionConstraint::In(actions) => actions.iter().for_each(|action| self.add_under(action, entry)),
            // Whatever else there may be is looked at for every action.
            _ => self.any_action.add(entry),
        }
    }

    fn add_under(&mut self, action: &EntityUID, entry: Entry) {
        let key = self.key(action);
        self.by_action.entry(key).or_default().add(entry);
    }

    fn scope(&mut self, constraint: &PrincipalOrResourceConstraint) -> Scope {
        match constraint {
            PrincipalOrResourceConstraint::Eq(EntityReference::EUID(uid)) => Scope::Eq(self.key(uid)),
            PrincipalOrResourceConstraint::In(EntityReference::EUID(uid)) => Scope::In(self.key(uid)),
            PrincipalOrResourceConstraint::Is(kind) => Scope::Is(self.kind(kind)),
            PrincipalOrResourceConstraint::IsIn(kind, EntityReference::EUID(uid)) => {
                Scope::IsIn(self.kind(kind), self.key(uid))
            }
            // Templates never get here; if one did, it would be looked at every time.
            _ => Scope::Any,
        }
    }

    fn key(&mut self, uid: &EntityUID) -> Key {
        let next = Key::try_from(self.uids.len()).unwrap_or(Key::MAX);
        *self.uids.entry(uid.clone()).or_insert(next)
    }

    fn kind(&mut self, kind: &EntityType) -> Key {
        let next = Key::try_from(self.types.len()).unwrap_or(Key::MAX);
        *self.types.entry(kind.clone()).or_insert(next)
    }

    /// A principal or resource, ready to be looked up.
    pub(crate) fn side(&self, entity: &Entity) -> Side {
        let itself = self.uids.get(entity.uid()).copied();
        let above = entity.ancestors().filter_map(|uid| self.uids.get(uid).copied());
        Side {
            itself,
            closure: itself.into_iter().chain(above).collect(),
            kind: self.types.get(entity.uid().entity_type()).copied(),
        }
    }

    /// The policies that can match, in the order of their numbers. Without a
    /// resource: those that can match some resource.
    pub(crate) fn candidates(&self, principal: &Side, action: &Entity, resource: Option<&Side>) -> Vec<PolicyNumber> {
        let mut found = Vec::new();
        let groups = std::iter::once(action.uid()).chain(action.ancestors());
        let buckets = groups.filter_map(|uid| self.by_action.get(self.uids.get(uid)?));
        for bucket in std::iter::once(&self.any_action).chain(buckets) {
            bucket.collect(principal, resource, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Policies whose scope misses by one side only, in the order of their numbers. Looks at `looked_at_max` policies at
    /// most: at those of the action itself first, then of its groups, then at those of any action.
    pub(crate) fn near_misses(
        &self,
        principal: &Side,
        action: &Entity,
        resource: &Side,
        looked_at_max: usize,
    ) -> Vec<(PolicyNumber, Miss)> {
        let key = |uid: &EntityUID| self.uids.get(uid).copied();
        let mut groups: Vec<Key> = action.ancestors().filter_map(key).collect();
        groups.sort_unstable();
        let buckets = key(action.uid()).into_iter().chain(groups).filter_map(|key| self.by_action.get(&key));
        let entries = buckets.chain(std::iter::once(&self.any_action)).flat_map(|bucket| &bucket.all);
        let missed = |entry: &Entry| match (principal.fits(entry.principal), resource.fits(entry.resource)) {
            (false, true) => Some((entry.policy, Miss::Principal)),
            (true, false) => Some((entry.policy, Miss::Resource)),
            _ => None,
        };
        let mut found: Vec<_> = entries.take(looked_at_max).filter_map(missed).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Bucket {
    fn add(&mut self, entry: Entry) {
        let list = match (entry.principal, entry.resource) {
            (Scope::Eq(key) | Scope::In(key) | Scope::IsIn(_, key), _) => self.by_principal.entry(key).or_default(),
            (_, Scope::Eq(key) | Scope::In(key) | Scope::IsIn(_, key)) => self.by_resource.entry(key).or_default(),
            _ => &mut self.rest,
        };
        list.push(entry);
        self.all.push(entry);
    }

    fn collect(&self, principal: &Side, resource: Option<&Side>, found: &mut Vec<PolicyNumber>) {
        let fits = |entry: &&Entry| {
            principal.fits(entry.principal) && resource.is_none_or(|resource| resource.fits(entry.resource))
        };
        let by_principal = principal.closure.iter().filter_map(|key| self.by_principal.get(key)).flatten();
        found.extend(by_principal.filter(fits).map(|entry| entry.policy));
        match resource {
            Some(resource) => {
                let by_resource = resource.closure.iter().filter_map(|key| self.by_resource.get(key)).flatten();
                found.extend(by_resource.filter(fits).map(|entry| entry.policy));
            }
            None => found.extend(self.by_resource.values().flatten().filter(fits).map(|entry| entry.policy)),
        }
        found.extend(self.rest.iter().filter(fits).map(|entry| entry.policy));
    }
}

#[cfg(test)]
mod tests;
