//! The entities that decisions are about. Those of the bundle are built once
//! and closed: every parent exists. Those of a call are built from the registry
//! and the mapping; one that names something that is nowhere denies the call.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bailiwick_model::{
    evaluation::Party,
    name::{DataDomain, Fact, RoleName, SystemName, ToolName},
    operation::Resource,
    principal::Principal,
};
use cedar_policy_core::{
    ast::{Entity, EntityType, EntityUID, Value},
    entities::{Entities, NoEntitiesSchema, TCComputation, conformance::EntitySchemaConformanceChecker},
    extensions::Extensions,
    validator::{CoreSchema, ValidatorSchema},
};

use crate::{
    actions::{Actions, uid},
    catalogue::{Catalogue, System},
    finding::Finding,
    literals::KnownEntities,
    roles::Roles,
    values,
};

/// The organisation that every installation has exactly one of.
const ORGANISATION: &str = "self";

/// Why the entities of a call cannot be built. Denies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The agent's role is not in the bundle.
    Role(RoleName),
    /// The system is not in the bundle.
    System(SystemName),
    /// The tool is not in the bundle.
    Tool(SystemName, ToolName),
    /// The entity is not what the schema says; why.
    Misfit(String),
}

/// The entity types of the namespace `Bailiwick`.
#[derive(Debug)]
pub(crate) struct Types {
    pub(crate) agent: EntityType,
    pub(crate) user: EntityType,
    pub(crate) workload: EntityType,
    pub(crate) operator: EntityType,
    pub(crate) role: EntityType,
    pub(crate) group: EntityType,
    pub(crate) system: EntityType,
    pub(crate) tool: EntityType,
    pub(crate) domain: EntityType,
    pub(crate) fact: EntityType,
    pub(crate) organization: EntityType,
    pub(crate) action: EntityType,
}

impl Types {
    fn new() -> Result<Self, Finding> {
        let of = |name: &str| {
            EntityType::from_normalized_str(&format!("Bailiwick::{name}"))
                .map_err(|error| Finding::error("schema", "", format!("cannot name the entity type `{name}`: {error}")))
        };
        Ok(Self {
            agent: of("Agent")?,
            user: of("User")?,
            workload: of("Workload")?,
            operator: of("Operator")?,
            role: of("Role")?,
            group: of("Group")?,
            system: of("System")?,
            tool: of("Tool")?,
            domain: of("DataDomain")?,
            fact: of("Fact")?,
            organization: of("Organization")?,
            action: of("Action")?,
        })
    }
}

/// The entities of a bundle.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) types: Types,
    entities: HashMap<EntityUID, Arc<Entity>>,
    record_types: HashMap<SystemName, HashMap<String, EntityType>>,
    record_parents: HashMap<SystemName, Parents>,
    closed: HashSet<String>,
}

/// Where a record hangs: its system and domains, and all that is above them.
#[derive(Debug, Clone, Default)]
struct Parents {
    direct: HashSet<EntityUID>,
    indirect: HashSet<EntityUID>,
}

impl Store {
    /// Builds and closes the entities of a bundle.
    pub(crate) fn new(
        catalogue: &Catalogue,
        roles: &Roles,
        actions: &Actions,
        facts: &BTreeSet<String>,
        schema: &ValidatorSchema,
    ) -> Result<Self, Finding> {
        let types = Types::new()?;
        let mut entities = vec![bare(uid(&types.organization, ORGANISATION), [])];
        for (name, role) in roles.iter() {
            let parents = role.parents.iter().map(|parent| uid(&types.role, parent.as_str()));
            entities.push(bare(uid(&types.role, name.as_str()), parents));
        }
        entities.extend(catalogue.domains().iter().map(|domain| bare(uid(&types.domain, domain.as_str()), [])));
        entities.extend(facts.iter().map(|fact| bare(uid(&types.fact, fact), [])));
        for system in catalogue.systems() {
            entities.push(system_entity(&types, system));
            for tool in system.tools.values() {
                let parents = tool_parents(&types, system);
                entities.push(bare(uid(&types.tool, tool.action.as_str()), parents));
            }
        }
        let refused = |error: &dyn std::fmt::Display| {
            Finding::error("entities", "", format!("the entities of the bundle do not fit its schema: {error}"))
        };
        let entities = Entities::from_entities(
            entities,
            Some(&CoreSchema::new(schema)),
            TCComputation::ComputeNow,
            Extensions::all_available(),
        )
        .map_err(|error| refused(&error))?;
        let mut all: HashMap<EntityUID, Arc<Entity>> =
            entities.iter().map(|entity| (entity.uid().clone(), Arc::new(entity.clone()))).collect();
        all.extend(actions.iter().map(|entity| (entity.uid().clone(), entity.clone())));
        if let Some(hole) = all.values().flat_map(|entity| entity.ancestors()).find(|parent| !all.contains_key(parent))
        {
            return Err(refused(&format!("`{hole}` is named as a parent and is nowhere")));
        }
        let closed =
            [&types.role, &types.system, &types.tool, &types.domain, &types.fact, &types.organization, &types.action];
        let closed = closed.into_iter().map(ToString::to_string).collect();
        let mut store =
            Self { types, entities: all, record_types: HashMap::new(), record_parents: HashMap::new(), closed };
        store.learn_records(catalogue)?;
        Ok(store)
    }

