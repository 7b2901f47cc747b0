//! `conformance`: the suite of the MCP project against our own server, and
//! against the same server behind the gateway. Writes the table of
//! `docs/conformance.md`; what fell below the recorded floor fails.

mod report;
mod running;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    report::{Measured, Row},
    running::Running,
};
use crate::{
    outcome::{Failure, Tally},
    say,
    step::{cargo, command, works},
    tools,
};

/// What has to pass, and what may fail, where and in which revision. Raised with every repair, never lowered.
const FLOORS: [Floor; 4] = [
    Floor { place: Place::Direct, revision: "2025-11-25", passed: 83, failed: 0 },
    Floor { place: Place::Direct, revision: "2026-07-28", passed: 197, failed: 0 },
    Floor { place: Place::Through, revision: "2025-11-25", passed: 81, failed: 0 },
    Floor { place: Place::Through, revision: "2026-07-28", passed: 197, failed: 0 },
];

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

struct Floor {
    place: Place,
    revision: &'static str,
    passed: u64,
    failed: u64,
}

/// Builds, runs, writes the table and compares. The binary `bailiwick` of the release build must be there.
pub(crate) fn run(root: &Path) -> Result<Tally, Failure> {
    let suite = Suite::install(root)?;
    build(root)?;
    let server = Running::start(&mut command(root, program(root, "conformance-server"), &[]))?;
    let mut gateway = command(root, program(root, "conformance-gateway"), &[server.url()]);
    gateway.env("BAILIWICK_CI", "1").env("BAILIWICK_BIN", root.join("target/release/bailiwick"));
    let gateway = Running::start(&mut gateway)?;
    let mut rows = Vec::new();
    for Floor { place, revision, passed, failed } in &FLOORS {
        let url = match place {
            Place::Direct => server.url(),
            Place::Through => gateway.url(),
        };
        let measured = suite.run(root, *place, revision, url)?;
        let enough = measured.passed >= *passed && measured.failed <= *failed;
        rows.push(Row { place: place.name(), revision, measured, enough, floor: (*passed, *failed) });
    }
    gateway.end()?;
    report::write(root, &rows)?;
    say::out(report::table(&rows));
    let below = rows.iter().filter(|row| !row.enough);
    for row in below.clone() {
        say::err(format_args!("error: {}", row.complaint()));
    }
    Ok(Tally {
        passed: rows.iter().map(|row| row.measured.passed).sum(),
        failed: u64::try_from(below.count()).unwrap_or(u64::MAX),
    })
}

/// Both programs, as the tests build them.
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
    fn run(&self, root: &Path, place: Place, revision: &str, url: &str) -> Result<Measured, Failure> {
        say::err(format_args!("running {revision}, {}", place.name()));
        let results = root.join("target/conformance").join(place.folder()).join(revision);
        if results.exists() {
            fs::remove_dir_all(&results)?;
        }
        let mut run = command(root, &self.node, &[]);
        run.arg(&self.main).args(["server", "--url", url, "--requirements", revision, "--output-dir"]).arg(&results);
        // Its exit code tells of the scored scenarios alone; all that it measured is in its files.
        let output = run.output().map_err(|error| Failure::new(format!("the suite does not run: {error}")))?;
        fs::write(results.with_extension("log"), &output.stdout)?;
        let measured = Measured::read(&results)?;
        if measured.passed == 0 {
            return Err(Failure::new(format!(
                "the suite measured nothing:\n{}",
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        Ok(measured)
    }
}
