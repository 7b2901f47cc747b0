//! The state that decisions are made on: immutable, swapped whole after each change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bailiwick_model::{
    agent::{Agent, Environment, Inactive},
    evaluation::Party,
    id::TaskId,
    name::{AgentName, SystemName, ToolName},
    observation::ObservationScope,
    principal::Principal,
    safe_mode::SafeModeScope,
    task::Task,
};
use bailiwick_pdp::snapshot::Snapshot;
use bailiwick_ports::store::{Quarantine, SafeModeRow};
use jiff::Timestamp;

use crate::{observation::Watch, refusal::Refusal};

/// What was last seen of one system's definitions.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When somebody last compared them with the pinned ones; `None` is never.
    pub verified_at: Option<Timestamp>,
    /// Tools whose definition differs from the pinned one.
    pub quarantined: BTreeMap<ToolName, Quarantine>,
}

/// Everything that a decision reads.
#[derive(Clone, Default)]
pub struct Live {
    /// The store's epoch that this state is of.
    pub epoch: u64,
    /// The one environment that is served; `None` serves all.
    pub environment: Option<Environment>,
    /// All agents, retired ones included.
    pub agents: Arc<HashMap<AgentName, Arc<Agent>>>,
    /// Open tasks.
    pub tasks: Arc<HashMap<TaskId, Arc<Task>>>,
    /// Safe modes that are on.
    pub safe_modes: Arc<BTreeMap<SafeModeScope, SafeModeRow>>,
    /// Observations that were turned on; whether one covers a call depends on the time too.
    pub observations: Arc<BTreeMap<ObservationScope, Watch>>,
    /// The active bundle; without one nothing is allowed.
    pub policy: Option<Arc<Snapshot>>,
    /// Definitions as last seen.
    pub definitions: Arc<HashMap<SystemName, Seen>>,
}

impl Live {
    /// Refuses a system that is not in the active bundle.
    pub(crate) fn knows(&self, system: &SystemName) -> Result<(), Refusal> {
        let found = self.policy.as_deref().and_then(|policy| policy.catalogue().system(system));
        found.map(|_| ()).ok_or_else(|| Refusal::Missing(format!("system `{system}`")))
    }

    /// The principal with the attributes that policy may rely on, if it may act at `now`.
    pub fn party(&self, principal: &Principal, now: Timestamp) -> Result<Party, Inactive> {
        let Principal::Agent(name) = principal else {
            // Users, workloads and operators join the registry with the identity work; until then none can act.
            return Err(Inactive::Unknown);
        };
        let agent = self.agents.get(name).ok_or(Inactive::Unknown)?;
        agent.standing(now)?;
        if self.environment.is_some_and(|here| here != agent.environment) {
            return Err(Inactive::Elsewhere);
        }
        Ok(Party {
            principal: principal.clone(),
            owner: agent.owner.clone(),
            environment: Some(agent.environment),
            role: Some(agent.role.clone()),
            groups: BTreeSet::new(),
            promoted: agent.promoted,
            task_required: agent.task_required,
        })
    }

    /// The scopes of all safe modes that are on.
    pub fn safe_mode_scopes(&self) -> BTreeSet<SafeModeScope> {
        self.safe_modes.keys().cloned().collect()
    }
}
