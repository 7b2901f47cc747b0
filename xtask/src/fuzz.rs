//! Runs every fuzz target from its seeds. No sanitizer: the workspace forbids `unsafe`, so the compiler's
//! own checks and each target's assertions are what can fail, and a stable compiler builds it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    outcome::{Failure, Tally},
    say,
    step::{command, show},
    tools,
};

/// Where targets and seeds lie.
const ROOM: &str = "crates/fuzz";

/// Inputs per target in the short form, unless its seconds are over before.
const BRIEF_RUNS: u32 = 20_000;
/// Seconds per target in the short form.
const BRIEF_SECONDS: u32 = 10;

/// How long each target runs.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    /// The seeds, and some inputs made from them.
    Brief,
    /// Seconds per target, from whatever earlier runs found.
    Seconds(u32),
}

/// Builds all targets, runs each, and counts those that nothing surprised.
pub(crate) fn run(root: &Path, length: Length) -> Result<Tally, Failure> {
    show(&mut cargo_fuzz(root, "build")?)?;
    let mut tally = Tally::default();
    for target in targets(root)? {
        match target_run(root, &target, length) {
            Ok(()) => tally.passed += 1,
            Err(failure) => {
                say::err(format_args!("fuzz target `{target}`: {failure:?}"));
                tally.failed += 1;
            }
        }
    }
    Ok(tally)
}

fn target_run(root: &Path, target: &str, length: Length) -> Result<(), Failure> {
    let found = root.join("target/fuzz").join(target);
    let keep = matches!(length, Length::Seconds(_));
    let corpus = found.join(if keep { "corpus" } else { "smoke" });
    if !keep && corpus.exists() {
        fs::remove_dir_all(&corpus)?;
    }
    fs::create_dir_all(&corpus)?;
    let mut run = cargo_fuzz(root, "run")?;
    run.arg(target).arg(corpus).args(seeds(root, target));
    let length = match length {
        Length::Brief => [format!("-runs={BRIEF_RUNS}"), format!("-max_total_time={BRIEF_SECONDS}")],
        Length::Seconds(seconds) => ["-runs=-1".to_owned(), format!("-max_total_time={seconds}")],
    };
    run.arg("--").args(length).args(["-seed=1", "-max_len=8192", "-timeout=30", "-rss_limit_mb=2048", "-verbosity=0"]);
    run.arg(format!("-artifact_prefix={}/", found.display()));
    show(&mut run)
}

fn cargo_fuzz(root: &Path, verb: &str) -> Result<Command, Failure> {
    let program = tools::cargo_tool(root, "cargo-fuzz")?;
    let mut run = command(root, program, &[verb, "--dev", "--sanitizer", "none", "--fuzz-dir", ROOM]);
    // Halfway between minutes of compiling and seconds per bundle.
    run.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    Ok(run)
}

/// The targets, by the names of their files.
fn targets(root: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(ROOM).join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Folders of honest and of once surprising inputs; the scenarios are those of bundles.
fn seeds(root: &Path, target: &str) -> Vec<PathBuf> {
    let own = root.join(ROOM).join("seeds").join(target);
    let shared = (target == "bundle").then(|| root.join("scenarios"));
    [Some(own), shared].into_iter().flatten().filter(|folder| folder.is_dir()).collect()
}
