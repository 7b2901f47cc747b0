//! The other side: the systems behind the broker.
//!
//! Bytes leave for an upstream in two ways only: [`send`] takes a call that
//! `engine::authorize` permitted, and the control messages are a closed list.
//! The parameters of a call go as the caller wrote them, byte for byte; what
//! changes is the id (and the progress token where several calls share a pipe),
//! and both come back as the caller knows them. The upstream's credential is
//! put in on the way out and taken out of whatever comes back.
//!
//! Decides nothing, records nothing, filters nothing.

mod asks;
mod connection;
mod control;
mod discover;
mod era;
mod error;
mod exchange;
mod frame;
mod http;
mod listener;
mod outgoing;
mod pool;
mod secrets;
mod stdio;
mod target;
mod wiring;

use ::http::{HeaderName, HeaderValue};
use bailiwick_engine::permitted::Permitted;
use bailiwick_model::{
    digest::Digest,
    name::{ActionName, SystemName, UserId},
    operation::Operation,
    principal::{DelegationChain, Principal},
};
use bytes::Bytes;

pub use self::{
    asks::ASKS_OPEN_MAX,
    connection::{OPEN_TIMEOUT, PROBE_TIMEOUT},
    discover::{ITEMS_MAX, PAGES_MAX},
    era::{Era, Offers, Revision, UnknownRevision},
    error::UpstreamError,
    exchange::{ASK_WAIT, Answer, Answers, Ask, CALL_TIME_MAX, Event, Exchange, Reply},
    frame::{MALFORMED_MAX, MESSAGE_BYTES_MAX},
    http::{CONNECT_TIMEOUT, HttpClientError},
    listener::Listener,
    pool::{Observer, Pool, PoolLimits},
    secrets::{REDACTED_BYTES_MIN, SecretUnavailable, Secrets},
    stdio::CALLS_IN_FLIGHT_MAX,
    target::{ProcessLimits, Target},
    wiring::{BrokerSecrets, observer},
};
pub(crate) use self::{
    control::{ListKind, TaskVerb},
    http::header_text,
};
use crate::envelope::{self, Id};

/// Bytes of the client capabilities that are told to an upstream.
const CAPABILITIES_BYTES_MAX: usize = 1_024;

/// A call to forward, as its caller wrote it.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The caller's id: notifications that name it come back with it.
    pub id: Id,
    /// The MCP method.
    pub method: String,
    /// The raw parameters, forwarded byte for byte.
    pub params: Option<Bytes>,
    /// The revision that these parameters are written in; one that the upstream speaks ([`Pool::offers`]).
    pub revision: Revision,
    /// What the caller's client can be asked; told to upstreams with a handshake.
    pub client: ClientCapabilities,
    /// The `Mcp-Param-*` headers of a stateless caller.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The pinned digest of the tool: checked against what this very connection offers.
    pub definition: Option<Digest>,
}

/// What a client can be asked while its call runs (sampling, elicitation, roots), in one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCapabilities(String);

impl Default for ClientCapabilities {
    /// It can be asked nothing.
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl ClientCapabilities {
    /// Takes over, from the raw `capabilities` of a client, what can be relayed.
    pub fn relayed(raw: &str) -> Self {
        let Ok(mut all) = envelope::parse_object(raw, 256) else { return Self::default() };
        all.retain(|name, value| matches!(name.as_str(), "sampling" | "elicitation" | "roots") && value.is_object());
        let text = bailiwick_pdp::definition::canonical(&serde_json::Value::Object(all));
        if text.len() <= CAPABILITIES_BYTES_MAX { Self(text) } else { Self::default() }
    }
}

/// Whose connection to use.
#[derive(Debug, Clone)]
pub struct CallerKey {
    holder: String,
    /// The user on whose authority it all is, whose account is used where a system holds its own users.
    user: Option<UserId>,
    capabilities: ClientCapabilities,
}

impl CallerKey {
    /// The connection of everybody on whose authority the session acts, with what its client can be asked.
    pub fn new(chain: &DelegationChain, client: ClientCapabilities) -> Self {
        let user = match chain.initiating() {
            Principal::User(user) => Some(user.clone()),
            Principal::Agent(_) | Principal::Workload(_) | Principal::Operator(_) => None,
        };
        Self { holder: holder(chain), user, capabilities: client }
    }
}

/// The chain as one text: two agents of one user, or one agent of two users, share nothing.
fn holder(chain: &DelegationChain) -> String {
    chain.principals().iter().map(ToString::to_string).collect::<Vec<_>>().join(" > ")
}

/// Forwards what was permitted, to the system that it was permitted for, and nothing else.
///
/// Dropping the future, or the stream that it gives, cancels the call upstream.
pub async fn send(pool: &Pool, permitted: &Permitted, message: Forward) -> Result<Reply, UpstreamError> {
    matches_permit(permitted.system(), permitted.operations(), &message)?;
    let caller = CallerKey::new(permitted.chain(), message.client.clone());
    pool.forward(permitted.system(), &caller, message).await
}

/// The method, and the name inside the very bytes that will be sent, must be those that were decided on.
fn matches_permit(system: &SystemName, operations: &[Operation], message: &Forward) -> Result<(), UpstreamError> {
    let params = message.params.as_deref().map(std::str::from_utf8).transpose();
    let params = params.map_err(|_| UpstreamError::NotPermitted)?;
    let action = match message.method.as_str() {
        "tools/call" => {
            let tool = params.and_then(|params| outgoing::target("tools/call", params));
            let tool = tool.and_then(|tool| tool.parse().ok()).ok_or(UpstreamError::NotPermitted)?;
            ActionName::of_tool(system, &tool)
        }
        // Listening to changes of MCP resources, and ceasing to, is one action in both eras.
        "resources/subscribe" | "resources/unsubscribe" | "subscriptions/listen" => {
            method_action(system, "resources/subscribe")?
        }
        method => method_action(system, method)?,
    };
    // The call's own come first; behind them stands what its AuthZEN mapping asked for besides, which nobody sends.
    if operations.first().is_none_or(|own| own.action != action) {
        return Err(UpstreamError::NotPermitted);
    }
    Ok(())
}

fn method_action(system: &SystemName, method: &str) -> Result<ActionName, UpstreamError> {
    ActionName::of_method(system, method).map_err(|_| UpstreamError::NotPermitted)
}

#[cfg(test)]
mod tests;
