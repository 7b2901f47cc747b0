//! Users who sign in with another provider: found by issuer and subject, and by nothing else once that is known. Whom an
//! address or a name may lead to the first time is the operator's word, and never an administrator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bailiwick_model::{
    authentication::{Authentication, FEDERATED},
    directory::is_reserved,
    identity::{ExternalAccount, LinkedBy},
    limits::GROUPS_PER_USER_MAX,
    name::UserId,
    principal::Principal,
    user::{User, UserStatus},
};
use bailiwick_ports::store::{EndOfGrants, StoreError};

use crate::{
    agents::text,
    broker::Broker,
    connections, grants,
    refusal::Refusal,
    sessions::{self, Opened},
    users,
};

/// What a provider is believed about, besides who somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Whose a verified address is.
    Email,
    /// What the directory calls them: `preferred_username`, or the subject where there is none.
    UserName,
}

/// What the operator decided about a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Admission {
    /// Whether somebody who is unknown is made known.
    pub create: bool,
    /// What may lead to somebody who is known, the first time.
    pub authority: Option<Authority>,
}

/// Somebody as a provider told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// The provider.
    pub issuer: String,
    /// Who there.
    pub subject: String,
    /// What people call them.
    pub name: Option<String>,
    /// Their address, if the provider vouches for it.
    pub email: Option<String>,
    /// What the directory calls them.
    pub user_name: Option<String>,
    /// Groups about which the operator believes the provider, and whether they are in each.
    pub groups: BTreeMap<String, bool>,
}

/// Why somebody does not get in.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Nobody is known by that, and nobody is made known.
    #[error("nobody is known here by this account")]
    Unknown,
    /// Somebody is known by that name or address, and the account is not theirs.
    #[error("somebody is known here by its name or address, and it is not theirs")]
    Known,
    /// There are as many users as may be made known.
    #[error("users are {0} at most here (`scim.users_max`)")]
    Full(usize),
    /// A name or an address led to whom it is of, and they administer the broker.
    #[error("its user administers the broker, and no operator said that it is theirs")]
    Administers,
    /// An operator took the account away from its user.
    #[error("an operator took it away from its user")]
    Removed,
    /// Whoever it is may not sign in.
    #[error("its user may not sign in")]
    Stopped,
    /// It cannot be looked up or recorded now.
    #[error(transparent)]
    Failed(#[from] Refusal),
}

impl From<StoreError> for NotAdmitted {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Signs the user in whom a provider's account is of; they are made known or found first, if the operator lets that be.
pub async fn sign_in(
    broker: &Broker,
    external: External,
    admission: Admission,
    authentication: Authentication,
) -> Result<Opened, NotAdmitted> {
    // Until the session is there: nobody is made an administrator between the question and the answer, and two of one
    // account who come at once are one user.
    let _changing = broker.changing().await;
    let groups = external.groups.clone();
    let user = resolve(broker, external, admission).await?;
    refresh_groups(broker, &user, groups).await?;
    Ok(sessions::open(broker, &user, authentication).await?)
}

async fn resolve(broker: &Broker, external: External, admission: Admission) -> Result<UserId, NotAdmitted> {
    if let Some(account) = broker.store().identity(&external.issuer, &external.subject).await? {
        // Before anything else: neither a match nor a creation undoes what an operator did.
        if account.linked_by == LinkedBy::Removed {
            return Err(NotAdmitted::Removed);
        }
        let user = standing(broker, &account.user)?;
        // Whoever was made an administrator has lost such an account with it. This is the second lock.
        if account.linked_by == LinkedBy::Match && user.administers() {
            return Err(NotAdmitted::Administers);
        }
        return Ok(account.user);
    }
    if let Some(user) = admission.authority.and_then(|authority| sole(broker, authority, &external)) {
        let user = standing(broker, &user.id)?;
        // An address that was given to somebody else leads nowhere: who had it has an account of this provider already.
        let has = broker.store().identities(&user.id).await?;
        if has.iter().any(|account| account.issuer == external.issuer) {
            return Err(NotAdmitted::Known);
        }
        link(broker, &Principal::User(user.id.clone()), external, (&user, LinkedBy::Match)).await?;
        return Ok(user.id.clone());
    }
    if !admission.create {
        return Err(NotAdmitted::Unknown);
    }
    refuse_double(broker, &external)?;
    let most = broker.settings().directory_users_max;
    if broker.live().users.size() >= most {
        return Err(NotAdmitted::Full(most));
    }
    let user = Arc::new(made(broker, &external)?);
    link(broker, &Principal::User(user.id.clone()), external, (&user, LinkedBy::Creation)).await?;
    Ok(user.id.clone())
}

/// Takes the groups of which a provider may speak from the user of an account that lacks what the operator requires: whoever
/// is turned away is in none of them by its word. An unknown account has none to lose.
pub async fn turn_away(
    broker: &Broker,
    issuer: &str,
    subject: &str,
    groups: impl IntoIterator<Item = String>,
) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    match broker.store().identity(issuer, subject).await? {
        Some(account) if account.linked_by != LinkedBy::Removed && !known(broker, &account.user)?.has_left() => {
            refresh_groups(broker, &account.user, groups.into_iter().map(|group| (group, false)).collect()).await
        }
        Some(_) | None => Ok(()),
    }
}

