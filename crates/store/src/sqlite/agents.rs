//! Agents and their credentials.

use std::collections::BTreeMap;

use bailiwick_model::agent::{Agent, AgentStatus};
use bailiwick_ports::{
    entry::Entry,
    store::{EndOfGrants, StoreError},
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter, types::Value};

use super::{
    consent_requests,
    failure::Step,
    grants,
    rows::{self, Fields, json_text},
    statements,
    turn::{Turn, signed},
};

/// Adds an agent under a name that was never used.
pub(crate) fn register(turn: &mut Turn<'_>, agent: &Agent, entry: Entry) -> Step<u64> {
    turn.insert(statements::INSERT_AGENT, params_from_iter(columns(agent)?), || agent.name.to_string())?;
    insert_credentials(turn, agent, &BTreeMap::new())?;
    turn.change(entry)
}

/// Replaces an agent whose stored version is the one before. What one asks users for that is stopped, or
/// whose grants end, is refused with it.
pub(crate) fn change(turn: &mut Turn<'_>, agent: &Agent, ends: Option<EndOfGrants>, entry: Entry) -> Step<u64> {
    let name = agent.name.as_str();
    let found = version(turn, name)?.ok_or_else(|| StoreError::Missing(name.to_owned()))?;
    if signed(agent.version)?.checked_sub(1) != Some(found) {
        return Err(StoreError::Conflict(name.to_owned()).into());
    }
    let columns = columns(agent)?.into_iter().chain([Value::Integer(found)]);
    turn.execute(statements::UPDATE_AGENT, params_from_iter(columns))?;
    let used = last_used(turn, name)?;
    turn.execute(statements::DELETE_CREDENTIALS, [name])?;
    insert_credentials(turn, agent, &used)?;
    if agent.status != AgentStatus::Active || ends.is_some() {
        consent_requests::refuse_those_of(turn, name)?;
    }
    if let AgentStatus::Retired { at, .. } = &agent.status {
        turn.execute(statements::END_REGISTRATION_ACCESS, [name])?;
        turn.execute(statements::END_TASKS_OF, params![at.as_microsecond(), name])?;
    }
    let epoch = turn.change(entry)?;
    grants::end_along(turn, ends)?;
    Ok(epoch)
}

/// The stored version of an agent.
pub(crate) fn version(turn: &Turn<'_>, name: &str) -> Step<Option<i64>> {
    Ok(turn.statement(statements::AGENT_VERSION)?.query_row([name], |row| row.get(0)).optional()?)
}

/// All agents with their credentials, by name.
pub(crate) fn all(connection: &Connection) -> Step<Vec<Agent>> {
    let mut agents = BTreeMap::new();
    let mut statement = connection.prepare_cached(statements::AGENTS)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let agent = rows::agent(&Fields::of(row, "agents"))?;
        agents.insert(agent.name.to_string(), agent);
    }
    let mut statement = connection.prepare_cached(statements::CREDENTIALS)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let fields = Fields::of(row, "credentials");
        let owner = agents.get_mut(&fields.get::<String>("agent")?);
        let credential = rows::credential(&fields)?;
        owner.ok_or_else(|| fields.inconsistent("agent"))?.credentials.push(credential);
    }
    Ok(agents.into_values().collect())
}

/// The columns of `agents`, in the order of its statements.
fn columns(agent: &Agent) -> Step<Vec<Value>> {
    let (status_at, status_reason) = match &agent.status {
        AgentStatus::Active => (None, None),
        AgentStatus::Suspended { at, reason } | AgentStatus::Retired { at, reason } => {
            (Some(at.as_microsecond()), Some(reason.clone()))
        }
    };
    Ok(vec![
        agent.name.to_string().into(),
        signed(agent.version)?.into(),
        agent.owner.clone().into(),
        agent.purpose.clone().into(),
        agent.environment.to_string().into(),
        agent.role.to_string().into(),
        json_text(&agent.systems)?.into(),
        json_text(&agent.scopes)?.into(),
        json_text(&agent.redirect_uris)?.into(),
        agent.promoted.into(),
        agent.bearer_tokens_allowed.into(),
        agent.task_required.into(),
        signed(agent.token_ttl_s)?.into(),
        agent.status.as_str().to_owned().into(),
        status_at.into(),
        status_reason.into(),
        agent.created_at.as_microsecond().into(),
        agent.expires_at.as_microsecond().into(),
        agent.review_by.as_microsecond().into(),
        agent.successor_by.map(Timestamp::as_microsecond).into(),
        agent.key_protection.to_string().into(),
    ])
}

/// When each stored credential of an agent was last used.
fn last_used(turn: &Turn<'_>, name: &str) -> Step<BTreeMap<String, Timestamp>> {
    let mut used = BTreeMap::new();
    let mut statement = turn.statement(statements::CREDENTIALS_USED)?;
    let mut found = statement.query([name])?;
    while let Some(row) = found.next()? {
        let fields = Fields::of(row, "credentials");
        if let Some(at) = fields.maybe_time("last_used_at")? {
            used.insert(fields.get("thumbprint")?, at);
        }
    }
    Ok(used)
}

/// Keeps an agent's credentials in their order. What was used since the caller looked is not forgotten.
fn insert_credentials(turn: &Turn<'_>, agent: &Agent, used: &BTreeMap<String, Timestamp>) -> Step<()> {
    for (credential, place) in agent.credentials.iter().zip(0_i64..) {
        let thumbprint = credential.authenticator.id().to_string();
        let last_used = credential.last_used_at.max(used.get(&thumbprint).copied());
        let row = params![
            agent.name.as_str(),
            thumbprint,
            place,
            json_text(&credential.authenticator)?,
            credential.attestation.as_ref().map(json_text).transpose()?,
            credential.created_at.as_microsecond(),
            credential.expires_at.as_microsecond(),
            last_used.map(Timestamp::as_microsecond),
        ];
        turn.insert(statements::INSERT_CREDENTIAL, row, || credential.authenticator.name())?;
    }
    Ok(())
}
