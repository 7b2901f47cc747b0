//! Groups of a directory. Who is in one is kept with each user, by the name that policy knows: one source, and a change
//! counts from the next call on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    directory::{DirectoryGroup, is_reserved},
    id::DirectoryGroupId,
    limits::GROUPS_PER_USER_MAX,
    name::UserId,
    principal::Principal,
    user::User,
};
use bailiwick_ports::{entry::Entry, new_id};

use super::DirectoryRefusal;
use crate::{agents::text, broker::Broker, evidence::Draft, live::Live, refusal::Refusal};

/// Groups of a directory at a time.
const GROUPS_MAX: usize = 10_000;

/// What a directory says of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChange {
    /// Its name for policy.
    pub display_name: String,
    /// The directory's own key.
    pub external_id: Option<String>,
    /// Who is in it.
    pub members: BTreeSet<UserId>,
}

/// A group with who is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: Arc<DirectoryGroup>,
    /// Who is in it.
    pub members: BTreeSet<UserId>,
}

/// All groups of the directory with who is in them, the oldest first.
pub fn groups(broker: &Broker) -> Vec<Membership> {
    let live = broker.live();
    let mut all: BTreeMap<&str, BTreeSet<UserId>> = BTreeMap::new();
    for user in live.users.values().filter(|user| user.provisioned().is_some()) {
        for group in &user.groups {
            all.entry(group.as_str()).or_default().insert(user.id.clone());
        }
    }
    let with = |group: &Arc<DirectoryGroup>| Membership {
        members: all.get(group.display_name.as_str()).cloned().unwrap_or_default(),
        group: Arc::clone(group),
    };
    let mut found: Vec<Membership> = live.directory_groups.values().map(with).collect();
    found.sort_by_key(|one| one.group.id);
    found
}

/// One of them.
pub fn group(broker: &Broker, id: DirectoryGroupId) -> Option<Membership> {
    let group = broker.live().directory_groups.get(&id).cloned()?;
    Some(Membership { members: members(broker, &group.display_name), group })
}

fn members(broker: &Broker, name: &str) -> BTreeSet<UserId> {
    let live = broker.live();
    let in_it = live.users.values().filter(|user| user.provisioned().is_some() && user.groups.contains(name));
    in_it.map(|user| user.id.clone()).collect()
}

/// Makes a group.
pub async fn create_group(
    broker: &Broker,
    by: &Principal,
    change: GroupChange,
) -> Result<Membership, DirectoryRefusal> {
    let change = checked(change)?;
    let _changing = broker.changing().await;
    refuse_taken(broker, &change.display_name, None)?;
    if broker.live().directory_groups.size() >= GROUPS_MAX {
        let message = format!("there are {GROUPS_MAX} groups already");
        return Err(Refusal::invalid(message, "provision those that policy names").into());
    }
    let group = DirectoryGroup {
        id: new_id!(DirectoryGroupId, broker.now(), broker.entropy()),
        display_name: change.display_name,
        external_id: change.external_id,
        created_at: broker.now(),
        version: 1,
    };
    // A user may be in a group of that name by an operator's word: the directory's counts from now on.
    let moved = moved(broker, Some(&group.display_name), Some(&group.display_name), &change.members)?;
    put(broker, by, group, change.members, (moved, "group provisioned")).await
}

/// Changes a group whose version is still the one that was seen; each user whom it concerns has or loses what it allows
/// from the next call on.
pub async fn change_group(
    broker: &Broker,
    by: &Principal,
    (id, seen): (DirectoryGroupId, u64),
    change: GroupChange,
) -> Result<Membership, DirectoryRefusal> {
    let change = checked(change)?;
    let _changing = broker.changing().await;
    let found = current(broker, id, seen)?;
    refuse_taken(broker, &change.display_name, Some(id))?;
    let same = found.display_name == change.display_name && found.external_id == change.external_id;
    let moved = moved(broker, Some(&found.display_name), Some(&change.display_name), &change.members)?;
    if same && moved.is_empty() {
        return Ok(Membership { group: found, members: change.members });
    }
    let group = DirectoryGroup {
        display_name: change.display_name,
        external_id: change.external_id,
        version: found.version + 1,
        ..DirectoryGroup::clone(&found)
    };
    put(broker, by, group, change.members, (moved, "group changed by the directory")).await
}

