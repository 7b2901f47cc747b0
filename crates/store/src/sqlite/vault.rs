//! Rows of the vault: ciphertext in, ciphertext out.

use std::collections::BTreeSet;

use bailiwick_model::name::SecretName;
use bailiwick_ports::{entry::Entry, store::StoreError};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{failure::Step, rows::Fields, statements, turn::Turn};

/// A subject's wrapped data key.
pub(crate) fn data_key(connection: &Connection, subject: &str) -> Step<Option<Vec<u8>>> {
    Ok(connection.prepare_cached(statements::DATA_KEY)?.query_row([subject], |row| row.get(0)).optional()?)
}

/// Keeps a data key unless there is one, and returns the one that is kept.
pub(crate) fn keep_data_key(turn: &mut Turn<'_>, subject: &str, wrapped: &[u8]) -> Step<Vec<u8>> {
    turn.execute(statements::KEEP_DATA_KEY, params![subject, wrapped])?;
    data_key(turn.connection, subject)?.ok_or_else(|| StoreError::Missing(subject.to_owned()).into())
}

/// Keeps a sealed credential, in place of the one before.
pub(crate) fn put_secret(turn: &mut Turn<'_>, name: &SecretName, ciphertext: &[u8], entry: Entry) -> Step<()> {
    turn.execute(statements::PUT_SECRET, params![name.as_str(), ciphertext])?;
    turn.place(entry).map(|_| ())
}

/// Removes a sealed credential.
pub(crate) fn remove_secret(turn: &mut Turn<'_>, name: &SecretName, entry: Entry) -> Step<()> {
    if turn.execute(statements::DELETE_SECRET, [name.as_str()])? == 0 {
        return Err(StoreError::Missing(name.to_string()).into());
    }
    turn.place(entry).map(|_| ())
}

/// A sealed credential.
pub(crate) fn secret(connection: &Connection, name: &SecretName) -> Step<Option<Vec<u8>>> {
    Ok(connection.prepare_cached(statements::SECRET)?.query_row([name.as_str()], |row| row.get(0)).optional()?)
}

/// The names of all sealed credentials.
pub(crate) fn secrets(connection: &Connection) -> Step<BTreeSet<SecretName>> {
    let mut statement = connection.prepare_cached(statements::SECRETS)?;
    let mut found = statement.query([])?;
    let mut names = BTreeSet::new();
    while let Some(row) = found.next()? {
        names.insert(Fields::of(row, "secrets").parse("name")?);
    }
    Ok(names)
}
