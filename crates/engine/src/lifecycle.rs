//! What keeps an agent alive: somebody answers for it, and somebody looks at it in time. Where nobody does, it stops by
//! itself, and all that it was given ends.
//!
//! From the moment on at which it is overdue, [`Agent::standing`] refuses it, whoever is late here. What this room adds is
//! the record: the agent is suspended, its grants end, and the evidence says why.

use std::{collections::HashSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::{Agent, AgentStatus, Inactive, KeyProtection},
    grant::Grant,
    id::GrantId,
    name::{AgentName, RoleName},
    principal::Principal,
    user::UserStatus,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    agents::{self, Change, LIFETIME_DAYS, already, change, text},
    broker::Broker,
    client_documents,
    evidence::Draft,
    grants, inventory,
    live::Live,
    refusal::Refusal,
};

/// Hours that an agent goes on after its owner left, unless asked otherwise: a long weekend.
pub const SUCCESSOR_HOURS: u32 = 72;
/// Hours that it may go on at most: 30 days.
pub const SUCCESSOR_HOURS_MAX: u32 = 30 * 24;
/// Hours ahead of a missed review at which a warning is recorded.
const REVIEW_WARNINGS_H: [i64; 2] = [7 * 24, 24];
/// Why grants end with an agent that nobody looked after.
const OVERDUE: &str = "an agent of its chain was suspended, since nobody looked after it";

/// Says that an agent is still needed and its rights still fit; the next review is due in `days`.
pub async fn review(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    days: Option<u32>,
    reason: &str,
) -> Result<Arc<Agent>, Refusal> {
    text("reason", reason, "say what was looked at, for whoever looks back")?;
    let until = agents::expiry(broker.now(), days.unwrap_or(LIFETIME_DAYS))?;
    change(broker, by, name, Change::new("reviewed", reason), |agent, _| {
        if let AgentStatus::Retired { .. } = agent.status {
            return Err(already(agent));
        }
        agent.review_by = until.min(agent.expires_at);
        Ok(())
    })
    .await
}

/// Gives an agent to somebody else, who answers for it from now on.
pub async fn set_owner(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    owner: &str,
    reason: &str,
) -> Result<Arc<Agent>, Refusal> {
    let owner = owner_of(&broker.live(), owner)?;
    change(broker, by, name, Change::new("owner", reason), |agent, _| {
        if let AgentStatus::Retired { .. } = agent.status {
            return Err(already(agent));
        }
        client_documents::may_be_owned(&broker.live(), agent, &owner)?;
        agent.owner = owner;
        agent.successor_by = None;
        Ok(())
    })
    .await
}

/// An agent with another job, and what of its old one ended.
#[derive(Debug)]
pub struct Reassigned {
    /// As it is now: read-only, until somebody promotes it for its new job.
    pub agent: Arc<Agent>,
    /// Grants that ended with its old job, those that came from them included.
    pub grants: Vec<GrantId>,
    /// Access tokens that were revoked.
    pub tokens: usize,
}

/// Gives an agent another job. What it was given for the old one ends: its grants in the same transaction, its access tokens
/// right after it, of which none could do more than the new role allows in between. It starts read-only again, and without the
/// scopes beyond systems that it had.
pub async fn reassign(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    role: RoleName,
    reason: &str,
) -> Result<Reassigned, Refusal> {
    text("reason", reason, "say why, for whoever looks back")?;
    agents::known_role(broker, &role)?;
    let before = broker.live();
    let ending = Change::new("role", reason).ending("an agent of its chain got another role");
    let agent = change(broker, by, name, ending, |agent, _| {
        if let AgentStatus::Retired { .. } = agent.status {
            return Err(already(agent));
        }
        client_documents::is_not_ruled(&broker.live(), agent)?;
        if agent.role == role {
            return Err(Refusal::Conflict(format!("agent `{}` has this role already", agent.name)));
        }
        agent.role = role;
        agent.promoted = false;
        agent.scopes.clear();
        Ok(())
    })
    .await?;
    broker.authorizations.forget(name);
    let after = broker.live();
    let mut grants: Vec<GrantId> = before.grants.keys().filter(|id| !after.grants.contains_key(id)).copied().collect();
    grants.sort();
    let tokens = revoke_tokens(broker, by, name).await?;
    Ok(Reassigned { agent, grants, tokens })
}

