//! `bailiwick audit`: read, export and verify the evidence.

use std::{
    io::{BufRead as _, BufReader, Write},
    path::Path,
    time::Duration,
};

use bailiwick_audit_log::{
    checkpoint::VerifierKey,
    verify::{Finding, Verifier},
};
use bailiwick_server::{config::Config, wiring::log_key_file};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{agents::percent, door};
use crate::{
    arguments::{Arguments, Audit},
    door::{Answer, Door, refusal},
    exit::{Exit, Failure},
    output::{Output, clean, fields, table, text},
};

/// How often `--follow` looks for new entries.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Entries that a page of the API holds.
const PAGE: usize = 1_000;

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Audit, output: &Output) -> Result<Exit, Failure> {
    match ask {
        Audit::Tail { lines, agent, system, kind, follow } => {
            let door = door(arguments).await?;
            let filter =
                query(&[("agent", agent.as_deref()), ("system", system.as_deref()), ("kind", kind.as_deref())]);
            tail(&door, *lines, &filter, *follow, output).await
        }
        Audit::Show { id, open } => show(&door(arguments).await?, id, *open, output).await,
        Audit::Verify { file, key } => {
            let keys = keys(arguments, key.as_deref())?;
            let verified = match file {
                Some(file) => verify_file(file, keys, output)?,
                None => {
                    let door = door(arguments).await?;
                    let scratch = tempfile::NamedTempFile::new().map_err(|error| Failure::new(error.to_string()))?;
                    export_to(&door, scratch.path()).await?;
                    verify_file(scratch.path(), keys, output)?
                }
            };
            Ok(told(&verified, output))
        }
        Audit::Export { to, agent, system, since, until } => {
            let door = door(arguments).await?;
            let filter = query(&[
                ("agent", agent.as_deref()),
                ("system", system.as_deref()),
                ("since", since.as_deref()),
                ("until", until.as_deref()),
            ]);
            export(&door, to, &filter, output).await
        }
        Audit::Checkpoint => {
            let answer = door(arguments).await?.read("/api/v1/audit/checkpoint").await?;
            output.document(&answer, |answer| {
                answer.get("note").and_then(Value::as_str).map_or_else(String::new, |note| note.trim_end().to_owned())
            });
            Ok(Exit::Done)
        }
    }
}

fn query(pairs: &[(&str, Option<&str>)]) -> String {
    pairs.iter().filter_map(|(name, value)| value.map(|value| format!("&{name}={}", percent(value)))).collect()
}

async fn tail(door: &Door, lines: usize, filter: &str, follow: bool, output: &Output) -> Result<Exit, Failure> {
    let lines = lines.clamp(1, PAGE);
    let page = door.read(&format!("/api/v1/audit/entries?newest_first=true&limit={lines}{filter}")).await?;
    let mut entries = page.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
    entries.reverse();
    let mut last = entries.last().and_then(|entry| entry.get("sequence")).and_then(Value::as_u64);
    print(&entries, output);
    if !follow {
        return Ok(Exit::Done);
    }
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        let after = last.map(|last| format!("&after={last}")).unwrap_or_default();
        let page = door.read(&format!("/api/v1/audit/entries?limit={PAGE}{after}{filter}")).await?;
        let entries = page.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(newest) = entries.last().and_then(|entry| entry.get("sequence")).and_then(Value::as_u64) {
            last = Some(newest);
            print(&entries, output);
        }
    }
}

/// One line an entry, for people and programs alike, so that it can be followed.
fn print(entries: &[Value], output: &Output) {
    for entry in entries {
        if output.is_json() {
            output.data(&entry.to_string());
        } else {
            output.data(&line(entry));
        }
    }
}

fn line(entry: &Value) -> String {
    let body = |name: &str| text(entry, &format!("/entry/body/{name}"));
    let at = text(entry, "/entry/at").chars().take(23).collect::<String>().replace('T', " ");
    let said: Vec<String> = ["agent", "action", "decision", "status", "change", "scope", "policies", "reasons", "by"]
        .iter()
        .filter(|name| entry.pointer(&format!("/entry/body/{name}")).is_some())
        .map(|name| format!("{name}={}", body(name)))
        .collect();
    format!("{at}  {:<18} {}  {}", text(entry, "/entry/kind"), said.join(" "), text(entry, "/entry/id"))
}

