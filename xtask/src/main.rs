//! The project's own tasks: `cargo xtask tidy`, `ci`, `e2e`, `conformance`, `bench`, `fuzz`, `soak`, `tools`.
//!
//! Builds nothing of the product itself: it runs cargo and reads its answers.
//! It must not depend on any crate of ours, so that a broken tree can be checked.

mod bench;
mod ci;
mod conformance;
mod fuzz;
mod outcome;
mod say;
mod step;
mod tidy;
mod tools;

use std::{env, path::PathBuf, process::ExitCode};

use outcome::Failure;

const USAGE: &str = "\
usage: cargo xtask <task>

  tidy     check the budgets of STYLE.md, the crate map, paths, links and docs
  ci       install what the tests need, then check, build and test everything
  e2e      build the release binary and run the end-to-end tests
  conformance
           run the MCP project's conformance suite, directly, through the gateway and as its client
  fuzz     build the fuzz targets, and run each for five minutes or for the seconds given
  bench    measure everything that docs/performance.md tells, beside what it is compared with, and write it there;
           on a quiet machine, about ten minutes after the build; `--smoke` only shows that all of it runs
  soak     the long form of the tests: more property cases, 12,000 states after a power cut, kill -9 at every
           moment, end to end ten times, five minutes of each fuzz target; half a day
  tools    install the pinned tools of the end-to-end tests into `target/ci-tools`
";

fn main() -> ExitCode {
    let task = env::args().nth(1);
    let answer = match task.as_deref() {
        Some("tidy") => root().and_then(|root| tidy::run(&root)),
        Some("ci") => root().and_then(|root| ci::everything(&root)),
        Some("e2e") => root().and_then(|root| ci::end_to_end(&root)),
        Some("conformance") => root().and_then(|root| ci::conformance(&root)),
        Some("fuzz") => root().and_then(|root| ci::fuzz(&root, env::args().nth(2).as_deref())),
        Some("bench") => root().and_then(|root| {
            if env::args().any(|word| word == "--smoke") { ci::bench(&root) } else { bench::run(&root) }
        }),
        Some("soak") => root().and_then(|root| ci::soak(&root)),
        Some("tools") => root().and_then(|root| tools::install_end_to_end(&root)),
        Some("help" | "--help" | "-h") => {
            say::out(USAGE.trim_end());
            Ok(())
        }
        Some(other) => Err(Failure::new(format!("there is no task `{other}`\n\n{USAGE}"))),
        None => Err(Failure::new(USAGE)),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::Why(why)) => {
            say::err(format_args!("error: {}", why.trim_end()));
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root: the parent of this package's folder.
fn root() -> Result<PathBuf, Failure> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    manifest
        .and_then(|folder| folder.parent().map(PathBuf::from))
        .ok_or_else(|| Failure::new("run this as `cargo xtask`"))
}
