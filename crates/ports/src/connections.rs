//! Connected accounts as a store keeps them, and the way to the servers that gave their tokens.

use async_trait::async_trait;
use bailiwick_model::{
    connection::Connection,
    id::ConnectionId,
    name::{SystemName, UserId},
    secret::Secret,
};
use jiff::Timestamp;
use url::Url;

use crate::{
    entry::{Entry, Receipt},
    store::StoreError,
};

/// Connections that have ended and are looked at in one go.
pub const ENDED_MAX: usize = 64;

/// Connections of users. One that is over stays until it is forgotten, and is found by nothing but
/// [`Self::ended_connections`].
#[async_trait]
pub trait Connections: Send + Sync {
    /// Keeps a connection of an active user; the one before to the same system ends with it. A user who is not active
    /// makes [`StoreError::Conflict`].
    async fn connect(&self, connection: Connection, entry: Entry) -> Result<Receipt, StoreError>;
    /// Replaces an active connection whose stored version is `connection.version - 1`; else [`StoreError::Conflict`].
    async fn renew_connection(&self, connection: Connection, entry: Entry) -> Result<Receipt, StoreError>;
    /// Ends one that is active; another is [`StoreError::Missing`].
    async fn end_connection(&self, id: ConnectionId, at: Timestamp, entry: Entry) -> Result<Receipt, StoreError>;
    /// The active connection of a user to a system.
    async fn connection(&self, user: &UserId, system: &SystemName) -> Result<Option<Connection>, StoreError>;
    /// The active connections of a user, by system.
    async fn connections(&self, user: &UserId) -> Result<Vec<Connection>, StoreError>;
    /// Some that have ended, oldest first: [`ENDED_MAX`] at most.
    async fn ended_connections(&self) -> Result<Vec<Connection>, StoreError>;
    /// Erases one that has ended.
    async fn forget_connection(&self, id: ConnectionId) -> Result<(), StoreError>;
}

/// What a server answered to a form.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The body, which may hold tokens.
    pub body: Secret<Vec<u8>>,
}

/// No answer came. Says nothing that was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// Posts forms to authorization servers of others.
#[async_trait]
pub trait FormPosts: Send + Sync {
    /// Posts one, under an `Authorization` header if one is given. Follows no redirect; size and time have limits.
    async fn post(
        &self,
        url: &Url,
        form: &[(&'static str, Secret<String>)],
        authorization: Option<&Secret<String>>,
    ) -> Result<Answered, NoAnswer>;
}
