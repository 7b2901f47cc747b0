//! `ci`, `e2e`, `conformance`, `fuzz` and `soak`: which steps there are, in which order, and what each one counts.
//!
//! A failed step never hides the next one; the last line is always the sum.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    bench, conformance,
    fuzz::{self, Length},
    outcome::{Failure, Tally},
    say,
    step::{Steps, cargo, command, read, show, works},
    tidy, tools,
};

/// The crate whose tests drive the built binary.
const END_TO_END: &str = "bailiwick-testkit-broker";
/// Where a run leaves its last line for whoever started it.
const CLOSING_LINE: &str = "target/ci-closing-line";
/// Agents of the soak that come for one job at the same time, and go.
const SOAK_JOBS: &str = "1000";
/// Rounds of the end-to-end tests in the long form.
const SOAK_ROUNDS: u32 = 10;
/// Seconds per fuzz target in the long form.
const FUZZ_SECONDS: u32 = 300;
/// What makes a missing tool a failure of the tests that need it.
const IN_CI: &str = "BAILIWICK_CI";
/// How many states after a power cut are opened, and how many in the long form.
const STATES: &str = "BAILIWICK_CRASH_STATES";
const SOAK_STATES: &str = "12000";
/// Cases per property in the long form.
const SOAK_CASES: &str = "8192";

/// Checks, builds and tests everything: what has to be green before a change lands.
pub(crate) fn everything(root: &Path) -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.run("format", || plain(cargo(root, &["fmt", "--all", "--check"])));
    steps.run("tidy", || tidy::run(root).map(|()| Tally::default()));
    steps.run("clippy", || {
        plain(cargo(root, &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"]))
    });
    steps.run("dependencies", || dependencies(root));
    let tools = steps.run("tools of the end-to-end tests", || end_to_end_tools(root));
    steps.run("strace", || tools::install_strace(root).map(|()| Tally::default()));
    steps.run("tests", || tests(root, &format!("not package({END_TO_END})"), |command| command.env(IN_CI, "1")));
    steps.run("tests in documentation", || doc_tests(root));
    let built = steps.run("release binary", || release(root));
    match (tools, built) {
        (true, true) => {
            steps.run("end to end", || end_to_end_tests(root));
        }
        (false, _) => steps.skip("end to end", "its tools could not be installed"),
        (_, false) => steps.skip("end to end", "the binary could not be built"),
    }
    if built {
        steps.run("conformance", || conformance::run(root));
        steps.run("benches, briefly", || bench::smoke(root));
    } else {
        steps.skip("conformance", "the binary could not be built");
        steps.skip("benches, briefly", "the binary could not be built");
    }
    steps.run("fuzz targets, briefly", || fuzz::run(root, Length::Brief));
    close(root, steps)
}

/// The end-to-end tests alone.
pub(crate) fn end_to_end(root: &Path) -> Result<(), Failure> {
    let mut steps = Steps::default();
    let ready = steps.run("tools of the end-to-end tests", || end_to_end_tools(root))
        && steps.run("release binary", || release(root));
    if ready {
        steps.run("end to end", || end_to_end_tests(root));
    }
    close(root, steps)
}

/// The conformance suite alone.
pub(crate) fn conformance(root: &Path) -> Result<(), Failure> {
    let mut steps = Steps::default();
    // Whoever names a binary wants that one measured.
    if std::env::var_os("BAILIWICK_BIN").is_some() || steps.run("release binary", || release(root)) {
        steps.run("conformance", || conformance::run(root));
    }
    close(root, steps)
}

/// The fuzz targets alone, for some seconds each.
pub(crate) fn fuzz(root: &Path, seconds: Option<&str>) -> Result<(), Failure> {
    let seconds = match seconds.map(str::parse) {
        None => FUZZ_SECONDS,
        Some(Ok(seconds)) if seconds > 0 => seconds,
        Some(_) => return Err(Failure::new("usage: cargo xtask fuzz [SECONDS]")),
    };
    let mut steps = Steps::default();
    steps.run("fuzz targets", || fuzz::run(root, Length::Seconds(seconds)));
    close(root, steps)
}

/// The benches alone, briefly.
pub(crate) fn bench(root: &Path) -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.run("benches, briefly", || bench::smoke(root));
    close(root, steps)
}

/// The long form: many more cases per property, and the end-to-end tests again and again.
pub(crate) fn soak(root: &Path) -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.run("strace", || tools::install_strace(root).map(|()| Tally::default()));
    steps.run("tests, with many cases per property", || {
        tests(root, &format!("not package({END_TO_END})"), |command| {
            command.env("PROPTEST_CASES", SOAK_CASES).env(IN_CI, "1")
        })
    });
    steps.run(&format!("power cuts, {SOAK_STATES} states"), || {
        // Shown as it goes: each thousand states say so.
        tests(root, "package(bailiwick-store) & test(power_cut)", |command| {
            command.env(STATES, SOAK_STATES).env(IN_CI, "1").arg("--no-capture")
        })
    });
    let ready = steps.run("tools of the end-to-end tests", || end_to_end_tools(root))
        && steps.run("release binary", || release(root));
    if ready {
        steps.run("kill -9 at every moment", || {
            tests_of_release(root, &format!("package({END_TO_END}) & test(crashes::)"), |command| {
                command.env("BAILIWICK_CRASH_POINTS", "all").arg("--no-capture")
            })
        });
        for round in 1..=SOAK_ROUNDS {
            // Each round dies at other moments, of other runs.
            steps.run(&format!("end to end, {round} of {SOAK_ROUNDS}"), || {
                end_to_end_tests_with(root, |command| {
                    command.env("BAILIWICK_CRASH_SEED", round.to_string()).env("BAILIWICK_JOBS", SOAK_JOBS)
                })
            });
        }
    }
    steps.run("fuzz targets", || fuzz::run(root, Length::Seconds(FUZZ_SECONDS)));
    close(root, steps)
}

