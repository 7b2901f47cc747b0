//! Safe modes, observations and quarantined tools: changes that every decision relies on.

use std::collections::BTreeMap;

use bailiwick_model::{
    name::SystemName,
    observation::{ObservationScope, WouldBe},
    safe_mode::SafeModeScope,
};
use bailiwick_ports::{
    entry::Entry,
    store::{ObservationRow, Quarantine, SafeModeRow, StoreError},
};
use rusqlite::{Connection, params};

use super::{
    failure::Step,
    rows::{self, Fields},
    statements,
    turn::Turn,
};

/// Turns a safe mode on that is off.
pub(crate) fn enter_safe_mode(turn: &mut Turn<'_>, row: &SafeModeRow, entry: Entry) -> Step<u64> {
    let scope = row.scope.to_string();
    let values = params![scope, row.reason, row.since.as_microsecond()];
    turn.insert(statements::INSERT_SAFE_MODE, values, || scope.clone())?;
    turn.decisive_change(entry)
}

/// Turns a safe mode off that is on.
pub(crate) fn lift_safe_mode(turn: &mut Turn<'_>, scope: &SafeModeScope, entry: Entry) -> Step<u64> {
    let scope = scope.to_string();
    if turn.execute(statements::DELETE_SAFE_MODE, [&scope])? == 0 {
        return Err(StoreError::Missing(scope).into());
    }
    turn.decisive_change(entry)
}

/// Turns an observation on that is off.
pub(crate) fn start_observation(turn: &mut Turn<'_>, row: &ObservationRow, entry: Entry) -> Step<u64> {
    let ObservationRow { observation, reason, since, until, calls: _ } = row;
    let scope = observation.scope.to_string();
    let values = params![scope, observation.production, reason, since.as_microsecond(), until.as_microsecond()];
    turn.insert(statements::INSERT_OBSERVATION, values, || scope.clone())?;
    turn.decisive_change(entry)
}

/// Turns an observation off that was turned on.
pub(crate) fn end_observation(turn: &mut Turn<'_>, scope: &ObservationScope, entry: Entry) -> Step<u64> {
    let scope = scope.to_string();
    if turn.execute(statements::DELETE_OBSERVATION, [&scope])? == 0 {
        return Err(StoreError::Missing(scope).into());
    }
    turn.decisive_change(entry)
}

/// Counts a call in every observation that covers it. One that is off or past its end at `now` covers nothing.
pub(crate) fn count_observed(turn: &Turn<'_>, observed: &BTreeMap<ObservationScope, WouldBe>, now: i64) -> Step<()> {
    for (scope, would_be) in observed {
        let one = |kind| i64::from(*would_be == kind);
        let scope = scope.to_string();
        let row = params![one(WouldBe::Allowed), one(WouldBe::Asked), one(WouldBe::Denied), scope, now];
        if turn.execute(statements::COUNT_OBSERVED, row)? == 0 {
            return Err(StoreError::Conflict(scope).into());
        }
    }
    Ok(())
}

/// The observations that were turned on.
pub(crate) fn observations(connection: &Connection) -> Step<Vec<ObservationRow>> {
    let mut statement = connection.prepare_cached(statements::OBSERVATIONS)?;
    let mut found = statement.query([])?;
    let mut observations = Vec::new();
    while let Some(row) = found.next()? {
        observations.push(rows::observation(&Fields::of(row, "observations"))?);
    }
    Ok(observations)
}

/// Replaces the quarantine of a system.
pub(crate) fn quarantine(turn: &mut Turn<'_>, system: &SystemName, tools: &[Quarantine], entry: Entry) -> Step<u64> {
    turn.execute(statements::DELETE_QUARANTINE, [system.as_str()])?;
    for tool in tools {
        if tool.system != *system {
            return Err(StoreError::Conflict(tool.system.to_string()).into());
        }
        let row = params![
            system.as_str(),
            tool.tool.as_str(),
            tool.pinned.map(|digest| *digest.as_bytes()),
            tool.seen.map(|digest| *digest.as_bytes()),
            tool.definition,
            tool.since.as_microsecond(),
        ];
        turn.insert(statements::INSERT_QUARANTINE, row, || tool.tool.to_string())?;
    }
    turn.decisive_change(entry)
}

/// The safe modes that are on.
pub(crate) fn safe_modes(connection: &Connection) -> Step<Vec<SafeModeRow>> {
    let mut statement = connection.prepare_cached(statements::SAFE_MODES)?;
    let mut found = statement.query([])?;
    let mut modes = Vec::new();
    while let Some(row) = found.next()? {
        modes.push(rows::safe_mode(&Fields::of(row, "safe_modes"))?);
    }
    Ok(modes)
}

/// All tools in quarantine.
pub(crate) fn quarantined(connection: &Connection) -> Step<Vec<Quarantine>> {
    let mut statement = connection.prepare_cached(statements::QUARANTINE)?;
    let mut found = statement.query([])?;
    let mut tools = Vec::new();
    while let Some(row) = found.next()? {
        tools.push(rows::quarantine(&Fields::of(row, "quarantine"))?);
    }
    Ok(tools)
}