/// Removes a group: nobody is in it any more.
pub async fn remove_group(
    broker: &Broker,
    by: &Principal,
    (id, seen): (DirectoryGroupId, u64),
) -> Result<(), DirectoryRefusal> {
    let _changing = broker.changing().await;
    let found = current(broker, id, seen)?;
    let moved = moved(broker, Some(&found.display_name), None, &BTreeSet::new())?;
    let entry = draft(broker, by, (&found, "group removed by the directory"), (&BTreeSet::new(), &moved));
    let epoch = broker.store().remove_directory_group(id, seen, moved.clone(), entry).await?;
    install(broker, epoch, moved, |live| {
        live.directory_groups.remove_mut(&id);
    });
    Ok(())
}

async fn put(
    broker: &Broker,
    by: &Principal,
    group: DirectoryGroup,
    members: BTreeSet<UserId>,
    (moved, verb): (Vec<User>, &str),
) -> Result<Membership, DirectoryRefusal> {
    let entry = draft(broker, by, (&group, verb), (&members, &moved));
    let epoch = broker.store().put_directory_group(group.clone(), moved.clone(), entry).await?;
    let group = Arc::new(group);
    install(broker, epoch, moved, |live| live.directory_groups.insert_mut(group.id, Arc::clone(&group)));
    Ok(Membership { group, members })
}

fn install(broker: &Broker, epoch: u64, moved: Vec<User>, change: impl FnOnce(&mut Live)) {
    broker.replace_live(epoch, |live| {
        for user in moved {
            live.users.insert_mut(user.id.clone(), Arc::new(user));
        }
        change(live);
    });
}

/// The evidence: by pseudonyms alone.
fn draft(
    broker: &Broker,
    by: &Principal,
    (group, verb): (&DirectoryGroup, &str),
    (members, moved): (&BTreeSet<UserId>, &[User]),
) -> Entry {
    let (joined, gone): (Vec<&User>, Vec<&User>) = moved.iter().partition(|user| members.contains(&user.id));
    let names = |users: Vec<&User>| users.iter().map(|user| user.id.to_string()).collect::<Vec<_>>();
    Draft::event(broker, EventKind::UserChanged)
        .field("by", by.to_string())
        .field("change", verb)
        .field("group", group.display_name.as_str())
        .field("group_id", group.id.to_string())
        .field("members", i64::try_from(members.len()).unwrap_or(i64::MAX))
        .field("changed", names(joined))
        .field("removed", names(gone))
        .public(broker)
}

/// The users that change when a group of one name becomes one of another name with these members.
fn moved(
    broker: &Broker,
    before: Option<&str>,
    after: Option<&str>,
    members: &BTreeSet<UserId>,
) -> Result<Vec<User>, Refusal> {
    let live = broker.live();
    let provisioned = |id: &&UserId| live.users.get(*id).is_none_or(|user| user.provisioned().is_none());
    if let Some(unknown) = members.iter().find(provisioned) {
        return Err(Refusal::invalid(format!("no user `{unknown}` was provisioned"), "provision its members first"));
    }
    let mut moved = Vec::new();
    for user in live.users.values().filter(|user| user.provisioned().is_some()) {
        let mut groups = user.groups.clone();
        before.map(|name| groups.remove(name));
        if let Some(name) = after.filter(|_| members.contains(&user.id)) {
            groups.insert(name.to_owned());
        }
        if groups.len() > GROUPS_PER_USER_MAX {
            let message = format!("user `{}` would be in more than {GROUPS_PER_USER_MAX} groups", user.id);
            return Err(Refusal::invalid(message, "provision those groups that policy names"));
        }
        if groups != user.groups {
            moved.push(User { groups, version: user.version + 1, ..User::clone(user) });
        }
    }
    Ok(moved)
}

fn current(broker: &Broker, id: DirectoryGroupId, seen: u64) -> Result<Arc<DirectoryGroup>, DirectoryRefusal> {
    let found = broker.live().directory_groups.get(&id).cloned();
    let found = found.ok_or_else(|| Refusal::Missing(format!("group `{id}`")))?;
    if found.version != seen {
        return Err(DirectoryRefusal::Changed(id.to_string()));
    }
    Ok(found)
}

fn checked(change: GroupChange) -> Result<GroupChange, Refusal> {
    let display_name = text("displayName", &change.display_name, "write one line")?;
    if is_reserved(&display_name) {
        return Err(Refusal::invalid(
            format!("the group `{display_name}` is reserved"),
            "only an operator makes somebody an administrator",
        ));
    }
    Ok(GroupChange { display_name, ..change })
}

fn refuse_taken(broker: &Broker, name: &str, of: Option<DirectoryGroupId>) -> Result<(), DirectoryRefusal> {
    let live = broker.live();
    let takes = |group: &Arc<DirectoryGroup>| group.display_name == name && Some(group.id) != of;
    if live.directory_groups.values().any(takes) {
        return Err(DirectoryRefusal::Taken(name.to_owned()));
    }
    Ok(())
}