/// Demands that an agent's keys are held in hardware, or no longer does; its role may all the same. Its access tokens are
/// revoked with the demand: those that are bound to a key of a device are asked for anew at once. What users allowed it stays.
pub async fn protect(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    key_protection: KeyProtection,
    reason: &str,
) -> Result<(Arc<Agent>, usize), Refusal> {
    text("reason", reason, "say why, for whoever looks back")?;
    let agent = change(broker, by, name, Change::new("key_protection", reason), |agent, _| {
        if let AgentStatus::Retired { .. } = agent.status {
            return Err(already(agent));
        }
        if agent.key_protection == key_protection {
            return Err(Refusal::Conflict(format!("`key_protection` of agent `{}` is this already", agent.name)));
        }
        agent.key_protection = key_protection;
        Ok(())
    })
    .await?;
    let tokens = match key_protection {
        KeyProtection::Hardware => revoke_tokens(broker, by, name).await?,
        KeyProtection::Any => 0,
    };
    Ok((agent, tokens))
}

/// Revokes every access token of an agent, and says how many.
async fn revoke_tokens(broker: &Broker, by: &Principal, name: &AgentName) -> Result<usize, Refusal> {
    let (mut tokens, mut last) = (0, None);
    loop {
        let page = inventory::tokens(broker, Some(name.clone()), None, last, inventory::TOKENS_LISTED_MAX).await?;
        let Some(newest) = page.last().map(|listed| listed.token.id) else { return Ok(tokens) };
        last = Some(newest);
        for listed in page.iter().filter(|listed| !listed.revoked) {
            grants::revoke_token(broker, by, listed.token.id, listed.token.expires_at).await?;
            tokens += 1;
        }
    }
}

/// What becomes of the agents of an owner who left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Succession {
    /// Somebody else answers for them from now on.
    To(String),
    /// They stop in so many hours, unless somebody is named for each before.
    Within(u32),
}

/// An owner left: all their agents get a successor, or stop in time. Tells which. Saying it twice moves no end.
pub async fn owner_left(
    broker: &Broker,
    by: &Principal,
    owner: &str,
    succession: Succession,
    reason: &str,
) -> Result<Vec<Arc<Agent>>, Refusal> {
    let owner = text("owner", owner, "name whoever left, as `bailiwick agents list` does")?;
    if let Succession::Within(hours) = succession
        && hours > SUCCESSOR_HOURS_MAX
    {
        let hint = format!("leave it out for {SUCCESSOR_HOURS} hours; 0 stops them at once");
        return Err(Refusal::invalid(format!("agents wait {SUCCESSOR_HOURS_MAX} hours at most, not {hours}"), hint));
    }
    let live = broker.live();
    let mut names: Vec<AgentName> =
        live.agents.values().filter(|agent| agent.owner == owner && is_kept(agent)).map(|a| a.name.clone()).collect();
    names.sort();
    if names.is_empty() {
        return Err(Refusal::Missing(format!("an agent that `{owner}` answers for")));
    }
    if let Succession::To(successor) = &succession {
        // All or none: where a rule names whoever left, it must name the successor first.
        let mut kept = names.iter().filter_map(|name| live.agents.get(name));
        kept.try_for_each(|agent| client_documents::may_be_owned(&live, agent, successor))?;
    }
    let mut changed = Vec::with_capacity(names.len());
    for name in names {
        changed.push(match &succession {
            Succession::To(successor) => set_owner(broker, by, &name, successor, reason).await?,
            Succession::Within(hours) => await_successor(broker, by, &name, *hours, reason).await?,
        });
    }
    advance(broker).await?;
    Ok(changed.into_iter().map(|agent| broker.agent(&agent.name).unwrap_or(agent)).collect())
}

