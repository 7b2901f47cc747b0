//! Issuers that are trusted, as files: whose tokens count for what. Part of the bundle, so that trust is given and
//! withdrawn by a publish, on the next call, and stands in the evidence. Reads no token and fetches nothing.

mod check;
mod claims;
mod file;

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    bundle::BundleFiles,
    jwk::SigningAlgorithm,
    name::{AgentName, Scope, UserId},
};
use serde_json::{Map, Value};
use url::Url;

pub use self::claims::Matcher;
use crate::finding::Finding;

/// Issuers of one bundle.
pub const ISSUERS_MAX: usize = 64;
/// Seconds that a token may be old, unless its issuer's file says otherwise.
pub const TOKEN_AGE_S: u64 = 3_600;
/// Seconds that a token may be old at most: a day.
pub const TOKEN_AGE_S_MAX: u64 = 86_400;

/// All issuers of a bundle, by the names of their files.
#[derive(Debug, Clone, Default)]
pub struct Issuers(BTreeMap<String, Issuer>);

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The name of its file.
    pub name: String,
    /// What its tokens name, byte for byte; `None` is a trust domain without one.
    pub issuer: Option<String>,
    /// Where its keys are; `None` where nothing of it is read.
    pub keys: Option<KeySource>,
    /// What they may sign with, the first for RSA keys that do not say.
    pub algorithms: Vec<SigningAlgorithm>,
    /// Seconds that a token of it may be old, or have left.
    pub age_s_max: u64,
    /// Whether it may vouch for users, and for whom.
    pub vouches: Option<Vouches>,
    /// Which of its workloads are agents.
    pub workloads: Option<Workloads>,
    /// Which SPIFFE ids of its trust domain are agents.
    pub trust_domain: Option<TrustDomain>,
    /// For users of which agents we vouch to it.
    pub targets: BTreeMap<AgentName, Target>,
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// The set is there.
    Jwks(Url),
    /// This document of the issuer names the set.
    Discovery(Url),
    /// This set, and no other.
    Pinned(Vec<u8>),
}

/// The document that names the key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// OpenID Connect Discovery 1.0 §4.
    OpenidConfiguration,
    /// RFC 8414 §3.
    OauthAuthorizationServer,
}

/// For whom an issuer may vouch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouches {
    /// Users by what the issuer calls them.
    pub subjects: BTreeMap<String, UserId>,
    /// Domains of mail addresses for which it is the authority, in lower case.
    pub email_domains: BTreeSet<String>,
    /// What it may allow at most; `None` is whatever the client may have.
    pub scopes: Option<BTreeSet<Scope>>,
}

/// Workloads of an issuer that are agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workloads {
    /// Whether its tokens are kept and sent again until they end, so that none can be good once.
    pub tokens_reused: bool,
    /// Who is who.
    pub agents: Vec<(AgentName, Matcher)>,
}

/// A SPIFFE trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustDomain {
    /// Its name.
    pub name: String,
    /// Agents by their whole SPIFFE id.
    pub ids: BTreeMap<String, AgentName>,
}

/// What we vouch for to another authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it calls the agent.
    pub client: String,
    /// Resources there.
    pub resources: BTreeSet<String>,
    /// Scopes there.
    pub scopes: BTreeSet<Scope>,
}

/// What keeps a token from being an agent's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The agent that it comes closest to.
    pub agent: AgentName,
    /// The claim that it lacks, or has otherwise.
    pub claim: String,
}

impl Workloads {
    /// The agent whose claims a token has. A bundle in which two agents could have it is not published; if it ever were, the
    /// token is nobody's.
    pub fn agent(&self, claims: &Map<String, Value>) -> Option<&AgentName> {
        let mut found = self.agents.iter().filter(|(_, matcher)| matcher.matches(claims)).map(|(agent, _)| agent);
        let agent = found.next()?;
        found.all(|other| other == agent).then_some(agent)
    }

    /// Why a token is nobody's, or not `agent`'s, for the operator alone.
    pub fn misfit(&self, claims: &Map<String, Value>, agent: Option<&AgentName>) -> Option<Misfit> {
        let asked = self.agents.iter().filter(|(name, _)| agent.is_none_or(|agent| name == agent));
        let closest = asked.min_by_key(|(_, matcher)| matcher.missing(claims).count());
        closest
            .and_then(|(agent, matcher)| Some(Misfit { agent: agent.clone(), claim: matcher.missing(claims).next()? }))
    }
}

impl Issuers {
    /// The issuer whose tokens name it so, byte for byte.
    pub fn named(&self, issuer: &str) -> Option<&Issuer> {
        self.0.values().find(|one| one.issuer.as_deref() == Some(issuer))
    }

    /// The issuer, if it may vouch for users.
    pub fn vouching(&self, issuer: &str) -> Option<(&Issuer, &Vouches)> {
        let found = self.named(issuer)?;
        Some((found, found.vouches.as_ref()?))
    }

    /// The issuer, if workloads of it are agents.
    pub fn of_workloads(&self, issuer: &str) -> Option<(&Issuer, &Workloads)> {
        let found = self.named(issuer)?;
        Some((found, found.workloads.as_ref()?))
    }

    /// The trust domain that a SPIFFE id belongs to.
    pub fn of_spiffe_id(&self, id: &str) -> Option<(&Issuer, &TrustDomain)> {
        let (domain, _) = id.strip_prefix("spiffe://")?.split_once('/')?;
        self.0.values().find_map(|one| {
            let found = one.trust_domain.as_ref().filter(|found| found.name == domain)?;
            Some((one, found))
        })
    }

    /// What an agent may be vouched for to an authorization server.
    pub fn target(&self, audience: &str, agent: &AgentName) -> Option<&Target> {
        self.named(audience)?.targets.get(agent)
    }

    /// All of them, by the names of their files.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.values()
    }
}

/// Reads all `issuers/*.toml`.
pub(crate) fn read(files: &BundleFiles) -> (Issuers, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut issuers = BTreeMap::new();
    let mut pinned = BTreeSet::new();
    for (path, bytes) in files.under("issuers") {
        let Some(name) = path.strip_prefix("issuers/").and_then(|name| name.strip_suffix(".toml")) else { continue };
        match file::parse(path, bytes) {
            Ok(file) => {
                let text = String::from_utf8_lossy(bytes);
                let mut checking = check::Checking::new(path, &text, files);
                issuers.extend(checking.issuer(name, &file).map(|issuer| (name.to_owned(), issuer)));
                pinned.extend(checking.pinned);
                findings.extend(checking.findings);
            }
            Err(finding) => findings.push(finding),
        }
    }
    let unread = files.under("issuers").filter(|(path, _)| !path.ends_with(".toml") && !pinned.contains(*path));
    findings.extend(unread.map(|(path, _)| Finding::warning("file-ignored", path, "nothing reads this file")));
    if issuers.len() > ISSUERS_MAX {
        let message = format!("a bundle holds at most {ISSUERS_MAX} issuers");
        findings.push(Finding::error("too-many-issuers", "", message));
    }
    let issuers = Issuers(issuers);
    findings.extend(check::twice(&issuers));
    (issuers, findings)
}

#[cfg(test)]
mod tests;
