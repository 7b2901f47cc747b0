//! What an issuer's file says, held against itself: it can be read in one way only, and trusts no more than somebody wrote
//! down. Says where it does not; decides nothing.

mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{bundle::BundleFiles, jwk::SigningAlgorithm};
use toml::Spanned;
use url::{Host, Url};

use super::{
    Document, Issuer, Issuers, KeySource, TOKEN_AGE_S, TOKEN_AGE_S_MAX, Target, TrustDomain, Vouches,
    file::{IdJagFile, IssuerFile, KeysFile, SpiffeFile, TargetFile},
};
use crate::finding::Finding;

/// The check of one file.
pub(super) struct Checking<'a> {
    path: &'a str,
    text: &'a str,
    files: &'a BundleFiles,
    /// Files beside it that it names.
    pub(super) pinned: BTreeSet<String>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Checking<'a> {
    /// Of the file at `path`, whose lines are those of `text`.
    pub(super) fn new(path: &'a str, text: &'a str, files: &'a BundleFiles) -> Self {
        Self { path, text, files, pinned: BTreeSet::new(), findings: Vec::new() }
    }

    fn refuse<T>(&mut self, at: &Spanned<T>, code: &'static str, message: impl Into<String>, help: &str) {
        let finding = Finding::error(code, self.path, message).at_byte(self.text, at.span().start);
        self.findings.push(finding.with_help(help));
    }

    fn refuse_file(&mut self, code: &'static str, message: impl Into<String>, help: &str) {
        self.findings.push(Finding::error(code, self.path, message).at(1).with_help(help));
    }

    /// A text of a type of ours.
    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        written: &Spanned<String>,
        code: &'static str,
    ) -> Option<T> {
        match written.get_ref().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let finding = Finding::error(code, self.path, format!("{error}"));
                self.findings.push(finding.at_byte(self.text, written.span().start));
                None
            }
        }
    }

    /// The issuer, as far as it could be read.
    pub(super) fn issuer(&mut self, name: &str, file: &IssuerFile) -> Option<Issuer> {
        let reads = file.id_jag.is_some() || file.workload.is_some() || file.spiffe.is_some();
        if !reads && file.id_jag_target.is_empty() {
            let help = "add `[id_jag]`, `[workload]`, `[spiffe]` or `[[id_jag_target]]`";
            self.refuse_file("issuer-useless", "the file says not what the issuer is trusted for", help);
        }
        let needs_name = file.id_jag.is_some() || file.workload.is_some() || !file.id_jag_target.is_empty();
        let issuer = file.issuer.as_ref().and_then(|written| self.issuer_url(written));
        if needs_name && file.issuer.is_none() {
            let help = "write `issuer = \"https://…\"` as its tokens have it in `iss`, byte for byte";
            self.refuse_file("issuer-unnamed", "the issuer has no name", help);
        }
        let keys = match &file.keys {
            Some(keys) => self.keys(keys, issuer.as_deref()),
            None => None,
        };
        if reads && file.keys.is_none() {
            let help = "write `keys = { discovery = \"openid-configuration\" }`, `jwks_uri` or `pinned`";
            self.refuse_file("issuer-keys", "nothing says where the issuer's keys are", help);
        }
        let age_s_max = self.age(file);
        Some(Issuer {
            name: name.to_owned(),
            issuer,
            keys,
            algorithms: self.algorithms(file),
            age_s_max,
            vouches: file.id_jag.as_ref().map(|written| self.vouches(written)),
            workloads: file.workload.as_ref().map(|written| self.workloads(written, age_s_max)),
            trust_domain: file.spiffe.as_ref().map(|written| self.trust_domain(written)),
            targets: file.id_jag_target.iter().filter_map(|written| self.target(written)).collect::<BTreeMap<_, _>>(),
        })
    }

    /// Kept as it is written: two spellings of one URL are two issuers.
    fn issuer_url(&mut self, written: &Spanned<String>) -> Option<String> {
        let fits = Url::parse(written.get_ref()).is_ok_and(|url| {
            is_safe(&url) && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
        });
        if !fits || written.get_ref().len() > 2_048 {
            let message = format!("`{}` cannot be an issuer", written.get_ref());
            self.refuse(written, "issuer-url", message, "write `https://host/path` as its tokens have it in `iss`");
            return None;
        }
        Some(written.get_ref().clone())
    }

    fn keys(&mut self, written: &Spanned<KeysFile>, issuer: Option<&str>) -> Option<KeySource> {
        let unclear = "keys are in one place: `jwks_uri`, `discovery` or `pinned`";
        match written.get_ref() {
            KeysFile { jwks_uri: Some(uri), discovery: None, pinned: None } => match Url::parse(uri) {
                Ok(url) if is_safe(&url) => Some(KeySource::Jwks(url)),
                _ => {
                    self.refuse(written, "issuer-keys", format!("`{uri}` is not an `https` URL"), unclear);
                    None
                }
            },
            KeysFile { jwks_uri: None, discovery: Some(document), pinned: None } => {
                let url = issuer.and_then(|issuer| discovery_url(issuer, *document));
                if url.is_none() && issuer.is_none() {
                    self.refuse(written, "issuer-keys", "only an issuer with a name is discovered", unclear);
                }
                url.map(KeySource::Discovery)
            }
            KeysFile { jwks_uri: None, discovery: None, pinned: Some(name) } => {
                let path = format!("issuers/{name}");
                let found = self.files.file(&path).filter(|_| !name.contains('/') && name.ends_with(".json"));
                let Some(bytes) = found else {
                    let message = format!("there is no `issuers/{name}`");
                    let help = "put the issuer's JWK set beside this file, as `<name>.json`";
                    self.refuse(written, "issuer-keys", message, help);
                    return None;
                };
                let set = serde_json::from_slice::<serde_json::Value>(bytes).ok();
                if !set.is_some_and(|set| set.get("keys").is_some_and(serde_json::Value::is_array)) {
                    let message = format!("`issuers/{name}` is no JWK set");
                    self.refuse(written, "issuer-keys", message, "it is a JSON object with an array `keys`");
                }
                self.pinned.insert(path);
                Some(KeySource::Pinned(bytes.to_vec()))
            }
            _ => {
                self.refuse(written, "issuer-keys", "it is not clear where the keys are", unclear);
                None
            }
        }
    }

    fn algorithms(&mut self, file: &IssuerFile) -> Vec<SigningAlgorithm> {
        let Some(written) = &file.algorithms else {
            use SigningAlgorithm::{ES256, EdDSA, PS256, RS256};
            return vec![RS256, ES256, EdDSA, PS256];
        };
        if written.get_ref().is_empty() {
            self.refuse(written, "issuer-algorithms", "no algorithm is admitted", "leave it out to admit all of ours");
        }
        written.get_ref().clone()
    }

    fn age(&mut self, file: &IssuerFile) -> u64 {
        let Some(written) = &file.max_age_s else { return TOKEN_AGE_S };
        if !(30..=TOKEN_AGE_S_MAX).contains(written.get_ref()) {
            let message = format!("`max_age_s` is {}, but must be from 30 to {TOKEN_AGE_S_MAX}", written.get_ref());
            self.refuse(written, "issuer-age", message, "leave it out for one hour");
        }
        *written.get_ref()
    }

    fn vouches(&mut self, written: &IdJagFile) -> Vouches {
        if written.subjects.is_empty() && written.email_domains.is_empty() {
            let help = "name users in `[id_jag.subjects]`, or domains of which it is the authority in `email_domains`";
            self.refuse_file("issuer-subjects", "the issuer may vouch for nobody", help);
        }
        let subjects = written.subjects.iter().filter_map(|(subject, user)| {
            let user = self.parsed(user, "issuer-subjects")?;
            Some((subject.clone(), user))
        });
        let subjects = subjects.collect();
        let mut email_domains = BTreeSet::new();
        for domain in &written.email_domains {
            let text = domain.get_ref();
            let plain =
                |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if text.len() > 253 || !text.contains('.') || !text.split('.').all(plain) {
                let message = format!("`{text}` is not a domain");
                self.refuse(domain, "issuer-domain", message, "write `example.com`, without `@` and `*`");
            }
            email_domains.insert(text.to_ascii_lowercase());
        }
        let scopes = written
            .scopes
            .as_ref()
            .map(|scopes| scopes.iter().filter_map(|scope| self.parsed(scope, "issuer-scope")).collect());
        Vouches { subjects, email_domains, scopes }
    }

    fn trust_domain(&mut self, written: &Spanned<SpiffeFile>) -> TrustDomain {
        let SpiffeFile { trust_domain, ids } = written.get_ref();
        let name = trust_domain.get_ref();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        if name.is_empty() || name.len() > 255 || !name.bytes().all(plain) {
            let message = format!("`{name}` is not a trust domain");
            self.refuse(trust_domain, "spiffe-domain", message, "write `prod.example`, without `spiffe://`");
        }
        let prefix = format!("spiffe://{name}/");
        let mut agents = BTreeMap::new();
        for (id, agent) in ids {
            let path = id.strip_prefix(&prefix).filter(|path| is_spiffe_path(path));
            if path.is_none() || id.len() > 2_048 {
                let message = format!("`{id}` is no SPIFFE id of this trust domain");
                self.refuse(agent, "spiffe-id", message, "write the whole id: `spiffe://<trust domain>/<path>`");
            }
            agents.extend(self.parsed(agent, "spiffe-agent").map(|agent| (id.clone(), agent)));
        }
        if agents.is_empty() {
            let help = "add `[spiffe.ids]` with `\"spiffe://…\" = \"<agent>\"`";
            self.refuse(written, "spiffe-agents", "no SPIFFE id is an agent", help);
        }
        TrustDomain { name: name.clone(), ids: agents }
    }

    fn target(&mut self, written: &TargetFile) -> Option<(bailiwick_model::name::AgentName, Target)> {
        let agent: bailiwick_model::name::AgentName = self.parsed(&written.agent, "target-agent")?;
        let client = written.client_id.clone().unwrap_or_else(|| agent.to_string());
        let fits = |text: &str| !text.is_empty() && text.len() <= 2_048 && text.bytes().all(|b| b.is_ascii_graphic());
        if written.resources.is_empty() || written.scopes.is_empty() || !fits(&client) {
            let help = "name `resources` and `scopes` of the other server, each at least one";
            self.refuse(&written.agent, "target-nothing", format!("we would vouch for `{agent}` for nothing"), help);
        }
        for resource in &written.resources {
            let fits = Url::parse(resource.get_ref()).is_ok_and(|url| is_safe(&url) && url.fragment().is_none());
            if !fits {
                let message = format!("`{}` is not an `https` URL", resource.get_ref());
                self.refuse(resource, "target-resource", message, "write it as the other server's metadata has it");
            }
        }
        let resources = written.resources.iter().map(|resource| resource.get_ref().clone()).collect();
        let scopes = written.scopes.iter().filter_map(|scope| self.parsed(scope, "target-scope")).collect();
        Some((agent, Target { client, resources, scopes }))
    }
}

