//! The form of `roles/<role>.toml`. Meaning is checked by the parent module.

use bailiwick_model::{agent::KeyProtection, operation::ActionClass};
use serde::Deserialize;
use toml::Spanned;

use crate::{finding::Finding, strict_toml};

/// A role as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleFile {
    /// What its holders are for.
    pub(super) purpose: Spanned<String>,
    /// What they may do.
    #[serde(default)]
    pub(super) allow: Vec<Spanned<String>>,
    /// What they never do.
    #[serde(default)]
    pub(super) out_of_scope: Vec<Spanned<String>>,
    /// Roles whose permits and bounds they have too.
    #[serde(default)]
    pub(super) inherits: Vec<Spanned<String>>,
    /// Roles to whose agents they may delegate; none unless it says so.
    #[serde(default)]
    pub(super) delegates_to: Vec<Spanned<String>>,
    /// How the keys of its agents must be kept.
    #[serde(default)]
    pub(super) key_protection: KeyProtection,
    /// How much they may do.
    #[serde(default)]
    pub(super) limits: Vec<LimitFile>,
}

/// A limit as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitFile {
    /// Its name within the role.
    pub(super) name: Spanned<String>,
    /// Classes that it counts.
    #[serde(default)]
    pub(super) classes: Vec<ActionClass>,
    /// Actions that it counts.
    #[serde(default)]
    pub(super) actions: Vec<Spanned<String>>,
    /// Length of its window in seconds.
    pub(super) window_s: u64,
    /// Calls in one window.
    pub(super) calls_max: u64,
}

/// Reads one file.
pub(super) fn parse(path: &str, bytes: &[u8]) -> Result<RoleFile, Finding> {
    strict_toml::parse(path, bytes)
}
