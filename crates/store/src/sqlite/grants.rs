//! Grants: given once, ended once. Tokens that were revoked by themselves.

use bailiwick_model::{
    grant::{Grant, GrantStatus},
    id::{GrantId, TokenId},
};
use bailiwick_ports::{
    entry::Entry,
    store::{EndOfGrants, Spent, StoreError},
};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{
    calls,
    failure::Step,
    rows::{self, Fields, json_text},
    spent, statements,
    turn::Turn,
};

/// Adds a grant, using up what authorized it. One that comes from another needs that one to be active.
pub(crate) fn give(turn: &mut Turn<'_>, grant: &Grant, used: &[Spent], entry: Entry) -> Step<u64> {
    if let Some(parent) = grant.parent
        && !one(turn.connection, parent)?.is_some_and(|parent| parent.is_active(grant.created_at))
    {
        return Err(StoreError::Conflict(parent.to_string()).into());
    }
    calls::use_up(turn, used)?;
    turn.guard()?;
    spent::keep(turn.connection, used)?;
    let (status, ended_at, ended_reason) = columns(&grant.status);
    let row = params![
        grant.id.as_bytes(),
        grant.kind.as_str(),
        json_text(&grant.chain)?,
        grant.parent.map(|parent| *parent.as_bytes()),
        json_text(&grant.resources)?,
        json_text(&grant.scopes)?,
        grant.task.map(|task| *task.as_bytes()),
        grant.authentication.as_ref().map(json_text).transpose()?,
        status,
        ended_at,
        ended_reason,
        grant.created_at.as_microsecond(),
        grant.expires_at.as_microsecond(),
        grant.subject.map(|subject| *subject.id.as_bytes()),
        grant.subject.and_then(|subject| subject.task).map(|task| *task.as_bytes()),
        grant.details.as_ref().map(json_text).transpose()?,
        grant.vouched.as_ref().map(json_text).transpose()?,
    ];
    turn.insert(statements::INSERT_GRANT, row, || grant.id.to_string())?;
    turn.change(entry)
}

/// Ends the grants that are still active: one that has ended by itself keeps no other alive. A decision under way that
/// relied on one of them is made again; no other is.
pub(crate) fn end(turn: &mut Turn<'_>, ids: &[GrantId], ended: &GrantStatus, entry: Entry) -> Step<u64> {
    let (_, Some(at), Some(reason)) = columns(ended) else {
        return Err(StoreError::Conflict("the end of grants".to_owned()).into());
    };
    let mut changed = 0;
    for id in ids {
        changed += turn.execute(statements::END_GRANT, params![at, reason, id.as_bytes()])?;
    }
    match ids.first().filter(|_| changed == 0) {
        Some(id) if one(turn.connection, *id)?.is_some() => Err(StoreError::Conflict(id.to_string()).into()),
        Some(id) => Err(StoreError::Missing(id.to_string()).into()),
        None => turn.change(entry),
    }
}

/// Ends grants with the change that is under way. No evidence says that none ended.
pub(crate) fn end_along(turn: &mut Turn<'_>, ends: Option<EndOfGrants>) -> Step<()> {
    let Some(EndOfGrants { ids, ended, entry }) = ends.filter(|ends| !ends.ids.is_empty()) else { return Ok(()) };
    let (_, Some(at), Some(reason)) = columns(&ended) else {
        return Err(StoreError::Conflict("the end of grants".to_owned()).into());
    };
    for id in ids {
        turn.execute(statements::END_GRANT, params![at, reason, id.as_bytes()])?;
    }
    turn.place(entry).map(|_| ())
}

/// Whether a grant is active at `now` (microseconds).
pub(crate) fn stands(turn: &Turn<'_>, id: GrantId, now: i64) -> Step<bool> {
    let row = params![id.as_bytes(), now];
    let standing: i64 = turn.statement(statements::GRANT_STANDING)?.query_row(row, |row| row.get(0))?;
    Ok(standing > 0)
}

/// Whether a token was revoked.
pub(crate) fn is_revoked(turn: &Turn<'_>, id: TokenId) -> Step<bool> {
    let revoked: i64 = turn.statement(statements::TOKEN_REVOKED)?.query_row([id.as_bytes()], |row| row.get(0))?;
    Ok(revoked > 0)
}

/// One grant.
pub(crate) fn one(connection: &Connection, id: GrantId) -> Step<Option<Grant>> {
    let mut statement = connection.prepare_cached(statements::GRANT)?;
    let mut found = statement.query([id.as_bytes()])?;
    found.next()?.map(|row| rows::grant(&Fields::of(row, "grants"))).transpose()
}

/// Grants that were not ended and whose end is after `now` (microseconds).
pub(crate) fn active(connection: &Connection, now: i64) -> Step<Vec<Grant>> {
    let mut statement = connection.prepare_cached(statements::ACTIVE_GRANTS)?;
    let mut found = statement.query([now])?;
    let mut grants = Vec::new();
    while let Some(row) = found.next()? {
        grants.push(rows::grant(&Fields::of(row, "grants"))?);
    }
    Ok(grants)
}

/// Revokes one access token, which would end at a given time.
pub(crate) fn revoke_token(
    turn: &mut Turn<'_>,
    (id, until): (TokenId, Timestamp),
    ends: Option<EndOfGrants>,
    entry: Entry,
) -> Step<u64> {
    let row = params![id.as_bytes(), until.as_microsecond()];
    turn.insert(statements::REVOKE_TOKEN, row, || id.to_string())?;
    let epoch = turn.change(entry)?;
    end_along(turn, ends)?;
    Ok(epoch)
}

/// Revoked tokens whose end is after `now` (microseconds).
pub(crate) fn revoked(connection: &Connection, now: i64) -> Step<Vec<(TokenId, Timestamp)>> {
    let mut statement = connection.prepare_cached(statements::REVOKED_TOKENS)?;
    let mut found = statement.query([now])?;
    let mut revoked = Vec::new();
    while let Some(row) = found.next()? {
        let fields = Fields::of(row, "revoked_tokens");
        revoked.push((TokenId::from_bytes(fields.get("id")?), fields.time("until_at")?));
    }
    Ok(revoked)
}

fn columns(status: &GrantStatus) -> (&'static str, Option<i64>, Option<&str>) {
    match status {
        GrantStatus::Active => ("active", None, None),
        GrantStatus::Ended { at, reason } => ("ended", Some(at.as_microsecond()), Some(reason)),
    }
}
