//! Passkeys of users, and the links by which a user gets the first one.

use bailiwick_model::{
    digest::Digest,
    limits::PASSKEYS_PER_USER_MAX,
    name::UserId,
    passkey::{Invitation, Passkey},
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::StoreError,
};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{
    failure::Step,
    rows::{self, Fields},
    statements,
    turn::{Turn, signed},
};

/// Keeps a link for an active user, in the place of the one before.
pub(crate) fn invite(turn: &mut Turn<'_>, invitation: &Invitation, entry: Entry) -> Step<Receipt> {
    standing(turn, &invitation.user)?;
    let row = params![
        invitation.user.as_str(),
        invitation.token.as_bytes(),
        invitation.created_at.as_microsecond(),
        invitation.expires_at.as_microsecond(),
    ];
    turn.insert(statements::PUT_INVITATION, row, || invitation.user.to_string())?;
    turn.place(entry)
}

/// The link with this token; it may be over.
pub(crate) fn invitation(connection: &Connection, token: Digest) -> Step<Option<Invitation>> {
    let mut statement = connection.prepare_cached(statements::INVITATION)?;
    let mut found = statement.query([token.as_bytes()])?;
    found.next()?.map(|row| rows::invitation(&Fields::of(row, "invitations"))).transpose()
}

/// Adds a passkey of an active user, using up the link that allowed it.
pub(crate) fn add(turn: &mut Turn<'_>, passkey: &Passkey, link: Option<Digest>, entry: Entry) -> Step<Receipt> {
    let user = passkey.user.as_str();
    standing(turn, &passkey.user)?;
    if let Some(token) = link {
        let link = params![token.as_bytes(), user, passkey.created_at.as_microsecond()];
        if turn.execute(statements::USE_INVITATION, link)? == 0 {
            return Err(StoreError::Replayed.into());
        }
    }
    let has: i64 = turn.statement(statements::COUNT_PASSKEYS)?.query_row([user], |row| row.get(0))?;
    if has >= signed(PASSKEYS_PER_USER_MAX as u64)? {
        return Err(StoreError::Conflict(user.to_owned()).into());
    }
    let row = params![
        passkey.credential,
        user,
        passkey.name,
        passkey.record,
        passkey.created_at.as_microsecond(),
        passkey.last_used_at.map(Timestamp::as_microsecond),
    ];
    turn.insert(statements::INSERT_PASSKEY, row, || "passkey".to_owned())?;
    turn.place(entry)
}

/// Notes a use, from the record that was seen: of two uses at once of one counter, one is refused.
pub(crate) fn note_use(turn: &Turn<'_>, seen: &Passkey, record: &str, at: Timestamp) -> Step<()> {
    let row = params![record, at.as_microsecond(), seen.credential, seen.record];
    match turn.execute(statements::USE_PASSKEY, row)? {
        0 => Err(StoreError::Conflict("passkey".to_owned()).into()),
        _ => Ok(()),
    }
}

/// Removes a passkey of a user, unless it is their last one.
pub(crate) fn remove(turn: &mut Turn<'_>, user: &UserId, credential: &[u8], entry: Entry) -> Step<Receipt> {
    if turn.execute(statements::DELETE_PASSKEY, params![credential, user.as_str()])? == 0 {
        return Err(StoreError::Missing("passkey".to_owned()).into());
    }
    let left: i64 = turn.statement(statements::COUNT_PASSKEYS)?.query_row([user.as_str()], |row| row.get(0))?;
    if left == 0 {
        return Err(StoreError::Conflict("last passkey".to_owned()).into());
    }
    turn.place(entry)
}

/// One passkey.
pub(crate) fn one(connection: &Connection, credential: &[u8]) -> Step<Option<Passkey>> {
    let mut statement = connection.prepare_cached(statements::PASSKEY)?;
    let mut found = statement.query([credential])?;
    found.next()?.map(|row| rows::passkey(&Fields::of(row, "passkeys"))).transpose()
}

/// All passkeys of a user, oldest first.
pub(crate) fn of_user(connection: &Connection, user: &UserId) -> Step<Vec<Passkey>> {
    let mut statement = connection.prepare_cached(statements::PASSKEYS)?;
    let mut found = statement.query([user.as_str()])?;
    let mut passkeys = Vec::new();
    while let Some(row) = found.next()? {
        passkeys.push(rows::passkey(&Fields::of(row, "passkeys"))?);
    }
    Ok(passkeys)
}

/// Takes back the links of a user who is no longer active, and the passkeys of one who left.
pub(crate) fn end(turn: &Turn<'_>, user: &str, left: bool) -> Step<()> {
    turn.execute(statements::DELETE_INVITATION, [user])?;
    if left {
        turn.execute(statements::DELETE_PASSKEYS, [user])?;
    }
    Ok(())
}

/// Refuses users who are not active.
pub(crate) fn standing(turn: &Turn<'_>, user: &UserId) -> Step<()> {
    let active: i64 = turn.statement(statements::USER_ACTIVE)?.query_row([user.as_str()], |row| row.get(0))?;
    if active == 0 { Err(StoreError::Conflict(user.to_string()).into()) } else { Ok(()) }
}
