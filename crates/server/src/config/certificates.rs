//! Certificates of clients: the listener that asks for them, and whom to trust (`[listen.mtls]`, `[client_certificates]`).

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use bailiwick_model::agent::TrustDomain;
use bailiwick_oauth::certificate_path::Authorities;
use bailiwick_web::certificate::CertificateRules;
use serde::Deserialize;
use url::Url;

use super::{Config, ConfigError, TlsFiles, public_url};

/// `[listen.mtls]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MtlsFile {
    address: SocketAddr,
    certificate: PathBuf,
    key: PathBuf,
    url: Option<String>,
}

/// `[client_certificates]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificatesFile {
    #[serde(default)]
    authorities: Vec<PathBuf>,
    #[serde(default)]
    from_proxies: bool,
    #[serde(default)]
    spiffe: Vec<SpiffeFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpiffeFile {
    trust_domain: TrustDomain,
    bundle: PathBuf,
}

/// The listener that asks clients for a certificate.
#[derive(Debug, Clone)]
pub struct MtlsListener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its own certificate and key.
    pub files: TlsFiles,
    /// What clients call it; `None` is the issuer's host at its port.
    pub url: Option<Url>,
}

/// Which certificates of clients count, as files.
#[derive(Debug, Clone, Default)]
pub struct ClientCertificates {
    /// Who may issue them: certificates in PEM.
    pub authorities: Vec<PathBuf>,
    /// Whether declared proxies say which one a client has shown (RFC 9440).
    pub from_proxies: bool,
    /// Who may issue the SVIDs of each trust domain: certificates in PEM.
    pub trust_domains: Vec<(TrustDomain, PathBuf)>,
}

type Refusal = (String, &'static str);

impl MtlsFile {
    pub(super) fn checked(self, within: impl Fn(PathBuf) -> PathBuf) -> Result<MtlsListener, Refusal> {
        let Self { address, certificate, key, url } = self;
        let url = url.as_deref().map(public_url).transpose()?;
        if url.as_ref().is_some_and(|url| url.scheme() != "https") {
            return Err(("`listen.mtls.url` is no `https://` URL".to_owned(), "certificates are shown over TLS alone"));
        }
        Ok(MtlsListener { address, files: TlsFiles { certificate: within(certificate), key: within(key) }, url })
    }
}

impl CertificatesFile {
    pub(super) fn checked(self, within: impl Fn(PathBuf) -> PathBuf) -> ClientCertificates {
        let Self { authorities, from_proxies, spiffe } = self;
        ClientCertificates {
            authorities: authorities.into_iter().map(&within).collect(),
            from_proxies,
            trust_domains: spiffe.into_iter().map(|one| (one.trust_domain, within(one.bundle))).collect(),
        }
    }
}

impl Config {
    /// Rules that nobody could meet, or anybody.
    pub(super) fn guard_certificates(&self) -> Result<(), Refusal> {
        let ClientCertificates { authorities, from_proxies, trust_domains } = &self.client_certificates;
        if *from_proxies && self.trusted_proxies.is_empty() {
            return Err((
                "`client_certificates.from_proxies` believes proxies, and none is declared".to_owned(),
                "name the proxy's network in `listen.trusted_proxies`",
            ));
        }
        let asks = *from_proxies || self.mtls.is_some();
        let trusts = !authorities.is_empty() || !trust_domains.is_empty();
        if trusts && !asks {
            return Err((
                "nobody asks clients for the certificates of `[client_certificates]`".to_owned(),
                "add `[listen.mtls]`, or `from_proxies = true` behind a declared proxy that does",
            ));
        }
        let mut names: Vec<_> = trust_domains.iter().map(|(name, _)| name).collect();
        names.sort();
        match names.windows(2).find(|pair| pair.first() == pair.last()) {
            Some([twice, _]) => Err((
                format!("the trust domain `{twice}` has two bundles"),
                "put all certificates of its bundle into one file",
            )),
            _ => Ok(()),
        }
    }

    /// Reads the files. `mtls` is where the listener that asks for certificates came to listen.
    pub fn certificate_rules(&self, issuer: &str, mtls: Option<SocketAddr>) -> Result<CertificateRules, ConfigError> {
        let ClientCertificates { authorities, from_proxies, trust_domains } = &self.client_certificates;
        let mut trusted: Option<Authorities> = None;
        for file in authorities {
            trusted.get_or_insert_default().extend(read(file)?);
        }
        let domain = |(name, file): &(TrustDomain, PathBuf)| Ok((name.clone(), read(file)?));
        let listener = self
            .mtls
            .as_ref()
            .zip(mtls)
            .and_then(|(mtls, address)| mtls.url.clone().or_else(|| at_port(issuer, address.port())));
        Ok(CertificateRules {
            listener,
            from_proxies: *from_proxies,
            authorities: trusted,
            trust_domains: trust_domains.iter().map(domain).collect::<Result<_, ConfigError>>()?,
        })
    }
}

/// The issuer's host at another port, over TLS.
fn at_port(issuer: &str, port: u16) -> Option<Url> {
    let host = issuer.parse::<Url>().ok()?.host_str()?.to_owned();
    format!("https://{host}:{port}").parse().ok()
}

pub(super) fn read(file: &Path) -> Result<Authorities, ConfigError> {
    let refused = |message: String| ConfigError {
        file: file.to_owned(),
        message,
        hint: Some("it must hold certificates of authorities in PEM, and no key".to_owned()),
    };
    let text = std::fs::read(file).map_err(|error| refused(format!("cannot be read: {error}")))?;
    Authorities::parse_pem(&text).map_err(|error| refused(error.to_string()))
}
