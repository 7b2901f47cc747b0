//! `bailiwick.toml`: read once, strictly. Unknown keys are errors; relative paths start at the file's folder.

mod attestation;
mod certificates;
mod sign_in;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use bailiwick_model::{agent::Environment, jwk::SigningAlgorithm};
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

pub use self::sign_in::{Link, ProviderConfig};
pub use self::{
    attestation::Attestation,
    certificates::{ClientCertificates, MtlsListener},
};
use self::{
    attestation::AttestationFile,
    certificates::{CertificatesFile, MtlsFile},
    sign_in::SignInFile,
};

/// The port that a broker listens on unless told otherwise.
pub const PORT: u16 = 8420;

/// Users whom directories may provision unless told otherwise: of a large company, and few enough to look at each.
pub const DIRECTORY_USERS_MAX: usize = 20_000;

/// What is wrong with a configuration, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Why it was refused; names line and column where the file does not parse.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    public_url: Option<String>,
    environment: Option<Environment>,
    #[serde(default)]
    listen: ListenFile,
    #[serde(default)]
    client_certificates: CertificatesFile,
    #[serde(default)]
    attestation: AttestationFile,
    #[serde(default)]
    store: StoreFile,
    #[serde(default)]
    keys: KeysFile,
    #[serde(default)]
    network: NetworkFile,
    #[serde(default)]
    fetch: FetchFile,
    #[serde(default)]
    sign_in: SignInFile,
    #[serde(default)]
    scim: ScimFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScimFile {
    users_max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenFile {
    address: Option<SocketAddr>,
    socket: Option<PathBuf>,
    tls: Option<TlsFile>,
    mtls: Option<MtlsFile>,
    #[serde(default)]
    trusted_proxies: Vec<IpNet>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreFile {
    path: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    directory: Option<PathBuf>,
    agent_algorithms: Option<Vec<SigningAlgorithm>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    #[serde(default)]
    zones: Vec<Zone>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchFile {
    #[serde(default)]
    allow: Vec<IpNet>,
    roots: Option<PathBuf>,
}

/// A named part of the network; policy sees its name as `context.network.zone`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Its address ranges.
    pub ranges: Vec<IpNet>,
}

/// Certificate chain and key, PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A configuration that holds together.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that holds `bailiwick.toml`, `policies/`, `roles/`, `systems/`, `templates/`.
    pub folder: PathBuf,
    /// What clients call this broker; `None` is `http://<listen address>` on loopback.
    pub public_url: Option<Url>,
    /// The environment that it serves; agents of others get no token here.
    pub environment: Option<Environment>,
    /// Where agents connect.
    pub address: SocketAddr,
    /// Where operators connect.
    pub socket: PathBuf,
    /// TLS from files.
    pub tls: Option<TlsFiles>,
    /// The listener that asks clients for a certificate.
    pub mtls: Option<MtlsListener>,
    /// Which certificates of clients count.
    pub client_certificates: ClientCertificates,
    /// Who is believed about keys and clients.
    pub attestation: Attestation,
    /// Proxies whose word on the client's address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The SQLite file.
    pub store: PathBuf,
    /// The folder of keys.
    pub keys: PathBuf,
    /// What agents' own keys may be registered for, and authenticate by; never empty.
    pub agent_algorithms: Vec<SigningAlgorithm>,
    /// Network zones, first match wins.
    pub zones: Vec<Zone>,
    /// Networks to fetch keys and documents of others from though not everybody reaches them.
    pub fetch_allowed: Vec<IpNet>,
    /// Certificates that vouch for hosts to fetch from, beside those of the machine's trust store.
    pub fetch_roots: Option<PathBuf>,
    /// Users whom directories may provision.
    pub directory_users_max: usize,
    /// Providers by whose word people sign in.
    pub providers: Vec<ProviderConfig>,
    /// Make lost key files anew, giving up what they sealed or signed. Never from the file: only somebody at the machine
    /// decides that, once.
    pub danger_new_keys: bool,
}

impl Config {
    /// Reads and checks a file; `listen` overrides its address.
    pub fn read(file: &Path, listen: Option<SocketAddr>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let hint = "make one with `bailiwick init --dir DIRECTORY`".to_owned();
            ConfigError { file: file.to_owned(), message: format!("cannot be read: {error}"), hint: Some(hint) }
        })?;
        Self::parse(&text, file, listen)
    }

    /// Checks the text of a file that lies, or would lie, at `file`.
    pub fn parse(text: &str, file: &Path, listen: Option<SocketAddr>) -> Result<Self, ConfigError> {
        let refuse = |message: String, hint: Option<&str>| ConfigError {
            file: file.to_owned(),
            message,
            hint: hint.map(str::to_owned),
        };
        let parsed: File =
            toml::from_str(text).map_err(|error| refuse(error.to_string().trim_end().to_owned(), None))?;
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let within = |path: PathBuf| if path.is_absolute() { path } else { folder.join(path) };
        let public_url = match parsed.public_url {
            None => None,
            Some(text) => Some(public_url(&text).map_err(|(message, hint)| refuse(message, Some(hint)))?),
        };
        let mtls = parsed.listen.mtls.map(|mtls| mtls.checked(within)).transpose();
        let config = Self {
            mtls: mtls.map_err(|(message, hint)| refuse(message, Some(hint)))?,
            client_certificates: parsed.client_certificates.checked(within),
            attestation: parsed.attestation.checked(within),
            public_url,
            environment: parsed.environment,
            address: listen.or(parsed.listen.address).unwrap_or(SocketAddr::from(([127, 0, 0, 1], PORT))),
            socket: within(parsed.listen.socket.unwrap_or_else(|| PathBuf::from("run/bailiwick.sock"))),
            tls: parsed.listen.tls.map(|tls| TlsFiles { certificate: within(tls.certificate), key: within(tls.key) }),
            trusted_proxies: parsed.listen.trusted_proxies,
            store: within(parsed.store.path.unwrap_or_else(|| PathBuf::from("data/bailiwick.db"))),
            keys: within(parsed.keys.directory.unwrap_or_else(|| PathBuf::from("keys"))),
            agent_algorithms: parsed.keys.agent_algorithms.unwrap_or_else(|| SigningAlgorithm::ALL.to_vec()),
            zones: parsed.network.zones,
            fetch_allowed: parsed.fetch.allow,
            fetch_roots: parsed.fetch.roots.map(within),
            directory_users_max: parsed.scim.users_max.unwrap_or(DIRECTORY_USERS_MAX),
            providers: sign_in::checked(parsed.sign_in.oidc).map_err(|(message, hint)| refuse(message, Some(hint)))?,
            danger_new_keys: false,
            folder,
        };
        config
            .guard()
            .and_then(|()| config.guard_certificates())
            .and_then(|()| config.guard_attestation())
            .map_err(|(message, hint)| refuse(message, Some(hint)))?;
        Ok(config)
    }

    /// Nothing listens beyond loopback without TLS or a declared proxy, nor calls itself by plain HTTP there.
    fn guard(&self) -> Result<(), (String, &'static str)> {
        if self.agent_algorithms.is_empty() {
            return Err((
                "`keys.agent_algorithms` admits no algorithm, so no agent could authenticate".to_owned(),
                "leave it out, or name some of `ES256`, `EdDSA`, `PS256` and `RS256`",
            ));
        }
        let loopback = self.address.ip().is_loopback();
        if !loopback && self.tls.is_none() && self.trusted_proxies.is_empty() {
            return Err((
                format!("`{}` is not loopback, and there is neither TLS nor a declared proxy", self.address),
                "set `[listen.tls]` with `certificate` and `key`, or `trusted_proxies`, or listen on 127.0.0.1",
            ));
        }
        match &self.public_url {
            None if !loopback => Err((
                "a broker that others reach needs its `public_url`".to_owned(),
                "set `public_url = \"https://…\"` to what clients call it",
            )),
            Some(url) if url.scheme() == "http" && !is_loopback_host(url) => Err((
                format!("`{url}` is plain HTTP beyond this machine"),
                "use `https://`: end TLS here or at a declared proxy",
            )),
            _ => Ok(()),
        }
    }

    /// Names the zone of an address; `unknown` where none fits.
    pub fn zone_of(&self, address: Option<IpAddr>) -> String {
        // An IPv4 address may arrive in its IPv6 spelling; both are one address.
        let address = address.map(|address| address.to_canonical());
        address
            .and_then(|address| self.zones.iter().find(|zone| zone.ranges.iter().any(|range| range.contains(&address))))
            .map_or_else(|| "unknown".to_owned(), |zone| zone.name.clone())
    }
}

/// Whether a URL names this machine.
fn is_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn public_url(text: &str) -> Result<Url, (String, &'static str)> {
    let hint = "write `https://host` or `https://host:port`, without path, query or trailing slash";
    let url = Url::parse(text).map_err(|error| (format!("`{text}` is not a URL: {error}"), hint))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && !text.ends_with('/')
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain { Ok(url) } else { Err((format!("`{text}` cannot be an issuer"), hint)) }
}

#[cfg(test)]
mod tests;