    fn learn_records(&mut self, catalogue: &Catalogue) -> Result<(), Finding> {
        for system in catalogue.systems() {
            let direct: HashSet<EntityUID> = tool_parents(&self.types, system).collect();
            let indirect =
                direct.iter().filter_map(|parent| self.entities.get(parent)).flat_map(|parent| parent.ancestors());
            let indirect = indirect.filter(|above| !direct.contains(*above)).cloned().collect();
            let names =
                system.tools.values().filter_map(|tool| tool.records.as_ref()).map(|records| &records.type_name);
            let mut types = HashMap::new();
            for name in names {
                let path = format!("{}::{name}", system.namespace);
                let entity_type = EntityType::from_normalized_str(&path).map_err(|error| {
                    Finding::error("schema", "", format!("cannot name the record type `{path}`: {error}"))
                })?;
                types.insert(name.clone(), entity_type);
            }
            self.record_types.insert(system.name.clone(), types);
            self.record_parents.insert(system.name.clone(), Parents { direct, indirect });
        }
        Ok(())
    }

    /// One entity of the bundle.
    pub(crate) fn entity(&self, uid: &EntityUID) -> Option<&Arc<Entity>> {
        self.entities.get(uid)
    }

    /// All entities of the bundle.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities.values()
    }

    /// The uid of a fact, if the bundle declares it.
    pub(crate) fn fact(&self, fact: &Fact) -> Option<EntityUID> {
        let uid = uid(&self.types.fact, fact.as_str());
        self.entities.contains_key(&uid).then_some(uid)
    }

    /// The entity of a principal, with everything above it.
    pub(crate) fn principal(&self, party: &Party) -> Result<Arc<Entity>, Missing> {
        let types = &self.types;
        let mut parents = HashSet::new();
        let entity_type = match &party.principal {
            Principal::User(_) => &types.user,
            Principal::Agent(_) => &types.agent,
            Principal::Workload(_) => &types.workload,
            Principal::Operator(_) => &types.operator,
        };
        let mut attributes: Vec<(&str, Value)> = Vec::new();
        if let Some(role) = &party.role {
            let role_uid = uid(&types.role, role.as_str());
            if !self.entities.contains_key(&role_uid) {
                return Err(Missing::Role(role.clone()));
            }
            parents.insert(role_uid);
        }
        parents.insert(uid(&types.organization, ORGANISATION));
        if let Principal::User(_) = party.principal {
            parents.extend(party.groups.iter().map(|group| uid(&types.group, group)));
        }
        if let Principal::Agent(_) | Principal::Workload(_) = party.principal {
            let environment = party.environment.ok_or_else(|| Missing::Misfit(String::from("it runs nowhere")))?;
            attributes.push(("owner", party.owner.as_str().into()));
            attributes.push(("environment", environment.as_str().into()));
            attributes.push(("promoted", party.promoted.into()));
            attributes.push(("task_required", party.task_required.into()));
        }
        let above = parents.iter().filter_map(|parent| self.entities.get(parent)).flat_map(|parent| parent.ancestors());
        let indirect = above.filter(|above| !parents.contains(*above)).cloned().collect();
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value.into()));
        let uid = uid(entity_type, party.principal.id());
        Ok(Arc::new(Entity::new_with_attr_partial_value(uid, attributes, indirect, parents, [])))
    }

    /// The entity of a resource, with everything above it.
    pub(crate) fn resource(&self, resource: &Resource) -> Result<Arc<Entity>, Missing> {
        let known = |uid: EntityUID, missing: Missing| self.entities.get(&uid).cloned().ok_or(missing);
        match resource {
            Resource::Tool { system, tool } => {
                let id = format!("{system}.{tool}");
                known(uid(&self.types.tool, &id), Missing::Tool(system.clone(), tool.clone()))
            }
            Resource::System { system } => {
                known(uid(&self.types.system, system.as_str()), Missing::System(system.clone()))
            }
            Resource::Record { system, type_name, id, attributes } => {
                let types = self.record_types.get(system).ok_or_else(|| Missing::System(system.clone()))?;
                let entity_type = types.get(type_name).ok_or_else(|| {
                    Missing::Misfit(format!("system `{system}` has no records of type `{type_name}`"))
                })?;
                let attributes: Result<Vec<_>, _> = attributes
                    .iter()
                    .map(|(name, value)| values::value(value).map(|value: Value| (name.as_str().into(), value.into())))
                    .collect();
                let attributes = attributes.map_err(|error| Missing::Misfit(error.to_string()))?;
                let parents = self.record_parents.get(system).cloned().unwrap_or_default();
                let uid = uid(entity_type, id);
                Ok(Arc::new(Entity::new_with_attr_partial_value(uid, attributes, parents.indirect, parents.direct, [])))
            }
        }
    }
}

