//! Connected accounts: one in use per user and system, gone with its user, erased when its server took it back.

use async_trait::async_trait;
use bailiwick_model::{
    connection::{Connection, ConnectionStatus},
    id::ConnectionId,
    name::{SystemName, UserId},
};
use bailiwick_ports::{
    connections::{Connections, ENDED_MAX},
    entry::{Entry, Receipt},
    store::StoreError,
};
use jiff::Timestamp;
use rusqlite::{Connection as Database, Params, params};

use super::{
    SqliteStore,
    failure::Step,
    passkeys,
    rows::{Fields, json_text},
    statements,
    turn::{Turn, signed},
};

#[async_trait]
impl Connections for SqliteStore {
    async fn connect(&self, connection: Connection, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| add(turn, &connection, entry)).await
    }

    async fn renew_connection(&self, connection: Connection, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| renew(turn, &connection, entry)).await
    }

    async fn end_connection(&self, id: ConnectionId, at: Timestamp, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| end(turn, id, at, entry)).await
    }

    async fn connection(&self, user: &UserId, system: &SystemName) -> Result<Option<Connection>, StoreError> {
        let (user, system) = (user.clone(), system.clone());
        let found =
            move |database: &Database| some(database, statements::CONNECTION, params![user.as_str(), system.as_str()]);
        self.readers.read(found).await.map(|found| found.into_iter().next())
    }

    async fn connections(&self, user: &UserId) -> Result<Vec<Connection>, StoreError> {
        let user = user.clone();
        self.readers.read(move |database| some(database, statements::CONNECTIONS, params![user.as_str()])).await
    }

    async fn ended_connections(&self) -> Result<Vec<Connection>, StoreError> {
        let limit = ENDED_MAX as u64;
        self.readers.read(move |database| some(database, statements::ENDED_CONNECTIONS, params![signed(limit)?])).await
    }

    async fn forget_connection(&self, id: ConnectionId) -> Result<(), StoreError> {
        self.writer.write(move |turn| turn.execute(statements::FORGET_CONNECTION, [id.as_bytes()]).map(|_| ())).await
    }
}

fn add(turn: &mut Turn<'_>, connection: &Connection, entry: Entry) -> Step<Receipt> {
    passkeys::standing(turn, &connection.user)?;
    let before =
        params![connection.connected_at.as_microsecond(), connection.user.as_str(), connection.system.as_str()];
    turn.execute(statements::REPLACE_CONNECTION, before)?;
    let row = params![
        connection.id.as_bytes(),
        connection.user.as_str(),
        connection.system.as_str(),
        connection.binding.as_bytes(),
        json_text(&connection.scopes)?,
        connection.sealed,
        signed(connection.version)?,
        connection.connected_at.as_microsecond(),
        connection.renewed_at.as_microsecond(),
        connection.expires_at.map(Timestamp::as_microsecond),
    ];
    turn.insert(statements::INSERT_CONNECTION, row, || connection.id.to_string())?;
    turn.place(entry)
}

fn renew(turn: &mut Turn<'_>, connection: &Connection, entry: Entry) -> Step<Receipt> {
    let row = params![
        json_text(&connection.scopes)?,
        connection.sealed,
        signed(connection.version)?,
        connection.renewed_at.as_microsecond(),
        connection.expires_at.map(Timestamp::as_microsecond),
        connection.id.as_bytes(),
    ];
    match turn.execute(statements::RENEW_CONNECTION, row)? {
        0 => Err(StoreError::Conflict(connection.id.to_string()).into()),
        _ => turn.place(entry),
    }
}

fn end(turn: &mut Turn<'_>, id: ConnectionId, at: Timestamp, entry: Entry) -> Step<Receipt> {
    match turn.execute(statements::END_CONNECTION, params![at.as_microsecond(), id.as_bytes()])? {
        0 => Err(StoreError::Missing(id.to_string()).into()),
        _ => turn.place(entry),
    }
}

/// Ends all connections of a user, with the user.
pub(crate) fn end_all(turn: &Turn<'_>, user: &str, at: Timestamp) -> Step<()> {
    turn.execute(statements::END_CONNECTIONS, params![at.as_microsecond(), user]).map(|_| ())
}

fn some(database: &Database, sql: &str, params: impl Params) -> Step<Vec<Connection>> {
    let mut statement = database.prepare_cached(sql)?;
    let mut found = statement.query(params)?;
    let mut connections = Vec::new();
    while let Some(row) = found.next()? {
        connections.push(of_row(&Fields::of(row, "connections"))?);
    }
    Ok(connections)
}

fn of_row(fields: &Fields<'_>) -> Step<Connection> {
    let ended_at = fields.maybe_time("ended_at")?;
    Ok(Connection {
        id: ConnectionId::from_bytes(fields.get("id")?),
        user: fields.parse("user_id")?,
        system: fields.parse("system")?,
        binding: fields.digest("binding")?,
        scopes: fields.json("scopes")?,
        sealed: fields.get("sealed")?,
        version: fields.count("version")?,
        connected_at: fields.time("connected_at")?,
        renewed_at: fields.time("renewed_at")?,
        expires_at: fields.maybe_time("expires_at")?,
        status: ended_at.map_or(ConnectionStatus::Active, |at| ConnectionStatus::Ended { at }),
    })
}
