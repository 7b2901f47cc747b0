//! Sessions of users in browsers: opened on proof of who somebody is, found by their token, ended.
//!
//! A token is 32 random bytes, of which only the digest is kept. Whether its user stands is looked up each time.

use std::sync::Arc;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    digest::Digest, grant::Authentication, id::BrowserSessionId, name::UserId, principal::Principal, secret::Secret,
    session::Session,
};
use bailiwick_ports::{chance::random, new_id};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use crate::{broker::Broker, evidence::Draft, refusal::Refusal};

/// How long a session lasts without a visit: as long as an unattended browser may stay signed in.
pub const IDLE_MAX: SignedDuration = SignedDuration::from_mins(30);
/// How long a session lasts whatever happens: a working day with its breaks.
pub const LIFE_MAX: SignedDuration = SignedDuration::from_hours(12);
/// Visits within this time move the idle end only once, so that not each page is a commit.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A session that was just opened, with the token that opens it again: for its browser's cookie, and nowhere else.
#[derive(Debug)]
pub struct Opened {
    /// Base64url of 32 random bytes.
    pub token: Secret<String>,
    /// The session.
    pub session: Session,
}

/// Opens a session for a user who has just proved who they are, always under a token that nobody knew before.
pub async fn open(broker: &Broker, user: &UserId, authentication: Authentication) -> Result<Opened, Refusal> {
    standing(broker, user)?;
    let now = broker.now();
    let token = new_token(broker);
    let session = Session {
        id: new_id!(BrowserSessionId, now, broker.entropy()),
        token: Digest::of(token.expose().as_bytes()),
        user: user.clone(),
        authentication,
        created_at: now,
        idle_ends_at: after(now, IDLE_MAX)?,
        ends_at: after(now, LIFE_MAX)?,
    };
    let methods: Vec<String> = session.authentication.methods.iter().cloned().collect();
    let entry = draft(broker, &Principal::User(user.clone()), &session, "signed_in").field("methods", methods);
    broker.ports.store.open_session(session.clone(), entry.public(broker)).await?;
    Ok(Opened { token, session })
}

/// The session that a token opens now: `None` for a token that is unknown or over, or whose user does not stand.
pub async fn find(broker: &Broker, token: &str) -> Result<Option<Session>, Refusal> {
    let Some(mut session) = broker.ports.store.session(Digest::of(token.as_bytes())).await? else { return Ok(None) };
    let now = broker.now();
    if !session.is_open(now) || standing(broker, &session.user).is_err() {
        return Ok(None);
    }
    let idle_ends_at = after(now, IDLE_MAX)?;
    if idle_ends_at.duration_since(session.idle_ends_at) >= TOUCH_EVERY {
        broker.ports.store.touch_session(session.id, idle_ends_at).await?;
        session.idle_ends_at = idle_ends_at;
    }
    Ok(Some(session))
}

/// The sessions of a user that are open, newest first.
pub async fn of_user(broker: &Broker, user: &UserId) -> Result<Vec<Session>, Refusal> {
    let now = broker.now();
    let mut sessions = broker.ports.store.sessions(user).await?;
    sessions.retain(|session| session.is_open(now));
    Ok(sessions)
}

/// Ends a session; its token opens nothing from now on. One that has ended already is no error.
pub async fn close(broker: &Broker, by: &Principal, session: &Session) -> Result<(), Refusal> {
    let entry = draft(broker, by, session, "signed_out").public(broker);
    match broker.ports.store.close_session(session.id, entry).await {
        Ok(_) | Err(bailiwick_ports::store::StoreError::Missing(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Base64url of 32 random bytes.
pub(crate) fn new_token(broker: &Broker) -> Secret<String> {
    let bytes: Secret<[u8; 32]> = Secret::new(random(broker.entropy()));
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.expose()))
}

pub(crate) fn after(now: Timestamp, time: SignedDuration) -> Result<Timestamp, Refusal> {
    now.checked_add(time).map_err(|_| Refusal::Unavailable("the clock shows a time that cannot be".to_owned()))
}

/// Refuses users who may not sign in.
pub(crate) fn standing(broker: &Broker, user: &UserId) -> Result<Arc<bailiwick_model::user::User>, Refusal> {
    let found = broker.live().users.get(user).cloned().ok_or_else(|| Refusal::Missing(format!("user `{user}`")))?;
    match found.standing() {
        Ok(()) => Ok(found),
        Err(_) => Err(Refusal::Conflict(format!("user `{user}` is {}", found.status.as_str()))),
    }
}

fn draft(broker: &Broker, by: &Principal, session: &Session, change: &str) -> Draft {
    Draft::event(broker, EventKind::SessionChanged)
        .field("user", session.user.as_str())
        .field("by", by.to_string())
        .field("session", session.id.to_string())
        .field("change", change)
}
