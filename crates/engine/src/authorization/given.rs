//! What a user allowed agents, seen and taken back by that user alone.

use std::sync::Arc;

use bailiwick_model::{
    grant::Grant,
    id::GrantId,
    name::{AgentName, UserId},
    principal::Principal,
};

use super::question::{SystemWords, of_wanted, systems};
use crate::{broker::Broker, grants, refusal::Refusal};

/// Why a grant ended that its user took back.
const WITHDRAWN: &str = "its user withdrew it";

/// Something that a user allowed.
#[derive(Debug, Clone)]
pub struct Given {
    /// The agent that acts for them.
    pub agent: AgentName,
    /// The grant.
    pub grant: Arc<Grant>,
    /// What it may be used for, in words; what the active bundle does not know any more is left out, as it opens nothing.
    pub systems: Vec<SystemWords>,
}

/// What a user allowed and what holds now, newest first. What came of it is part of it.
pub fn given(broker: &Broker, user: &UserId) -> Vec<Given> {
    let (live, now) = (broker.live(), broker.now());
    let own = |grant: &&Arc<Grant>| grant.is_active(now) && is_of(grant, user);
    let words = |grant: &Arc<Grant>| {
        let each = |policy: &bailiwick_pdp::snapshot::Snapshot| {
            grant.scopes.iter().filter(|scope| systems(policy, [*scope]).is_some()).collect::<Vec<_>>()
        };
        let policy = live.policy.as_deref()?;
        match &grant.details {
            None => systems(policy, each(policy)),
            tools => of_wanted(policy, &grant.scopes, tools.as_deref()),
        }
    };
    let mut given: Vec<Given> = live
        .grants
        .values()
        .filter(own)
        .filter_map(|grant| {
            let systems = words(grant).unwrap_or_default();
            Some(Given { agent: grant.client()?.clone(), grant: Arc::clone(grant), systems })
        })
        .collect();
    given.sort_by_key(|given| std::cmp::Reverse((given.grant.created_at, given.grant.id)));
    given
}

/// Takes one back: it ends with all that came of it.
pub async fn withdraw(broker: &Broker, user: &UserId, id: GrantId) -> Result<(), Refusal> {
    let own = broker.live().grants.get(&id).is_some_and(|grant| is_of(grant, user));
    if !own {
        return Err(Refusal::Missing(format!("grant `{id}` of yours")));
    }
    grants::end(broker, &Principal::User(user.clone()), id, WITHDRAWN).await.map(|_| ())
}

/// Whether a user gave it, and not somebody on its ground.
fn is_of(grant: &Grant, user: &UserId) -> bool {
    grant.parent.is_none() && matches!(grant.chain.initiating(), Principal::User(initiating) if initiating == user)
}
