//! AuthZEN Authorization API 1.0: enforcement points that stand elsewhere ask
//! for decisions. Callers are registered agents with the scope `access:evaluate`;
//! what they say about the subject beyond its name is never believed.

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use bailiwick_engine::{
    caller::Caller,
    tokens::{ACCESS_EVALUATE, Audience},
};
use bailiwick_oauth::presented::Scheme;
use bailiwick_web::{
    entrance::Entrance,
    limits::Limits,
    problem::Problem,
    refused::{ProtectedResource, Refused},
    verify::{verify, with_nonce},
};
use http::{StatusCode, request::Parts};

mod cerbos;
mod configuration;
mod evaluation;
mod evaluations;
pub mod message;
mod opa;
mod question;
mod search;

/// Bytes of one body.
pub const AUTHZEN_BODY_BYTES_MAX: usize = 1_024 * 1_024;

/// The decision interface.
pub struct Authzen {
    entrance: Arc<Entrance>,
    resource: ProtectedResource,
}

type Shared = Arc<Authzen>;

impl Authzen {
    /// Made once at start.
    pub fn new(entrance: Arc<Entrance>) -> Self {
        let resource = ProtectedResource {
            audience: Audience::Access.resource(entrance.issuer()),
            scopes: ACCESS_EVALUATE.parse().into_iter().collect(),
            only_asks: false,
            at: "decision interface",
        };
        Self { entrance, resource }
    }

    /// Its routes: `/access/v1/…` and the metadata document; the same questions in the words of Cerbos and of OPA.
    pub fn router(self) -> Router {
        let entrance = Arc::clone(&self.entrance);
        let routes = Router::new()
            .route("/access/v1/evaluation", post(evaluation::evaluation))
            .route("/access/v1/evaluations", post(evaluations::evaluations))
            .route("/access/v1/search/subject", post(search::subjects))
            .route("/access/v1/search/resource", post(search::resources))
            .route("/access/v1/search/action", post(search::actions))
            .route(cerbos::PATH, post(cerbos::check_resources))
            .route(opa::DOCUMENT_PATH, post(opa::document))
            .route(opa::ALLOW_PATH, post(opa::allow))
            .route("/.well-known/authzen-configuration", get(configuration::configuration))
            .with_state(Arc::new(self))
            .layer(from_fn_with_state(entrance, with_nonce));
        Limits { body_bytes_max: AUTHZEN_BODY_BYTES_MAX, ..Limits::default() }.around(routes)
    }

    /// Lets an enforcement point in.
    async fn admit(&self, parts: &Parts) -> Result<Caller, Refused> {
        let caller = verify(&self.entrance, parts, &self.resource).await?;
        let scheme = Scheme::of(caller.confirmation);
        // What is decided here is about the subject, so nothing else asks whether the caller's own task is open.
        let broker = self.entrance.broker();
        if !broker.live().holds(caller.token, (caller.grant, caller.task), broker.now()) {
            return Err(Refused::task_ended(&self.entrance, &self.resource, scheme));
        }
        if self.resource.scopes.is_subset(&caller.scopes) {
            return Ok(caller);
        }
        let detail = format!("the token lacks the scope `{ACCESS_EVALUATE}`");
        let problem = Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", detail)
            .with_hint("register the caller with this scope and ask for a token with it");
        let scopes = &self.resource.scopes;
        Err(Refused::insufficient_scope(&self.entrance, &self.resource, scheme, scopes, problem))
    }
}
