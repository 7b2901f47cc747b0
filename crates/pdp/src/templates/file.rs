//! The form of `templates/<name>.toml`. Meaning is checked by the parent module.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::{finding::Finding, strict_toml};

/// A template as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateFile {
    /// What its tasks are for.
    pub(super) purpose: Spanned<String>,
    /// The roles whose holders take such tasks; each must be able to do all of it.
    #[serde(default)]
    pub(super) roles: Vec<Spanned<String>>,
    /// Minutes until such a task ends by itself.
    pub(super) minutes: Option<Spanned<u64>>,
    /// What whoever makes a task states, and what that is.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Spanned<String>>,
    /// All that its tasks may call.
    #[serde(default)]
    pub(super) tools: Vec<ToolFile>,
}

/// A tool as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolFile {
    /// Its action.
    pub(super) action: Spanned<String>,
    /// Per argument, what it is pinned to.
    #[serde(default)]
    pub(super) pins: BTreeMap<String, Spanned<PinFile>>,
}

/// A pin as written: one of the three. `"$name"` stands for a parameter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PinFile {
    /// Values, or the parameter that gives them.
    pub(super) one_of: Option<toml::Value>,
    /// A folder, or the parameter that gives it.
    pub(super) under: Option<String>,
    /// A number, or the parameter that gives it.
    pub(super) at_most: Option<toml::Value>,
}

/// Reads one file.
pub(super) fn parse(path: &str, bytes: &[u8]) -> Result<TemplateFile, Finding> {
    strict_toml::parse(path, bytes)
}
