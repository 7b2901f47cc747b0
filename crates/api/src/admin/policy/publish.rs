//! `POST /api/v1/policy/publish`: checks, tests, signs and activates a bundle, or says what is wrong.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use bailiwick_engine::bundles;
use bailiwick_web::{json::StrictJson, problem::Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ActivatedView, Shared, files, problem};
use crate::{
    Operator,
    openapi::{ProblemDocument, Refusals},
};

/// A bundle to publish.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Publication")]
pub(crate) struct Publication {
    /// Path to content in base64.
    files: BTreeMap<String, String>,
    /// Whether a boundary that differs from the active one is meant.
    #[serde(default)]
    boundary_change_meant: bool,
}

/// Publishes a bundle.
#[utoipa::path(
    post,
    path = "/api/v1/policy/publish",
    tag = "policy",
    request_body = Publication,
    responses(
        (status = 200, body = ActivatedView),
        (status = 422, description = "the bundle does not compile, or its tests fail: `errors` says where",
         body = ProblemDocument, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn publish(
    State(admin): State<Shared>,
    operator: Operator,
    StrictJson(body): StrictJson<Publication>,
) -> Result<Json<ActivatedView>, Problem> {
    let files = files(body.files)?;
    let activated = bundles::publish(&admin.broker, &operator.principal(), files, body.boundary_change_meant).await;
    activated.map(|activated| Json(activated.into())).map_err(problem)
}
