//! Clients that are known by the URL of a document that they publish about themselves
//! (draft-ietf-oauth-client-id-metadata-document-02): which URLs count, and what agents they become. Part of the bundle, so
//! that it is given and withdrawn by a publish. Fetches nothing.

use bailiwick_model::{
    agent::{ClientUrl, Environment},
    bundle::BundleFiles,
    name::{RoleName, SystemName},
};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use crate::{finding::Finding, strict_toml};

/// URLs of one file.
const URLS_MAX: usize = 64;
/// Clients of one file at a time.
const CLIENTS_MAX: u64 = 10_000;
/// Days that a client lives after its document was last fetched, at most.
const LIFETIME_DAYS_MAX: u32 = 366;

/// All `clients/*.toml` of a bundle.
#[derive(Debug, Clone, Default)]
pub struct Clients(Vec<ClientRule>);

/// What clients of some URLs are, whatever they say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRule {
    /// The name of its file.
    pub name: String,
    /// Whole URLs, and with a slash at their end, everything below them.
    urls: Vec<String>,
    /// Who answers for them.
    pub owner: String,
    /// What they are for.
    pub purpose: String,
    /// Where they run.
    pub environment: Environment,
    /// Their job.
    pub role: RoleName,
    /// Systems that they may ask tokens for; empty means all that the role can reach.
    pub systems: Vec<SystemName>,
    /// Days that one lives after its document was last fetched.
    pub lifetime_days: u32,
    /// How many there may be at a time.
    pub clients_max: usize,
    /// Whether their tokens need not be bound to a key.
    pub bearer_tokens: bool,
}

/// A file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientsFile {
    urls: Spanned<Vec<Spanned<String>>>,
    owner: Spanned<String>,
    purpose: Spanned<String>,
    environment: Environment,
    role: Spanned<String>,
    #[serde(default)]
    systems: Vec<Spanned<String>>,
    lifetime_days: Option<Spanned<u32>>,
    clients_max: Option<Spanned<u64>>,
    #[serde(default)]
    danger_bearer_tokens: bool,
}

impl Clients {
    /// The rule for a client.
    pub fn rule(&self, url: &ClientUrl) -> Option<&ClientRule> {
        self.0.iter().find(|rule| rule.urls.iter().any(|known| covers(known, url.as_str())))
    }

    /// Whether there are no such clients.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether what is written covers a URL. Neither has dot segments or escapes, so what begins alike lies below.
fn covers(known: &str, url: &str) -> bool {
    known == url || (known.ends_with('/') && url.starts_with(known))
}

/// Reads all `clients/*.toml`.
pub(crate) fn read(files: &BundleFiles) -> (Clients, Vec<Finding>) {
    let (mut findings, mut rules) = (Vec::new(), Vec::<ClientRule>::new());
    for (path, bytes) in files.under("clients") {
        let Some(name) = path.strip_prefix("clients/").and_then(|name| name.strip_suffix(".toml")) else {
            findings.push(Finding::warning("file-ignored", path, "nothing reads this file"));
            continue;
        };
        match strict_toml::parse::<ClientsFile>(path, bytes) {
            Err(finding) => findings.push(finding),
            Ok(file) => {
                let text = String::from_utf8_lossy(bytes);
                let mut checking = Checking { path, text: &text, findings: Vec::new() };
                let rule = checking.rule(name, &file);
                for (url, other) in rule.iter().flat_map(|rule| twice(rule, &rules)) {
                    let message = format!("`{url}` is covered by `clients/{other}.toml` too");
                    checking.refuse(&file.urls, "client-twice", message, "a URL has one rule");
                }
                findings.append(&mut checking.findings);
                rules.extend(rule);
            }
        }
    }
    (Clients(rules), findings)
}

/// URLs of a rule that an earlier one has, or that have one of it.
fn twice<'a>(rule: &'a ClientRule, others: &'a [ClientRule]) -> Vec<(&'a str, &'a str)> {
    let meets = |url: &str, other: &ClientRule| other.urls.iter().any(|known| covers(known, url) || covers(url, known));
    let pairs = rule.urls.iter().flat_map(|url| others.iter().map(move |other| (url.as_str(), other)));
    pairs.filter(|(url, other)| meets(url, other)).map(|(url, other)| (url, other.name.as_str())).collect()
}

struct Checking<'a> {
    path: &'a str,
    text: &'a str,
    findings: Vec<Finding>,
}

