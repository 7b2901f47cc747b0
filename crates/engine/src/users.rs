//! Users: made known, changed, stopped. Agents act for those who are active, from the very next call on.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    id::GrantId,
    limits::{GROUPS_PER_USER_MAX, TEXT_BYTES_MAX},
    name::UserId,
    principal::Principal,
    user::{ADMINISTRATORS, RESERVED_GROUPS, User, UserStatus},
};
use bailiwick_ports::chance::random;
use jiff::Timestamp;

use crate::{
    agents::text, broker::Broker, connections, evidence::Draft, grants, identities, lifecycle, refusal::Refusal,
};

/// Makes a user known.
pub async fn add(
    broker: &Broker,
    by: &Principal,
    id: UserId,
    name: &str,
    email: Option<&str>,
    groups: BTreeSet<String>,
) -> Result<Arc<User>, Refusal> {
    let user = User {
        id,
        name: text("name", name, "say what people call them")?,
        email: email.map(|email| text("email", email, "write one address")).transpose()?,
        groups: checked(groups)?,
        status: UserStatus::Active,
        directory: None,
        created_at: broker.now(),
        version: 1,
    };
    let _changing = broker.changing().await;
    let entry = draft(broker, by, &user, "added").await?;
    let epoch = broker.ports.store.add_user(user.clone(), entry).await?;
    Ok(install(broker, epoch, user, &[]))
}

/// Gives a user other groups; whoever acts for them has or loses what the groups allow at once. What a directory cannot
/// give, it cannot take either: being an administrator stays.
pub async fn set_groups(
    broker: &Broker,
    by: &Principal,
    id: &UserId,
    groups: BTreeSet<String>,
) -> Result<Arc<User>, Refusal> {
    let groups = checked(groups)?;
    change(broker, by, id, "groups", |user, _| {
        user.groups.retain(|group| group.starts_with(RESERVED_GROUPS));
        user.groups.extend(groups);
        Ok(())
    })
    .await
}

/// Makes a user an administrator of the broker, or ends that. One who is already stays so without a change.
pub async fn set_administrator(broker: &Broker, by: &Principal, id: &UserId, is: bool) -> Result<Arc<User>, Refusal> {
    let found = broker.live().users.get(id).cloned().ok_or_else(|| Refusal::Missing(format!("user `{id}`")))?;
    if found.groups.contains(ADMINISTRATORS) == is {
        return Ok(found);
    }
    change(broker, by, id, if is { "administrator" } else { "no administrator" }, |user, _| {
        if is {
            user.groups.insert(ADMINISTRATORS.to_owned());
        } else {
            user.groups.remove(ADMINISTRATORS);
        }
        Ok(())
    })
    .await
}

/// Stops a user for now: nobody acts for them until they are resumed.
pub async fn suspend(broker: &Broker, by: &Principal, id: &UserId, reason: &str) -> Result<Arc<User>, Refusal> {
    let reason = text("reason", reason, "say why, for whoever looks back")?;
    change(broker, by, id, "suspended", |user, now| match user.status {
        UserStatus::Active => {
            user.status = UserStatus::Suspended { at: now, reason };
            Ok(())
        }
        UserStatus::Suspended { .. } | UserStatus::Left { .. } => Err(already(user)),
    })
    .await
}

/// Lets a suspended user go on.
pub async fn resume(broker: &Broker, by: &Principal, id: &UserId) -> Result<Arc<User>, Refusal> {
    change(broker, by, id, "resumed", |user, _| match user.status {
        UserStatus::Suspended { .. } => {
            user.status = UserStatus::Active;
            Ok(())
        }
        UserStatus::Active | UserStatus::Left { .. } => Err(already(user)),
    })
    .await
}

/// A user left for good: all that they granted ends with it, and the agents that they answered for are looked after by
/// somebody else in time, or stop.
pub async fn leave(broker: &Broker, by: &Principal, id: &UserId, reason: &str) -> Result<Arc<User>, Refusal> {
    let reason = text("reason", reason, "say why, for whoever looks back")?;
    let user = change(broker, by, id, "left", |user, now| match user.status {
        UserStatus::Active | UserStatus::Suspended { .. } => {
            user.status = UserStatus::Left { at: now, reason };
            Ok(())
        }
        UserStatus::Left { .. } => Err(already(user)),
    })
    .await?;
    lifecycle::users_left(broker).await?;
    Ok(user)
}

