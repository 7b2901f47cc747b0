//! Users who sign in with another provider: found by issuer and subject, and by nothing else once that is known. Whom an
//! address or a name may lead to the first time is the operator's word, and never an administrator.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_model::{
    identity::ExternalAccount,
    name::UserId,
    principal::Principal,
    user::{ADMINISTRATORS, User, UserStatus},
};
use bailiwick_ports::store::StoreError;

use crate::{agents::text, broker::Broker, refusal::Refusal, sessions, users};

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
}

/// Why somebody does not get in.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Nobody is known by that, and nobody is made known.
    #[error("nobody is known here by this account")]
    Unknown,
    /// Whoever it is may not sign in.
    #[error("the user of this account may not sign in")]
    Stopped,
    /// It cannot be looked up or recorded now.
    #[error(transparent)]
    Failed(#[from] Refusal),
}

/// The user whom a provider's account is of, made known or found if the operator lets that be.
pub async fn resolve(broker: &Broker, external: External, admission: Admission) -> Result<UserId, NotAdmitted> {
    let failed = |error: StoreError| NotAdmitted::Failed(error.into());
    let find = || broker.store().identity(&external.issuer, &external.subject);
    if let Some(user) = find().await.map_err(failed)? {
        return standing(broker, &user);
    }
    let _changing = broker.changing().await;
    // Two of one account may come at once: the second one finds what the first one made.
    if let Some(user) = find().await.map_err(failed)? {
        return standing(broker, &user);
    }
    let known = match admission.authority.and_then(|authority| sole(broker, authority, &external)) {
        Some(user) => {
            // An address that was given to somebody else leads nowhere: who had it has an account of this provider already.
            let has = broker.store().identities(&user.id).await.map_err(failed)?;
            if has.iter().any(|identity| identity.issuer == external.issuer) {
                return Err(NotAdmitted::Unknown);
            }
            Some(user)
        }
        None => None,
    };
    let (user, new) = match known {
        Some(user) => (user.id.clone(), None),
        None if admission.create => {
            let user = made(broker, &external)?;
            (user.id.clone(), Some(user))
        }
        None => return Err(NotAdmitted::Unknown),
    };
    let user_id = match &new {
        Some(_) => user.clone(),
        None => standing(broker, &user)?,
    };
    link(broker, &Principal::User(user), external, (user_id, new)).await
}

/// Lets an account of a provider sign a user in, on an operator's word: the one way for administrators.
pub async fn add(broker: &Broker, by: &Principal, id: &UserId, issuer: &str, subject: &str) -> Result<(), Refusal> {
    let issuer = text("issuer", issuer, "write it as the provider does, byte for byte")?;
    let subject = text("subject", subject, "write the `sub` of the provider's account")?;
    let _changing = broker.changing().await;
    sessions::standing(broker, id)?;
    let external = External { issuer, subject, name: None, email: None, user_name: None };
    match link(broker, by, external, (id.clone(), None)).await {
        Ok(_) => Ok(()),
        Err(NotAdmitted::Failed(refusal)) => Err(refusal),
        Err(other) => Err(Refusal::Conflict(other.to_string())),
    }
}

async fn link(
    broker: &Broker,
    by: &Principal,
    external: External,
    (id, new): (UserId, Option<User>),
) -> Result<UserId, NotAdmitted> {
    let known = broker.live().users.get(&id).cloned();
    let of = new.clone().map(Arc::new).or(known).ok_or(NotAdmitted::Unknown)?;
    let entry = users::draft(broker, by, &of, "account of a provider added").await?;
    let identity = ExternalAccount {
        issuer: external.issuer,
        subject: external.subject,
        user: id.clone(),
        created_at: broker.now(),
    };
    let epoch = broker.store().add_identity(identity, new.clone(), entry).await.map_err(|error| match error {
        StoreError::Exists(_) => Refusal::Conflict("this account is somebody's already".to_owned()),
        error => error.into(),
    })?;
    if let Some(user) = new {
        users::install(broker, epoch, user, &[]);
    }
    Ok(id)
}

fn standing(broker: &Broker, id: &UserId) -> Result<UserId, NotAdmitted> {
    sessions::standing(broker, id).map(|user| user.id.clone()).map_err(|_| NotAdmitted::Stopped)
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
    let fit = user.provisioned().is_some() && !user.groups.contains(ADMINISTRATORS);
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
