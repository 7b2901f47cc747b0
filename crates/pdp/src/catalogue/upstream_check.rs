//! Checks how an upstream is reached: one way, no secret in plain sight.

use bailiwick_model::name::{SecretName, SystemName};
use url::{Host, Url};

use super::{
    CALL_TIMEOUT_S, CALL_TIMEOUT_S_MAX, ClientKind, HttpCredential, InjectedCredential, Upstream, VERIFY_EVERY_S,
    VERIFY_EVERY_S_MAX, accounts,
    file::{CredentialEntry, UpstreamEntry},
    oauth_client,
};
use crate::finding::Finding;

/// Headers that the broker itself sets: a credential in one of them would break the protocol.
const OWN_HEADERS: [&str; 12] = [
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "origin",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A checked `[upstream]`.
pub(super) struct Reached {
    pub(super) upstream: Upstream,
    pub(super) call_timeout_s: u64,
    pub(super) verify_every_s: u64,
}

struct Check<'a> {
    file: &'a str,
    line: usize,
    system: &'a SystemName,
    findings: &'a mut Vec<Finding>,
}

/// Checks one entry; `None` if there is no telling how to reach the system.
pub(super) fn upstream(
    file: &str,
    line: usize,
    system: &SystemName,
    entry: UpstreamEntry,
    findings: &mut Vec<Finding>,
) -> Option<Reached> {
    let mut check = Check { file, line, system, findings };
    let call_timeout_s = check.seconds("call_timeout_s", entry.call_timeout_s, CALL_TIMEOUT_S, CALL_TIMEOUT_S_MAX);
    let verify_every_s = check.seconds("verify_every_s", entry.verify_every_s, VERIFY_EVERY_S, VERIFY_EVERY_S_MAX);
    let upstream = match (&entry.stdio, &entry.url, entry.client) {
        (Some(_), None, None) => check.stdio(entry),
        (None, Some(_), None) => check.http(entry),
        (None, None, Some(kind)) => check.client(kind, &entry),
        _ => {
            check.error("upstream-unclear", "an upstream has exactly one of `stdio`, `url` and `client`", None);
            None
        }
    };
    upstream.map(|upstream| Reached { upstream, call_timeout_s, verify_every_s })
}

