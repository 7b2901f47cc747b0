//! `bailiwick policy`: compile, test, publish, roll back. Validation and tests need no server.

mod suggest;

use std::{collections::BTreeMap, path::Path};

use bailiwick_model::bundle::BundleFiles;
use bailiwick_pdp::{
    finding::{Finding, Severity},
    lint, scenario,
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

/// Characters of a digest in a table: `sha256:` and enough to tell bundles apart; `rollback` takes them too.
const REVISION_CHARACTERS: usize = 19;

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Policy, output: &Output) -> Result<Exit, Failure> {
    match ask {
        Policy::Validate => Ok(validated(&bundle(arguments)?).print(output)),
        Policy::Lint => Ok(linted(&bundle(arguments)?).print(output)),
        Policy::Test => Ok(tested(&bundle(arguments)?).print(output)),
        Policy::Publish { dry_run: true, .. } => {
            let files = bundle(arguments)?;
            let (validated, tested) = (validated(&files), tested(&files));
            let both = json!({"validation": validated.document, "tests": tested.document});
            let invalid = validated.exit != Exit::Done;
            output.document(&both, |_| match invalid {
                true => validated.page.clone(),
                false => format!("{}\n{}", validated.page, tested.page),
            });
            Ok(if invalid { validated.exit } else { tested.exit })
        }
        Policy::Publish { boundary_changed, dry_run: false } => {
            let door = door(arguments).await?;
            let answer = publish_folder(&door, &config(arguments)?.folder, *boundary_changed).await?;
            output.document(&answer, |answer| {
                format!(
                    "bundle {} is active, {}",
                    text(answer, "/revision"),
                    passed(answer.get("tests_passed").and_then(Value::as_u64).unwrap_or(0))
                )
            });
            for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
                output.note(&finding(warning));
            }
            Ok(Exit::Done)
        }
        Policy::Rollback { revision, boundary_changed } => {
            let door = door(arguments).await?;
            let revision = whole_revision(&door, revision).await?;
            let body = json!({"revision": revision, "boundary_change_meant": boundary_changed});
            let answer = door.change("/api/v1/policy/rollback", &body).await?;
            output.document(&answer, |answer| format!("bundle {} is active again", text(answer, "/revision")));
            Ok(Exit::Done)
        }
        Policy::Suggest(ask) => suggest::run(arguments, ask, output).await,
        Policy::Revisions => revisions(&door(arguments).await?, output).await,
        Policy::Schema => {
            let snapshot = Snapshot::compile(&bundle(arguments)?).map_err(|findings| invalid(&findings, output))?;
            output.document(&json!({"cedar_schema": snapshot.cedar_schema()}), |_| snapshot.cedar_schema().to_owned());
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

/// What a look at the bundle came to: for programs, for people, for scripts.
struct Looked {
    document: Value,
    page: String,
    exit: Exit,
}

impl Looked {
    fn print(self, output: &Output) -> Exit {
        output.document(&self.document, |_| self.page);
        self.exit
    }
}

fn validated(files: &BundleFiles) -> Looked {
    let (findings, valid) = match Snapshot::compile(files) {
        Ok(snapshot) => (lint(&snapshot), true),
        Err(findings) => (findings, false),
    };
    let document = json!({"revision": files.revision().to_string(), "valid": valid, "findings": findings});
    let mut lines = told(&findings);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    lines.push(if valid {
        format!("bundle {} is valid, {}", files.revision().short(), count(findings.len(), "warning"))
    } else {
        format!("bundle {} is not valid: {}", files.revision().short(), count(errors, "error"))
    });
    Looked { document, page: lines.join("\n"), exit: if valid { Exit::Done } else { Exit::PolicyInvalid } }
}

/// As `validated`, and whatever is found fails: a program that checks changes wants to stop there.
fn linted(files: &BundleFiles) -> Looked {
    let (findings, valid) = match Snapshot::compile(files) {
        Ok(snapshot) => (lint(&snapshot), true),
        Err(findings) => (findings, false),
    };
    let clean = findings.is_empty();
    let document = json!({
        "revision": files.revision().to_string(), "valid": valid, "clean": clean, "findings": findings,
    });
    let mut lines = told(&findings);
    lines.push(match clean {
        true => format!("bundle {} is clean", files.revision().short()),
        false => format!("bundle {}: {}", files.revision().short(), count(findings.len(), "finding")),
    });
    Looked { document, page: lines.join("\n"), exit: if clean { Exit::Done } else { Exit::PolicyInvalid } }
}

/// Findings as text. The same slip shows once for each action that a policy rules on; once is enough here, and
/// `--output json` has them all.
fn told(findings: &[Finding]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = findings;
    while let Some((first, others)) = rest.split_first() {
        let place = |finding: &Finding| (finding.code, finding.file.clone(), finding.line);
        let like = others.iter().take_while(|other| first.line.is_some() && place(other) == place(first)).count();
        lines.push(first.to_string());
        // One more is as short as saying so.
        let skipped = if like > 1 { like } else { 0 };
        if skipped > 0 {
            lines.push(format!("and {skipped} more like it on this line"));
        }
        rest = others.get(skipped..).unwrap_or_default();
    }
    lines
}

fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

fn passed(tests: u64) -> String {
    match tests {
        0 => "without tests".to_owned(),
        1 => "1 test passed".to_owned(),
        tests => format!("{tests} tests passed"),
    }
}

fn tested(files: &BundleFiles) -> Looked {
    let report = scenario::run(files);
    let failed = report.failed();
    let document = serde_json::to_value(&report).unwrap_or_default();
    let mut lines = Vec::new();
    for case in &report.cases {
        match &case.difference {
            None => lines.push(format!("ok      {}", case.name)),
            Some(difference) => lines.push(format!("FAILED  {} ({})\n{difference}", case.name, case.file)),
        }
    }
    lines.extend(report.unreadable.iter().map(ToString::to_string));
    lines.push(format!("{} passed, {failed} failed", report.passed()));
    Looked { document, page: lines.join("\n"), exit: if failed == 0 { Exit::Done } else { Exit::PolicyInvalid } }
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
                    text(row, "/revision").chars().take(REVISION_CHARACTERS).collect(),
                    if row.get("active").and_then(Value::as_bool) == Some(true) { "yes" } else { "" }.to_owned(),
                    minute(&text(row, "/published_at")),
                    text(row, "/published_by"),
                    text(row, "/boundary").chars().take(REVISION_CHARACTERS).collect(),
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
