//! Policy: bundles are checked, published whole and rolled back whole. One file
//! per endpoint; this one holds what they share.

use std::collections::BTreeMap;

use bailiwick_engine::bundles::{Activated, PublishRefusal};
use bailiwick_model::bundle::{BundleError, BundleFiles};
use bailiwick_pdp::{finding::Finding, scenario::Report};
use bailiwick_web::problem::Problem;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

mod active;
mod bundle;
mod grant;
mod publish;
mod revisions;
mod rollback;
mod schema;
mod suggest;
mod validate;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(active::active))
        .routes(routes!(revisions::revisions))
        .routes(routes!(bundle::bundle))
        .routes(routes!(schema::schema))
        .routes(routes!(validate::validate))
        .routes(routes!(publish::publish))
        .routes(routes!(rollback::rollback))
        .routes(routes!(suggest::suggest))
        .routes(routes!(grant::grant))
}

/// Something about a bundle to look at.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Finding")]
pub(in crate::admin) struct FindingView {
    /// `error` or `warning`.
    severity: String,
    /// The stable word for programs.
    code: String,
    /// The file inside the bundle; empty if it is about the bundle as a whole.
    file: String,
    /// The line, from 1.
    line: Option<usize>,
    /// The character in that line, from 1, where it is known.
    column: Option<u32>,
    /// What is wrong.
    message: String,
    /// The next step.
    help: Option<String>,
}

impl FindingView {
    pub(in crate::admin) fn of(finding: &Finding) -> Self {
        let Finding { file, line, column, severity, code, message, help } = finding;
        Self {
            severity: severity.as_str().to_owned(),
            code: (*code).to_owned(),
            file: file.clone(),
            line: *line,
            column: *column,
            message: message.clone(),
            help: help.clone(),
        }
    }

    fn all(findings: &[Finding]) -> Vec<Self> {
        findings.iter().map(Self::of).collect()
    }
}

/// A test of the bundle that did not go as expected.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "FailedTest")]
pub(super) struct FailedTest {
    /// The file inside the bundle.
    file: String,
    /// Which test.
    name: String,
    /// What differs.
    difference: String,
}

impl FailedTest {
    fn all(report: &Report) -> Vec<Self> {
        let failed = report.cases.iter().filter_map(|case| {
            let difference = case.difference.clone()?;
            Some(Self { file: case.file.clone(), name: case.name.clone(), difference })
        });
        let unreadable = report.unreadable.iter().map(|finding| Self {
            file: finding.file.clone(),
            name: finding.code.to_owned(),
            difference: finding.message.clone(),
        });
        failed.chain(unreadable).collect()
    }
}

/// A bundle that is active now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Activated")]
pub(super) struct ActivatedView {
    /// Its revision.
    revision: String,
    /// The one that was active before.
    previous: Option<String>,
    /// What somebody should look at.
    warnings: Vec<FindingView>,
    /// How many of its tests passed.
    tests_passed: usize,
}

impl From<Activated> for ActivatedView {
    fn from(Activated { revision, previous, warnings, tests_passed }: Activated) -> Self {
        Self {
            revision: revision.to_string(),
            previous: previous.map(|revision| revision.to_string()),
            warnings: FindingView::all(&warnings),
            tests_passed,
        }
    }
}

/// Reads the files of a bundle: path to content in base64.
fn files(encoded: BTreeMap<String, String>) -> Result<BundleFiles, Problem> {
    let mut files = BTreeMap::new();
    for (path, content) in encoded {
        let content = STANDARD.decode(&content).map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "bundle_malformed", format!("`{path}` is not base64 with padding"))
        })?;
        files.insert(path, content);
    }
    BundleFiles::new(files)
        .map_err(|error: BundleError| Problem::new(StatusCode::BAD_REQUEST, "bundle_malformed", error.to_string()))
}

fn problem(refusal: PublishRefusal) -> Problem {
    let unprocessable = |code, detail: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    match refusal {
        PublishRefusal::Findings(findings) => unprocessable("bundle_invalid", "the bundle does not compile")
            .with_errors(json(FindingView::all(&findings)))
            .with_hint("correct what each error names; `bailiwick policy validate` checks without publishing"),
        PublishRefusal::Tests(report) => unprocessable("bundle_tests_failed", "the bundle's own tests fail")
            .with_errors(json(FailedTest::all(&report)))
            .with_hint("correct the policy or the test; `bailiwick policy test` runs them without publishing"),
        PublishRefusal::BoundaryChanged => {
            let detail = "the boundary differs from the active one";
            Problem::new(StatusCode::CONFLICT, "boundary_changed", detail).with_hint(
                "look at the difference; if it is meant, say so with `--boundary-changed`, or with \
                     `boundary_change_meant` in a request",
            )
        }
        PublishRefusal::Refused(refusal) => refusal.into(),
    }
}

pub(super) fn json<T: Serialize>(items: Vec<T>) -> Vec<serde_json::Value> {
    items.into_iter().filter_map(|item| serde_json::to_value(item).ok()).collect()
}
