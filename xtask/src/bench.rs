//! `bench`: everything that `docs/performance.md` tells, measured in one run, beside what it is compared with.
//!
//! Each program prints figures line by line and is killed when its time is up. What it said until then counts, and is
//! in `target/bench/lines.jsonl` at once; a row that is missing says why.

mod lines;
mod report;
mod tables;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use self::lines::Lines;
use crate::{
    outcome::{Failure, Tally},
    say,
    step::{cargo, command, read},
    tools,
};

/// What one program measures, and how long it may take. All together are less than eleven minutes.
struct Program {
    name: &'static str,
    time_max: Duration,
    what: What,
}

enum What {
    /// A bench of a package of ours.
    Bench(&'static str),
    /// A subject of the load program.
    Load(&'static str),
}

const fn program(name: &'static str, seconds: u64, what: What) -> Program {
    Program { name, time_max: Duration::from_secs(seconds), what }
}

const PROGRAMS: [Program; 7] = [
    program("decision", 110, What::Bench("decision")),
    program("intents", 60, What::Bench("intents")),
    program("gateway", 110, What::Load("gateway")),
    program("authzen", 80, What::Load("authzen")),
    program("tokens", 100, What::Load("tokens")),
    program("scale", 120, What::Load("scale")),
    program("catalogue", 80, What::Load("catalogue")),
];

/// Measures everything and writes the page.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let peers = Peers::install(root);
    let built = build(root, Profile::Dist)?;
    let lines = measure(root, &built, &peers, false)?;
    report::write(root, &lines)?;
    say::out(report::tables(&lines));
    say::out("written to docs/performance.md");
    Ok(())
}

/// Runs every bench briefly: that they run, and that what they say becomes tables. Says nothing about time.
pub(crate) fn smoke(root: &Path) -> Result<Tally, Failure> {
    let built = build(root, Profile::Release)?;
    let lines = measure(root, &built, &Peers::none(), true)?;
    let text = report::tables(&lines);
    say::out(&text);
    let wrong = report::gaps(&text);
    wrong.iter().for_each(|what| say::err(format_args!("error: {what}")));
    let failed = u64::try_from(wrong.len()).unwrap_or(u64::MAX);
    let all = u64::try_from(tables::TABLES.len()).unwrap_or_default();
    Ok(Tally { passed: all.saturating_sub(failed), failed })
}

/// What we are measured beside, where it could be installed.
struct Peers {
    mcp_proxy: Option<PathBuf>,
    node: Option<PathBuf>,
}

impl Peers {
    fn install(root: &Path) -> Self {
        let told = |name: &str, answer: Result<PathBuf, Failure>| match answer {
            Ok(path) => Some(path),
            Err(Failure::Why(why)) => {
                say::loudly(format_args!("{name} is not measured: {why}"));
                None
            }
            Err(Failure::Told) => None,
        };
        Self {
            mcp_proxy: told("mcp-proxy", tools::measured_tool(root, "mcp-proxy")),
            node: told("oidc-provider", tools::install_bench(root)),
        }
    }

    const fn none() -> Self {
        Self { mcp_proxy: None, node: None }
    }
}

/// What a release is built with, or what is built sooner.
#[derive(Clone, Copy)]
enum Profile {
    Dist,
    Release,
}

/// Builds everything at once, so that all of it shares what it is made of, and says where cargo put it.
fn build(root: &Path, profile: Profile) -> Result<Built, Failure> {
    let packages = ["bailiwick-cli", "bailiwick-bench", "bailiwick-pdp", "bailiwick-store"];
    let targets = ["--bin", "bailiwick", "--bin", "bailiwick-bench", "--bench", "decision", "--bench", "intents"];
    let profile = match profile {
        Profile::Dist => "dist",
        Profile::Release => "release",
    };
    let mut build = cargo(root, &["build", "--profile", profile, "--locked", "--quiet", "--message-format=json"]);
    build.args(packages.iter().flat_map(|package| ["--package", package])).args(targets);
    let told = read(&mut build)?;
    let artifacts = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executables = artifacts.filter_map(|one| {
        let name = one.pointer("/target/name")?.as_str()?.to_owned();
        Some((name, PathBuf::from(one.get("executable")?.as_str()?)))
    });
    Ok(Built(executables.collect()))
}

/// Where cargo put each program.
struct Built(BTreeMap<String, PathBuf>);

impl Built {
    fn path(&self, name: &str) -> Result<&Path, Failure> {
        let path = self.0.get(name).map(PathBuf::as_path);
        path.ok_or_else(|| Failure::new(format!("cargo does not say where `{name}` is")))
    }
}

fn measure(root: &Path, built: &Built, peers: &Peers, smoke: bool) -> Result<Lines, Failure> {
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder)?;
    let mut kept = fs::File::create(folder.join("lines.jsonl"))?;
    let mut lines = Lines::default();
    let started = Instant::now();
    for program in &PROGRAMS {
        say::err(format_args!("measuring {} ({:.0} s so far)", program.name, started.elapsed().as_secs_f64()));
        let mut run = start(root, built, peers, program, smoke)?;
        let ended = follow(&mut run, program.time_max, |line| {
            lines.add(line);
            writeln!(kept, "{line}")
        });
        if let Err(Failure::Why(why)) = ended {
            say::loudly(format_args!("{}: {why}", program.name));
            lines.ended_early(program.name, &why);
        }
    }
    Ok(lines)
}

fn start(root: &Path, built: &Built, peers: &Peers, program: &Program, smoke: bool) -> Result<Child, Failure> {
    let mut run = match &program.what {
        What::Bench(bench) => {
            let mut run = command(root, built.path(bench)?, &["--lines"]);
            run.env("BAILIWICK_BENCH_DISK", root.join("target/bench"));
            run
        }
        What::Load(subject) => command(root, built.path("bailiwick-bench")?, &[subject]),
    };
    run.env("BAILIWICK_BIN", built.path("bailiwick")?).env("TMPDIR", root.join("target/bench"));
    run.env("BAILIWICK_BENCH_MCP_PROXY_VERSION", tools::version(root, "mcp-proxy")?);
    for (variable, place) in [("BAILIWICK_BENCH_MCP_PROXY", &peers.mcp_proxy), ("BAILIWICK_BENCH_NODE", &peers.node)] {
        if let Some(place) = place {
            run.env(variable, place);
        }
    }
    if smoke {
        run.arg("--smoke");
    }
    // A group of its own, so that whatever it started ends with it.
    let started = run.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn();
    started.map_err(|error| Failure::new(format!("cannot run {}: {error}", program.name)))
}

/// Hands on each line of a program, and ends it when its time is up.
fn follow(
    run: &mut Child,
    time_max: Duration,
    mut each: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let until = Instant::now() + time_max;
    let (tell, told) = mpsc::channel();
    if let Some(output) = run.stdout.take() {
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
    }
    let ended = loop {
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => each(&line)?,
            Err(mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    let status = if ended { Some(run.wait()?) } else { None };
    let group = format!("-{}", run.id());
    drop(Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status());
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Failure::new(format!("it ended with {status}"))),
        None => {
            run.wait()?;
            Err(Failure::new(format!("it was not done after {} s", time_max.as_secs())))
        }
    }
}
