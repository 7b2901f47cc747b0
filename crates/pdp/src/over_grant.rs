//! Roles that hold more of a system than the system says its users need, whether by `allow` or by policies. A lint: it
//! never decides.

use std::collections::BTreeSet;

use bailiwick_model::{
    agent::Environment,
    evaluation::{Authority, Party, TaskContext},
    name::{ActionName, RoleName, Scope},
    operation::ActionClass,
    principal::Principal,
};
use jiff::Timestamp;

use crate::{
    catalogue::System,
    finding::Finding,
    snapshot::Snapshot,
    visibility::{Listing, Visibility},
};

/// The environments that a permit may be limited to.
const ENVIRONMENTS: [Environment; 3] = [Environment::Development, Environment::Staging, Environment::Production];

/// One warning per role and system that declares its minimum.
pub(crate) fn find(snapshot: &Snapshot) -> Vec<Finding> {
    let systems = snapshot.catalogue().systems().filter(|system| !system.minimum.is_empty());
    systems.flat_map(|system| snapshot.roles().iter().filter_map(|(role, _)| above(snapshot, system, role))).collect()
}

fn above(snapshot: &Snapshot, system: &System, role: &RoleName) -> Option<Finding> {
    let named = system.minimum.iter().filter_map(|scope| snapshot.actions().named(scope.as_str()).ok());
    let needed: BTreeSet<ActionName> = named.flat_map(|named| named.actions).collect();
    let tools = system.tools.values().map(|tool| &tool.action);
    let surplus: Vec<&ActionName> =
        tools.filter(|action| !needed.contains(*action) && holds(snapshot, system, role, action)).collect();
    let first = *surplus.first()?;
    let others = surplus.len() - 1;
    let more = if others == 0 { String::new() } else { format!(" and {others} more") };
    let message = format!("role `{role}` allows `{first}`{more}, above the minimum of system `{}`", system.name);
    let source = snapshot.roles().iter().find(|(name, _)| *name == role).map(|(_, role)| role)?;
    // What policies permit stands in no entry: then it is about the role as a whole.
    let place = surplus.iter().find_map(|action| source.allow.get(*action).copied()).unwrap_or((1, 1));
    Some(
        Finding::warning("over-grant", &*source.file, message)
            .at_place(place)
            .with_help(format!("allow less, or raise `minimum` in `systems/{}.toml` with its reason", system.name)),
    )
}

/// Whether some call of the action by a promoted agent of that role could be allowed or asked for.
fn holds(snapshot: &Snapshot, system: &System, role: &RoleName, action: &ActionName) -> bool {
    let scope = |class: &ActionClass| format!("{}:{}", system.name, class.as_str()).parse().ok();
    let scopes: BTreeSet<Scope> = ActionClass::ALL.iter().filter_map(scope).collect();
    let authority = Authority {
        scopes,
        details: None,
        safe_modes: BTreeSet::new(),
        observations: BTreeSet::new(),
        authentication: None,
    };
    let task = TaskContext { id: None, tools: None, self_made: false, facts: BTreeSet::new() };
    ENVIRONMENTS.into_iter().any(|environment| {
        let Some(party) = somebody(role, environment) else { return false };
        // Rules on time are judged at one moment only: what they open at another is not found.
        let listing = Listing {
            now: Timestamp::UNIX_EPOCH,
            parties: &[party],
            network_zone: "unknown",
            task: &task,
            authority: &authority,
        };
        snapshot.visibility(&listing, action) == Visibility::Shown
    })
}

fn somebody(role: &RoleName, environment: Environment) -> Option<Party> {
    Some(Party {
        principal: Principal::Agent("somebody".parse().ok()?),
        owner: String::new(),
        environment: Some(environment),
        role: Some(role.clone()),
        groups: BTreeSet::new(),
        promoted: true,
        task_required: false,
    })
}
