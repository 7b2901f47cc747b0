//! Passkeys of users: added, named, used, removed. Whether a signature is right is for whoever speaks `WebAuthn`.

use std::sync::Arc;

use bailiwick_model::{
    digest::Digest, limits::PASSKEYS_PER_USER_MAX, name::UserId, passkey::Passkey, principal::Principal, user::User,
};
use bailiwick_ports::store::StoreError;

use crate::{broker::Broker, refusal::Refusal, sessions, users};

/// Characters of a passkey's name.
pub const NAME_CHARS_MAX: usize = 64;

/// Adds a passkey; a link that allowed it is used up with it.
pub async fn add(broker: &Broker, passkey: Passkey, link: Option<Digest>) -> Result<(), Refusal> {
    let user = sessions::standing(broker, &passkey.user)?;
    let by = Principal::User(passkey.user.clone());
    let change = if link.is_some() { "passkey added by link" } else { "passkey added" };
    let entry = users::draft(broker, &by, &user, change).await?;
    match broker.ports.store.add_passkey(passkey, link, entry).await {
        Ok(_) => Ok(()),
        Err(StoreError::Replayed) => Err(Refusal::Conflict("the link was used before or is over".to_owned())),
        Err(StoreError::Exists(_)) => Err(Refusal::Conflict("this passkey is registered already".to_owned())),
        Err(StoreError::Conflict(_)) => Err(Refusal::invalid(
            format!("a user who is active has at most {PASSKEYS_PER_USER_MAX} passkeys"),
            "remove one that is no longer used",
        )),
        Err(error) => Err(error.into()),
    }
}

/// A name for a passkey, as somebody typed it.
pub fn name(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NAME_CHARS_MAX || text.chars().any(char::is_control) {
        let message = format!("a passkey's name is one line of 1 to {NAME_CHARS_MAX} characters");
        return Err(Refusal::invalid(message, "call it by the device that keeps it"));
    }
    Ok(text.to_owned())
}

/// The passkey with a credential id, and whose it is, if they may sign in.
pub async fn find(broker: &Broker, credential: &[u8]) -> Result<Option<(Passkey, Arc<User>)>, Refusal> {
    let Some(passkey) = broker.ports.store.passkey(credential).await? else { return Ok(None) };
    Ok(sessions::standing(broker, &passkey.user).ok().map(|user| (passkey, user)))
}

/// The passkeys of a user, oldest first.
pub async fn of_user(broker: &Broker, user: &UserId) -> Result<Vec<Passkey>, Refusal> {
    Ok(broker.ports.store.passkeys(user).await?)
}

/// Notes that a passkey was used, with its record as it is from now on. Of two uses from one state, one is refused.
pub async fn note_use(broker: &Broker, seen: Passkey, record: String) -> Result<(), Refusal> {
    Ok(broker.ports.store.use_passkey(seen, record, broker.now()).await?)
}

/// Removes one of a user's passkeys, but not the last one.
pub async fn remove(broker: &Broker, by: &Principal, id: &UserId, credential: Vec<u8>) -> Result<(), Refusal> {
    let user = sessions::standing(broker, id)?;
    let entry = users::draft(broker, by, &user, "passkey removed").await?;
    match broker.ports.store.remove_passkey(id.clone(), credential, entry).await {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict(_)) => {
            Err(Refusal::invalid("the last passkey cannot be removed", "add another one first"))
        }
        Err(error) => Err(error.into()),
    }
}
