//! Everything that the in-memory state is built from, read at one moment.

use bailiwick_ports::store::{FactRow, State};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::{
    agents, bundles, directory,
    failure::{Failure, Step},
    grants,
    rows::{self, Fields},
    safety, statements, tasks,
    turn::Turn,
    users,
};

/// Reads the whole state in one transaction.
pub(crate) fn load(connection: &Connection) -> Step<State> {
    connection.execute_batch(statements::BEGIN_READ)?;
    let state = read(connection);
    connection.execute_batch(statements::COMMIT)?;
    state
}

/// The cheapest read there is.
pub(crate) fn ping(connection: &Connection) -> Step<()> {
    epoch(connection).map(|_| ())
}

/// The cheapest write there is. SQLite does not write a row that stays the same.
pub(crate) fn touch(turn: &Turn<'_>) -> Step<()> {
    turn.execute(statements::TOUCH, [])?;
    turn.execute(statements::UNTOUCH, []).map(|_| ())
}

fn read(connection: &Connection) -> Step<State> {
    // There is no clock here: what ended before the newest entry has ended for sure.
    let newest: Option<i64> =
        connection.prepare_cached(statements::NEWEST_ENTRY)?.query_row([], |row| row.get(1)).optional()?;
    let now = newest.unwrap_or(i64::MIN);
    Ok(State {
        epoch: epoch(connection)?,
        agents: agents::all(connection)?,
        tasks: tasks::open(connection, now)?,
        users: users::all(connection)?,
        directory_groups: directory::groups(connection)?,
        grants: grants::active(connection, now)?,
        revoked: grants::revoked(connection, now)?,
        safe_modes: safety::safe_modes(connection)?,
        observations: safety::observations(connection)?,
        latest: newest.and_then(|at| Timestamp::from_microsecond(at).ok()),
        bundle: bundles::active(connection)?,
        facts: facts(connection, now)?,
        quarantined: safety::quarantined(connection)?,
    })
}

fn epoch(connection: &Connection) -> Step<u64> {
    let mut statement = connection.prepare_cached(statements::EPOCH)?;
    let mut found = statement.query([])?;
    let row = found.next()?.ok_or(Failure::Database(rusqlite::Error::QueryReturnedNoRows))?;
    Fields::of(row, "instance").count("epoch")
}

fn facts(connection: &Connection, now: i64) -> Step<Vec<FactRow>> {
    let mut statement = connection.prepare_cached(statements::FACTS)?;
    let mut found = statement.query([now])?;
    let mut facts = Vec::new();
    while let Some(row) = found.next()? {
        facts.push(rows::fact(&Fields::of(row, "facts"))?);
    }
    Ok(facts)
}
