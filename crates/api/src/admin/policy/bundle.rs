//! `GET /api/v1/policy/revisions/{revision}`: the files of a published bundle.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use bailiwick_engine::refusal::Refusal;
use bailiwick_model::bundle::BundleRevision;
use bailiwick_web::problem::Problem;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::{extract::Named, openapi::Refusals};

/// The files of a bundle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Bundle")]
pub(crate) struct BundleView {
    /// The digest of all files.
    revision: String,
    /// Path to content in base64.
    files: BTreeMap<String, String>,
}

/// Shows a published bundle with its files.
#[utoipa::path(
    get,
    path = "/api/v1/policy/revisions/{revision}",
    tag = "policy",
    params(("revision" = String, Path, description = "`sha256:…`")),
    responses((status = 200, body = BundleView), Refusals)
)]
pub(super) async fn bundle(
    State(admin): State<Shared>,
    Named(revision): Named<BundleRevision>,
) -> Result<Json<BundleView>, Problem> {
    let found = admin.broker.store().bundle(revision).await.map_err(Refusal::from)?;
    let bundle = found.ok_or_else(|| Refusal::Missing(format!("bundle `{revision}`")))?;
    let files = bundle.files.iter().map(|(path, content)| (path.to_owned(), STANDARD.encode(content)));
    Ok(Json(BundleView { revision: revision.to_string(), files: files.collect() }))
}
