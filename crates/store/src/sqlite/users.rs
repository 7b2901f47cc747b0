//! Users: made known once, changed by version, never removed.

use bailiwick_model::user::{User, UserStatus};
use bailiwick_ports::{
    entry::Entry,
    store::{EndOfGrants, StoreError},
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter, types::Value};

use super::{
    connections, consent_requests,
    failure::Step,
    grants, identities, passkeys,
    rows::{self, Fields, json_text},
    sessions, statements,
    turn::{Turn, signed},
};

/// Adds a user under an id that was never used.
pub(crate) fn add(turn: &mut Turn<'_>, user: &User, entry: Entry) -> Step<u64> {
    insert(turn, user)?;
    turn.change(entry)
}

/// The same without its evidence, as one of several changes.
pub(crate) fn insert(turn: &Turn<'_>, user: &User) -> Step<()> {
    turn.insert(statements::INSERT_USER, params_from_iter(columns(user)?), || user.id.to_string()).map(|_| ())
}

/// Replaces a user whose stored version is the one before. A decision under way that relied on it is made again,
/// and the sessions of who is no longer active end with their links, connections and whatever asks for their consent, and the passkeys of
/// who left.
pub(crate) fn change(turn: &mut Turn<'_>, user: &User, ends: Option<EndOfGrants>, entry: Entry) -> Step<u64> {
    replace(turn, user, entry.event.at)?;
    let epoch = turn.change(entry)?;
    grants::end_along(turn, ends)?;
    Ok(epoch)
}

/// The same without its evidence, as one of several changes.
pub(crate) fn replace(turn: &mut Turn<'_>, user: &User, at: Timestamp) -> Step<()> {
    let id = user.id.as_str();
    let found = version(turn, id)?;
    let found = found.ok_or_else(|| StoreError::Missing(id.to_owned()))?;
    if signed(user.version)?.checked_sub(1) != Some(found) {
        return Err(StoreError::Conflict(id.to_owned()).into());
    }
    let columns = columns(user)?.into_iter().chain([Value::Integer(found)]);
    turn.insert(statements::UPDATE_USER, params_from_iter(columns), || user_name(user))?;
    if user.standing().is_err() {
        sessions::close_all(turn, id)?;
        passkeys::end(turn, id, user.has_left())?;
        consent_requests::refuse_those_for(turn, id)?;
        connections::end_all(turn, id, at)?;
    }
    if user.administers() {
        identities::end_matched(turn, id, at)?;
    }
    Ok(())
}

/// What is one of a kind besides the id.
fn user_name(user: &User) -> String {
    user.directory.as_ref().map_or_else(|| user.id.to_string(), |entry| entry.user_name.clone())
}

/// The stored version of a user.
pub(crate) fn version(turn: &Turn<'_>, id: &str) -> Step<Option<i64>> {
    Ok(turn.statement(statements::USER_VERSION)?.query_row([id], |row| row.get(0)).optional()?)
}

/// All users, by id.
pub(crate) fn all(connection: &Connection) -> Step<Vec<User>> {
    let mut statement = connection.prepare_cached(statements::USERS)?;
    let mut found = statement.query([])?;
    let mut users = Vec::new();
    while let Some(row) = found.next()? {
        users.push(rows::user(&Fields::of(row, "users"))?);
    }
    Ok(users)
}

/// The columns of `users`, in the order of its statements.
fn columns(user: &User) -> Step<Vec<Value>> {
    let (status_at, status_reason) = match &user.status {
        UserStatus::Active => (None, None),
        UserStatus::Suspended { at, reason } | UserStatus::Left { at, reason } => {
            (Some(at.as_microsecond()), Some(reason.clone()))
        }
    };
    Ok(vec![
        user.id.to_string().into(),
        signed(user.version)?.into(),
        user.name.clone().into(),
        user.email.clone().into(),
        json_text(&user.groups)?.into(),
        user.status.as_str().to_owned().into(),
        status_at.into(),
        status_reason.into(),
        user.created_at.as_microsecond().into(),
        user.directory.as_ref().map(json_text).transpose()?.into(),
        user.directory.as_ref().map(|entry| i64::from(entry.active)).into(),
        user.provisioned().map(|entry| entry.user_name.to_lowercase()).into(),
    ])
}
