//! Decision scenarios: readable files that say what must be allowed, asked for
//! or denied, and why. They test a bundle and this crate alike. Never enforces.

use bailiwick_model::bundle::BundleFiles;
use serde::Serialize;

/// What came of running scenario files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every case, in file order.
    pub cases: Vec<Case>,
    /// Files that could not be read as scenarios, with why.
    pub unreadable: Vec<crate::Finding>,
}

/// One call of one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// The file that it stands in.
    pub file: String,
    /// Scenario and call: `business hours / 18:01 write`.
    pub name: String,
    /// What differs from what was expected, as readable text; `None` if nothing does.
    pub difference: Option<String>,
}

impl Report {
    /// Cases that went as expected.
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.difference.is_none()).count()
    }

    /// Cases that did not, and files that could not be read.
    pub fn failed(&self) -> usize {
        self.cases.len() - self.passed() + self.unreadable.len()
    }
}

/// Runs every `policies/**/*.test.toml` of a bundle against that bundle.
pub fn run(files: &BundleFiles) -> Report {
    let _ = files;
    Report::default()
}

/// Runs one scenario file that carries its own policy.
pub fn run_file(path: &str, text: &str) -> Report {
    let _ = (path, text);
    Report::default()
}
