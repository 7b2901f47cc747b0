//! Bundles: systems, tools, roles, policies and their tests, all of them in one file of scenarios.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_pdp::{scenario, snapshot::Snapshot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    drop(scenario::run_file("fuzz.toml", data).to_string());
    let Ok(files) = scenario::bundle("fuzz.toml", data) else { return };
    match (Snapshot::compile(&files), Snapshot::compile(&files)) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.revision(), other.revision());
            assert_eq!(one.revision(), files.revision(), "a decision cites the very files that it was made by");
        }
        (Err(findings), Err(_)) => assert!(!findings.is_empty(), "refused without a word"),
        _ => panic!("compiled once, refused once"),
    }
});
