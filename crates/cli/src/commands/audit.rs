//! `bailiwick audit`: read, export and verify the evidence.

mod chain;
mod entry;
mod verify;

use std::{io::Write, path::Path, time::Duration};

use bailiwick_audit_log::event::EventKind;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

pub(crate) use self::verify::verify_export;
use self::{
    entry::Lines,
    verify::{Trust, told},
};
use super::{agents::percent, door};
use crate::{
    arguments::{Arguments, Audit},
    door::{Answer, Door, refusal},
    exit::{Exit, Failure},
    output::Output,
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
            let kind = kind.map(EventKind::as_str);
            let filter = query(&[("agent", agent.as_deref()), ("system", system.as_deref()), ("kind", kind)]);
            tail(&door, *lines, &filter, *follow, output).await
        }
        Audit::Show { id, open } => show(&door(arguments).await?, id, *open, output).await,
        Audit::Chain { id } => {
            let found = door(arguments).await?.read(&format!("/api/v1/audit/chains/{}", percent(id))).await?;
            output.document(&found, chain::page);
            Ok(Exit::Done)
        }
        Audit::Verify { file, key, checkpoints } => {
            let trust = Trust::read(arguments, key.as_deref(), checkpoints)?;
            let verified = match file {
                Some(file) => trust.verify(file, output)?,
                None => {
                    let door = door(arguments).await?;
                    let scratch = tempfile::NamedTempFile::new().map_err(|error| Failure::new(error.to_string()))?;
                    export_to(&door, scratch.path()).await?;
                    trust.verify(scratch.path(), output)?
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
    let mut shown = Lines::default();
    shown.print(&entries, output);
    if entries.is_empty() && !follow {
        output.hint("nothing like that is in the log; without `--agent`, `--system` and `--kind` it shows everything");
    }
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
            shown.print(&entries, output);
        }
    }
}

async fn show(door: &Door, id: &str, open: bool, output: &Output) -> Result<Exit, Failure> {
    let path = format!("/api/v1/audit/entries/{}", percent(id));
    let found = if open { door.change(&format!("{path}/open"), &json!({})).await? } else { door.read(&path).await? };
    output.document(&found, |found| {
        let entries = found.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        entries.iter().map(entry::one).collect::<Vec<_>>().join("\n\n")
    });
    Ok(Exit::Done)
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
    output.note(&format!("{count} entries; an extract shows, but only a whole export can be verified"));
    Ok(Exit::Done)
}
