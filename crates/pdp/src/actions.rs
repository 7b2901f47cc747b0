//! All actions of a bundle with the groups they are in, and the patterns by
//! which roles and limits name several of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_model::{
    name::ActionName,
    operation::{ActionClass, ActionTag},
};
use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID};

use crate::strict_toml::did_you_mean;

/// All actions and action groups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actions {
    /// Actions and groups by id, groups included.
    entities: BTreeMap<String, Arc<Entity>>,
    /// Actions that a call can have, by id; neither groups nor witnesses.
    callable: BTreeSet<ActionName>,
}

/// A pattern that names no action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoSuchAction {
    /// A name that is near, if there is one.
    pub(crate) near: Option<String>,
}

/// What a pattern such as `crm.search`, `crm:read` or `crm:*` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The id of the Cedar action or group.
    pub(crate) id: String,
    /// Whether it is a group.
    pub(crate) group: bool,
    /// All actions that it covers.
    pub(crate) actions: BTreeSet<ActionName>,
}

impl Actions {
    /// Takes the action entities of a schema. `witnesses` are those that no call ever has.
    pub(crate) fn new(entities: impl IntoIterator<Item = Entity>, witnesses: &BTreeSet<ActionName>) -> Self {
        let mut all = Self::default();
        for entity in entities {
            let id = AsRef::<str>::as_ref(entity.uid().eid()).to_owned();
            all.entities.insert(id, Arc::new(entity));
        }
        let groups: BTreeSet<String> = all.entities.values().flat_map(|entity| entity.ancestors().map(id_of)).collect();
        let known = ActionClass::ALL.map(ActionClass::as_str).into_iter().chain(ActionTag::ALL.map(ActionTag::as_str));
        let known: BTreeSet<&str> = known.collect();
        let callable = |id: &String| {
            let action: ActionName = id.parse().ok()?;
            let is_group = groups.contains(id) || known.contains(id.as_str());
            (!is_group && !witnesses.contains(&action)).then_some(action)
        };
        all.callable = all.entities.keys().filter_map(callable).collect();
        all
    }

    /// All actions and groups.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities.values()
    }

    /// The entity of an action or group, its groups included.
    pub(crate) fn entity(&self, id: &str) -> Option<&Arc<Entity>> {
        self.entities.get(id)
    }

    /// Every action that a call can have.
    pub(crate) fn callable(&self) -> &BTreeSet<ActionName> {
        &self.callable
    }

    /// What a pattern names: an action, `<system>:<class>` or `<system>:*`.
    pub(crate) fn named(&self, pattern: &str) -> Result<Named, NoSuchAction> {
        let not_found = || {
            let ids: BTreeSet<String> = self.callable.iter().map(ToString::to_string).collect();
            NoSuchAction { near: did_you_mean(pattern, ids.iter().map(String::as_str)).map(str::to_owned) }
        };
        if let Some(action) = self.callable.iter().find(|action| action.as_str() == pattern) {
            let actions = BTreeSet::from([action.clone()]);
            return Ok(Named { id: pattern.to_owned(), group: false, actions });
        }
        let (_, rest) = pattern.split_once(':').ok_or_else(not_found)?;
        let is_class = ActionClass::ALL.iter().any(|class| class.as_str() == rest);
        let entity = self.entities.get(pattern).filter(|_| is_class || rest == "*").ok_or_else(not_found)?;
        let actions = self.members(entity.uid());
        Ok(Named { id: pattern.to_owned(), group: true, actions })
    }

    /// All callable actions in a group.
    fn members(&self, group: &EntityUID) -> BTreeSet<ActionName> {
        let inside = |action: &&ActionName| {
            self.entities.get(action.as_str()).is_some_and(|entity| entity.is_descendant_of(group))
        };
        self.callable.iter().filter(inside).cloned().collect()
    }
}

fn id_of(uid: &EntityUID) -> String {
    AsRef::<str>::as_ref(uid.eid()).to_owned()
}

/// The uid of an entity whose type is known to be valid.
pub(crate) fn uid(entity_type: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(entity_type.clone(), Eid::new(id), None)
}
