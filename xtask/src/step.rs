//! Steps: a heading, a command, the time it took. Every command that a task runs goes through here.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::{
    outcome::{Failure, Tally},
    say,
};

/// The steps of one run, in order, each with its time.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration, bool)>,
    tally: Tally,
}

impl Steps {
    /// Runs one step under its heading. A failed step is remembered, and the next one still runs.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Tally, Failure>) -> bool {
        say::err(format_args!("\n=== {name}"));
        let start = Instant::now();
        let answer = step();
        let passed = match answer {
            Ok(tally) => {
                self.tally += tally;
                tally.failed == 0
            }
            Err(failure) => {
                self.tally.failed += 1;
                if let Failure::Why(why) = failure {
                    say::err(format_args!("error: {why}"));
                }
                false
            }
        };
        let took = start.elapsed();
        say::err(format_args!("--- {name}: {} in {:.1} s", word(passed), took.as_secs_f64()));
        self.done.push((name.to_owned(), took, passed));
        passed
    }

    /// Remembers a step that could not run because an earlier one failed.
    pub(crate) fn skip(&mut self, name: &str, because: &str) {
        say::loudly(format_args!("{name}: not run, because {because}"));
        self.tally.failed += 1;
        self.done.push((name.to_owned(), Duration::ZERO, false));
    }

    /// The table of all steps, and the sum of all tests.
    pub(crate) fn finish(self) -> Tally {
        say::err("\n=== all steps");
        for (name, took, passed) in &self.done {
            say::err(format_args!("{:>8.1} s  {:<6}  {name}", took.as_secs_f64(), word(*passed)));
        }
        let total: Duration = self.done.iter().map(|(_, took, _)| *took).sum();
        say::err(format_args!("{:>8.1} s  in all", total.as_secs_f64()));
        self.tally
    }
}

fn word(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}

/// A command in the workspace's root.
pub(crate) fn command(root: &Path, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root).args(arguments).stdin(Stdio::null());
    command
}

/// Cargo itself, the one that runs this task.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    command(root, cargo, arguments)
}

/// Runs a command with its output shown.
pub(crate) fn show(command: &mut Command) -> Result<(), Failure> {
    let name = told(command);
    let status = command.status().map_err(|error| Failure::new(format!("cannot run {name}: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{name} ended with {status}"))) }
}

/// Runs a command and gives what it printed; what it says on stderr is shown only if it fails.
pub(crate) fn read(command: &mut Command) -> Result<String, Failure> {
    let name = told(command);
    let Output { status, stdout, stderr } =
        command.output().map_err(|error| Failure::new(format!("cannot run {name}: {error}")))?;
    if status.success() {
        String::from_utf8(stdout).map_err(|_| Failure::new(format!("{name} printed something that is not text")))
    } else {
        Err(Failure::new(format!("{name} ended with {status}\n{}", String::from_utf8_lossy(&stderr))))
    }
}

/// Whether a command runs and succeeds; what it prints is nobody's business.
pub(crate) fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn told(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", line.join(" "))
}
