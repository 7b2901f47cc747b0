//! Proposes a classification for what a system was discovered to offer. Reads
//! names and schemas only; what a tool says of itself is repeated as a note and
//! never believed. In doubt it proposes the worst. Keeps what a person wrote:
//! it adds entries and pins, and changes nothing else. Publishes nothing.

mod arguments;
mod classify;
mod client_tools;
mod fields;
mod lock;
pub(crate) mod render;

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    agent::Environment,
    digest::Digest,
    name::{SystemName, ToolName},
};
use serde::Serialize;
use serde_json::Value;
use toml_edit::{DocumentMut, Item, TableLike};

use crate::{
    catalogue::{ArgumentPath, TOOLS_PER_SYSTEM_MAX, Upstream},
    definition,
    finding::{Finding, line_of},
};

/// What a system said about itself: raw, never trusted.
#[derive(Debug, Clone, Copy)]
pub struct Discovery<'a> {
    /// The protocol revision that was negotiated.
    pub protocol_version: &'a str,
    /// `serverInfo`.
    pub server_info: &'a Value,
    /// `instructions`.
    pub instructions: Option<&'a str>,
    /// Whole tool objects.
    pub tools: &'a [Value],
    /// Whole prompt objects.
    pub prompts: &'a [Value],
}

/// What the bundle holds of the system already.
#[derive(Debug, Clone, Copy)]
pub struct Existing<'a> {
    /// `systems/<name>.toml`.
    pub toml: &'a str,
    /// `systems/<name>.tools.json`, if there is one.
    pub lock_json: Option<&'a str>,
}

/// What to write, and what a person should read before publishing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// The new `systems/<name>.toml`.
    pub toml: String,
    /// The new `systems/<name>.tools.json`.
    pub lock_json: String,
    /// What was done and seen, tool by tool.
    pub notes: Vec<Note>,
}

/// One thing that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The tool, as its upstream calls it, made visible; `None`: the system as a whole.
    pub tool: Option<String>,
    /// What kind of thing.
    pub kind: NoteKind,
    /// A lower-case fragment without a full stop; a [`NoteKind::Changed`] goes on with a diff.
    pub message: String,
}

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// An entry was added.
    Added,
    /// An entry that had no pin was pinned.
    Pinned,
    /// The definition is another than the pinned one; the pin was moved.
    Changed,
    /// An entry's tool is no longer offered.
    Gone,
    /// A tool or prompt cannot be taken in.
    Skipped,
    /// What the tool says of itself; shown, not believed.
    Claims,
    /// Arguments that policy cannot see.
    Opaque,
}

impl NoteKind {
    /// As printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Pinned => "pinned",
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Skipped => "skipped",
            Self::Claims => "claims",
            Self::Opaque => "opaque",
        }
    }
}

/// The file of a system that nobody discovered yet: how it is reached, and the rest as comments.
pub fn start(system: &SystemName, upstream: &Upstream, environment: Environment) -> String {
    render::start(system, upstream, environment)
}

/// Proposes entries for all discovered tools. Refused only if the existing file is no TOML.
pub fn propose(
    system: &SystemName,
    discovery: &Discovery<'_>,
    existing: Option<Existing<'_>>,
) -> Result<Proposal, Finding> {
    let file = format!("systems/{system}.toml");
    let toml = existing.map_or("", |existing| existing.toml);
    let mut document: DocumentMut = toml.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map(|span| line_of(toml, span.start));
        Finding::error("toml-invalid", &file, error.message().lines().next().unwrap_or_default()).at(line)
    })?;
    let client = client_tools::client_of(&document);
    let mut notes = Vec::new();
    let tools = take_in(discovery.tools, &mut notes);
    let previous = existing.and_then(|existing| existing.lock_json).map(lock::previous).unwrap_or_default();
    let mut added = String::new();
    for (name, definition) in &tools {
        let digest = definition::digest(definition);
        let mut note = |kind, message| notes.push(Note { tool: Some(name.to_string()), kind, message });
        let decimals = match entry(&mut document, name) {
            Some(entry) => {
                pin(entry, digest, definition, previous.get(name.as_str()), &mut note);
                decimals_of(entry)
            }
            None => {
                let proposed = render::entry(name, definition, digest, client);
                added.push('\n');
                added.push_str(&proposed.toml);
                note(NoteKind::Added, format!("proposed as `{}`: {}", proposed.class.as_str(), proposed.because));
                proposed.decimals
            }
        };
        for (kind, message) in render::remarks(definition, &decimals) {
            note(kind, message);
        }
    }
    note_gone(&document, &tools, &mut notes);
    let mut toml = document.to_string();
    if !added.is_empty() && !toml.is_empty() && !toml.ends_with('\n') {
        toml.push('\n');
    }
    toml.push_str(added.strip_prefix('\n').filter(|_| toml.is_empty()).unwrap_or(&added));
    if toml.parse::<DocumentMut>().is_err() {
        let finding =
            Finding::error("tools-inline", file, "`tools` is written in one line, so nothing can be added to it");
        return Err(finding.with_help("write each tool as a table of its own: `[tools.<name>]`"));
    }
    let lock_json = lock::text(discovery, tools.values(), &mut notes);
    Ok(Proposal { toml, lock_json, notes })
}

