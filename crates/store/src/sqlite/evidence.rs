//! Reading the evidence: entries by search, checkpoints, and a copy of it all.

use std::{io, path::Path};

use bailiwick_ports::{
    entry::Sealed,
    store::{EntryFilter, StoreError, StoredEntry},
};
use rusqlite::{Connection, OptionalExtension as _, Params, params_from_iter, types::Value};

use super::{
    failure::{Failure, Step},
    rows::Fields,
    statements,
    turn::signed,
};

/// Entries of one answer, whatever the caller asks for.
const ENTRIES_MAX: usize = 10_000;

/// Reads the entries that fit a filter.
pub(crate) fn entries(connection: &Connection, filter: &EntryFilter) -> Step<Vec<StoredEntry>> {
    let (sql, values) = search(filter)?;
    read(connection, &sql, params_from_iter(values))
}

/// Reads the entries of one event id and those that conclude it.
pub(crate) fn entries_of(connection: &Connection, event_id: &str) -> Step<Vec<StoredEntry>> {
    let limit = i64::try_from(ENTRIES_MAX).unwrap_or(i64::MAX);
    read(connection, statements::ENTRIES_OF, rusqlite::params![event_id, limit])
}

/// The statement of a search: only conditions that are asked for, each on an indexed column.
fn search(filter: &EntryFilter) -> Step<(String, Vec<Value>)> {
    let EntryFilter { after, agent, system, kind, since, until, newest_first, limit } = filter;
    let conditions = [
        ("e.sequence >", after.map(signed).transpose()?.map(Value::from)),
        ("e.agent =", agent.as_ref().map(|name| name.to_string().into())),
        ("e.system =", system.as_ref().map(|name| name.to_string().into())),
        ("e.kind =", kind.as_ref().map(|kind| kind.clone().into())),
        ("e.at >=", since.map(|at| at.as_microsecond().into())),
        ("e.at <", until.map(|at| at.as_microsecond().into())),
    ];
    let mut sql = statements::ENTRIES.to_owned();
    let mut values = Vec::new();
    for (condition, value) in conditions {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {condition} ${}", values.len()));
        }
    }
    values.push(i64::try_from((*limit).min(ENTRIES_MAX)).unwrap_or(0).into());
    let order = if *newest_first { "DESC" } else { "ASC" };
    sql.push_str(&format!(" ORDER BY e.sequence {order} LIMIT ${}", values.len()));
    Ok((sql, values))
}

fn read(connection: &Connection, sql: &str, params: impl Params) -> Step<Vec<StoredEntry>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params)?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        let fields = Fields::of(row, "entries");
        let sequence = fields.count("sequence")?;
        let sealed = match (fields.get("subject")?, fields.get("ciphertext")?) {
            (Some(subject), Some(ciphertext)) => Some(Sealed { subject, ciphertext }),
            _ => None,
        };
        let index = (sequence < fields.count("size")?).then_some(sequence);
        entries.push(StoredEntry { sequence, index, leaf: fields.get("leaf")?, sealed });
    }
    Ok(entries)
}

/// The newest checkpoint.
pub(crate) fn checkpoint(connection: &Connection) -> Step<Option<String>> {
    Ok(connection.prepare_cached(statements::CHECKPOINT)?.query_row([], |row| row.get(0)).optional()?)
}

/// All checkpoints, oldest first.
pub(crate) fn checkpoints(connection: &Connection) -> Step<Vec<(u64, String)>> {
    let mut statement = connection.prepare_cached(statements::CHECKPOINTS)?;
    let mut found = statement.query([])?;
    let mut notes = Vec::new();
    while let Some(row) = found.next()? {
        let fields = Fields::of(row, "checkpoints");
        notes.push((fields.count("size")?, fields.get("note")?));
    }
    Ok(notes)
}

/// Copies the database as of now, without what was erased, to a file that must not exist.
pub(crate) fn backup(connection: &Connection, path: &Path) -> Step<()> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::from(StoreError::Exists(path.display().to_string())),
        _ => Failure::unfit(format!("cannot write `{}`: {error}", path.display())),
    };
    let text = path.to_str().ok_or_else(|| Failure::unfit("the path is not UTF-8"))?;
    if path.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    // Under its name there is a whole copy or none, whenever this is cut off.
    let draft_text = format!("{text}.partial");
    let draft = Path::new(&draft_text);
    let copied = copy(connection, draft, &draft_text);
    let kept = copied.and_then(|()| name(draft, path).map_err(failed));
    let _ = std::fs::remove_file(draft);
    kept.and_then(|()| sync_folder(path).map_err(failed))
}

/// Gives a draft its name, which must be free: a plain rename would replace what is there.
fn name(draft: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(draft, path) {
        // Not every file system has links: a stick that a backup goes to often has none.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
            name_without_link(draft, path).ok_or(error)?
        }
        named => named,
    }
}

/// The same where there are no links, if there is a way.
#[cfg(target_os = "linux")]
fn name_without_link(draft: &Path, path: &Path) -> Option<io::Result<()>> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Some(renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE).map_err(io::Error::from))
}

#[cfg(not(target_os = "linux"))]
fn name_without_link(_draft: &Path, _path: &Path) -> Option<io::Result<()>> {
    None
}

/// Copies the database to a file of its own, durably.
fn copy(connection: &Connection, path: &Path, text: &str) -> Step<()> {
    let failed = |error: io::Error| Failure::unfit(format!("cannot write `{text}`: {error}"));
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        // What was cut off before is of no use.
        _ => {}
    }
    // SQLite fills an empty file; making it first gives it its mode.
    let mut how = std::fs::OpenOptions::new();
    how.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    let file = how.open(path).map_err(failed)?;
    connection.execute("VACUUM INTO $1", [text])?;
    file.sync_all().map_err(failed)
}

/// Makes a file's name durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever combination is asked for prepares, and uses an index or the order of the table.
    #[test]
    fn every_search_prepares() {
        let connection = Connection::open_in_memory().unwrap();
        super::super::open::MIGRATIONS.iter().for_each(|script| connection.execute_batch(script).unwrap());
        for bits in 0_u8..128 {
            let on = |bit: u8| bits & (1 << bit) != 0;
            let filter = EntryFilter {
                after: on(0).then_some(3),
                agent: on(1).then(|| "a".parse().unwrap()),
                system: on(2).then(|| "s".parse().unwrap()),
                kind: on(3).then(|| "intent".into()),
                since: on(4).then_some(jiff::Timestamp::UNIX_EPOCH),
                until: on(5).then_some(jiff::Timestamp::UNIX_EPOCH),
                newest_first: on(6),
                limit: 10,
            };
            assert_eq!(entries(&connection, &filter).unwrap(), [], "{filter:?}");
        }
    }
}