/// Puts a user into the groups that their provider says, and out of the others that it may speak of, as of this sign-in. Whom a
/// directory provisioned has theirs from the directory.
async fn refresh_groups(broker: &Broker, id: &UserId, said: BTreeMap<String, bool>) -> Result<(), Refusal> {
    let found = known(broker, id)?;
    let mut user = User::clone(&found);
    for (group, is_in) in said {
        // The configuration names no reserved one; this is the second lock.
        if is_in && !is_reserved(&group) {
            user.groups.insert(group);
        } else if !is_reserved(&group) {
            user.groups.remove(&group);
        }
    }
    if found.directory.is_some() || user.groups == found.groups {
        return Ok(());
    }
    if user.groups.len() > GROUPS_PER_USER_MAX {
        return Err(Refusal::Conflict(format!("a user has at most {GROUPS_PER_USER_MAX} groups")));
    }
    user.version += 1;
    let entry = users::draft(broker, &Principal::User(id.clone()), &user, "groups by the word of a provider").await?;
    let epoch = broker.store().change_user(user.clone(), None, entry).await?;
    users::install(broker, epoch, user, &[]);
    Ok(())
}

/// Lets an account of a provider sign a user in, on an operator's word: the one way for administrators, and for an account
/// that was of somebody who left or was taken away.
pub async fn add(broker: &Broker, by: &Principal, id: &UserId, issuer: &str, subject: &str) -> Result<(), Refusal> {
    let issuer = text("issuer", issuer, "write it as the provider does, byte for byte")?;
    let subject = text("subject", subject, "write the `sub` of the provider's account")?;
    let _changing = broker.changing().await;
    let user = sessions::standing(broker, id)?;
    let external = External { issuer, subject, name: None, email: None, user_name: None, groups: BTreeMap::new() };
    link(broker, by, external, (&user, LinkedBy::Operator)).await
}

/// The accounts of providers by which a user signs in or did, oldest first.
pub async fn of_user(broker: &Broker, id: &UserId) -> Result<Vec<ExternalAccount>, Refusal> {
    known(broker, id)?;
    Ok(broker.store().identities(id).await?)
}

/// Takes an account away from a user, and ends what may have come by it: sessions, grants, connections. Only [`add`] lets it sign anybody in again.
pub async fn remove(broker: &Broker, by: &Principal, id: &UserId, issuer: &str, subject: &str) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    let user = known(broker, id)?;
    let entry = users::draft(broker, by, &user, "account of a provider removed").await?;
    let ends = ending(broker, by, id, "an account of a provider was taken away");
    let ended = ends.as_ref().map(|ends| ends.ids.clone()).unwrap_or_default();
    let connected = connections::systems(broker, id).await?;
    match broker.store().remove_identity(id, issuer, subject, ends, entry).await {
        Ok(epoch) => {
            users::install(broker, epoch, User::clone(&user), &ended);
            connections::tell_ended(broker, id, connected);
            Ok(())
        }
        Err(StoreError::Missing(_)) => Err(Refusal::Missing(format!("this account of user `{id}`"))),
        Err(error) => Err(error.into()),
    }
}

/// How the grants of a user end that were given on the word of a provider. Which account it spoke of is not kept: all end.
pub(crate) fn ending(broker: &Broker, by: &Principal, id: &UserId, reason: &str) -> Option<EndOfGrants> {
    let principal = Principal::User(id.clone());
    grants::ending(broker, by, reason, |grant| {
        let by_provider = grant.authentication.as_ref().is_some_and(|proof| proof.methods.contains(FEDERATED));
        by_provider && grant.chain.principals().contains(&principal)
    })
}