async fn show(door: &Door, id: &str, open: bool, output: &Output) -> Result<Exit, Failure> {
    let path = format!("/api/v1/audit/entries/{}", percent(id));
    let found = if open { door.change(&format!("{path}/open"), &json!({})).await? } else { door.read(&path).await? };
    output.document(&found, |found| {
        let entries = found.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        entries.iter().map(one).collect::<Vec<_>>().join("\n\n")
    });
    Ok(Exit::Done)
}

fn one(entry: &Value) -> String {
    let mut rows = vec![
        ("kind", text(entry, "/entry/kind")),
        ("id", text(entry, "/entry/id")),
        ("at", text(entry, "/entry/at")),
        ("sequence", text(entry, "/sequence")),
        ("log index", text(entry, "/index")),
    ];
    let members = |pointer: &str| entry.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
    let body = members("/entry/body");
    rows.extend(body.keys().map(|name| (name.as_str(), text(entry, &format!("/entry/body/{name}")))));
    let commitments = members("/entry/commitments");
    let opened = members("/opened");
    let sealed: Vec<(String, String)> = commitments
        .keys()
        .map(|name| match opened.get(name).and_then(|field| field.get("value")).and_then(Value::as_str) {
            Some(value) => (format!("{name} (opened)"), clean(value)),
            None => (format!("{name} (sealed)"), text(entry, &format!("/entry/commitments/{name}"))),
        })
        .collect();
    rows.extend(sealed.iter().map(|(name, value)| (name.as_str(), value.clone())));
    fields(&rows)
}

/// Writes the whole log to a new file, under a fresh checkpoint.
pub(crate) async fn export_to(door: &Door, file: &Path) -> Result<u64, Failure> {
    door.change("/api/v1/audit/checkpoint", &json!({})).await?;
    let mut writer = std::io::BufWriter::new(std::fs::File::create(file).map_err(|error| Failure::file(file, &error))?);
    let written = stream(door, &mut writer).await?;
    writer.flush().map_err(|error| Failure::file(file, &error))?;
    Ok(written)
}

async fn stream(door: &Door, writer: &mut dyn Write) -> Result<u64, Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::new(format!("the export broke off: {error}"));
    let answer = door.stream(Method::GET, "/api/v1/audit/export", None).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    if !status.is_success() {
        let body = body.collect().await.map_err(|error| broken(&error))?.to_bytes();
        return Err(refusal(&Answer { status, body }));
    }
    let mut written = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        if let Ok(bytes) = frame.into_data() {
            writer.write_all(&bytes).map_err(|error| broken(&error))?;
            written += bytes.len() as u64;
        }
    }
    Ok(written)
}

async fn export(door: &Door, to: &Path, filter: &str, output: &Output) -> Result<Exit, Failure> {
    if !filter.is_empty() {
        return extract(door, to, filter, output).await;
    }
    if to == Path::new("-") {
        door.change("/api/v1/audit/checkpoint", &json!({})).await?;
        stream(door, &mut std::io::stdout().lock()).await?;
        return Ok(Exit::Done);
    }
    refuse_existing(to)?;
    let written = export_to(door, to).await?;
    output.note(&format!("wrote {written} bytes to {}; `bailiwick audit verify {0}` checks them", to.display()));
    Ok(Exit::Done)
}

fn refuse_existing(file: &Path) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::new(format!("`{}` exists already", file.display())).hint("name a new file"));
    }
    Ok(())
}

/// A filtered extract: readable entries, one a line.
async fn extract(door: &Door, to: &Path, filter: &str, output: &Output) -> Result<Exit, Failure> {
    let mut writer: Box<dyn Write> = if to == Path::new("-") {
        Box::new(std::io::stdout().lock())
    } else {
        refuse_existing(to)?;
        Box::new(std::io::BufWriter::new(std::fs::File::create(to).map_err(|error| Failure::file(to, &error))?))
    };
    let mut after = String::new();
    let mut count = 0;
    loop {
        let page = door.read(&format!("/api/v1/audit/entries?limit={PAGE}{after}{filter}")).await?;
        let entries = page.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        for entry in &entries {
            writeln!(writer, "{entry}").map_err(|error| Failure::file(to, &error))?;
        }
        count += entries.len();
        match entries.last().and_then(|entry| entry.get("sequence")).and_then(Value::as_u64) {
            Some(last) if entries.len() == PAGE => after = format!("&after={last}"),
            _ => break,
        }
    }
    writer.flush().map_err(|error| Failure::file(to, &error))?;
    output.note(&format!("{count} entries; an extract shows, only a whole export proves"));
    Ok(Exit::Done)
}

