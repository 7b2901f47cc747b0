//! The state that decisions are made on: immutable, swapped whole after each change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bailiwick_model::{
    agent::{Agent, Environment, Inactive},
    directory::DirectoryGroup,
    evaluation::Party,
    grant::Grant,
    id::{DirectoryGroupId, GrantId, TaskId, TokenId},
    limits::CHAIN_DEPTH_MAX,
    name::{AgentName, SystemName, ToolName, UserId},
    observation::ObservationScope,
    principal::Principal,
    safe_mode::SafeModeScope,
    task::Task,
    user::User,
};
use bailiwick_pdp::snapshot::Snapshot;
use bailiwick_ports::store::{Quarantine, SafeModeRow};
use jiff::Timestamp;

use crate::{client_documents, observation::Watch, refusal::Refusal};

/// A map that shares with its copies all that did not change: a change costs the same however many there are.
pub type Shared<K, V> = rpds::HashTrieMapSync<K, V>;

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
    pub agents: Shared<AgentName, Arc<Agent>>,
    /// All users, those who left included.
    pub users: Shared<UserId, Arc<User>>,
    /// Groups of the directory.
    pub directory_groups: Shared<DirectoryGroupId, Arc<DirectoryGroup>>,
    /// Active grants, and for some seconds those whose end has passed.
    pub grants: Shared<GrantId, Arc<Grant>>,
    /// Access tokens that were revoked before their end, with that end.
    pub revoked: Shared<TokenId, Timestamp>,
    /// Open tasks, and for some seconds those whose end has passed.
    pub tasks: Shared<TaskId, Arc<Task>>,
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
        let name = match principal {
            Principal::Agent(name) => name,
            Principal::User(id) => return self.user(id),
            // Workloads and operators join the registry when they get tokens; until then none can act.
            Principal::Workload(_) | Principal::Operator(_) => return Err(Inactive::Unknown),
        };
        let agent = self.agents.get(name).ok_or(Inactive::Unknown)?;
        agent.standing(now)?;
        client_documents::judge(self, agent)?;
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

    fn user(&self, id: &UserId) -> Result<Party, Inactive> {
        let user = self.users.get(id).ok_or(Inactive::Unknown)?;
        user.standing()?;
        Ok(Party {
            principal: Principal::User(id.clone()),
            owner: String::new(),
            environment: None,
            role: None,
            groups: user.groups.clone(),
            promoted: true,
            task_required: false,
        })
    }

    /// Whether a token still holds: it was not revoked, and neither its grant nor one that it comes from has ended.
    pub fn token_stands(&self, token: TokenId, grant: Option<GrantId>, now: Timestamp) -> bool {
        !self.revoked.contains_key(&token) && self.grant_stands(grant, now)
    }

    /// Whether a token holds in all that it comes from: as [`Self::token_stands`], and its task is open.
    pub fn holds(&self, token: TokenId, (grant, task): (Option<GrantId>, Option<TaskId>), now: Timestamp) -> bool {
        let open = |task| self.tasks.get(&task).is_some_and(|task| task.is_open(now));
        self.token_stands(token, grant, now) && task.is_none_or(open)
    }

    /// Whether neither a grant nor one that it comes from has ended; a client that acts for itself needs none.
    pub fn grant_stands(&self, grant: Option<GrantId>, now: Timestamp) -> bool {
        let mut next = grant;
        for _ in 0..=CHAIN_DEPTH_MAX {
            let Some(id) = next else { return true };
            match self.grants.get(&id) {
                Some(grant)
                    if grant.is_active(now) && self.came_to_stay(grant, now) && self.is_vouched_for_still(grant) =>
                {
                    next = grant.parent;
                }
                _ => return false,
            }
        }
        false
    }

    /// Whether the token that a grant was exchanged for was not revoked, and every task that it works in is open.
    fn came_to_stay(&self, grant: &Grant, now: Timestamp) -> bool {
        let revoked = grant.subject.is_some_and(|subject| self.revoked.contains_key(&subject.id));
        let is_open = |task: TaskId| self.tasks.get(&task).is_some_and(|task| task.is_open(now));
        !revoked && grant.tasks().all(is_open)
    }

    /// Whether nobody but us vouched for its user, or whoever did is still trusted with that.
    fn is_vouched_for_still(&self, grant: &Grant) -> bool {
        let trusted =
            |issuer: &str| self.policy.as_deref().is_some_and(|policy| policy.issuers().vouching(issuer).is_some());
        grant.vouched.as_ref().is_none_or(|vouched| trusted(&vouched.issuer))
    }

    /// The scopes of all safe modes that are on.
    pub fn safe_mode_scopes(&self) -> BTreeSet<SafeModeScope> {
        self.safe_modes.keys().cloned().collect()
    }
}