impl Checking<'_> {
    fn refuse<T>(&mut self, at: &Spanned<T>, code: &'static str, message: impl Into<String>, help: &str) {
        let finding = Finding::error(code, self.path, message).at_byte(self.text, at.span().start);
        self.findings.push(finding.with_help(help));
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, written: &Spanned<String>) -> Option<T> {
        let parsed = written.get_ref().parse::<T>();
        parsed.map_err(|error| self.refuse(written, "client-name", format!("{error}"), "names are as elsewhere")).ok()
    }

    fn rule(&mut self, name: &str, file: &ClientsFile) -> Option<ClientRule> {
        let urls = file.urls.get_ref();
        if urls.is_empty() || urls.len() > URLS_MAX {
            let help = "write `urls = [\"https://host/path/client.json\"]`";
            self.refuse(&file.urls, "client-urls", format!("a rule has 1 to {URLS_MAX} URLs"), help);
        }
        for url in urls.iter().filter(|url| !is_place(url.get_ref())) {
            let message = format!("`{}` is no place of client documents", url.get_ref());
            let help = "write a whole `https` URL in its usual spelling, or one with `/` at its end for all below it";
            self.refuse(url, "client-urls", message, help);
        }
        for (text, what) in [(&file.owner, "owner"), (&file.purpose, "purpose")] {
            if text.get_ref().trim().is_empty() {
                let help = "say who answers for these clients, and what they are for";
                self.refuse(text, "client-terms", format!("`{what}` is empty"), help);
            }
        }
        let lifetime_days = file.lifetime_days.as_ref().map_or(30, |days| *days.get_ref());
        if let Some(days) = file.lifetime_days.as_ref().filter(|days| !(1..=LIFETIME_DAYS_MAX).contains(days.get_ref()))
        {
            let message = format!("a client lives 1 to {LIFETIME_DAYS_MAX} days after its document was last fetched");
            self.refuse(days, "client-terms", message, "leave it out for 30 days");
        }
        let clients_max = file.clients_max.as_ref().map_or(20, |max| *max.get_ref());
        if let Some(max) = file.clients_max.as_ref().filter(|max| !(1..=CLIENTS_MAX).contains(max.get_ref())) {
            let message = format!("a rule has 1 to {CLIENTS_MAX} clients");
            self.refuse(max, "client-terms", message, "leave it out for 20");
        }
        Some(ClientRule {
            name: name.to_owned(),
            urls: urls.iter().map(|url| url.get_ref().clone()).collect(),
            owner: file.owner.get_ref().clone(),
            purpose: file.purpose.get_ref().clone(),
            environment: file.environment,
            role: self.parsed(&file.role)?,
            systems: file.systems.iter().filter_map(|system| self.parsed(system)).collect(),
            lifetime_days,
            clients_max: usize::try_from(clients_max).unwrap_or(0),
            bearer_tokens: file.danger_bearer_tokens,
        })
    }
}

/// A client's URL, or the beginning of some.
fn is_place(text: &str) -> bool {
    let is_whole_host = |url: Url| {
        let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        url.scheme() == "https" && url.as_str() == text && url.path() == "/" && is_bare
    };
    !text.contains('*') && (text.parse::<ClientUrl>().is_ok() || Url::parse(text).is_ok_and(is_whole_host))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const RULE: &str = r#"urls = ["https://claude.example/oauth/", "https://editor.example/client.json"]
owner = "it@example.com"
purpose = "Assistants of our people"
environment = "production"
role = "assistant"
systems = ["files"]
lifetime_days = 7
clients_max = 3
"#;

    fn read_all(files: &[(&str, &str)]) -> (Clients, Vec<Finding>) {
        let files = files.iter().map(|(name, text)| (format!("clients/{name}"), text.as_bytes().to_vec()));
        super::read(&BundleFiles::new(files.collect::<BTreeMap<_, _>>()).unwrap())
    }

    #[test]
    fn a_rule_covers_its_urls_and_what_is_below_them() {
        let (clients, findings) = read_all(&[("a.toml", RULE)]);
        assert_eq!(findings, []);
        for (url, expected) in [
            ("https://claude.example/oauth/client.json", true),
            ("https://claude.example/oauth/x/y", true),
            ("https://editor.example/client.json", true),
            ("https://claude.example/oauth", false),
            ("https://claude.example/oauthx/client.json", false),
            ("https://claude.example:8443/oauth/client.json", false),
            ("https://claude.example.evil.example/oauth/client.json", false),
            ("https://editor.example/client.jsonx", false),
            ("https://editor.example/client.json/x", false),
        ] {
            assert_eq!(clients.rule(&url.parse().unwrap()).is_some(), expected, "{url}");
        }
        let rule = clients.rule(&"https://claude.example/oauth/c".parse().unwrap()).unwrap();
        assert_eq!(
            (rule.role.as_str(), rule.lifetime_days, rule.clients_max, rule.bearer_tokens),
            ("assistant", 7, 3, false)
        );
    }

    #[test]
    fn every_refusal_has_its_code() {
        let url = "https://editor.example/client.json";
        for (text, code) in [
            (RULE.replace(url, "http://editor.example/client.json"), "client-urls"),
            (RULE.replace(url, "https://*.example/"), "client-urls"),
            (RULE.replace(url, "https://editor.example"), "client-urls"),
            (RULE.replace(url, "https://editor.example/a/../b"), "client-urls"),
            (RULE.replace(url, "https://editor.example/?x"), "client-urls"),
            (RULE.replace("urls = [", "urls = [] #"), "client-urls"),
            (RULE.replace("it@example.com", " "), "client-terms"),
            (RULE.replace("lifetime_days = 7", "lifetime_days = 0"), "client-terms"),
            (RULE.replace("clients_max = 3", "clients_max = 10001"), "client-terms"),
            (RULE.replace("\"assistant\"", "\"As sistant\""), "client-name"),
            (RULE.replace("clients_max", "client_max"), "key-unknown"),
        ] {
            let (_, findings) = read_all(&[("a.toml", &text)]);
            assert!(findings.iter().any(|finding| finding.code == code), "{code} is not in {findings:?}:\n{text}");
        }
        for other in ["https://editor.example/", "https://claude.example/oauth/deep/client.json", url] {
            let second = RULE.replace("https://claude.example/oauth/", other).replace(&format!(", \"{url}\""), "");
            let (_, findings) = read_all(&[("a.toml", RULE), ("b.toml", &second)]);
            assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["client-twice"], "{other}");
        }
        let (_, findings) = read_all(&[("stray.json", "{}")]);
        assert_eq!(findings[0].code, "file-ignored");
    }
}
