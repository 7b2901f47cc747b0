//! Tasks: made once, ended once.

use bailiwick_model::{
    id::TaskId,
    task::{Task, TaskStatus},
};
use bailiwick_ports::{
    entry::Entry,
    store::{EndOfGrants, Spent, StoreError},
};
use rusqlite::{Connection, params};

use super::{
    agents, calls,
    failure::Step,
    grants,
    rows::{self, Fields, json_text},
    spent, statements,
    turn::Turn,
};

/// Adds a task of a known agent, using up what authorized it.
pub(crate) fn create(turn: &mut Turn<'_>, task: &Task, used: &[Spent], entry: Entry) -> Step<u64> {
    if agents::version(turn, task.agent.as_str())?.is_none() {
        return Err(StoreError::Missing(task.agent.to_string()).into());
    }
    calls::use_up(turn, used)?;
    turn.guard()?;
    spent::keep(turn.connection, used)?;
    let (status, ended_at, ended_reason) = columns(&task.status);
    let row = params![
        task.id.as_bytes(),
        task.agent.as_str(),
        task.purpose,
        task.prompt_commitment,
        json_text(&task.tools)?,
        status,
        ended_at,
        ended_reason,
        task.created_at.as_microsecond(),
        task.expires_at.as_microsecond(),
        task.self_made,
    ];
    turn.insert(statements::INSERT_TASK, row, || task.id.to_string())?;
    turn.change(entry)
}

/// Ends an open task.
pub(crate) fn end(turn: &mut Turn<'_>, task: &Task, ends: Option<EndOfGrants>, entry: Entry) -> Step<u64> {
    let (_, Some(at), Some(reason)) = columns(&task.status) else {
        return Err(StoreError::Conflict(task.id.to_string()).into());
    };
    if turn.execute(statements::END_TASK, params![at, reason, task.id.as_bytes()])? == 0 {
        let id = task.id.to_string();
        let known = one(turn.connection, task.id)?.is_some();
        return Err(if known { StoreError::Conflict(id) } else { StoreError::Missing(id) }.into());
    }
    let epoch = turn.change(entry)?;
    grants::end_along(turn, ends)?;
    Ok(epoch)
}

/// One task.
pub(crate) fn one(connection: &Connection, id: TaskId) -> Step<Option<Task>> {
    let mut statement = connection.prepare_cached(statements::TASK)?;
    let mut found = statement.query([id.as_bytes()])?;
    found.next()?.map(|row| rows::task(&Fields::of(row, "tasks"))).transpose()
}

/// Tasks that were not ended and whose end is after `now` (microseconds).
pub(crate) fn open(connection: &Connection, now: i64) -> Step<Vec<Task>> {
    let mut statement = connection.prepare_cached(statements::OPEN_TASKS)?;
    let mut found = statement.query([now])?;
    let mut tasks = Vec::new();
    while let Some(row) = found.next()? {
        tasks.push(rows::task(&Fields::of(row, "tasks"))?);
    }
    Ok(tasks)
}

fn columns(status: &TaskStatus) -> (&'static str, Option<i64>, Option<&str>) {
    match status {
        TaskStatus::Open => ("open", None, None),
        TaskStatus::Ended { at, reason } => ("ended", Some(at.as_microsecond()), Some(reason)),
    }
}
