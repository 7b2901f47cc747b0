//! `bailiwick doctor`: looks at everything, changes nothing, says how to fix what is wrong.

mod probe;

use std::{net::SocketAddr, os::unix::fs::MetadataExt as _, path::Path};

use bailiwick_pdp::snapshot::Snapshot;
use bailiwick_server::{
    config::Config,
    init::read_bundle,
    wiring::{key_files, log_key_file},
};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::agents::minute;
use crate::{
    arguments::Arguments,
    door::Door,
    exit::{Exit, Failure},
    output::{Output, text},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Mark {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, serde::Serialize)]
struct Line {
    mark: Mark,
    what: String,
    fix: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Line>);

impl Findings {
    fn ok(&mut self, what: impl Into<String>) {
        self.0.push(Line { mark: Mark::Ok, what: what.into(), fix: None });
    }

    fn warn(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Line { mark: Mark::Warn, what: what.into(), fix: Some(fix.into()) });
    }

    fn fail(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Line { mark: Mark::Fail, what: what.into(), fix: Some(fix.into()) });
    }
}

/// How clients' connections are probed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probing {
    /// Whether what is observed is no problem.
    pub(crate) accept_observed: bool,
}

/// Runs every check. Exit code 8 when one fails.
pub(crate) async fn run(arguments: &Arguments, probing: Option<Probing>, output: &Output) -> Result<Exit, Failure> {
    let mut findings = Findings::default();
    let config = Config::read(&arguments.config, None);
    match &config {
        Err(error) => {
            let fix = error.hint.clone().unwrap_or_else(|| "correct the file".to_owned());
            findings.fail(error.to_string(), fix);
        }
        Ok(config) => {
            configuration(config, &mut findings);
            keys(config, &mut findings);
            store(config, &mut findings);
            bundle(config, &mut findings);
            running(config, &mut findings).await;
        }
    }
    let mut connections = Vec::new();
    if let Some(probing) = probing {
        connections = probe::run(config.ok().as_ref()).await?;
        probed(&connections, probing, &mut findings);
    }
    let failed = findings.0.iter().any(|line| line.mark == Mark::Fail);
    output.document(&json!({"problems": failed, "lines": findings.0, "connections": connections}), |_| {
        let lines = findings.0.iter().map(|line| {
            let mark = match line.mark {
                Mark::Ok => "OK  ",
                Mark::Warn => "WARN",
                Mark::Fail => "FAIL",
            };
            match &line.fix {
                None => format!("{mark}  {}", line.what),
                Some(fix) => format!("{mark}  {}\n      fix: {fix}", line.what),
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(if failed { Exit::ProblemsFound } else { Exit::Done })
}

/// What probes found, and where there was nothing to probe.
fn probed(connections: &[probe::Probed], probing: Probing, findings: &mut Findings) {
    for probed in connections {
        let what = format!("{} `{}` in {}: {}", probed.client, probed.connection, probed.file, probed.why);
        let fix = probed.fix.unwrap_or("`bailiwick connect --help`");
        match probed.enforcement {
            probe::Enforcement::Enforced => findings.ok(format!("enforced: {what}")),
            probe::Enforcement::Observed if probing.accept_observed => findings.warn(format!("observed: {what}"), fix),
            probe::Enforcement::Observed => findings.fail(format!("observed: {what}"), fix),
            probe::Enforcement::Unknown => findings.fail(format!("not proven: {what}"), fix),
        }
    }
    if connections.is_empty() {
        findings.warn("nothing to probe: no client is connected here", "`bailiwick connect --help`");
    } else {
        for name in probe::not_connected(connections) {
            findings.ok(format!("{name}: nothing to probe, it is not connected here"));
        }
    }
}

fn configuration(config: &Config, findings: &mut Findings) {
    let address = config.address;
    let how = match (&config.tls, config.trusted_proxies.is_empty()) {
        (Some(_), _) => "with TLS",
        (None, false) => "behind a declared proxy",
        (None, true) => "on loopback",
    };
    findings.ok(format!("configuration: listens at {address} {how}"));
    if let Some(tls) = &config.tls {
        match bailiwick_server::listen::tls(tls) {
            Ok(_) if std::fs::metadata(&tls.key).is_ok_and(|found| found.mode() & 0o007 != 0) => findings.fail(
                format!("everybody on this machine can read `{}`", tls.key.display()),
                format!("chmod o-rwx {}", tls.key.display()),
            ),
            Ok(_) => findings.ok("TLS certificate and key fit together"),
            Err(error) => findings.fail(error.to_string(), "put a PEM chain and its key there"),
        }
    }
    if config.environment.is_none() {
        findings.warn(
            "agents of every environment get tokens here",
            "set `environment` in bailiwick.toml to the one that its agents were registered with",
        );
    }
}

fn keys(config: &Config, findings: &mut Findings) {
    for name in [key_files::CHECKPOINT, key_files::KEY_ENCRYPTION, key_files::TOKENS] {
        let path = config.keys.join(name);
        match std::fs::metadata(&path) {
            Err(_) => findings.fail(
                format!("key `{}` is missing", path.display()),
                "put back your copy of it before anything else: a new key opens nothing that the old one closed",
            ),
            Ok(found) if found.mode() & 0o077 != 0 => {
                findings
                    .fail(format!("others can read `{}`", path.display()), format!("chmod go-rwx {}", path.display()));
            }
            Ok(_) => findings.ok(format!("key `{name}` is there, for its owner alone")),
        }
    }
    if !log_key_file(config).exists() {
        findings.warn("the log's public key file is missing", "any start of the broker writes it");
    }
}

fn store(config: &Config, findings: &mut Findings) {
    let path = &config.store;
    if !path.exists() {
        findings.fail(
            format!("database `{}` is missing", path.display()),
            "put a backup there with `bailiwick restore FILE`",
        );
        return;
    }
    let looked = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|connection| connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)));
    match looked.as_deref() {
        Ok("ok") => findings.ok(format!("database `{}` is sound", path.display())),
        Ok(problem) => {
            findings.fail(format!("database is damaged: {problem}"), "restore a backup with `bailiwick restore`")
        }
        Err(error) => {
            findings.fail(format!("database `{}`: {error}", path.display()), "run as the account that owns it")
        }
    }
    continued(path, findings);
    free_space(path, findings);
}

/// Whether the database holds all that its newest checkpoint signs: no broker starts on one that does not.
fn continued(path: &Path, findings: &mut Findings) {
    let note = std::fs::read_to_string(path.with_file_name("checkpoint.note")).unwrap_or_default();
    let Some(signed) = note.lines().nth(1).and_then(|size| size.parse::<i64>().ok()) else { return };
    let held = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|connection| connection.query_row("SELECT size FROM tree", [], |row| row.get::<_, i64>(0)));
    if let Some(held) = held.ok().filter(|held| *held < signed) {
        findings.fail(
            format!("`checkpoint.note` signs {signed} entries, the database has {held}: it was put back or cut off"),
            "put the newer database back; *Restoring an older database* in docs/operations.md says what else can be done",
        );
    }
}

fn free_space(path: &Path, findings: &mut Findings) {
    const ENOUGH_BYTES: u64 = 1_024 * 1_024 * 1_024;
    let Ok(found) = rustix::fs::statvfs(path) else { return };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free < ENOUGH_BYTES {
        findings.warn(
            format!("{} MiB are free where the evidence lies", free / 1_024 / 1_024),
            "make room: without it every call is refused",
        );
    } else {
        findings.ok(format!("{} GiB are free where the evidence lies", free / ENOUGH_BYTES));
    }
}

fn bundle(config: &Config, findings: &mut Findings) {
    match read_bundle(&config.folder) {
        Err(error) => findings.fail(error.to_string(), "correct the files under policies/, roles/ and systems/"),
        Ok(files) => match Snapshot::compile(&files) {
            Err(errors) => {
                findings.fail(
                    format!("the folder's bundle has {} errors", errors.len()),
                    "`bailiwick policy validate` lists them",
                );
            }
            Ok(snapshot) if snapshot.warnings().is_empty() => {
                findings.ok(format!("the folder's bundle {} is valid", snapshot.revision().short()));
            }
            Ok(snapshot) => findings.warn(
                format!("the folder's bundle has {} warnings", snapshot.warnings().len()),
                "`bailiwick policy validate` lists them",
            ),
        },
    }
}

/// Facts of a running broker; where none runs, that is all that is said, since opening the store would write to it.
async fn running(config: &Config, findings: &mut Findings) {
    if UnixStream::connect(&config.socket).await.is_err() {
        findings.warn("no broker is running here", "start it with `bailiwick serve`");
        return;
    }
    let door = Door::Socket(config.socket.clone());
    match door.read("/api/v1/status").await {
        Err(failure) => findings.fail(failure.message, "look at the broker's log"),
        Ok(status) => facts(config, &status, findings),
    }
}

fn facts(config: &Config, status: &Value, findings: &mut Findings) {
    let address: Option<SocketAddr> =
        status.pointer("/server/listeners/0").and_then(Value::as_str).and_then(|a| a.parse().ok());
    findings.ok(format!(
        "a broker {} runs at {}, issuer {}",
        text(status, "/server/version"),
        address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
        text(status, "/issuer")
    ));
    if let Some(error) = status.get("store_error").and_then(Value::as_str) {
        let passes = "make space on its disk, or look at the broker's log; nothing is forwarded meanwhile";
        let (what, next) = error.split_once("\nhint: ").unwrap_or((error, passes));
        findings.fail(format!("its store does not answer: {what}"), next);
    }
    match status.get("policy_revision").and_then(Value::as_str) {
        None => findings.fail("no policy is active: everything is denied", "`bailiwick policy publish`"),
        Some(active) => {
            let same = read_bundle(&config.folder).is_ok_and(|files| files.revision().to_string() == active);
            if same {
                findings.ok("the active policy is the folder's");
            } else {
                findings
                    .warn("the folder's policy is not the active one", "`bailiwick policy publish`, when it is meant");
            }
        }
    }
    systems(status, findings);
    connections(status, findings);
    attention(status, findings);
}

fn systems(status: &Value, findings: &mut Findings) {
    for system in status.get("systems").and_then(Value::as_array).into_iter().flatten() {
        let name = text(system, "/name");
        if system.get("fresh").and_then(Value::as_bool) == Some(true) {
            findings.ok(format!("system `{name}` answers, definitions verified"));
        } else {
            findings.fail(
                format!("system `{name}` was not verified recently: its calls are denied"),
                format!("`bailiwick systems discover {name} --dry-run` shows why"),
            );
        }
        let count = |pointer: &str| system.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        if count("/quarantined") > 0 {
            findings.warn(
                format!("{} tools of `{name}` are quarantined", count("/quarantined")),
                format!("`bailiwick systems show {name}`"),
            );
        }
        if count("/unclassified") > 0 {
            findings.warn(
                format!("{} tools of `{name}` are unclassified, so writes with every tag", count("/unclassified")),
                format!("classify them in systems/{name}.toml"),
            );
        }
    }
}

/// For how many agents and systems policy is enforced, and where it only watches.
fn connections(status: &Value, findings: &mut Findings) {
    let count = |kind: &str| status.pointer(&format!("/connections/{kind}")).and_then(Value::as_u64).unwrap_or(0);
    let told = format!(
        "connections of agents to systems: {} enforced, {} observed, {} unknown",
        count("enforced"),
        count("observed"),
        count("unknown")
    );
    if count("observed") + count("unknown") == 0 {
        findings.ok(told);
    } else {
        findings.warn(told, "`bailiwick observe connections` lists them");
    }
    for one in status.get("observations").and_then(Value::as_array).into_iter().flatten() {
        let (scope, until) = (text(one, "/scope"), minute(&text(one, "/until")));
        findings.warn(
            format!(
                "NOT ENFORCED: `{scope}` is observed until {until} UTC; its calls go past the organisation's rules"
            ),
            format!("`bailiwick observe list` counts them; `bailiwick observe stop {scope} --reason …` enforces again"),
        );
    }
}

/// What somebody should look at soon.
fn attention(status: &Value, findings: &mut Findings) {
    for key in status.get("keys_expiring").and_then(Value::as_array).into_iter().flatten() {
        findings.warn(
            format!(
                "key `{}` of agent `{}` expires at {}",
                text(key, "/kid"),
                text(key, "/agent"),
                text(key, "/expires_at")
            ),
            "add a new key with `bailiwick agents add-key`, then remove the old one",
        );
    }
    for scope in status.get("safe_modes").and_then(Value::as_array).into_iter().flatten() {
        let scope = scope.as_str().unwrap_or_default();
        findings.warn(
            format!("`{scope}` is in safe mode"),
            format!("`bailiwick safe-mode lift {scope} --reason …`, when it is safe again"),
        );
    }
}
