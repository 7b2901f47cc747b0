//! What is known of a client's own tools. Their list is ours, so their classes are too; a name alone would mislead: a
//! `WebSearch` sends out what it looks for, a `Grep` changes nothing.

use bailiwick_model::operation::{ActionClass, ActionTag};
use toml_edit::{DocumentMut, Item};

use super::{arguments::Mapped, classify::Classified};
use crate::catalogue::ClientKind;

const NOTHING: &[ActionTag] = &[];
const EGRESS: &[ActionTag] = &[ActionTag::Egress];
/// Of what can do anything that a program can.
const ANYTHING: &[ActionTag] = &ActionTag::ALL;

/// A sub-agent may work where no hook asks, and a skill's text may hold commands.
const CLAUDE_CODE: &[(&str, ActionClass, &[ActionTag])] = &[
    ("Agent", ActionClass::Execute, ANYTHING),
    ("Bash", ActionClass::Execute, ANYTHING),
    ("Edit", ActionClass::Write, NOTHING),
    ("Glob", ActionClass::Read, NOTHING),
    ("Grep", ActionClass::Read, NOTHING),
    ("NotebookEdit", ActionClass::Write, NOTHING),
    ("Read", ActionClass::Read, NOTHING),
    ("Skill", ActionClass::Execute, ANYTHING),
    ("ToolSearch", ActionClass::Read, NOTHING),
    ("WebFetch", ActionClass::Read, EGRESS),
    ("WebSearch", ActionClass::Read, EGRESS),
    ("Write", ActionClass::Write, NOTHING),
];

/// The client whose own tools a system's file stands for.
pub(super) fn client_of(document: &DocumentMut) -> Option<ClientKind> {
    let written = document.get("upstream")?.as_table_like()?.get("client").and_then(Item::as_str)?;
    [ClientKind::ClaudeCode].into_iter().find(|kind| kind.as_str() == written)
}

/// Class and tags of a tool of that client; `None` is a tool that we do not know.
pub(super) fn classify(client: ClientKind, tool: &str) -> Option<Classified> {
    let known = match client {
        ClientKind::ClaudeCode => CLAUDE_CODE,
    };
    let (_, class, tags) = known.iter().find(|(name, ..)| *name == tool)?;
    let because = format!("known of {}'s own tools", client.as_str());
    Some(Classified { class: *class, tags: tags.to_vec(), because })
}

/// Names no record by an argument that may be absent: such a call would be denied, and these are made all the time.
pub(super) fn without_optional(mapped: &mut Mapped, schema: &serde_json::Value) {
    let required = schema.get("required").and_then(serde_json::Value::as_array);
    let given = |argument: &String| required.is_some_and(|all| all.iter().any(|name| name == argument));
    if !mapped.ids.iter().all(given) {
        (mapped.type_name, mapped.records) = (None, None);
        mapped.ids.clear();
    }
}