/// The tools that can be pinned, by name.
fn take_in<'a>(discovered: &'a [Value], notes: &mut Vec<Note>) -> BTreeMap<ToolName, &'a Value> {
    let mut tools = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for whole in discovered {
        let written = whole.get("name").and_then(Value::as_str).unwrap_or_default();
        match written.parse::<ToolName>() {
            Ok(name) if tools.len() < TOOLS_PER_SYSTEM_MAX || tools.contains_key(&name) => {
                if tools.insert(name.clone(), whole).is_some() {
                    twice.insert(name);
                }
            }
            Ok(name) => {
                let message = format!("a system has at most {TOOLS_PER_SYSTEM_MAX} tools");
                notes.push(Note { tool: Some(name.to_string()), kind: NoteKind::Skipped, message });
            }
            Err(error) => {
                let tool = Some(definition::visible(&written.chars().take(80).collect::<String>()));
                let message = definition::visible(&error.to_string());
                notes.push(Note { tool, kind: NoteKind::Skipped, message });
            }
        }
    }
    for name in twice {
        // Nobody can say which of the two a call would reach.
        tools.remove(&name);
        let message = String::from("the system offers two tools of this name");
        notes.push(Note { tool: Some(name.to_string()), kind: NoteKind::Skipped, message });
    }
    tools
}

fn entry<'a>(document: &'a mut DocumentMut, name: &ToolName) -> Option<&'a mut dyn TableLike> {
    document.get_mut("tools")?.as_table_like_mut()?.get_mut(name.as_str())?.as_table_like_mut()
}

fn decimals_of(entry: &dyn TableLike) -> BTreeSet<ArgumentPath> {
    let written = entry.get("decimal").and_then(Item::as_array);
    written.into_iter().flatten().filter_map(|path| path.as_str()?.parse().ok()).collect()
}

/// Moves the pin of an entry that a person wrote, and touches nothing else of it.
fn pin(
    entry: &mut dyn TableLike,
    digest: Digest,
    seen: &Value,
    pinned: Option<&Value>,
    note: &mut impl FnMut(NoteKind, String),
) {
    let written = entry.get("definition").and_then(Item::as_str).map(str::to_owned);
    let text = digest.to_string();
    if written.as_deref() == Some(text.as_str()) {
        return;
    }
    match entry.get_mut("definition").and_then(Item::as_value_mut) {
        Some(value) => {
            let decor = value.decor().clone();
            *value = text.into();
            *value.decor_mut() = decor;
        }
        None => {
            entry.insert("definition", toml_edit::value(text));
        }
    }
    match written {
        None => note(NoteKind::Pinned, format!("pinned to `{}`", digest.short())),
        Some(written) => {
            let before = written.parse::<Digest>().map_or(written, |digest| digest.short());
            let mut message = format!("the definition changed from `{before}` to `{}`", digest.short());
            if let Some(pinned) = pinned {
                message.push('\n');
                message.push_str(&definition::difference(pinned, seen));
            }
            note(NoteKind::Changed, message);
        }
    }
}

fn note_gone(document: &DocumentMut, tools: &BTreeMap<ToolName, &Value>, notes: &mut Vec<Note>) {
    let Some(entries) = document.get("tools").and_then(Item::as_table_like) else { return };
    for (name, _) in entries.iter() {
        if !tools.keys().any(|tool| tool.as_str() == name) {
            let message = String::from("the system no longer offers it: remove its entry");
            notes.push(Note { tool: Some(definition::visible(name)), kind: NoteKind::Gone, message });
        }
    }
}

#[cfg(test)]
mod tests;