async fn await_successor(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    hours: u32,
    reason: &str,
) -> Result<Arc<Agent>, Refusal> {
    change(broker, by, name, Change::new("owner_left", reason), |agent, now| {
        let by = now.checked_add(SignedDuration::from_hours(i64::from(hours))).unwrap_or(now);
        agent.successor_by = Some(agent.successor_by.map_or(by, |earlier| earlier.min(by)));
        Ok(())
    })
    .await
}

/// Agents of users who left, or whom their directory deactivated, wait for a successor. Called when that happens, and again and
/// again: a crash between the two costs nothing.
pub(crate) async fn users_left(broker: &Broker) -> Result<(), Refusal> {
    let names = {
        let live = broker.live();
        let left = left(&live);
        let orphaned =
            |agent: &&Arc<Agent>| is_kept(agent) && agent.successor_by.is_none() && left.contains(agent.owner.as_str());
        live.agents.values().filter(orphaned).map(|agent| agent.name.clone()).collect::<Vec<_>>()
    };
    for name in names {
        await_successor(
            broker,
            &itself()?,
            &name,
            SUCCESSOR_HOURS,
            "its owner left, or was deactivated by the directory",
        )
        .await?;
    }
    Ok(())
}

/// Does what time has brought: warns of reviews that are due soon, suspends agents that are overdue, ends what stood on
/// what has ended, and forgets what is over. Doing it twice changes nothing. If
/// something of it fails, the rest is done all the same, and warnings that came due are told again the next time.
pub async fn advance(broker: &Broker) -> Result<(), Refusal> {
    let mut failed = users_left(broker).await.err();
    let now = broker.now();
    let since = broker.advanced_to();
    let live = broker.live();
    for agent in live.agents.values().filter(|agent| agent.status == AgentStatus::Active) {
        let done = match agent.overdue(now) {
            Some(overdue @ (Inactive::Unreviewed | Inactive::Ownerless)) => suspend(broker, &agent.name, overdue).await,
            Some(_) => Ok(()),
            None => warn(broker, agent, (since, now)).await,
        };
        // What cannot be written now keeps nobody else from their end.
        failed = failed.or(done.err());
    }
    if failed.is_none() {
        broker.advance_to(now);
    }
    let _changing = broker.changing().await;
    let live = broker.live();
    // Only a broker that was stopped between the two halves of an end, as older ones could be, left any.
    let left_over = |grant: &Grant| stands_on_what_ended(&live, grant);
    if live.grants.values().any(|grant| grant.is_active(now) && left_over(grant)) {
        failed = failed.or(grants::end_those(broker, &itself()?, "what it stood on had ended", left_over).await.err());
    }
    drop(live);
    forget(broker, now);
    failed.map_or(Ok(()), Err)
}

