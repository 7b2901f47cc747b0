//! `GET /api/v1/policy/revisions`: every bundle that was ever published.

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_ports::store::PublishedBundle;
use bailiwick_web::problem::Problem;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// Published bundles, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Revisions")]
pub(crate) struct Revisions {
    revisions: Vec<RevisionView>,
}

/// One published bundle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Revision")]
pub(crate) struct RevisionView {
    /// The digest of its files.
    revision: String,
    /// The digest of its boundary policies.
    boundary: String,
    /// Whether it is the active one.
    active: bool,
    /// When it was first published.
    #[schema(value_type = String, format = DateTime)]
    published_at: Timestamp,
    /// By whom.
    published_by: String,
}

/// Lists published bundles.
#[utoipa::path(
    get,
    path = "/api/v1/policy/revisions",
    tag = "policy",
    responses((status = 200, body = Revisions), Refusals)
)]
pub(super) async fn revisions(State(admin): State<Shared>) -> Result<Json<Revisions>, Problem> {
    let active = admin.broker.live().policy.as_deref().map(|policy| policy.revision());
    let bundles = admin.broker.store().bundles().await.map_err(Refusal::from)?;
    let revisions = bundles.into_iter().map(|bundle| {
        let PublishedBundle { revision, files: _, boundary, boundary_signature: _, published_at, published_by } =
            bundle;
        RevisionView {
            active: active == Some(revision),
            revision: revision.to_string(),
            boundary: boundary.to_string(),
            published_at,
            published_by,
        }
    });
    Ok(Json(Revisions { revisions: revisions.collect() }))
}