/// Whether a name or an address alone led an account to a user.
pub(crate) async fn is_matched(broker: &Broker, id: &UserId) -> Result<bool, Refusal> {
    Ok(broker.store().identities(id).await?.iter().any(|account| account.linked_by == LinkedBy::Match))
}

fn known(broker: &Broker, id: &UserId) -> Result<Arc<User>, Refusal> {
    broker.live().users.get(id).cloned().ok_or_else(|| Refusal::Missing(format!("user `{id}`")))
}

async fn link(
    broker: &Broker,
    by: &Principal,
    external: External,
    (user, linked_by): (&Arc<User>, LinkedBy),
) -> Result<(), Refusal> {
    let new = (linked_by == LinkedBy::Creation).then(|| User::clone(user));
    let change = match linked_by {
        LinkedBy::Operator => "account of a provider added",
        LinkedBy::Match => "account of a provider matched",
        LinkedBy::Creation => "made known by an account of a provider",
        LinkedBy::Removed => return Err(Refusal::Conflict("nobody signs in by what was taken away".to_owned())),
    };
    let entry = users::draft(broker, by, user, change).await?;
    let account = ExternalAccount {
        issuer: external.issuer,
        subject: external.subject,
        user: user.id.clone(),
        linked_by,
        created_at: broker.now(),
    };
    let epoch = broker.store().add_identity(account, new.clone(), entry).await.map_err(|error| match error {
        StoreError::Exists(_) => Refusal::Conflict("this account is somebody's already".to_owned()),
        error => error.into(),
    })?;
    if let Some(user) = new {
        users::install(broker, epoch, user, &[]);
    }
    Ok(())
}

fn standing(broker: &Broker, id: &UserId) -> Result<Arc<User>, NotAdmitted> {
    sessions::standing(broker, id).map_err(|_| NotAdmitted::Stopped)
}

/// Whoever is somebody here already is not made known a second time, and whoever left least of all.
fn refuse_double(broker: &Broker, external: &External) -> Result<(), NotAdmitted> {
    let same = |said: Option<&str>, theirs: Option<&str>| {
        said.zip(theirs).is_some_and(|(said, theirs)| said.to_lowercase() == theirs.to_lowercase())
    };
    let (email, user_name) = (external.email.as_deref(), external.user_name.as_deref());
    let is = |user: &&Arc<User>| {
        let called = user.directory.as_ref().map(|entry| entry.user_name.as_str());
        same(email, user.email.as_deref()) || same(user_name, called) || same(user_name, Some(user.id.as_str()))
    };
    let live = broker.live();
    let mut found = live.users.values().filter(is);
    match found.next() {
        None => Ok(()),
        Some(first) if first.has_left() && found.all(|user| user.has_left()) => Err(NotAdmitted::Stopped),
        Some(_) => Err(NotAdmitted::Known),
    }
}

/// The one user whom an address or name leads to: a provisioned one, who administers nothing. Two are none.
fn sole(broker: &Broker, authority: Authority, external: &External) -> Option<Arc<User>> {
    let wanted = match authority {
        Authority::Email => external.email.as_deref(),
        Authority::UserName => external.user_name.as_deref(),
    }?
    .to_lowercase();
    let live = broker.live();
    let is = |user: &&Arc<User>| {
        let said = match authority {
            Authority::Email => user.email.as_deref(),
            Authority::UserName => user.provisioned().map(|entry| entry.user_name.as_str()),
        };
        !user.has_left() && said.is_some_and(|said| said.to_lowercase() == wanted)
    };
    let mut found = live.users.values().filter(is);
    let user = found.next().filter(|_| found.next().is_none())?;
    // One who administers has more to lose than an address is worth.
    let fit = user.provisioned().is_some() && !user.administers();
    fit.then(|| Arc::clone(user))
}

fn made(broker: &Broker, external: &External) -> Result<User, Refusal> {
    let id = users::new_id(broker)?;
    let named =
        |text: &Option<String>| text.clone().filter(|text| text.len() <= bailiwick_model::limits::TEXT_BYTES_MAX);
    let name = named(&external.name).or_else(|| named(&external.user_name)).unwrap_or_else(|| "Unnamed".to_owned());
    Ok(User {
        id,
        name: name.replace(char::is_control, " "),
        email: named(&external.email).filter(|email| !email.contains(char::is_control)),
        groups: BTreeSet::new(),
        status: UserStatus::Active,
        directory: None,
        created_at: broker.now(),
        version: 1,
    })
}
