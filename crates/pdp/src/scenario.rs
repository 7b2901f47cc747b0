//! Decision scenarios: readable files that say what must be allowed, asked for
//! or denied, and why. They test a bundle and this crate alike. Never enforces.
//!
//! A scenario file has principals and calls; beside policies (`*.test.toml`) it
//! runs against its own bundle, elsewhere it carries systems, roles and policies
//! itself. Only what a call states is compared.

mod check;
mod file;
mod inline;
mod names;

use bailiwick_model::bundle::BundleFiles;
use serde::Serialize;

use self::file::ScenarioFile;
use crate::{finding::Finding, snapshot::Snapshot, strict_toml};

/// Calls of one scenario file.
pub const CALLS_MAX: usize = 10_000;

/// What came of running scenario files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every case, in file order.
    pub cases: Vec<Case>,
    /// What kept a file from being run at all.
    pub unreadable: Vec<Finding>,
}

/// One call of one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// The file that it stands in.
    pub file: String,
    /// Scenario and call: `business hours / write at 18:01`.
    pub name: String,
    /// What differs from what was expected, as readable text; `None` if nothing does.
    pub difference: Option<String>,
}

impl Report {
    /// Cases that went as expected.
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.difference.is_none()).count()
    }

    /// Cases that did not, and things that kept a file from being run.
    pub fn failed(&self) -> usize {
        self.cases.len() - self.passed() + self.unreadable.len()
    }

    fn extend(&mut self, other: Self) {
        self.cases.extend(other.cases);
        self.unreadable.extend(other.unreadable);
    }
}

impl std::fmt::Display for Report {
    /// Everything that failed, and one line that counts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for finding in &self.unreadable {
            writeln!(f, "{finding}\n")?;
        }
        for case in &self.cases {
            if let Some(difference) = &case.difference {
                writeln!(f, "{}: {}\n{difference}", case.file, case.name)?;
            }
        }
        write!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}

/// Runs every `policies/**/*.test.toml` of a bundle against that bundle.
pub fn run(files: &BundleFiles) -> Report {
    let tests: Vec<(&str, &[u8])> = files.under("policies").filter(|(path, _)| path.ends_with(".test.toml")).collect();
    let snapshot = match Snapshot::compile(files) {
        Ok(snapshot) => snapshot,
        Err(findings) => return Report { cases: Vec::new(), unreadable: findings },
    };
    let mut report = Report::default();
    for (path, bytes) in tests {
        report.extend(run_against(&snapshot, path, bytes));
    }
    report
}

/// Runs one scenario file against a compiled bundle; it may not carry policy of its own.
pub fn run_against(snapshot: &Snapshot, path: &str, bytes: &[u8]) -> Report {
    let file: ScenarioFile = match read(path, bytes) {
        Ok(file) => file,
        Err(finding) => return Report { cases: Vec::new(), unreadable: vec![finding] },
    };
    if file.carries_policy() {
        let finding =
            Finding::error("scenario-policy", path, "a test beside policies tests those, not policies of its own")
                .with_help("remove `systems`, `roles`, `policies`, `calendar` and `refused`");
        return Report { cases: Vec::new(), unreadable: vec![finding] };
    }
    cases(snapshot, path, bytes, &file)
}

/// Runs one scenario file that carries its own systems, roles and policies.
pub fn run_file(path: &str, bytes: &[u8]) -> Report {
    let unreadable = |findings: Vec<Finding>| Report { cases: Vec::new(), unreadable: findings };
    let file: ScenarioFile = match read(path, bytes) {
        Ok(file) => file,
        Err(finding) => return unreadable(vec![finding]),
    };
    let compiled = inline::bundle(path, &file).map_err(|finding| vec![finding]);
    match (compiled.and_then(|files| Snapshot::compile(&files)), file.refused.is_empty()) {
        (Ok(snapshot), true) => cases(&snapshot, path, bytes, &file),
        (Err(findings), true) => unreadable(findings),
        (compiled, false) => {
            Report { cases: vec![check::refusal(path, &file, compiled.err())], unreadable: Vec::new() }
        }
    }
}

/// The bundle that a scenario file carries.
pub fn bundle(path: &str, bytes: &[u8]) -> Result<BundleFiles, Finding> {
    inline::bundle(path, &strict_toml::parse(path, bytes)?)
}

fn read(path: &str, bytes: &[u8]) -> Result<ScenarioFile, Finding> {
    let file: ScenarioFile = strict_toml::parse(path, bytes)?;
    if file.calls.len() > CALLS_MAX {
        let message = format!("a scenario file makes at most {CALLS_MAX} calls");
        return Err(Finding::error("scenario-too-large", path, message));
    }
    if file.calls.is_empty() && file.refused.is_empty() {
        return Err(Finding::error("scenario-empty", path, "the file expects nothing").with_help("add `[[calls]]`"));
    }
    Ok(file)
}

fn cases(snapshot: &Snapshot, path: &str, bytes: &[u8], file: &ScenarioFile) -> Report {
    let unknown = names::check(snapshot, path, bytes, file);
    if !unknown.is_empty() {
        return Report { cases: Vec::new(), unreadable: unknown };
    }
    let mut report = Report::default();
    for (number, call) in (1..).zip(&file.calls) {
        let name = call.name.clone().unwrap_or_else(|| format!("call {number}"));
        let name = format!("{} / {name}", file.title);
        match check::call(snapshot, file, call) {
            Ok(difference) => report.cases.push(Case { file: path.to_owned(), name, difference }),
            Err(message) => {
                let finding = Finding::error("scenario-call", path, format!("{name}: {message}"));
                report.unreadable.push(finding);
            }
        }
    }
    report
}

#[cfg(test)]
mod tests;