/// The keys to believe: the ones given, else the installation's own.
fn keys(arguments: &Arguments, file: Option<&Path>) -> Result<Vec<VerifierKey>, Failure> {
    let own;
    let file = match file {
        Some(file) => file,
        None => {
            let config = Config::read(&arguments.config, None).map_err(|_| {
                Failure::new("no key to believe: there is neither `--key FILE` nor an installation here")
                    .hint("ask whoever runs the broker for its `keys/log.vkey`, on another way than the export came")
            })?;
            own = log_key_file(&config);
            &own
        }
    };
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, &error))?;
    let keys: Result<Vec<VerifierKey>, _> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::parse).collect();
    match keys {
        Ok(keys) if !keys.is_empty() => Ok(keys),
        Ok(_) => Err(Failure::new(format!("`{}` holds no key", file.display()))),
        Err(error) => Err(Failure::file(file, &error)),
    }
}

/// What a verification found.
pub(crate) struct Verified {
    /// What is wrong; empty means nothing is.
    pub(crate) findings: Vec<Finding>,
    /// Further findings that were only counted.
    pub(crate) omitted: u64,
    /// Entries.
    pub(crate) entries: u64,
    /// Of them under a checkpoint.
    pub(crate) signed: u64,
    /// Checkpoints.
    pub(crate) checkpoints: u64,
    /// Permitted calls.
    pub(crate) intents: u64,
    /// Denied calls.
    pub(crate) denials: u64,
    /// Intents without an outcome yet.
    pub(crate) open_intents: usize,
}

fn verify_file(file: &Path, keys: Vec<VerifierKey>, output: &Output) -> Result<Verified, Failure> {
    let opened = std::fs::File::open(file).map_err(|error| Failure::file(file, &error))?;
    let bytes = opened.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    let bar = output.progress(bytes, "verifying");
    let mut verifier = Verifier::new(keys);
    let (mut intents, mut denials) = (0, 0);
    for (number, line) in BufReader::new(opened).lines().enumerate() {
        let line = line.map_err(|error| Failure::file(file, &error))?;
        bar.inc(line.len() as u64 + 1);
        verifier.line(number as u64 + 1, &line);
        // The verifier makes sure that the readable part says what the bytes say.
        intents += u64::from(line.contains("\"kind\":\"intent\""));
        denials += u64::from(line.contains("\"kind\":\"denial\""));
    }
    bar.finish_and_clear();
    let report = verifier.finish();
    Ok(Verified {
        findings: report.findings,
        omitted: report.findings_omitted,
        entries: report.entries,
        signed: report.signed,
        checkpoints: report.checkpoints,
        intents,
        denials,
        open_intents: report.open_intents.len(),
    })
}

/// Verifies an export with the key in the file `key`.
pub(crate) fn verify_export(file: &Path, key: &Path) -> Result<Verified, Failure> {
    let text = std::fs::read_to_string(key).map_err(|error| Failure::file(key, &error))?;
    let key: VerifierKey = text.trim().parse().map_err(|error| Failure::new(format!("{error}")))?;
    verify_file(file, vec![key], &Output::new(crate::output::Format::Json, true))
}

fn told(verified: &Verified, output: &Output) -> Exit {
    let findings: Vec<Value> = verified
        .findings
        .iter()
        .map(|finding| json!({"code": finding.code(), "message": finding.to_string()}))
        .collect();
    let sound = findings.is_empty() && verified.omitted == 0;
    let document = json!({
        "verified": sound, "entries": verified.entries, "signed": verified.signed, "checkpoints": verified.checkpoints,
        "intents": verified.intents, "denials": verified.denials, "open_intents": verified.open_intents,
        "findings": findings, "findings_omitted": verified.omitted,
    });
    output.document(&document, |_| {
        let summary = format!(
            "{} entries, {} of them under {} signed checkpoints; {} calls permitted, {} denied, {} without an outcome",
            verified.entries,
            verified.signed,
            verified.checkpoints,
            verified.intents,
            verified.denials,
            verified.open_intents
        );
        if sound {
            return format!("verified: {summary}");
        }
        let rows = findings.iter().map(|finding| [text(finding, "/code"), text(finding, "/message")]);
        format!("NOT verified: {summary}\n\n{}", table(["what", "where"], rows))
    });
    if sound { Exit::Done } else { Exit::IntegrityFailed }
}
