//! Administration at `/api/v1/…`, on the local socket only. Has no operation
//! that does not go through the engine, so everything is in the evidence.

use std::sync::Arc;

use axum::{Router, middleware::from_fn, routing::get};
use bailiwick_engine::broker::Broker;
use bailiwick_model::limits::BUNDLE_BYTES_MAX;
use bailiwick_pdp::catalogue::System;
use bailiwick_ports::{
    signer::CheckpointSigner,
    upstreams::{DiscoverError, Discovered, Upstreams},
};
use bailiwick_web::{headers, limits::Limits, problem::Problem};
use futures::future::BoxFuture;
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

mod agents;
mod audit;
mod care;
mod decisions;
mod grants;
mod keys;
mod observations;
mod policy;
mod registration_tokens;
mod safe_mode;
mod scim;
mod secrets;
mod systems;
mod tasks;
mod tokens;
mod users;

/// Bytes of one administrative body: a whole bundle in base64 and its JSON.
pub const ADMIN_BODY_BYTES_MAX: usize = BUNDLE_BYTES_MAX / 3 * 4 + 4 * 1_024 * 1_024;

/// What the running server knows about itself, for `doctor`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Facts {
    /// The program's version.
    pub version: String,
    /// When this process started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Where it listens.
    pub listeners: Vec<String>,
    /// Where its state and evidence lie.
    pub store: String,
    /// The configuration file it was started with.
    pub configuration: String,
    /// Key files with the time each was made.
    pub keys: Vec<KeyFact>,
}

/// One key of the server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeyFact {
    /// What it is for.
    pub purpose: String,
    /// Its name or thumbprint.
    pub id: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Reaches a system that is not in the active bundle (yet), over a connection of its own.
pub type TryOut = dyn Fn(System) -> BoxFuture<'static, Result<Discovered, DiscoverError>> + Send + Sync;

/// What administration needs.
pub struct Administration {
    /// The use cases' dependencies.
    pub broker: Arc<Broker>,
    /// Control connections.
    pub upstreams: Arc<dyn Upstreams>,
    /// Reaches systems that are not published yet.
    pub try_out: Arc<TryOut>,
    /// Signs checkpoints.
    pub checkpoint_signer: Arc<dyn CheckpointSigner>,
    /// What the server knows about itself.
    pub facts: Facts,
}

type Shared = Arc<Administration>;

/// The whole interface. Serve it on the local socket only, with [`crate::Operator`] in the extensions of each request.
pub fn router(administration: Administration) -> Router {
    let (router, api) = routes().split_for_parts();
    let document = api.to_pretty_json().unwrap_or_default();
    let json = [(http::header::CONTENT_TYPE, "application/json")];
    let router = router
        .route("/api/v1/openapi.json", get(move || async move { (json, document) }))
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "route_unknown", "there is nothing at this path")
                .with_hint("`/api/v1/openapi.json` lists every path")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_unknown", "this path does not take this method")
                .with_hint("`/api/v1/openapi.json` lists every path")
        })
        .with_state(Arc::new(administration))
        .layer(from_fn(crate::operator::required));
    // Exports stream for as long as they need.
    let limits = Limits { body_bytes_max: ADMIN_BODY_BYTES_MAX, exchange_time_max: None, to_its_end: true };
    limits.around(router).layer(from_fn(headers::request_id)).layer(from_fn(headers::security))
}

/// All routes with their description.
pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(crate::openapi::blank())
        .merge(agents::routes())
        .merge(registration_tokens::routes())
        .merge(users::routes())
        .merge(scim::routes())
        .merge(tasks::routes())
        .merge(grants::routes())
        .merge(tokens::routes())
        .merge(keys::routes())
        .merge(systems::routes())
        .merge(policy::routes())
        .merge(safe_mode::routes())
        .merge(observations::routes())
        .merge(secrets::routes())
        .merge(decisions::routes())
        .merge(audit::routes())
        .merge(care::routes())
}
