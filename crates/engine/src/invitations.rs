//! One-time links: how a user gets the first passkey, and another one when all are lost. Made by who runs the broker,
//! recorded, and good for one passkey.

use std::sync::Arc;

use bailiwick_model::{
    digest::Digest,
    name::UserId,
    passkey::Invitation,
    principal::Principal,
    secret::Secret,
    user::{ADMINISTRATORS, User},
};
use jiff::{SignedDuration, Timestamp};

use crate::{broker::Broker, refusal::Refusal, sessions, users};

/// How long a link is good: enough to walk over to whoever it is for.
pub const INVITATION_TTL: SignedDuration = SignedDuration::from_hours(1);

/// A link that was just made.
#[derive(Debug)]
pub struct Invited {
    /// Base64url of 32 random bytes, for the link and nowhere else.
    pub token: Secret<String>,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Makes a link for a user who is active. The one before, if there is any, is good no more.
pub async fn invite(broker: &Broker, by: &Principal, id: &UserId) -> Result<Invited, Refusal> {
    let user = sessions::standing(broker, id)?;
    let (token, now) = (sessions::new_token(broker), broker.now());
    let expires_at = sessions::after(now, INVITATION_TTL)?;
    let digest = Digest::of(token.expose().as_bytes());
    let entry = users::draft(broker, by, &user, "invited").await?;
    let invitation = Invitation { token: digest, user: id.clone(), created_at: now, expires_at };
    broker.ports.store.invite(invitation, entry).await?;
    Ok(Invited { token, expires_at })
}

/// Whom a link is for, if it is good now.
pub async fn find(broker: &Broker, token: &str) -> Result<Option<(Digest, Arc<User>)>, Refusal> {
    let digest = Digest::of(token.as_bytes());
    let Some(found) = broker.ports.store.invitation(digest).await? else { return Ok(None) };
    if broker.now() >= found.expires_at {
        return Ok(None);
    }
    Ok(sessions::standing(broker, &found.user).ok().map(|user| (digest, user)))
}

/// Whether some administrator can sign in.
pub async fn administered(broker: &Broker) -> Result<bool, Refusal> {
    for user in broker.live().users.values() {
        let administers = user.standing().is_ok() && user.groups.contains(ADMINISTRATORS);
        if administers && !broker.ports.store.passkeys(&user.id).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A link for the first administrator, who is made known if need be; `None` once some administrator can sign in. Somebody
/// who is known under that name and administers nothing is not made an administrator by a start: an operator says so.
pub async fn first_administrator(broker: &Broker, by: &Principal, id: &UserId) -> Result<Option<Invited>, Refusal> {
    if administered(broker).await? {
        return Ok(None);
    }
    match broker.live().users.get(id) {
        Some(user) if user.groups.contains(ADMINISTRATORS) => {}
        Some(_) => {
            return Err(Refusal::Conflict(format!("user `{id}` is known and no administrator")));
        }
        None => {
            users::add(broker, by, id.clone(), "First administrator", None, std::collections::BTreeSet::new()).await?;
            users::set_administrator(broker, by, id, true).await?;
        }
    }
    invite(broker, by, id).await.map(Some)
}