/// Two files for one issuer or trust domain could disagree.
pub(super) fn twice(issuers: &Issuers) -> Vec<Finding> {
    let mut seen: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for one in issuers.iter() {
        let names = [
            one.issuer.as_deref().map(|issuer| ("issuer", issuer)),
            one.trust_domain.as_ref().map(|domain| ("trust domain", domain.name.as_str())),
        ];
        for (kind, name) in names.into_iter().flatten() {
            if let Some(other) = seen.insert((kind, name), &one.name) {
                let message = format!("the {kind} `{name}` stands in `issuers/{other}.toml` too");
                let file = format!("issuers/{}.toml", one.name);
                findings.push(Finding::error("issuer-twice", file, message).with_help("write both uses into one file"));
            }
        }
    }
    findings
}

/// `https`, or plain HTTP on this machine; nothing of it is a secret.
fn is_safe(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.has_host() && url.password().is_none() && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

/// Where an issuer's document lies: OpenID Connect puts the well-known path behind the issuer's own, RFC 8414 before it.
fn discovery_url(issuer: &str, document: Document) -> Option<Url> {
    let mut url = Url::parse(issuer).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&match document {
        Document::OpenidConfiguration => format!("{path}/.well-known/openid-configuration"),
        Document::OauthAuthorizationServer => format!("/.well-known/oauth-authorization-server{path}"),
    });
    Some(url)
}

/// Segments of letters, digits, `-`, `_` and `.`, none of them empty or dots alone (SPIFFE-ID §2.2).
fn is_spiffe_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    path.split('/').all(|segment| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain))
}
