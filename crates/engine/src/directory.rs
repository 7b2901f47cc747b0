//! What a directory may do to users and groups (SCIM 2.0). It sees and changes those whom it provisioned and nobody else, so
//! that nobody of this broker's own can be taken over by a name or an address; it names no reserved group, and takes none.

mod credentials;
mod groups;

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    directory::DirectoryEntry,
    name::UserId,
    principal::Principal,
    user::{User, UserStatus},
};
use bailiwick_ports::{
    store::{EndOfGrants, StoreError},
    vault::VaultError,
};

pub use self::{
    credentials::{ProvisioningCredential, TOKEN_PREFIX, create as create_credential, credentials, find, revoke},
    groups::{GroupChange, Membership, change_group, create_group, group, groups, remove_group},
};
use crate::{
    agents::text, broker::Broker, caller::Caller, evidence::Draft, grants, lifecycle, refusal::Refusal, users,
};

/// Why a directory's change was not made.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryRefusal {
    /// Somebody or something has that name.
    #[error("`{0}` exists already")]
    Taken(String),
    /// It was changed since it was read: read again.
    #[error("`{0}` was changed meanwhile")]
    Changed(String),
    /// There are as many users of directories as there may be.
    #[error("users of directories are {0} at most here, those who left included (`scim.users_max`)")]
    Full(usize),
    /// Anything else.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<StoreError> for DirectoryRefusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists(name) => Self::Taken(name),
            StoreError::Conflict(name) => Self::Changed(name),
            error => Self::Refused(error.into()),
        }
    }
}

impl From<VaultError> for DirectoryRefusal {
    fn from(error: VaultError) -> Self {
        Self::Refused(error.into())
    }
}

/// The scope of a registration that lets a client provision users and groups.
pub const SCIM_MANAGE: &str = "scim:manage";

/// What a directory says of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What people call them.
    pub name: String,
    /// Where to reach them.
    pub email: Option<String>,
    /// The rest.
    pub entry: DirectoryEntry,
}

/// The users whom a directory provisioned and who have not left, the oldest first.
pub fn users(broker: &Broker) -> Vec<Arc<User>> {
    let mut all: Vec<_> = broker.live().users.values().filter(|user| user.provisioned().is_some()).cloned().collect();
    all.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    all
}

/// One of them.
pub fn user(broker: &Broker, id: &UserId) -> Option<Arc<User>> {
    broker.live().users.get(id).filter(|user| user.provisioned().is_some()).cloned()
}

/// Makes a user known under an id that says nothing about them.
pub async fn create_user(broker: &Broker, by: &Principal, profile: Profile) -> Result<Arc<User>, DirectoryRefusal> {
    let profile = checked(profile)?;
    let _changing = broker.changing().await;
    refuse_taken(broker, &profile.entry, None)?;
    refuse_more(broker)?;
    let id = users::new_id(broker)?;
    let user = User {
        id,
        name: profile.name,
        email: profile.email,
        groups: BTreeSet::new(),
        status: UserStatus::Active,
        directory: Some(profile.entry),
        created_at: broker.now(),
        version: 1,
    };
    let entry = users::draft(broker, by, &user, "provisioned").await?;
    let epoch = broker.store().add_user(user.clone(), entry).await?;
    Ok(users::install(broker, epoch, user, &[]))
}

/// Changes a user whose version is still the one that was seen. One whom it lets act no more loses sessions and grants at
/// once: nobody acts for them from the next call on, and if they come back they are asked anew. Their agents wait for a
/// successor as those of a leaver: many directories deactivate whoever leaves, and remove nobody.
pub async fn change_user(
    broker: &Broker,
    by: &Principal,
    (id, seen): (&UserId, u64),
    profile: Profile,
) -> Result<Arc<User>, DirectoryRefusal> {
    let profile = checked(profile)?;
    let changing = broker.changing().await;
    let found = current(broker, id, seen)?;
    refuse_taken(broker, &profile.entry, Some(id))?;
    let mut user = User::clone(&found);
    (user.name, user.email, user.directory) = (profile.name, profile.email, Some(profile.entry));
    if user == *found {
        return Ok(found);
    }
    user.version += 1;
    let stops = user.standing().is_err();
    let verb = match (found.standing().is_err(), stops) {
        (false, true) => "deactivated by the directory",
        (true, false) => "activated by the directory",
        _ => "changed by the directory",
    };
    let ends = if stops { ending(broker, by, id, "its user was deactivated") } else { None };
    let user = put(broker, by, user, (verb, ends)).await?;
    drop(changing);
    if stops {
        lifecycle::users_left(broker).await?;
    }
    Ok(user)
}

