//! Accounts of other providers by which users sign in.

use bailiwick_model::{
    identity::{ExternalAccount, LinkedBy},
    name::UserId,
    user::User,
};
use bailiwick_ports::{
    entry::Entry,
    store::{EndOfGrants, StoreError},
};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{
    connections, consent_requests,
    failure::Step,
    grants, passkeys,
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

/// Takes an account away, and whatever may have come by it. Its row stays: else a match, or a creation, would lead
/// whoever has it in again.
pub(crate) fn remove(
    turn: &mut Turn<'_>,
    user: &UserId,
    (issuer, subject): (&str, &str),
    ends: Option<EndOfGrants>,
    entry: Entry,
) -> Step<u64> {
    let at = entry.event.at;
    let row = params![at.as_microsecond(), issuer, subject, user.as_str()];
    if turn.execute(statements::REMOVE_IDENTITY, row)? == 0 {
        return Err(StoreError::Missing("account".to_owned()).into());
    }
    end_gains(turn, user.as_str(), at)?;
    let epoch = turn.change(entry)?;
    grants::end_along(turn, ends)?;
    Ok(epoch)
}

/// Ends what whoever signed in with a provider may have gained, besides grants: nothing tells it from what the user did.
fn end_gains(turn: &mut Turn<'_>, user: &str, at: Timestamp) -> Step<()> {
    sessions::close_all(turn, user)?;
    consent_requests::refuse_those_for(turn, user)?;
    connections::end_all(turn, user, at)
}

/// One account.
pub(crate) fn one(connection: &Connection, issuer: &str, subject: &str) -> Step<Option<ExternalAccount>> {
    let mut statement = connection.prepare_cached(statements::IDENTITY)?;
    let mut found = statement.query([issuer, subject])?;
    found.next()?.map(|row| rows::identity(&Fields::of(row, "identities"))).transpose()
}

/// Takes away what only a name or an address led to, and what may have come by it: whoever administers from now on is whom an
/// operator meant.
pub(crate) fn end_matched(turn: &mut Turn<'_>, user: &str, at: Timestamp) -> Step<()> {
    if turn.execute(statements::DELETE_MATCHED_IDENTITIES, [user])? > 0 {
        end_gains(turn, user, at)?;
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
