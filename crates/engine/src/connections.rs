//! Accounts at systems that hold their own users: connected by the user whose account it is, used for the calls that are
//! made for that user and for nobody else's, ended with the user, at their wish or an operator's.
//!
//! The tokens are sealed under the user's own key, bound to this very connection and to the server, client and place that
//! they are for. They are opened for the hop that needs them; no agent sees one.

mod account;
mod connect;
mod ending;
mod own;
mod tokens;

use std::sync::Arc;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    connection::Connection,
    digest::Digest,
    name::{SystemName, UserId},
    principal::Principal,
};
use bailiwick_pdp::catalogue::Accounts;
use tokio::sync::broadcast;

use self::{connect::Attempts, own::OwnTokens, tokens::Renewals};
pub use self::{
    connect::{Returned, begin, finish},
    ending::{GIVE_UP_AFTER, end, take_back},
    own::own_token,
    tokens::{NoToken, token},
};
use crate::{broker::Broker, evidence::Draft, live::Live, refusal::Refusal};

/// Where users see and end their connections.
pub const CONNECTIONS_PATH: &str = "/account/connections";

/// Where a system's authorization server sends a browser back to: one place per system, so that what one server gives is
/// never redeemed at another (RFC 9700 §4.4.2).
pub fn redirect_uri(origin: &str, system: &SystemName) -> String {
    format!("{origin}{CONNECTIONS_PATH}/callback/{system}")
}

/// Ends that may wait for whoever follows them; whoever is slower hears that some were missed.
const ENDS_MAX: usize = 1_024;

/// What is under way in this process alone.
pub(crate) struct UnderWay {
    attempts: Attempts,
    renewals: Renewals,
    own: OwnTokens,
    ended: broadcast::Sender<(UserId, SystemName)>,
}

impl Default for UnderWay {
    fn default() -> Self {
        let ended = broadcast::Sender::new(ENDS_MAX);
        Self { attempts: Attempts::default(), renewals: Renewals::default(), own: OwnTokens::default(), ended }
    }
}

/// Tells of each connection that ends, or is made and may take another's place, while its user stays: what is open at its system in its name is to be closed.
pub fn ends(broker: &Broker) -> broadcast::Receiver<(UserId, SystemName)> {
    broker.connections.ended.subscribe()
}

/// The systems to which a user is connected: asked before a change that ends it, for [`tell_ended`] after it.
pub(crate) async fn systems(broker: &Broker, user: &UserId) -> Result<Vec<SystemName>, Refusal> {
    Ok(broker.ports.store.connections(user).await?.into_iter().map(|connection| connection.system).collect())
}

/// Tells that connections ended with another change.
pub(crate) fn tell_ended(broker: &Broker, user: &UserId, systems: Vec<SystemName>) {
    for system in systems {
        // Whether anybody listens is theirs to know.
        let _ = broker.connections.ended.send((user.clone(), system));
    }
}

/// One system where a user has, or can have, an account.
#[derive(Debug, Clone)]
pub struct Place {
    /// Which.
    pub system: SystemName,
    /// For people.
    pub title: String,
    /// The user's connection, if there is one.
    pub connection: Option<Connection>,
    /// Whether calls can be made with it: it is what the catalogue describes today.
    pub works: bool,
    /// Whether it can be connected (again).
    pub offered: bool,
}

/// All systems where a user has or can have an account, by name.
pub async fn places(broker: &Broker, user: &UserId) -> Result<Vec<Place>, Refusal> {
    let mut connections = broker.ports.store.connections(user).await?;
    let live = broker.live();
    let systems = live.policy.iter().flat_map(|policy| policy.catalogue().systems());
    let mut places: Vec<Place> = systems
        .filter_map(|system| {
            let (accounts, binding) = system.accounts()?;
            let found = connections.iter().position(|connection| connection.system == system.name);
            let connection = found.map(|index| connections.swap_remove(index));
            let works = connection.as_ref().is_some_and(|connection| is_good(connection, accounts, binding));
            Some(Place { system: system.name.clone(), title: system.title.clone(), connection, works, offered: true })
        })
        .collect();
    // What the catalogue no longer has can still be ended.
    places.extend(connections.into_iter().map(|connection| Place {
        system: connection.system.clone(),
        title: connection.system.to_string(),
        connection: Some(connection),
        works: false,
        offered: false,
    }));
    places.sort_by(|a, b| a.system.cmp(&b.system));
    Ok(places)
}

/// Everything that a user has connected: metadata alone, for operators.
pub async fn of_user(broker: &Broker, user: &UserId) -> Result<Vec<Place>, Refusal> {
    broker.live().users.get(user).ok_or_else(|| Refusal::Missing(format!("user `{user}`")))?;
    let mut places = places(broker, user).await?;
    places.retain(|place| place.connection.is_some());
    Ok(places)
}

/// How accounts at a system are connected today, and what its tokens are bound to.
fn accounts(live: &Live, system: &SystemName) -> Option<(Arc<Accounts>, Digest)> {
    let system = live.policy.as_deref()?.catalogue().system(system)?;
    system.accounts().map(|(accounts, binding)| (Arc::new(accounts.clone()), binding))
}

/// Whether calls can be made with a connection: it is for the very place that the catalogue has today, and allows no more
/// than users are asked for today. Where nobody said what it allows, it was asked for without scopes.
fn is_good(connection: &Connection, accounts: &Accounts, binding: Digest) -> bool {
    let (stored, asked) = (&connection.scopes, &accounts.client.scopes);
    connection.binding == binding && (asked.is_empty() || !stored.is_empty() && stored.is_subset(asked))
}

/// What evidence says of a change: who, whose, where; never what a token is.
fn draft(broker: &Broker, by: &Principal, connection: &Connection, change: &str) -> Draft {
    let scopes: Vec<String> = connection.scopes.iter().map(ToString::to_string).collect();
    Draft::event(broker, EventKind::SecretChanged)
        .field("by", by.to_string())
        .field("change", change)
        .field("connection", connection.id.to_string())
        .field("user", connection.user.as_str())
        .field("system", connection.system.as_str())
        .field("scope", scopes)
        .field_if("expires_at", connection.expires_at.map(|at| at.to_string()))
}