impl Check<'_> {
    fn error(&mut self, code: &'static str, message: impl Into<String>, help: Option<&str>) {
        let mut finding = Finding::error(code, self.file, message).at(self.line);
        finding.help = help.map(str::to_owned);
        self.findings.push(finding);
    }

    fn seconds(&mut self, key: &str, written: Option<u64>, default: u64, max: u64) -> u64 {
        match written {
            Some(seconds) if !(1..=max).contains(&seconds) => {
                self.error("upstream-seconds", format!("`{key}` is {seconds}, but must be from 1 to {max}"), None);
                default
            }
            Some(seconds) => seconds,
            None => default,
        }
    }

    fn secret(&mut self, secret: &SecretName) {
        if secret.as_str().split('/').next() != Some(self.system.as_str()) {
            let message = format!("secret `{secret}` belongs to another system than `{}`", self.system);
            self.error("secret-foreign", message, Some("a system can use only secrets under its own name"));
        }
    }

    /// Nothing is sent to a client, so nothing says how.
    fn client(&mut self, kind: ClientKind, entry: &UpstreamEntry) -> Option<Upstream> {
        let UpstreamEntry {
            stdio: _,
            env,
            secret_env,
            shared,
            url: _,
            client: _,
            credential,
            client_credentials,
            accounts,
            ..
        } = entry;
        let other = credential.is_some() || client_credentials.is_some() || accounts.is_some();
        if !env.is_empty() || !secret_env.is_empty() || shared.is_some() || other {
            self.error("upstream-mixed", "an upstream with `client` has nothing else", None);
        }
        Some(Upstream::Client(kind))
    }

    fn stdio(&mut self, entry: UpstreamEntry) -> Option<Upstream> {
        let http = entry.credential.is_some() || entry.client_credentials.is_some() || entry.accounts.is_some();
        if http || entry.danger_plain_http {
            let message = "`credential`, `client_credentials`, `accounts` and `danger_plain_http` belong to an upstream \
                           with `url`";
            self.error("upstream-mixed", message, None);
        }
        for name in entry.env.keys().chain(entry.secret_env.keys()) {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(plain) {
                self.error("env-name", format!("`{name}` is not a name of an environment variable"), None);
            }
        }
        for (name, secret) in &entry.secret_env {
            self.secret(secret);
            if entry.env.contains_key(name) {
                self.error("env-twice", format!("`{name}` is both in `env` and in `secret_env`"), None);
            }
        }
        for name in entry.env.keys().filter(|name| sounds_secret(name)) {
            let message =
                format!("environment variable `{name}` sounds like a secret, and a bundle is no place for secrets");
            let help = format!("put it into the vault and write `secret_env = {{ {name} = \"{}/…\" }}`", self.system);
            self.findings
                .push(Finding::warning("secret-in-plain-sight", self.file, message).at(self.line).with_help(help));
        }
        let mut words = entry.stdio.unwrap_or_default().into_iter();
        let command = words.next().filter(|command| !command.is_empty());
        let args: Vec<String> = words.collect();
        if command.is_none() || args.iter().chain(&command).chain(entry.env.values()).any(|word| word.contains('\0')) {
            self.error("command-invalid", "`stdio` is a command and its arguments, without NUL", None);
        }
        Some(Upstream::Stdio {
            command: command?,
            args,
            env: entry.env,
            secret_env: entry.secret_env,
            shared: entry.shared.unwrap_or(false),
        })
    }

    fn http(&mut self, entry: UpstreamEntry) -> Option<Upstream> {
        if entry.shared.is_some() || !entry.env.is_empty() || !entry.secret_env.is_empty() {
            self.error("upstream-mixed", "`env`, `secret_env` and `shared` belong to an upstream with `stdio`", None);
        }
        let text = entry.url.unwrap_or_default();
        let url = match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            _ => {
                self.error("url-invalid", format!("`{text}` is not an `https` URL"), None);
                return None;
            }
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            let help = "put the credential into the vault and name it in `credential`";
            self.error("url-invalid", "the URL carries user information or a fragment", Some(help));
        }
        if url.scheme() == "http" && !is_loopback(&url) && !entry.danger_plain_http {
            let help = "use `https`, or set `danger_plain_http = true` if nobody else can listen on that network";
            self.error("url-plain", "the URL leaves this machine without encryption", Some(help));
        }
        let mut faults = Vec::new();
        let credential = match (entry.credential, entry.client_credentials) {
            (Some(header), None) => Some(HttpCredential::Header(self.credential(header))),
            (None, Some(client)) => {
                let client = oauth_client::check(self.system, &url, client, &mut faults);
                client.map(|client| HttpCredential::Token(Box::new(client)))
            }
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.error("upstream-mixed", "an upstream has `credential` or `client_credentials`, not both", None);
                None
            }
        };
        let accounts = entry.accounts.map(|entry| accounts::check(self.system, &url, entry, &mut faults).map(Box::new));
        faults.into_iter().for_each(|(code, message)| self.error(code, message, None));
        // An entry that cannot be read is no entry that is not there.
        let accounts = match accounts {
            Some(checked) => Some(checked?),
            None => None,
        };
        Some(Upstream::Http { url, credential, accounts })
    }

    fn credential(&mut self, entry: CredentialEntry) -> InjectedCredential {
        self.secret(&entry.secret);
        let header = entry.header.to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if header.is_empty() || !header.bytes().all(plain) {
            self.error("header-invalid", format!("`{}` is not a name of an HTTP header", entry.header), None);
        } else if OWN_HEADERS.contains(&header.as_str()) || header.starts_with("mcp-") {
            self.error("header-reserved", format!("header `{header}` is set by the broker itself"), None);
        }
        if !entry.prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            self.error("header-invalid", "the `prefix` of a credential is printable ASCII", None);
        }
        InjectedCredential { header, prefix: entry.prefix, secret: entry.secret }
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.split('_')
        .any(|word| matches!(word, "KEY" | "TOKEN" | "SECRET" | "PASSWORD" | "PASSWD" | "CREDENTIALS" | "APIKEY"))
}
