//! Clients that register by themselves: the tokens that let them, and the ones by which they manage what they registered.

use bailiwick_model::{
    agent::Agent, digest::Digest, id::RegistrationTokenId, name::AgentName, registration::RegistrationToken,
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::StoreError,
};
use rusqlite::{Connection, params};

use super::{
    agents,
    failure::Step,
    rows::{Fields, json_text},
    statements,
    turn::{Turn, signed},
};

/// Keeps a new token.
pub(crate) fn add_token(turn: &mut Turn<'_>, token: &RegistrationToken, entry: Entry) -> Step<Receipt> {
    let row = params![
        token.id.as_bytes(),
        token.digest.as_bytes(),
        json_text(&token.terms)?,
        signed(token.uses)?,
        signed(token.uses_max)?,
        token.created_at.as_microsecond(),
        token.expires_at.as_microsecond(),
    ];
    turn.insert(statements::INSERT_REGISTRATION_TOKEN, row, || token.id.to_string())?;
    turn.place(entry)
}

/// Removes a token; who registered by it stays.
pub(crate) fn remove_token(turn: &mut Turn<'_>, id: RegistrationTokenId, entry: Entry) -> Step<Receipt> {
    if turn.execute(statements::DELETE_REGISTRATION_TOKEN, [id.as_bytes()])? == 0 {
        return Err(StoreError::Missing(id.to_string()).into());
    }
    turn.place(entry)
}

/// The token with this digest; it may be used up or over.
pub(crate) fn token(connection: &Connection, digest: Digest) -> Step<Option<RegistrationToken>> {
    let mut statement = connection.prepare_cached(statements::REGISTRATION_TOKEN)?;
    let mut found = statement.query([digest.as_bytes()])?;
    found.next()?.map(|row| of_row(&Fields::of(row, "registration_tokens"))).transpose()
}

/// All tokens, oldest first.
pub(crate) fn tokens(connection: &Connection) -> Step<Vec<RegistrationToken>> {
    let mut statement = connection.prepare_cached(statements::REGISTRATION_TOKENS)?;
    let mut found = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push(of_row(&Fields::of(row, "registration_tokens"))?);
    }
    Ok(tokens)
}

/// Adds an agent by one use of a token, which must have one left.
pub(crate) fn register(
    turn: &mut Turn<'_>,
    agent: &Agent,
    (via, access): (RegistrationTokenId, Digest),
    entry: Entry,
) -> Step<u64> {
    let now = agent.created_at.as_microsecond();
    if turn.execute(statements::USE_REGISTRATION_TOKEN, params![via.as_bytes(), now])? == 0 {
        return Err(StoreError::Missing(via.to_string()).into());
    }
    let epoch = agents::register(turn, agent, entry)?;
    let row = params![agent.name.as_str(), access.as_bytes()];
    turn.insert(statements::INSERT_REGISTRATION_ACCESS, row, || agent.name.to_string())?;
    Ok(epoch)
}

/// Whom the token with this digest manages.
pub(crate) fn managed(connection: &Connection, digest: Digest) -> Step<Option<AgentName>> {
    let mut statement = connection.prepare_cached(statements::REGISTRATION_ACCESS)?;
    let mut found = statement.query([digest.as_bytes()])?;
    found.next()?.map(|row| Fields::of(row, "registration_access").parse("agent")).transpose()
}

/// Puts one token into the place of another, which is good no more.
pub(crate) fn rotate(turn: &mut Turn<'_>, (used, next): (Digest, Digest), entry: Entry) -> Step<Receipt> {
    if turn.execute(statements::ROTATE_REGISTRATION_ACCESS, params![next.as_bytes(), used.as_bytes()])? == 0 {
        return Err(StoreError::Missing("the registration access token".to_owned()).into());
    }
    turn.place(entry)
}

fn of_row(fields: &Fields<'_>) -> Step<RegistrationToken> {
    Ok(RegistrationToken {
        id: RegistrationTokenId::from_bytes(fields.get("id")?),
        digest: fields.digest("digest")?,
        terms: fields.json("terms")?,
        uses: fields.count("uses")?,
        uses_max: fields.count("uses_max")?,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
    })
}
