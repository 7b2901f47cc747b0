//! Accounts of other providers by which users sign in.

use bailiwick_model::{identity::ExternalAccount, name::UserId, user::User};
use bailiwick_ports::entry::Entry;
use rusqlite::{Connection, params};

use super::{
    failure::Step,
    passkeys,
    rows::{self, Fields},
    statements,
    turn::Turn,
    users,
};

/// Adds an account of a user, who is made known with it if need be.
pub(crate) fn add(turn: &mut Turn<'_>, identity: &ExternalAccount, user: Option<&User>, entry: Entry) -> Step<u64> {
    turn.guard()?;
    match user {
        Some(user) => users::insert(turn, user)?,
        None => passkeys::standing(turn, &identity.user)?,
    }
    let row = params![identity.issuer, identity.subject, identity.user.as_str(), identity.created_at.as_microsecond(),];
    turn.insert(statements::INSERT_IDENTITY, row, || identity.subject.clone())?;
    turn.change(entry)
}

/// Whose an account is.
pub(crate) fn user_of(connection: &Connection, issuer: &str, subject: &str) -> Step<Option<UserId>> {
    let mut statement = connection.prepare_cached(statements::IDENTITY)?;
    let mut found = statement.query([issuer, subject])?;
    found.next()?.map(|row| rows::identity(&Fields::of(row, "identities")).map(|one| one.user)).transpose()
}

/// The accounts of a user.
pub(crate) fn of_user(connection: &Connection, user: &UserId) -> Step<Vec<ExternalAccount>> {
    let mut statement = connection.prepare_cached(statements::IDENTITIES)?;
    let mut found = statement.query([user.as_str()])?;
    let mut identities = Vec::new();
    while let Some(row) = found.next()? {
        identities.push(rows::identity(&Fields::of(row, "identities"))?);
    }
    Ok(identities)
}
