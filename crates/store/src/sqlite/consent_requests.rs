//! Requests for consent that wait for a user apart from their client: asked, given to a user, answered once.

use bailiwick_model::{
    consent_request::{ConsentKey, ConsentRequest, ConsentStatus},
    grant::Grant,
    id::ConsentRequestId,
    limits::{
        CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX, CONSENT_REQUESTS_PER_CLIENT_MAX, CONSENT_REQUESTS_PER_USER_MAX,
    },
    name::UserId,
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::{Spent, StoreError},
};
use jiff::Timestamp;
use rusqlite::{Connection, ToSql, params};

use super::{
    agents, calls,
    failure::Step,
    grants, passkeys,
    rows::{self, Fields, json_text},
    spent, statements,
    turn::Turn,
};

/// Keeps a request, using up what authenticated it.
pub(crate) fn ask(
    turn: &mut Turn<'_>,
    request: &ConsentRequest,
    forget_before: Timestamp,
    used: &[Spent],
    entry: Entry,
) -> Step<Receipt> {
    let client = request.client.as_str();
    if agents::version(turn, client)?.is_none() {
        return Err(StoreError::Missing(client.to_owned()).into());
    }
    let now = request.created_at.as_microsecond();
    has_room(turn, statements::WAITING_OF_CLIENT, params![client, now], CONSENT_REQUESTS_PER_CLIENT_MAX)?;
    if let Some(user) = &request.user {
        passkeys::standing(turn, user)?;
        let (user, both) = (user.as_str(), CONSENT_REQUESTS_PER_CLIENT_AND_USER_MAX);
        has_room(turn, statements::WAITING_OF_BOTH, params![client, now, user], both)?;
        has_room(turn, statements::WAITING_OF_USER, params![user, now], CONSENT_REQUESTS_PER_USER_MAX)?;
    }
    calls::use_up(turn, used)?;
    turn.guard()?;
    spent::keep(turn.connection, used)?;
    turn.execute(statements::FORGET_CONSENT_REQUESTS, [forget_before.as_microsecond()])?;
    let row = params![
        request.id.as_bytes(),
        request.kind.as_str(),
        request.secret.as_bytes(),
        request.user_code.as_ref().map(|code| *code.as_bytes()),
        client,
        request.user.as_ref().map(UserId::as_str),
        json_text(&request.asked)?,
        request.status.as_str(),
        json_text(&request.status)?,
        now,
        request.expires_at.as_microsecond(),
    ];
    turn.insert(statements::INSERT_CONSENT_REQUEST, row, || request.id.to_string())?;
    turn.place(entry)
}

/// Refuses one more than so many that wait.
fn has_room(turn: &Turn<'_>, statement: &'static str, of: &[&dyn ToSql], max: usize) -> Step<()> {
    let count: i64 = turn.statement(statement)?.query_row(of, |row| row.get(0))?;
    match usize::try_from(count) {
        Ok(count) if count < max => Ok(()),
        _ => Err(StoreError::Conflict("requests that wait".to_owned()).into()),
    }
}

/// Gives a request that waits its user, or its answer; a refusal also takes back what was allowed.
pub(crate) fn answer(
    turn: &mut Turn<'_>,
    id: ConsentRequestId,
    user: &UserId,
    status: &ConsentStatus,
    entry: Entry,
) -> Step<Receipt> {
    passkeys::standing(turn, user)?;
    let row = params![user.as_str(), status.as_str(), json_text(status)?, id.as_bytes()];
    if turn.execute(statements::ANSWER_CONSENT_REQUEST, row)? == 0 {
        return Err(StoreError::Conflict(id.to_string()).into());
    }
    turn.place(entry)
}

/// Gives the grant of a request that stands allowed.
pub(crate) fn redeem(
    turn: &mut Turn<'_>,
    id: ConsentRequestId,
    grant: &Grant,
    used: &[Spent],
    entry: Entry,
) -> Step<u64> {
    // What it uses up may be found used after the row was changed.
    turn.guard()?;
    let status = ConsentStatus::Redeemed { grant: grant.id };
    let row = params![status.as_str(), json_text(&status)?, id.as_bytes(), grant.created_at.as_microsecond()];
    if turn.execute(statements::REDEEM_CONSENT_REQUEST, row)? == 0 {
        return Err(StoreError::Conflict(id.to_string()).into());
    }
    grants::give(turn, grant, used, entry)
}

/// Refuses whatever waits for a user or was allowed by them, with their own end.
pub(crate) fn refuse_those_for(turn: &mut Turn<'_>, user: &str) -> Step<()> {
    let refused = ConsentStatus::Refused;
    let row = params![refused.as_str(), json_text(&refused)?, user];
    turn.execute(statements::REFUSE_CONSENT_FOR, row).map(|_| ())
}

/// The same of a client.
pub(crate) fn refuse_those_of(turn: &mut Turn<'_>, client: &str) -> Step<()> {
    let refused = ConsentStatus::Refused;
    let row = params![refused.as_str(), json_text(&refused)?, client];
    turn.execute(statements::REFUSE_CONSENT_OF, row).map(|_| ())
}

/// One request.
pub(crate) fn one(connection: &Connection, key: ConsentKey) -> Step<Option<ConsentRequest>> {
    let (statement, key) = match &key {
        ConsentKey::Id(id) => (statements::CONSENT_REQUEST, id.as_bytes().as_slice()),
        ConsentKey::Secret(digest) => (statements::CONSENT_REQUEST_OF_SECRET, digest.as_bytes().as_slice()),
        ConsentKey::UserCode(digest) => (statements::CONSENT_REQUEST_OF_CODE, digest.as_bytes().as_slice()),
    };
    let mut statement = connection.prepare_cached(statement)?;
    let mut found = statement.query([key])?;
    found.next()?.map(|row| rows::consent_request(&Fields::of(row, "consent_requests"))).transpose()
}

/// Those that wait for a user, or that they allowed and nobody redeemed, oldest first.
pub(crate) fn of_user(connection: &Connection, user: &UserId) -> Step<Vec<ConsentRequest>> {
    let mut statement = connection.prepare_cached(statements::CONSENT_REQUESTS_OF_USER)?;
    let mut found = statement.query([user.as_str()])?;
    let mut requests = Vec::new();
    while let Some(row) = found.next()? {
        requests.push(rows::consent_request(&Fields::of(row, "consent_requests"))?);
    }
    Ok(requests)
}
