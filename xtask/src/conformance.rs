//! `conformance`: the suite of the MCP project against our own server, against
//! the same server behind the gateway, as the server of our upstream client, and
//! against the broker as authorization server. Writes the tables of `docs/conformance.md`; any other count than the recorded
//! one fails, and so do tables that were out of date.

mod authorization;
mod client;
mod report;
mod running;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use self::{
    client::Played,
    report::{CLIENT, Measured, Row},
    running::Running,
};
use crate::{
    outcome::{Failure, Tally},
    say,
    step::{cargo, command, read, works},
    tools,
};

/// How many checks pass, where and in which revision. None fails.
const EXPECTED: [Expected; 4] = [
    Expected { place: Place::Direct, revision: "2025-11-25", passed: 83 },
    Expected { place: Place::Direct, revision: "2026-07-28", passed: 197 },
    Expected { place: Place::Through, revision: "2025-11-25", passed: 83 },
    Expected { place: Place::Through, revision: "2026-07-28", passed: 197 },
];
const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];
/// How long the suite waits for our client, which starts a whole broker.
const CLIENT_TIME_MAX_MS: &str = "90000";

/// Where the suite is pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Our server itself.
    Direct,
    /// The gateway before it.
    Through,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Through => "through the gateway",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Through => "through",
        }
    }
}

struct Expected {
    place: Place,
    revision: &'static str,
    passed: u64,
}

/// The broker that is measured: of the release build, unless `BAILIWICK_BIN` names another.
fn broker(root: &Path) -> PathBuf {
    env::var_os("BAILIWICK_BIN").map_or_else(|| root.join("target/release/bailiwick"), PathBuf::from)
}

/// Builds, runs, writes the tables and compares. The binary `bailiwick` must be there.
pub(crate) fn run(root: &Path) -> Result<Tally, Failure> {
    let suite = Suite::install(root)?;
    build(root)?;
    let server = Running::start(&mut command(root, program(root, "conformance-server"), &[]))?;
    let mut gateway = command(root, program(root, "conformance-gateway"), &[server.url()]);
    gateway.env("BAILIWICK_CI", "1").env("BAILIWICK_BIN", broker(root));
    let gateway = Running::start(&mut gateway)?;
    let mut rows = Vec::new();
    for Expected { place, revision, passed } in &EXPECTED {
        let url = match place {
            Place::Direct => server.url(),
            Place::Through => gateway.url(),
        };
        let measured = suite.server(root, *place, revision, url)?;
        rows.push(Row { place: place.name(), revision, scenario: None, measured, expected: *passed });
    }
    gateway.end()?;
    // A user signs in there, at a real browser.
    tools::install_browser(root)?;
    let mut issuer = command(root, program(root, "conformance-authorization"), &[]);
    issuer.env("BAILIWICK_CI", "1").env("BAILIWICK_BIN", broker(root));
    let mut issuer = Running::start(&mut issuer)?;
    for (revision, passed) in authorization::EXPECTED {
        say::err(format_args!("running {revision}, {}", authorization::PLACE));
        let results = root.join("target/conformance/authorization").join(revision);
        let measured = authorization::measure(suite.command(root), revision, &mut issuer, &results)?;
        rows.push(Row { place: authorization::PLACE, revision, scenario: None, measured, expected: passed });
    }
    issuer.end()?;
    let mut left_out = Vec::new();
    for revision in REVISIONS {
        left_out.extend(client::left_out(revision, &suite.listing(root, revision)?)?);
    }
    for Played { revision, scenario, passed } in &client::PLAYED {
        let measured = suite.client(root, revision, scenario)?;
        rows.push(Row { place: CLIENT, revision, scenario: Some(scenario), measured, expected: *passed });
    }
    let current = report::write(root, &rows, &left_out)?;
    say::out(report::tables(&rows, &left_out));
    let other: Vec<&Row> = rows.iter().filter(|row| !row.is_as_expected()).collect();
    for row in &other {
        say::err(format_args!("error: {}", row.complaint()));
    }
    if !current {
        say::err("error: the tables of docs/conformance.md were out of date; they are written anew: commit them");
    }
    Ok(Tally {
        passed: rows.iter().map(|row| row.measured.passed).sum(),
        failed: u64::try_from(other.len()).unwrap_or(u64::MAX) + u64::from(!current),
    })
}

/// All programs, as the tests build them.
fn build(root: &Path) -> Result<(), Failure> {
    let packages = ["--package", "bailiwick-testkit-mcp", "--package", "bailiwick-testkit-broker"];
    let mut build = cargo(root, &["build", "--locked", "--quiet", "--bins"]);
    crate::step::show(build.args(packages))
}

fn program(root: &Path, name: &str) -> PathBuf {
    root.join("target/debug").join(name)
}

/// The installed suite, with the Node.js that it needs.
struct Suite {
    node: PathBuf,
    main: PathBuf,
}

impl Suite {
    fn install(root: &Path) -> Result<Self, Failure> {
        let folder = tools::install_conformance(root)?.join("node_modules");
        let suite = Self {
            node: folder.join("node/bin/node"),
            main: folder.join("@modelcontextprotocol/conformance/dist/index.js"),
        };
        if works(&mut command(root, &suite.node, &["--version"])) {
            Ok(suite)
        } else {
            Err(Failure::new(format!("`{}` does not run", suite.node.display())))
        }
    }

    /// One revision's scenarios, scored or not, against one endpoint.
    fn server(&self, root: &Path, place: Place, revision: &str, url: &str) -> Result<Measured, Failure> {
        say::err(format_args!("running {revision}, {}", place.name()));
        let results = root.join("target/conformance").join(place.folder()).join(revision);
        let mut run = self.command(root);
        run.args(["server", "--url", url, "--requirements", revision]);
        measure(&mut run, &results)
    }

    /// One scenario of one revision, with our client before the suite's server.
    fn client(&self, root: &Path, revision: &str, scenario: &str) -> Result<Measured, Failure> {
        say::err(format_args!("running {revision}, client, {scenario}"));
        let results = root.join("target/conformance/client").join(revision).join(scenario);
        let program = program(root, "conformance-client");
        let mut run = self.command(root);
        run.env("BAILIWICK_CI", "1").env("BAILIWICK_BIN", broker(root)).arg("client").arg("--command").arg(program);
        run.args(["--scenario", scenario, "--spec-version", revision, "--timeout", CLIENT_TIME_MAX_MS]);
        measure(&mut run, &results)
    }

    /// Everything that the suite has for a revision.
    fn listing(&self, root: &Path, revision: &str) -> Result<String, Failure> {
        read(self.command(root).args(["list", "--requirements", revision]))
    }

    fn command(&self, root: &Path) -> Command {
        let mut run = command(root, &self.node, &[]);
        run.arg(&self.main);
        run
    }
}

/// Runs the suite and reads what it measured. Its exit code tells of the scored scenarios alone; all that it measured is
/// in its files.
fn measure(run: &mut Command, results: &Path) -> Result<Measured, Failure> {
    if results.exists() {
        fs::remove_dir_all(results)?;
    }
    fs::create_dir_all(results)?;
    let output = run.arg("--output-dir").arg(results).output();
    let output = output.map_err(|error| Failure::new(format!("the suite does not run: {error}")))?;
    let told = [output.stdout, output.stderr].concat();
    fs::write(results.with_extension("log"), &told)?;
    let measured = Measured::read(results)?;
    if measured.passed == 0 {
        return Err(Failure::new(format!("the suite measured nothing:\n{}", String::from_utf8_lossy(&told))));
    }
    Ok(measured)
}
