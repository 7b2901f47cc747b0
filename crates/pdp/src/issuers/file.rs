//! The form of `issuers/<name>.toml`. Meaning is checked by the parent module.

use std::collections::BTreeMap;

use bailiwick_model::jwk::SigningAlgorithm;
use serde::Deserialize;
use toml::Spanned;

use super::Document;
use crate::{finding::Finding, strict_toml};

/// An issuer as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerFile {
    /// What its tokens name, byte for byte; a trust domain has none.
    pub(super) issuer: Option<Spanned<String>>,
    /// Where its keys are.
    pub(super) keys: Option<Spanned<KeysFile>>,
    /// What they may sign with, the first for RSA keys that do not say.
    pub(super) algorithms: Option<Spanned<Vec<SigningAlgorithm>>>,
    /// Seconds that a token of it may be old, or have left.
    pub(super) max_age_s: Option<Spanned<u64>>,
    /// It may vouch for users.
    pub(super) id_jag: Option<IdJagFile>,
    /// It gives tokens to workloads, some of which are agents.
    pub(super) workload: Option<Spanned<WorkloadFile>>,
    /// It is a SPIFFE trust domain.
    pub(super) spiffe: Option<Spanned<SpiffeFile>>,
    /// Agents for whose users we vouch to it.
    #[serde(default)]
    pub(super) id_jag_target: Vec<TargetFile>,
}

/// Where keys are: one of the three.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysFile {
    /// The set itself.
    pub(super) jwks_uri: Option<String>,
    /// The document that names the set.
    pub(super) discovery: Option<Document>,
    /// A file beside this one.
    pub(super) pinned: Option<String>,
}

/// Vouching as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdJagFile {
    /// Users by what the issuer calls them.
    #[serde(default)]
    pub(super) subjects: BTreeMap<String, Spanned<String>>,
    /// Domains of mail addresses for which the issuer is the authority.
    #[serde(default)]
    pub(super) email_domains: Vec<Spanned<String>>,
    /// What it may allow at most.
    pub(super) scopes: Option<Vec<Spanned<String>>>,
}

/// Workloads as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkloadFile {
    /// Its tokens are kept and sent again until they end.
    #[serde(default)]
    pub(super) danger_tokens_reused: bool,
    /// Claims of it that are ids of one workload and never given to another, beside those that are known.
    #[serde(default)]
    pub(super) danger_immutable: Vec<Spanned<String>>,
    /// Which workload is which agent.
    #[serde(default)]
    pub(super) agents: Vec<WorkloadAgentFile>,
}

/// One workload as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkloadAgentFile {
    /// The agent.
    pub(super) agent: Spanned<String>,
    /// What its tokens say.
    pub(super) claims: Spanned<toml::Table>,
}

/// A trust domain as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpiffeFile {
    /// Its name, without `spiffe://`.
    pub(super) trust_domain: Spanned<String>,
    /// Agents by their SPIFFE id.
    #[serde(default)]
    pub(super) ids: BTreeMap<String, Spanned<String>>,
}

/// An agent for whose users we vouch, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetFile {
    /// The agent here.
    pub(super) agent: Spanned<String>,
    /// What the other server calls it; its name here unless it says so.
    pub(super) client_id: Option<String>,
    /// Resources there.
    pub(super) resources: Vec<Spanned<String>>,
    /// Scopes there.
    pub(super) scopes: Vec<Spanned<String>>,
}

/// Reads one file.
pub(super) fn parse(path: &str, bytes: &[u8]) -> Result<IssuerFile, Finding> {
    strict_toml::parse(path, bytes)
}
