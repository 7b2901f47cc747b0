//! Runs every decision scenario of the repository.
#![expect(clippy::disallowed_methods, reason = "the crate is pure, its tests read the scenarios from disk")]

use std::path::{Path, PathBuf};

use bailiwick_pdp::scenario::{Report, run_file};

fn scenario_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scenario_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
}

#[test]
fn every_scenario_comes_out_as_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut files = Vec::new();
    scenario_files(&root, &mut files);
    files.sort();
    assert!(files.len() >= 15, "scenarios are missing: {files:?}");
    let mut failures = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        let report: Report = run_file(&name, &std::fs::read(&file).unwrap());
        assert!(!report.cases.is_empty() || report.failed() > 0, "{name} tests nothing");
        if report.failed() > 0 {
            failures.push(report.to_string());
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}