async fn suspend(broker: &Broker, name: &AgentName, overdue: Inactive) -> Result<(), Refusal> {
    let reason = overdue.to_string();
    let ending = Change::new("suspended", &reason).ending(OVERDUE);
    let suspended = change(broker, &itself()?, name, ending, |agent, now| match agent.status {
        // Somebody may have looked after it since.
        AgentStatus::Active if agent.overdue(now) == Some(overdue) => {
            agent.status = AgentStatus::Suspended { at: now, reason: reason.clone() };
            Ok(())
        }
        _ => Err(already(agent)),
    })
    .await;
    match suspended {
        Ok(_) => {
            tracing::warn!(agent.id = name.as_str(), why = %overdue, "an agent was suspended");
            broker.authorizations.forget(name);
            Ok(())
        }
        Err(Refusal::Conflict(_)) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Records a warning where one came due since the last time.
async fn warn(broker: &Broker, agent: &Agent, (since, now): (Timestamp, Timestamp)) -> Result<(), Refusal> {
    let due = |hours: &i64| {
        agent.review_by < agent.expires_at
            && agent
                .review_by
                .checked_sub(SignedDuration::from_hours(*hours))
                .is_ok_and(|at| since < at && at <= now && agent.created_at < at)
    };
    if !REVIEW_WARNINGS_H.iter().any(due) {
        return Ok(());
    }
    tracing::warn!(agent.id = agent.name.as_str(), review_by = %agent.review_by, "a review is due");
    let entry = Draft::event(broker, EventKind::Alert)
        .field("what", "review_due")
        .field("at", "registration")
        .field("agent", agent.name.as_str())
        .field("review_by", agent.review_by.to_string())
        .public(broker);
    broker.ports.store.append(entry, Vec::new()).await?;
    Ok(())
}

/// Whether somebody of a grant's chain has left for good, or its task is over.
fn stands_on_what_ended(live: &Live, grant: &Grant) -> bool {
    let gone = |principal: &Principal| match principal {
        Principal::Agent(name) => {
            live.agents.get(name).is_none_or(|agent| matches!(agent.status, AgentStatus::Retired { .. }))
        }
        Principal::User(id) => live.users.get(id).is_none_or(|user| matches!(user.status, UserStatus::Left { .. })),
        Principal::Workload(_) | Principal::Operator(_) => false,
    };
    grant.chain.principals().iter().any(gone) || grant.tasks().any(|task| !live.tasks.contains_key(&task))
}

/// Takes out of memory what has ended by itself. Under a change.
fn forget(broker: &Broker, now: Timestamp) {
    let live = broker.live();
    let grants: Vec<_> = live.grants.iter().filter(|(_, grant)| !grant.is_active(now)).map(|(id, _)| *id).collect();
    let tasks: Vec<_> = live.tasks.iter().filter(|(_, task)| !task.is_open(now)).map(|(id, _)| *id).collect();
    let revoked: Vec<_> = live.revoked.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
    if grants.is_empty() && tasks.is_empty() && revoked.is_empty() {
        return;
    }
    broker.sweep_live(|live| {
        grants::remove(live, &grants);
        tasks.iter().for_each(|id| {
            live.tasks.remove_mut(id);
        });
        revoked.iter().for_each(|id| {
            live.revoked.remove_mut(id);
        });
    });
}

/// Somebody who can answer for an agent: not a user who left, or whom their directory deactivated.
pub(crate) fn owner_of(live: &Live, owner: &str) -> Result<String, Refusal> {
    let owner = text("owner", owner, "name the person or team who answers for it")?;
    if left(live).contains(owner.as_str()) {
        let message = format!("`{owner}` left or is deactivated, and cannot answer for an agent");
        return Err(Refusal::invalid(message, "name somebody who is there"));
    }
    Ok(owner)
}

/// Whoever left or is deactivated by their directory, by what an owner may be called; not what somebody who is there is called
/// as well.
fn left(live: &Live) -> HashSet<&str> {
    let (mut left, mut here) = (HashSet::new(), HashSet::new());
    for user in live.users.values() {
        let gone = user.has_left() || user.directory.as_ref().is_some_and(|entry| !entry.active);
        let set = if gone { &mut left } else { &mut here };
        set.insert(user.id.as_str());
        // An address that a directory gives is its word: whoever provisions must not stop agents by it, nor keep them.
        if user.directory.is_none() {
            set.extend(user.email.as_deref());
        }
    }
    left.retain(|name| !here.contains(name));
    left
}

fn is_kept(agent: &Agent) -> bool {
    !matches!(agent.status, AgentStatus::Retired { .. })
}

/// Who acts where nobody did.
fn itself() -> Result<Principal, Refusal> {
    let name = "broker".parse().map_err(|_| Refusal::Unavailable("the broker has no name".to_owned()))?;
    Ok(Principal::Workload(name))
}
