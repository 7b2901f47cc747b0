//! Safe modes and quarantined tools: changes that every decision relies on.

use bailiwick_model::{name::SystemName, safe_mode::SafeModeScope};
use bailiwick_ports::{
    entry::Entry,
    store::{Quarantine, SafeModeRow, StoreError},
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
