//! Sessions: opened for users who are active, gone when they end.

use bailiwick_model::{
    digest::Digest, id::BrowserSessionId, limits::SESSIONS_PER_USER_MAX, name::UserId, session::Session,
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::StoreError,
};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{
    failure::Step,
    passkeys,
    rows::{self, Fields, json_text},
    statements,
    turn::{Turn, signed},
};

/// Opens a session of a user who is active. Those that are over are forgotten, and the oldest of more than a user may
/// have at once ends.
pub(crate) fn open(turn: &mut Turn<'_>, session: &Session, entry: Entry) -> Step<Receipt> {
    let user = session.user.as_str();
    passkeys::standing(turn, &session.user)?;
    turn.execute(statements::FORGET_SESSIONS, [session.created_at.as_microsecond()])?;
    let row = params![
        session.id.as_bytes(),
        session.token.as_bytes(),
        user,
        json_text(&session.authentication)?,
        session.created_at.as_microsecond(),
        session.idle_ends_at.as_microsecond(),
        session.ends_at.as_microsecond(),
    ];
    turn.insert(statements::INSERT_SESSION, row, || session.id.to_string())?;
    turn.execute(statements::CROWD_OUT_SESSIONS, params![user, signed(SESSIONS_PER_USER_MAX as u64)?])?;
    turn.place(entry)
}

/// Moves the end of a session whose browser came back. One that was closed stays closed.
pub(crate) fn touch(turn: &Turn<'_>, id: BrowserSessionId, idle_ends_at: Timestamp) -> Step<()> {
    turn.execute(statements::TOUCH_SESSION, params![idle_ends_at.as_microsecond(), id.as_bytes()]).map(|_| ())
}

/// Ends a session.
pub(crate) fn close(turn: &mut Turn<'_>, id: BrowserSessionId, entry: Entry) -> Step<Receipt> {
    if turn.execute(statements::CLOSE_SESSION, [id.as_bytes()])? == 0 {
        return Err(StoreError::Missing(id.to_string()).into());
    }
    turn.place(entry)
}

/// Ends all sessions of a user.
pub(crate) fn close_all(turn: &Turn<'_>, user: &str) -> Step<()> {
    turn.execute(statements::CLOSE_SESSIONS, [user]).map(|_| ())
}

/// The session whose token has this digest.
pub(crate) fn of_token(connection: &Connection, token: Digest) -> Step<Option<Session>> {
    let mut statement = connection.prepare_cached(statements::SESSION)?;
    let mut found = statement.query([token.as_bytes()])?;
    found.next()?.map(|row| rows::session(&Fields::of(row, "sessions"))).transpose()
}

/// All sessions of a user that are kept, newest first.
pub(crate) fn of_user(connection: &Connection, user: &UserId) -> Step<Vec<Session>> {
    let mut statement = connection.prepare_cached(statements::SESSIONS)?;
    let mut found = statement.query([user.as_str()])?;
    let mut sessions = Vec::new();
    while let Some(row) = found.next()? {
        sessions.push(rows::session(&Fields::of(row, "sessions"))?);
    }
    Ok(sessions)
}