/// Checks an entity of a call against the schema.
pub(crate) fn conforms(entity: &Entity, schema: &ValidatorSchema) -> Result<(), Missing> {
    let schema = CoreSchema::new(schema);
    EntitySchemaConformanceChecker::new(&schema, Extensions::all_available())
        .validate_entity(entity)
        .map_err(|error| Missing::Misfit(error.to_string()))
}

/// The entities that one evaluation can look into, as the evaluator takes them.
pub(crate) fn slice(entities: impl IntoIterator<Item = Arc<Entity>>) -> Result<Entities, Missing> {
    Entities::new()
        .add_entities(
            entities,
            None::<&NoEntitiesSchema>,
            TCComputation::AssumeAlreadyComputed,
            Extensions::all_available(),
        )
        .map_err(|error| Missing::Misfit(error.to_string()))
}

fn bare(uid: EntityUID, parents: impl IntoIterator<Item = EntityUID>) -> Entity {
    Entity::new_with_attr_partial_value(uid, [], HashSet::new(), parents.into_iter().collect(), [])
}

fn system_entity(types: &Types, system: &System) -> Entity {
    let attributes = [("risk", system.risk.as_str()), ("environment", system.environment.as_str())];
    let attributes = attributes.map(|(name, text)| (name.into(), Value::from(text).into()));
    let parents = domains(types, &system.domains).collect();
    Entity::new_with_attr_partial_value(
        uid(&types.system, system.name.as_str()),
        attributes,
        HashSet::new(),
        parents,
        [],
    )
}

fn tool_parents<'a>(types: &'a Types, system: &'a System) -> impl Iterator<Item = EntityUID> + 'a {
    std::iter::once(uid(&types.system, system.name.as_str())).chain(domains(types, &system.domains))
}

fn domains<'a>(types: &'a Types, domains: &'a BTreeSet<DataDomain>) -> impl Iterator<Item = EntityUID> + 'a {
    domains.iter().map(|domain| uid(&types.domain, domain.as_str()))
}

impl KnownEntities for Store {
    fn is_closed(&self, entity_type: &str) -> bool {
        self.closed.contains(entity_type)
    }

    fn contains(&self, entity_type: &str, id: &str) -> bool {
        EntityType::from_normalized_str(entity_type).is_ok_and(|entity_type| {
            // Of an enumerated type Cedar's validator knows the members, and says so with the line.
            let enumerated = [&self.types.fact, &self.types.organization].contains(&&entity_type);
            enumerated || self.entities.contains_key(&uid(&entity_type, id))
        })
    }

    fn ids(&self, entity_type: &str) -> BTreeSet<String> {
        let of_type = self.entities.keys().filter(|uid| uid.entity_type().to_string() == entity_type);
        of_type.map(|uid| AsRef::<str>::as_ref(uid.eid()).to_owned()).collect()
    }
}
