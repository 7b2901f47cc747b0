//! Tokens after their issue: refresh tokens, given and used up once; access tokens as they are listed.

use bailiwick_model::{
    digest::Digest,
    grant::GrantKind,
    id::{GrantId, TaskId, TokenId},
    limits::HOOK_TOKEN_TTL_S,
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::{IssuedToken, Spent, StoreError},
    token_rows::{ListedToken, RefreshToken, Rotation, TokenFilter},
};
use rusqlite::{Connection, params};

use super::{
    calls,
    failure::Step,
    grants,
    rows::Fields,
    statements,
    turn::{Turn, signed},
};

/// Keeps the first refresh token of an active grant, which has at most one at a time.
pub(crate) fn first_refresh(turn: &mut Turn<'_>, token: &RefreshToken, entry: Entry) -> Step<Receipt> {
    insert_refresh(turn, token)?;
    turn.place(entry)
}

/// Uses one refresh token up, keeps the next, and records the access token that comes with it: all or nothing. One that
/// was used up before is [`StoreError::Conflict`] with its digest.
pub(crate) fn rotate_refresh(
    turn: &mut Turn<'_>,
    rotation: &Rotation,
    token: &IssuedToken,
    spent: &[Spent],
    entry: Entry,
) -> Step<Receipt> {
    let Rotation { used, next } = rotation;
    // First: a message that came twice is refused for that, and its refresh token is no copy.
    calls::use_up(turn, spent)?;
    turn.guard()?;
    let at = entry.event.at.as_microsecond();
    if turn.execute(statements::USE_REFRESH_TOKEN, params![at, used.as_bytes()])? == 0 {
        let known = refresh(turn.connection, *used)?.is_some();
        let digest = used.to_string();
        return Err(if known { StoreError::Conflict(digest) } else { StoreError::Missing(digest) }.into());
    }
    insert_refresh(turn, next)?;
    calls::record_token(turn, token, spent, entry)
}

fn insert_refresh(turn: &Turn<'_>, token: &RefreshToken) -> Step<()> {
    let RefreshToken { digest, grant, number, confirmation, issued_at, used_at, expires_at } = token;
    if !grants::one(turn.connection, *grant)?.is_some_and(|grant| grant.is_active(*issued_at)) {
        return Err(StoreError::Missing(grant.to_string()).into());
    }
    let row = params![
        digest.as_bytes(),
        grant.as_bytes(),
        signed(*number)?,
        confirmation.map(|key| key.to_string()),
        issued_at.as_microsecond(),
        used_at.map(|at| at.as_microsecond()),
        expires_at.as_microsecond(),
    ];
    turn.insert(statements::INSERT_REFRESH_TOKEN, row, || grant.to_string()).map(|_| ())
}

/// One refresh token, used up or not.
pub(crate) fn refresh(connection: &Connection, digest: Digest) -> Step<Option<RefreshToken>> {
    let mut statement = connection.prepare_cached(statements::REFRESH_TOKEN)?;
    let mut found = statement.query([digest.as_bytes()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let fields = Fields::of(row, "refresh_tokens");
    Ok(Some(RefreshToken {
        digest: fields.digest("digest")?,
        grant: GrantId::from_bytes(fields.get("grant_id")?),
        number: fields.count("number")?,
        confirmation: fields.maybe_parse("confirmation")?,
        issued_at: fields.time("issued_at")?,
        used_at: fields.maybe_time("used_at")?,
        expires_at: fields.time("expires_at")?,
    }))
}

/// Access tokens as a filter asks for them.
pub(crate) fn listed(connection: &Connection, filter: &TokenFilter) -> Step<Vec<ListedToken>> {
    let TokenFilter { unexpired_at, after, client, grant, limit } = filter;
    let asked = params![
        after.as_bytes(),
        unexpired_at.as_microsecond(),
        client.as_ref().map(|client| client.as_str()),
        grant.as_ref().map(|grant| grant.as_bytes().as_slice()),
        i64::try_from(*limit).unwrap_or(i64::MAX),
    ];
    let mut statement = connection.prepare_cached(statements::TOKENS)?;
    let mut found = statement.query(asked)?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push(token_row(&Fields::of(row, "tokens"))?);
    }
    Ok(tokens)
}

/// The first id that a token can have which has not expired at `now` (microseconds): an id begins with the time of its
/// issue, and no token lives longer than that of a hook.
pub(crate) fn oldest(now: i64) -> TokenId {
    let longest_us = i64::try_from(HOOK_TOKEN_TTL_S).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let oldest_ms = now.saturating_sub(longest_us).div_euclid(1_000);
    TokenId::new(u64::try_from(oldest_ms).unwrap_or(0), [0; 10])
}

/// One access token.
pub(crate) fn one(connection: &Connection, id: TokenId) -> Step<Option<ListedToken>> {
    let mut statement = connection.prepare_cached(statements::TOKEN)?;
    let mut found = statement.query([id.as_bytes()])?;
    found.next()?.map(|row| token_row(&Fields::of(row, "tokens"))).transpose()
}

fn token_row(fields: &Fields<'_>) -> Step<ListedToken> {
    let kind = match fields.get::<Option<String>>("kind")? {
        Some(kind) => {
            let kind = serde_json::Value::String(kind);
            Some(serde_json::from_value::<GrantKind>(kind).map_err(|_| fields.inconsistent("kind"))?)
        }
        None => None,
    };
    let token = IssuedToken {
        id: TokenId::from_bytes(fields.get("id")?),
        client: fields.parse("client")?,
        audience: fields.get("audience")?,
        grant: fields.get::<Option<[u8; 16]>>("grant_id")?.map(GrantId::from_bytes),
        task: fields.get::<Option<[u8; 16]>>("task")?.map(TaskId::from_bytes),
        confirmation: fields.maybe_parse("confirmation")?,
        credential: fields.parse("credential")?,
        issued_at: fields.time("issued_at")?,
        expires_at: fields.time("expires_at")?,
    };
    Ok(ListedToken { token, kind, revoked: fields.get("revoked")? })
}