fn end_to_end_tools(root: &Path) -> Result<Tally, Failure> {
    tools::install_end_to_end(root).map(|()| Tally::default())
}

fn close(root: &Path, steps: Steps) -> Result<(), Failure> {
    let tally = steps.finish();
    fs::create_dir_all(root.join("target"))?;
    fs::write(root.join(CLOSING_LINE), format!("{tally}\n"))?;
    say::out(tally);
    if tally.failed == 0 { Ok(()) } else { Err(Failure::Told) }
}

fn plain(mut command: Command) -> Result<Tally, Failure> {
    show(&mut command).map(|()| Tally::default())
}

fn release(root: &Path) -> Result<Tally, Failure> {
    plain(cargo(root, &["build", "--release", "--locked", "--quiet", "--package", "bailiwick-cli"]))
}

/// Licences, duplicates and sources; advisories where their database can be reached.
fn dependencies(root: &Path) -> Result<Tally, Failure> {
    let deny = tools::cargo_tool(root, "cargo-deny")?;
    let mut checks = vec!["--locked", "--log-level", "warn", "check", "licenses", "bans", "sources"];
    if works(&mut command(root, "timeout", &["20", "git", "ls-remote", "--quiet", ADVISORIES, "HEAD"])) {
        checks.push("advisories");
    } else {
        say::loudly("advisories were NOT checked: their database cannot be reached from here");
    }
    plain(command(root, deny, &checks))
}

const ADVISORIES: &str = "https://github.com/rustsec/advisory-db";

fn end_to_end_tests(root: &Path) -> Result<Tally, Failure> {
    end_to_end_tests_with(root, |command| command)
}

fn end_to_end_tests_with(root: &Path, prepare: impl FnOnce(&mut Command) -> &mut Command) -> Result<Tally, Failure> {
    tests_of_release(root, &format!("package({END_TO_END})"), prepare)
}

fn tests_of_release(
    root: &Path,
    filter: &str,
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<Tally, Failure> {
    // In CI a missing binary or tool is a failure; elsewhere these tests say that they did not run.
    tests(root, filter, |command| {
        prepare(command)
            .env("BAILIWICK_BIN", root.join("target/release/bailiwick"))
            .env("BAILIWICK_CI_TOOLS", tools::servers(root))
            .env(IN_CI, "1")
    })
}

/// Runs the tests that `filter` selects. The whole workspace is built in either
/// case: selecting packages would build their dependencies with other features.
fn tests(root: &Path, filter: &str, prepare: impl FnOnce(&mut Command) -> &mut Command) -> Result<Tally, Failure> {
    let report = root.join("target/nextest/ci/junit.xml");
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let mut run = nextest(root)?;
    run.args(["nextest", "run", "--workspace", "--locked", "--profile", "ci", "--filterset", filter]);
    let answer = show(prepare(&mut run));
    let tally = tally(&fs::read_to_string(&report).unwrap_or_default());
    match (answer, tally) {
        (Ok(()), Some(tally)) => Ok(tally),
        (Err(_), Some(tally)) if tally.failed > 0 => Ok(tally),
        (Err(failure), _) => Err(failure),
        (Ok(()), None) => Err(Failure::new(format!("no report in {}", report.display()))),
    }
}

/// `cargo nextest` from the machine, else the pinned one.
fn nextest(root: &Path) -> Result<Command, Failure> {
    if works(&mut cargo(root, &["nextest", "--version"])) {
        return Ok(cargo(root, &[]));
    }
    let program: PathBuf = tools::cargo_tool(root, "cargo-nextest")?;
    Ok(command(root, OsString::from(program), &[]))
}

/// The sums in the head of a JUnit report: `<testsuites … tests="7" failures="1" errors="0">`.
fn tally(report: &str) -> Option<Tally> {
    let (_, from_head) = report.split_once("<testsuites")?;
    let (head, _) = from_head.split_once('>')?;
    let number = |name: &str| -> Option<u64> {
        let (_, rest) = head.split_once(&format!(" {name}=\""))?;
        rest.split_once('"')?.0.parse().ok()
    };
    let failed = number("failures")? + number("errors")?;
    Some(Tally { passed: number("tests")?.checked_sub(failed)?, failed })
}

fn doc_tests(root: &Path) -> Result<Tally, Failure> {
    let mut run = cargo(root, &["test", "--doc", "--workspace", "--locked", "--quiet"]);
    let told = read(&mut run)?;
    let passed = told.lines().filter_map(passed_in).sum();
    say::err(format_args!("{passed} passed"));
    Ok(Tally { passed, failed: 0 })
}

/// `test result: ok. 3 passed; 0 failed; …` gives 3.
fn passed_in(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("test result: ok. ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_come_from_the_head_of_the_report() {
        let head = r#"<?xml version="1.0"?><testsuites name="nextest-run" tests="9" failures="2" errors="1" uuid="x">"#;
        assert_eq!(tally(head), Some(Tally { passed: 6, failed: 3 }));
        assert_eq!(tally(""), None);
        assert_eq!(tally(r#"<testsuites tests="x" failures="0" errors="0">"#), None);
    }

    #[test]
    fn doc_tests_are_counted() {
        assert_eq!(passed_in("test result: ok. 3 passed; 0 failed; 0 ignored"), Some(3));
        assert_eq!(passed_in("running 3 tests"), None);
    }
}