/// A user left for good: their grants, sessions, links and passkeys end, and nobody gets their id again.
pub async fn remove_user(broker: &Broker, by: &Principal, (id, seen): (&UserId, u64)) -> Result<(), DirectoryRefusal> {
    {
        let _changing = broker.changing().await;
        let mut user = User::clone(&*current(broker, id, seen)?);
        user.status = UserStatus::Left { at: broker.now(), reason: "the directory removed them".to_owned() };
        user.version += 1;
        let ends = ending(broker, by, id, "its user left");
        put(broker, by, user, ("left", ends)).await?;
    }
    Ok(lifecycle::users_left(broker).await?)
}

/// Replaces a user, and ends grants in the same moment.
async fn put(
    broker: &Broker,
    by: &Principal,
    user: User,
    (verb, ends): (&str, Option<EndOfGrants>),
) -> Result<Arc<User>, DirectoryRefusal> {
    let entry = users::draft(broker, by, &user, verb).await?;
    let ended = ends.as_ref().map(|ends| ends.ids.clone()).unwrap_or_default();
    let epoch = broker.store().change_user(user.clone(), ends, entry).await?;
    Ok(users::install(broker, epoch, user, &ended))
}

/// A provisioned user of the version that was seen.
fn current(broker: &Broker, id: &UserId, seen: u64) -> Result<Arc<User>, DirectoryRefusal> {
    let found = user(broker, id).ok_or_else(|| Refusal::Missing(format!("user `{id}`")))?;
    if found.version != seen {
        return Err(DirectoryRefusal::Changed(id.to_string()));
    }
    Ok(found)
}

fn ending(broker: &Broker, by: &Principal, id: &UserId, reason: &str) -> Option<EndOfGrants> {
    let principal = Principal::User(id.clone());
    grants::ending(broker, by, reason, |grant| grant.chain.principals().contains(&principal))
}

fn checked(profile: Profile) -> Result<Profile, Refusal> {
    let Profile { name, email, entry } = profile;
    let line = |what: &str, value: String| text(what, &value, "write one line");
    let maybe = |what: &str, value: Option<String>| value.map(|value| line(what, value)).transpose();
    Ok(Profile {
        name: line("name", name)?,
        email: maybe("email", email)?,
        entry: DirectoryEntry {
            user_name: line("userName", entry.user_name)?,
            external_id: maybe("externalId", entry.external_id)?,
            given_name: maybe("givenName", entry.given_name)?,
            family_name: maybe("familyName", entry.family_name)?,
            display_name: maybe("displayName", entry.display_name)?,
            formatted_name: maybe("name.formatted", entry.formatted_name)?,
            email_type: maybe("emails.type", entry.email_type)?,
            email_primary: entry.email_primary,
            active: entry.active,
        },
    })
}

/// Refuses one more than there may be. Whoever has the credential could fill the memory and the disk otherwise; who left counts,
/// since they are never forgotten.
fn refuse_more(broker: &Broker) -> Result<(), DirectoryRefusal> {
    let most = broker.settings().directory_users_max;
    let there = broker.live().users.values().filter(|user| user.directory.is_some()).count();
    if there < most { Ok(()) } else { Err(DirectoryRefusal::Full(most)) }
}

/// Refuses a `userName` that another provisioned user has, or that is the id of a user of this broker's own: a page that
/// shows one must never be read as the other.
fn refuse_taken(broker: &Broker, entry: &DirectoryEntry, of: Option<&UserId>) -> Result<(), DirectoryRefusal> {
    let name = entry.user_name.to_lowercase();
    let takes = |user: &Arc<User>| {
        of != Some(&user.id)
            && match user.provisioned() {
                Some(other) => other.user_name.to_lowercase() == name,
                None => user.id.as_str().to_lowercase() == name,
            }
    };
    if broker.live().users.values().any(takes) {
        return Err(DirectoryRefusal::Taken(entry.user_name.clone()));
    }
    Ok(())
}

/// Lets an agent in that holds the scope itself, for one message; its proof is used up with the record of that.
pub async fn admit(broker: &Broker, caller: &Caller) -> Result<Principal, Refusal> {
    let by = caller.chain.current();
    let entry = Draft::event(broker, EventKind::Listed)
        .field("agent", by.id())
        .field("action", "scim")
        .field("token", caller.token.to_string())
        .public(broker);
    broker.store().append(entry, caller.spent.clone()).await?;
    Ok(by.clone())
}
