//! Published bundles: kept whole, read back only if their digest still holds.

use std::collections::BTreeMap;

use bailiwick_model::bundle::{BundleFiles, BundleRevision};
use bailiwick_ports::{
    entry::Entry,
    store::{PublishedBundle, StoreError},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    failure::Step,
    rows::{self, Fields},
    statements,
    turn::Turn,
};

/// Keeps a bundle, or its latest signature if it is kept already, and makes it the active one.
pub(crate) fn publish(turn: &mut Turn<'_>, bundle: &PublishedBundle, entry: Entry) -> Step<u64> {
    check(bundle)?;
    let revision = bundle.revision.as_bytes();
    let row = params![
        revision,
        bundle.boundary.as_bytes(),
        bundle.boundary_signature,
        bundle.published_at.as_microsecond(),
        bundle.published_by,
    ];
    if turn.execute(statements::INSERT_BUNDLE, row)? == 1 {
        for (path, content) in bundle.files.iter() {
            turn.execute(statements::INSERT_BUNDLE_FILE, params![revision, path, content])?;
        }
    } else {
        turn.execute(statements::SIGN_BUNDLE_ANEW, params![bundle.boundary_signature, revision])?;
    }
    turn.execute(statements::ACTIVATE_BUNDLE, [revision])?;
    turn.decisive_change(entry)
}

/// Makes a bundle that is kept the active one.
pub(crate) fn activate(turn: &mut Turn<'_>, revision: BundleRevision, entry: Entry) -> Step<u64> {
    if !turn.statement(statements::BUNDLE)?.exists([revision.as_bytes()])? {
        return Err(StoreError::Missing(revision.to_string()).into());
    }
    turn.execute(statements::ACTIVATE_BUNDLE, [revision.as_bytes()])?;
    turn.decisive_change(entry)
}

/// One bundle with its files.
pub(crate) fn one(connection: &Connection, revision: BundleRevision) -> Step<Option<PublishedBundle>> {
    let mut statement = connection.prepare_cached(statements::BUNDLE)?;
    let mut found = statement.query([revision.as_bytes()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let fields = Fields::of(row, "bundles");
    let mut bundle = rows::bundle(&fields)?;
    bundle.files = files(connection, revision)?.ok_or_else(|| fields.inconsistent("files"))?;
    check(&bundle)?;
    Ok(Some(bundle))
}

/// All bundles without their files, newest first.
pub(crate) fn all(connection: &Connection) -> Step<Vec<PublishedBundle>> {
    let mut statement = connection.prepare_cached(statements::BUNDLES)?;
    let mut found = statement.query([])?;
    let mut bundles = Vec::new();
    while let Some(row) = found.next()? {
        bundles.push(rows::bundle(&Fields::of(row, "bundles"))?);
    }
    Ok(bundles)
}

/// The active bundle.
pub(crate) fn active(connection: &Connection) -> Step<Option<PublishedBundle>> {
    let revision: Option<[u8; 32]> =
        connection.prepare_cached(statements::ACTIVE_BUNDLE)?.query_row([], |row| row.get(0)).optional()?;
    let Some(revision) = revision.map(BundleRevision::from_bytes) else { return Ok(None) };
    let inconsistent =
        || StoreError::Inconsistent { table: "active_bundle", column: "revision", key: revision.to_string() };
    one(connection, revision)?.ok_or_else(|| inconsistent().into()).map(Some)
}

/// The files of a bundle; `None` if they cannot be a bundle's.
fn files(connection: &Connection, revision: BundleRevision) -> Step<Option<BundleFiles>> {
    let mut statement = connection.prepare_cached(statements::BUNDLE_FILES)?;
    let files = statement
        .query_map([revision.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<BTreeMap<String, Vec<u8>>, _>>()?;
    Ok(BundleFiles::new(files).ok())
}

/// A bundle's digests must be those of its files, whether it comes or goes.
fn check(bundle: &PublishedBundle) -> Result<(), StoreError> {
    let inconsistent =
        |column| Err(StoreError::Inconsistent { table: "bundles", column, key: bundle.revision.to_string() });
    if bundle.files.revision() != bundle.revision {
        return inconsistent("revision");
    }
    if bundle.files.boundary_digest() != bundle.boundary {
        return inconsistent("boundary");
    }
    Ok(())
}
