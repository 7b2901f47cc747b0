//! Accounts of other providers by which users sign in.

use bailiwick_model::{
    identity::{ExternalAccount, LinkedBy},
    name::UserId,
    user::User,
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::StoreError,
};
use rusqlite::{Connection, params};

use super::{
    failure::Step,
    passkeys,
    rows::{self, Fields},
    sessions, statements,
    turn::Turn,
    users,
};

/// Adds an account of a user, who is made known with it if need be. An operator's word takes it from somebody who left,
/// or from whom it was taken away.
pub(crate) fn add(turn: &mut Turn<'_>, identity: &ExternalAccount, user: Option<&User>, entry: Entry) -> Step<u64> {
    turn.guard()?;
    match user {
        Some(user) => users::insert(turn, user)?,
        None => passkeys::standing(turn, &identity.user)?,
    }
    if identity.linked_by == LinkedBy::Operator {
        turn.execute(statements::DELETE_FREE_IDENTITY, params![identity.issuer, identity.subject])?;
    }
    let row = params![
        identity.issuer,
        identity.subject,
        identity.user.as_str(),
        identity.linked_by.as_str(),
        identity.created_at.as_microsecond(),
    ];
    turn.insert(statements::INSERT_IDENTITY, row, || identity.subject.clone())?;
    turn.change(entry)
}

/// Takes an account away, and the sessions that may have come by it. Its row stays: else a match, or a creation, would lead
/// whoever has it in again.
pub(crate) fn remove(
    turn: &mut Turn<'_>,
    user: &UserId,
    (issuer, subject): (&str, &str),
    entry: Entry,
) -> Step<Receipt> {
    let row = params![entry.event.at.as_microsecond(), issuer, subject, user.as_str()];
    if turn.execute(statements::REMOVE_IDENTITY, row)? == 0 {
        return Err(StoreError::Missing("account".to_owned()).into());
    }
    sessions::close_all(turn, user.as_str())?;
    turn.place(entry)
}

/// One account.
pub(crate) fn one(connection: &Connection, issuer: &str, subject: &str) -> Step<Option<ExternalAccount>> {
    let mut statement = connection.prepare_cached(statements::IDENTITY)?;
    let mut found = statement.query([issuer, subject])?;
    found.next()?.map(|row| rows::identity(&Fields::of(row, "identities"))).transpose()
}

/// Takes away what only a name or an address led to, and the sessions with it: whoever administers from now on is whom an
/// operator meant.
pub(crate) fn end_matched(turn: &Turn<'_>, user: &str) -> Step<()> {
    if turn.execute(statements::DELETE_MATCHED_IDENTITIES, [user])? > 0 {
        sessions::close_all(turn, user)?;
    }
    Ok(())
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
