//! The file of pinned definitions: sorted, readable, every character visible.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Discovery, Note, NoteKind};
use crate::{catalogue::file::LockFile, normalise::is_hidden};

/// The tools of an earlier file by name; empty if it cannot be read.
pub(super) fn previous(lock_json: &str) -> BTreeMap<String, Value> {
    let lock = serde_json::from_str::<LockFile>(lock_json).unwrap_or_default();
    let named = |tool: Value| Some((tool.get("name")?.as_str()?.to_owned(), tool));
    lock.tools.into_iter().filter_map(named).collect()
}

/// The new file.
pub(super) fn text<'a>(
    discovery: &Discovery<'_>,
    tools: impl Iterator<Item = &'a &'a Value>,
    notes: &mut Vec<Note>,
) -> String {
    let mut prompts = BTreeMap::new();
    for prompt in discovery.prompts {
        match prompt.get("name").and_then(Value::as_str) {
            Some(name) if crate::normalise::plain(name).is_ok() && !prompts.contains_key(name) => {
                prompts.insert(name, prompt);
            }
            _ => {
                let message = String::from("a prompt has no readable name of its own");
                notes.push(Note { tool: None, kind: NoteKind::Skipped, message });
            }
        }
    }
    let lock = LockFile {
        protocol_version: discovery.protocol_version.to_owned(),
        server_info: sorted(discovery.server_info),
        instructions: discovery.instructions.map(str::to_owned),
        tools: tools.map(|tool| without_meta(tool)).collect(),
        prompts: prompts.into_values().map(without_meta).collect(),
    };
    let mut text = serde_json::to_string_pretty(&lock).unwrap_or_default();
    text.push('\n');
    escaped(&text)
}

/// Nobody pins `_meta`, so nobody may rely on it.
fn without_meta(definition: &Value) -> Value {
    let mut definition = sorted(definition);
    if let Value::Object(members) = &mut definition {
        members.remove("_meta");
    }
    // Removal may have moved the last member into the gap.
    sorted(&definition)
}

/// The same value with sorted members, whatever order the map keeps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(elements) => elements.iter().map(sorted).collect(),
        Value::Object(members) => {
            let sorted_members: BTreeMap<&String, &Value> = members.iter().collect();
            Value::Object(
                sorted_members.into_iter().map(|(name, member)| (name.clone(), sorted(member))).collect::<Map<_, _>>(),
            )
        }
        other => other.clone(),
    }
}

/// Hidden characters, which stand inside strings only, as JSON escapes.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hidden(character) && character != '\n' {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(character);
        }
    }
    text
}
