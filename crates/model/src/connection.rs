//! An account at a system that holds its own users, connected by the user whose account it is.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    digest::Digest,
    id::ConnectionId,
    name::{Scope, SystemName, UserId},
};

/// One connection. Its tokens are sealed: nothing here opens anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Whose account it is, here.
    pub user: UserId,
    /// Where the account is.
    pub system: SystemName,
    /// The digest of the authorization server, client and resource that its tokens are for: they go nowhere else.
    pub binding: Digest,
    /// What the tokens allow there.
    pub scopes: BTreeSet<Scope>,
    /// The tokens, sealed under the user's key for this id and version.
    pub sealed: Vec<u8>,
    /// Counts renewals.
    pub version: u64,
    /// When the user connected it.
    pub connected_at: Timestamp,
    /// When its tokens were last renewed.
    pub renewed_at: Timestamp,
    /// When its access token ends, if its server says so.
    pub expires_at: Option<Timestamp>,
    /// Its state.
    pub status: ConnectionStatus,
}

/// Whether a connection can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionStatus {
    /// Calls for its user are made with it.
    Active,
    /// It is over: its tokens are kept, for nobody's use, until its server took them back.
    Ended {
        /// Since when.
        at: Timestamp,
    },
}