async fn change(
    broker: &Broker,
    by: &Principal,
    id: &UserId,
    verb: &str,
    change: impl FnOnce(&mut User, Timestamp) -> Result<(), Refusal>,
) -> Result<Arc<User>, Refusal> {
    let _changing = broker.changing().await;
    let found = broker.live().users.get(id).cloned().ok_or_else(|| Refusal::Missing(format!("user `{id}`")))?;
    let mut user = User::clone(&found);
    change(&mut user, broker.now())?;
    user.version += 1;
    let entry = draft(broker, by, &user, verb).await?;
    // The store takes away what only a match led to; what was gained by it goes with it.
    let loses = user.administers() && identities::is_matched(broker, id).await?;
    let connected = if loses { connections::systems(broker, id).await? } else { Vec::new() };
    let ends = match user.status {
        UserStatus::Left { .. } => {
            let principal = Principal::User(id.clone());
            grants::ending(broker, by, "its user left", |grant| grant.chain.principals().contains(&principal))
        }
        _ if loses => identities::ending(broker, by, id, "its user administers from now on"),
        UserStatus::Active | UserStatus::Suspended { .. } => None,
    };
    let ended = ends.as_ref().map(|ends| ends.ids.clone()).unwrap_or_default();
    let epoch = broker.ports.store.change_user(user.clone(), ends, entry).await?;
    let user = install(broker, epoch, user, &ended);
    connections::tell_ended(broker, id, connected);
    Ok(user)
}

/// What evidence says of a change: the pseudonym and groups; the rest is sealed under the user's own key.
pub(crate) async fn draft(
    broker: &Broker,
    by: &Principal,
    user: &User,
    verb: &str,
) -> Result<bailiwick_ports::entry::Entry, Refusal> {
    let mut draft = Draft::event(broker, EventKind::UserChanged)
        .field("user", user.id.as_str())
        .field("by", by.to_string())
        .field("change", verb)
        .field("status", user.status.as_str())
        .field("groups", user.groups.iter().cloned().collect::<Vec<_>>())
        .sealed("name", user.name.clone());
    if let Some(email) = &user.email {
        draft = draft.sealed("email", email.clone());
    }
    if let UserStatus::Suspended { reason, .. } | UserStatus::Left { reason, .. } = &user.status {
        draft = draft.sealed("reason", reason.clone());
    }
    Ok(draft.finish(broker, &Principal::User(user.id.clone())).await?)
}

/// An id that says nothing about whom it is given to.
pub(crate) fn new_id(broker: &Broker) -> Result<UserId, Refusal> {
    let id: String = random::<10>(broker.entropy()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("usr-{id}").parse().map_err(|_| Refusal::Unavailable("no id could be made".to_owned()))
}

pub(crate) fn install(broker: &Broker, epoch: u64, user: User, ended: &[GrantId]) -> Arc<User> {
    let user = Arc::new(user);
    broker.replace_live(epoch, |live| {
        live.users.insert_mut(user.id.clone(), Arc::clone(&user));
        grants::remove(live, ended);
    });
    user
}

fn checked(groups: BTreeSet<String>) -> Result<BTreeSet<String>, Refusal> {
    let fit = |group: &String| {
        !group.is_empty() && group.len() <= TEXT_BYTES_MAX && group.trim() == group && !group.contains(char::is_control)
    };
    if groups.len() > GROUPS_PER_USER_MAX || !groups.iter().all(fit) {
        return Err(Refusal::invalid(
            format!("a user has at most {GROUPS_PER_USER_MAX} groups, each a name without control characters"),
            "leave out groups that no policy names",
        ));
    }
    if let Some(reserved) = groups.iter().find(|group| group.starts_with(RESERVED_GROUPS)) {
        return Err(Refusal::invalid(
            format!("the group `{reserved}` is reserved"),
            "`bailiwick users administrator` makes somebody an administrator",
        ));
    }
    Ok(groups)
}

fn already(user: &User) -> Refusal {
    Refusal::Conflict(format!("user `{}` is {}", user.id, user.status.as_str()))
}
