//! The pinned definitions of one system, by name. Trusts nothing that they say.

use std::collections::BTreeMap;

use bailiwick_model::{digest::Digest, name::ToolName};
use serde_json::Value;

use super::{Pinned, PinnedPrompt, TOOLS_PER_SYSTEM_MAX, file::LockFile};
use crate::{definition, finding::Finding};

/// One pinned definition.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) whole: Value,
    pub(super) digest: Digest,
}

/// All that a lock file pins.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) tools: BTreeMap<ToolName, Definition>,
    pub(super) pinned: Pinned,
}

pub(super) fn definitions(path: &str, lock: LockFile, findings: &mut Vec<Finding>) -> Definitions {
    let LockFile { protocol_version, server_info, instructions, tools, prompts } = lock;
    if tools.len() > TOOLS_PER_SYSTEM_MAX || prompts.len() > TOOLS_PER_SYSTEM_MAX {
        let message = format!("a system has at most {TOOLS_PER_SYSTEM_MAX} tools and as many prompts");
        findings.push(Finding::error("tools-too-many", path, message));
        return Definitions::default();
    }
    let mut by_name = BTreeMap::new();
    for whole in tools {
        let name = whole.get("name").and_then(Value::as_str).unwrap_or_default();
        match name.parse::<ToolName>() {
            Ok(name) => {
                let digest = definition::digest(&whole);
                if by_name.insert(name.clone(), Definition { whole, digest }).is_some() {
                    findings.push(Finding::error("tool-twice", path, format!("tool `{name}` is pinned twice")));
                }
            }
            Err(error) => findings.push(Finding::error("tool-name", path, error.to_string())),
        }
    }
    let mut prompts_by_name = BTreeMap::new();
    for whole in prompts {
        match whole.get("name").and_then(Value::as_str) {
            Some(name) if crate::normalise::plain(name).is_ok() => {
                let name = name.to_owned();
                let digest = definition::digest(&whole);
                if prompts_by_name.insert(name.clone(), PinnedPrompt { definition: whole, digest }).is_some() {
                    findings.push(Finding::error("prompt-twice", path, format!("prompt `{name}` is pinned twice")));
                }
            }
            _ => findings.push(Finding::error("prompt-name", path, "a prompt has no readable name")),
        }
    }
    let pinned = Pinned { protocol_version, server_info, instructions, prompts: prompts_by_name };
    Definitions { tools: by_name, pinned }
}
