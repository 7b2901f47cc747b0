//! What a directory provisions: its groups together with the users whom a change of them concerns, and its credentials.

use bailiwick_model::{
    digest::Digest,
    directory::{DirectoryGroup, ProvisioningToken},
    id::DirectoryGroupId,
    name::WorkloadName,
    user::User,
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::StoreError,
};
use rusqlite::{Connection, params};

use super::{
    failure::Step,
    rows::{self, Fields},
    statements,
    turn::{Turn, signed},
    users,
};

/// Makes a group, or replaces the one of the version before, and changes users with it.
pub(crate) fn put_group(turn: &mut Turn<'_>, group: &DirectoryGroup, of: &[User], entry: Entry) -> Step<u64> {
    turn.guard()?;
    let row = params![
        group.id.as_bytes(),
        signed(group.version)?,
        group.display_name,
        group.external_id,
        group.created_at.as_microsecond(),
    ];
    let name = || group.display_name.clone();
    if group.version == 1 {
        turn.insert(statements::INSERT_DIRECTORY_GROUP, row, name)?;
    } else if turn.insert(statements::UPDATE_DIRECTORY_GROUP, row, name)? == 0 {
        return Err(StoreError::Conflict(group.id.to_string()).into());
    }
    of.iter().try_for_each(|user| users::replace(turn, user, entry.event.at))?;
    turn.change(entry)
}

/// Removes a group of a version, and changes users with it.
pub(crate) fn remove_group(
    turn: &mut Turn<'_>,
    (id, version): (DirectoryGroupId, u64),
    of: &[User],
    entry: Entry,
) -> Step<u64> {
    turn.guard()?;
    if turn.execute(statements::DELETE_DIRECTORY_GROUP, params![id.as_bytes(), signed(version)?])? == 0 {
        return Err(StoreError::Conflict(id.to_string()).into());
    }
    of.iter().try_for_each(|user| users::replace(turn, user, entry.event.at))?;
    turn.change(entry)
}

/// All groups, by id.
pub(crate) fn groups(connection: &Connection) -> Step<Vec<DirectoryGroup>> {
    let mut statement = connection.prepare_cached(statements::DIRECTORY_GROUPS)?;
    let mut found = statement.query([])?;
    let mut groups = Vec::new();
    while let Some(row) = found.next()? {
        groups.push(rows::directory_group(&Fields::of(row, "directory_groups"))?);
    }
    Ok(groups)
}

/// Keeps a credential under a name that none has.
pub(crate) fn add_token(turn: &mut Turn<'_>, token: &ProvisioningToken, entry: Entry) -> Step<Receipt> {
    let row = params![
        token.name.as_str(),
        token.token.as_bytes(),
        token.created_at.as_microsecond(),
        token.expires_at.as_microsecond(),
    ];
    turn.insert(statements::INSERT_PROVISIONING_TOKEN, row, || token.name.to_string())?;
    turn.place(entry)
}

/// Removes one.
pub(crate) fn remove_token(turn: &mut Turn<'_>, name: &WorkloadName, entry: Entry) -> Step<Receipt> {
    if turn.execute(statements::DELETE_PROVISIONING_TOKEN, [name.as_str()])? == 0 {
        return Err(StoreError::Missing(name.to_string()).into());
    }
    turn.place(entry)
}

/// The credential with this digest; it may be over.
pub(crate) fn token(connection: &Connection, digest: Digest) -> Step<Option<ProvisioningToken>> {
    let mut statement = connection.prepare_cached(statements::PROVISIONING_TOKEN)?;
    let mut found = statement.query([digest.as_bytes()])?;
    found.next()?.map(|row| rows::provisioning_token(&Fields::of(row, "provisioning_tokens"))).transpose()
}

/// All of them, by name.
pub(crate) fn tokens(connection: &Connection) -> Step<Vec<ProvisioningToken>> {
    let mut statement = connection.prepare_cached(statements::PROVISIONING_TOKENS)?;
    let mut found = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push(rows::provisioning_token(&Fields::of(row, "provisioning_tokens"))?);
    }
    Ok(tokens)
}
