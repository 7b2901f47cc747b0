//! `bailiwick policy`: compile, test, publish, roll back. Validation and tests need no server.

use std::{collections::BTreeMap, path::Path};

use bailiwick_model::bundle::BundleFiles;
use bailiwick_pdp::{
    finding::{Finding, Severity},
    scenario,
    snapshot::Snapshot,
};
use bailiwick_server::init::read_bundle;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{agents::minute, config, door};
use crate::{
    arguments::{Arguments, Policy},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, finding, table, text},
};

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Policy, output: &Output) -> Result<Exit, Failure> {
    match ask {
        Policy::Validate => validate(&bundle(arguments)?, output),
        Policy::Test => test(&bundle(arguments)?, output),
        Policy::Publish { dry_run: true, .. } => {
            let files = bundle(arguments)?;
            let validated = validate(&files, output)?;
            if validated == Exit::Done { test(&files, output) } else { Ok(validated) }
        }
        Policy::Publish { boundary_changed, dry_run: false } => {
            let door = door(arguments).await?;
            let answer = publish_folder(&door, &config(arguments)?.folder, *boundary_changed).await?;
            output.document(&answer, |answer| {
                format!(
                    "bundle {} is active, {} tests passed",
                    text(answer, "/revision"),
                    text(answer, "/tests_passed")
                )
            });
            for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
                output.note(&finding(warning));
            }
            Ok(Exit::Done)
        }
        Policy::Rollback { revision } => {
            let door = door(arguments).await?;
            let revision = whole_revision(&door, revision).await?;
            let answer = door.change("/api/v1/policy/rollback", &json!({"revision": revision})).await?;
            output.document(&answer, |answer| format!("bundle {} is active again", text(answer, "/revision")));
            Ok(Exit::Done)
        }
        Policy::Revisions => revisions(&door(arguments).await?, output).await,
        Policy::Schema => {
            let snapshot = Snapshot::compile(&bundle(arguments)?).map_err(|findings| invalid(&findings, output))?;
            output.data(snapshot.cedar_schema());
            Ok(Exit::Done)
        }
    }
}

fn bundle(arguments: &Arguments) -> Result<BundleFiles, Failure> {
    // The folder is all that is needed: a bundle is validated where there is no installation, too.
    let folder = arguments.config.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = read_bundle(folder).map_err(|error| Failure::new(error.to_string()))?;
    if files.iter().next().is_none() {
        return Err(Failure::new(format!("`{}` holds no `policies`, `roles` or `systems`", folder.display()))
            .hint("name the installation with `--config FILE`"));
    }
    Ok(files)
}

fn validate(files: &BundleFiles, output: &Output) -> Result<Exit, Failure> {
    let (findings, valid) = match Snapshot::compile(files) {
        Ok(snapshot) => (snapshot.warnings().to_vec(), true),
        Err(findings) => (findings, false),
    };
    let document = json!({"revision": files.revision().to_string(), "valid": valid, "findings": findings});
    output.document(&document, |_| {
        let mut lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        lines.push(if valid {
            format!("bundle {} is valid, {} warnings", files.revision().short(), findings.len())
        } else {
            format!("bundle {} is not valid: {errors} errors", files.revision().short())
        });
        lines.join("\n")
    });
    Ok(if valid { Exit::Done } else { Exit::PolicyInvalid })
}

fn test(files: &BundleFiles, output: &Output) -> Result<Exit, Failure> {
    let report = scenario::run(files);
    let failed = report.failed();
    let document = serde_json::to_value(&report).unwrap_or_default();
    output.document(&document, |_| {
        let mut lines = Vec::new();
        for case in &report.cases {
            match &case.difference {
                None => lines.push(format!("ok      {}", case.name)),
                Some(difference) => lines.push(format!("FAILED  {} ({})\n{difference}", case.name, case.file)),
            }
        }
        lines.extend(report.unreadable.iter().map(ToString::to_string));
        lines.push(format!("{} passed, {failed} failed", report.passed()));
        lines.join("\n")
    });
    Ok(if failed == 0 { Exit::Done } else { Exit::PolicyInvalid })
}

/// Publishes the bundle of a folder.
pub(crate) async fn publish_folder(door: &Door, folder: &Path, boundary_changed: bool) -> Result<Value, Failure> {
    let files = read_bundle(folder).map_err(|error| Failure::new(error.to_string()))?;
    let files: BTreeMap<&str, String> = files.iter().map(|(path, bytes)| (path, STANDARD.encode(bytes))).collect();
    let body = json!({"files": files, "boundary_change_meant": boundary_changed});
    door.change("/api/v1/policy/publish", &body).await
}

fn invalid(findings: &[Finding], output: &Output) -> Failure {
    for finding in findings {
        output.note(&finding.to_string());
    }
    Failure::new("the bundle is not valid").exit(Exit::PolicyInvalid)
}

async fn revisions(door: &Door, output: &Output) -> Result<Exit, Failure> {
    let listed = door.read("/api/v1/policy/revisions").await?;
    output.document(&listed, |listed| {
        let rows = listed.get("revisions").and_then(Value::as_array).cloned().unwrap_or_default();
        table(
            ["revision", "active", "published", "by", "boundary"],
            rows.iter().map(|row| {
                [
                    text(row, "/revision"),
                    if row.get("active").and_then(Value::as_bool) == Some(true) { "yes" } else { "" }.to_owned(),
                    minute(&text(row, "/published_at")),
                    text(row, "/published_by"),
                    text(row, "/boundary").chars().take(19).collect(),
                ]
            }),
        )
    });
    Ok(Exit::Done)
}

/// Completes a shortened revision from the published ones.
async fn whole_revision(door: &Door, part: &str) -> Result<String, Failure> {
    let listed = door.read("/api/v1/policy/revisions").await?;
    let rows = listed.get("revisions").and_then(Value::as_array).cloned().unwrap_or_default();
    let digits = part.strip_prefix("sha256:").unwrap_or(part);
    let fits: Vec<String> = rows
        .iter()
        .map(|row| text(row, "/revision"))
        .filter(|revision| !digits.is_empty() && revision.trim_start_matches("sha256:").starts_with(digits))
        .collect();
    match fits.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(format!("no published bundle starts with `{part}`"))
            .hint("`bailiwick policy revisions` lists them")),
        _ => Err(Failure::new(format!("several published bundles start with `{part}`")).hint("give more digits")),
    }
}
