//! The suite's authorization mode: the broker as the authorization server, a user who opens what the suite prints and
//! agrees, and a door that signs for the suite's client, which has no key.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use super::{report::Measured, running::Running};
use crate::outcome::Failure;

/// The place of the broker where it is the authorization server.
pub(super) const PLACE: &str = "as authorization server";
/// How many checks pass at each revision. None fails.
pub(super) const EXPECTED: [(&str, u64); 2] = [("2025-11-25", 3), ("2026-07-28", 3)];
/// Runs one revision. `suite` is its command without arguments, `broker` the program that opens URLs.
pub(super) fn measure(
    mut suite: Command,
    revision: &str,
    broker: &mut Running,
    results: &Path,
) -> Result<Measured, Failure> {
    if results.exists() {
        fs::remove_dir_all(results)?;
    }
    fs::create_dir_all(results)?;
    let issuer = broker.url().to_owned();
    // Free until now: the suite listens there for its user.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    suite.args(["authorization", "--url", &issuer, "--client-id", "suite-1", "--spec-version", revision]);
    suite.args(["--resource", &format!("{issuer}/mcp/suite"), "--port", &port.to_string()]);
    suite.arg("--output-dir").arg(results).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut running = suite.spawn().map_err(|error| Failure::new(format!("the suite does not run: {error}")))?;
    let mut told = String::new();
    if let Some(output) = running.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            if line.starts_with(&format!("{issuer}/oauth/authorize?")) {
                broker.tell(&line)?;
            }
            told.push_str(&line);
            told.push('\n');
        }
    }
    running.wait()?;
    fs::write(results.with_extension("log"), &told)?;
    let measured = Measured::read(results)?;
    if measured.passed == 0 { Err(Failure::new(format!("the suite measured nothing:\n{told}"))) } else { Ok(measured) }
}
