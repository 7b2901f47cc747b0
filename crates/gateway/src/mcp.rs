//! MCP over Streamable HTTP, in front: two revisions on one endpoint, one
//! endpoint per system and one for all of them. It takes messages apart and
//! puts answers together; whether a call may go on is decided in the engine,
//! and only [`crate::phases`] forwards.

pub(crate) mod answer;
mod budget;
mod call;
pub(crate) mod crowd;
pub(crate) mod deferred;
mod door;
mod handshake;
pub(crate) mod headers;
mod inbound;
mod listing;
mod lists;
pub(crate) mod message;
mod method;
pub(crate) mod mirror;
pub(crate) mod outbox;
pub(crate) mod place;
pub(crate) mod resume;
pub(crate) mod session;
mod stream;
pub(crate) mod translate;
pub(crate) mod verified;
pub(crate) mod visit;
pub(crate) mod watch;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{any, get},
};
use bailiwick_engine::broker::Broker;
use bailiwick_model::limits::BODY_BYTES_MAX;
use bailiwick_web::{entrance::Entrance, limits::Limits, verify};

pub use self::resume::RESUMABLE_FOR;
use self::{crowd::Crowd, deferred::DeferredCalls, resume::Streams, session::Sessions};
pub(crate) use self::{message::Incoming, place::Place};
use crate::{permissions, upstream::Pool};

/// The gateway's state, shared by all its listeners.
pub struct Gateway {
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) upstreams: Pool,
    pub(crate) sessions: Sessions,
    pub(crate) streams: Streams,
    pub(crate) crowd: Crowd,
    pub(crate) deferred: DeferredCalls,
}

impl Gateway {
    /// Made once at start. A stream that nobody reads waits for its client for `resumable_for`, and its call goes on.
    pub fn new(entrance: Arc<Entrance>, upstreams: Pool, resumable_for: Duration) -> Arc<Self> {
        Arc::new(Self {
            entrance,
            upstreams,
            sessions: Sessions::default(),
            streams: Streams::kept_for(resumable_for),
            crowd: Crowd::default(),
            deferred: DeferredCalls::default(),
        })
    }

    pub(crate) fn broker(&self) -> &Broker {
        self.entrance.broker()
    }
}

/// `/mcp`, `/mcp/<system>` and what a caller may do there, to be served behind what every listener checks
/// ([`bailiwick_web::listener::around`]).
pub fn router(gateway: Arc<Gateway>) -> Router {
    let entrance = Arc::clone(&gateway.entrance);
    let routes = Router::new()
        .route("/mcp", any(inbound::all_systems))
        .route("/mcp/{system}", any(inbound::one_system))
        .route("/permissions/v1", get(permissions::all_systems))
        .route("/permissions/v1/{system}", get(permissions::one_system))
        .with_state(gateway);
    // Streams last for long, so the exchange itself has no time limit; bodies and upstreams have.
    Limits { body_bytes_max: BODY_BYTES_MAX, exchange_time_max: None, to_its_end: false }
        .around(routes)
        .layer(from_fn_with_state(entrance, verify::with_nonce))
}
