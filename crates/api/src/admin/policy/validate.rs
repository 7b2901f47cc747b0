//! `POST /api/v1/policy/validate`: compiles and tests a bundle without publishing it.

use std::collections::BTreeMap;

use axum::Json;
use bailiwick_pdp::{scenario, snapshot::Snapshot};
use bailiwick_web::{json::StrictJson, problem::Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FailedTest, FindingView, files};
use crate::openapi::Refusals;

/// The files of a bundle.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "BundleFiles")]
pub(crate) struct BundleBody {
    /// Path to content in base64.
    files: BTreeMap<String, String>,
}

/// What came of the check.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Validation")]
pub(crate) struct Validation {
    /// Whether the bundle could be published.
    publishable: bool,
    /// Its revision.
    revision: String,
    /// What is wrong or to be looked at.
    findings: Vec<FindingView>,
    /// How many of its tests passed.
    tests_passed: usize,
    /// Those that did not.
    tests_failed: Vec<FailedTest>,
}

/// Checks a bundle. Findings are an answer, not a refusal.
#[utoipa::path(
    post,
    path = "/api/v1/policy/validate",
    tag = "policy",
    request_body = BundleBody,
    responses((status = 200, body = Validation), Refusals)
)]
pub(super) async fn validate(StrictJson(body): StrictJson<BundleBody>) -> Result<Json<Validation>, Problem> {
    let files = files(body.files)?;
    let validation = tokio::task::spawn_blocking(move || {
        let revision = files.revision().to_string();
        match Snapshot::compile(&files) {
            Ok(snapshot) => {
                let report = scenario::run(&files);
                Validation {
                    publishable: report.failed() == 0,
                    revision,
                    findings: FindingView::all(&bailiwick_pdp::lint(&snapshot)),
                    tests_passed: report.passed(),
                    tests_failed: FailedTest::all(&report),
                }
            }
            Err(findings) => Validation {
                publishable: false,
                revision,
                findings: FindingView::all(&findings),
                tests_passed: 0,
                tests_failed: Vec::new(),
            },
        }
    });
    let gave_up = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the check did not come to an end");
    validation.await.map(Json).map_err(gave_up)
}
