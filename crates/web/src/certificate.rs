//! The certificate of whoever is at the other end of a connection (RFC 8705), and whom the operator trusts to have issued
//! it. That its holder has the key was proved to the listener, or to a declared proxy that says so (RFC 9440); nothing
//! else may put one into a message.

use std::{collections::BTreeMap, sync::Arc};

use bailiwick_model::{
    agent::{Agent, Authenticator, TrustDomain},
    jwk::Thumbprint,
};
use bailiwick_oauth::{
    certificate::{Certificate, CertificateError},
    certificate_path::{Authorities, CHAIN_CERTIFICATES_MAX},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, StatusCode};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use url::Url;

use crate::problem::Problem;

/// The header in which a proxy passes a client's certificate on (RFC 9440 §2.2).
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// The header with the certificates between it and an authority (RFC 9440 §2.3).
pub const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// The certificate that a client showed, in the extensions of each request of its connection.
#[derive(Debug, Clone)]
pub struct ClientCertificate(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    certificate: Certificate,
    /// Its own first.
    chain: Vec<CertificateDer<'static>>,
}

/// Marks the requests of the listener that asks for certificates, whose URLs are others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverMutualTls;

/// Which certificates count.
#[derive(Debug, Clone, Default)]
pub struct CertificateRules {
    /// What clients call the listener that asks for certificates, without a slash at its end.
    pub listener: Option<Url>,
    /// Whether declared proxies say which certificate a client has shown to them.
    pub from_proxies: bool,
    /// Who may issue certificates of clients (RFC 8705 §2.1).
    pub authorities: Option<Authorities>,
    /// Who may issue the SVIDs of a trust domain.
    pub trust_domains: BTreeMap<TrustDomain, Authorities>,
}

impl CertificateRules {
    /// Whether a certificate can come in at all.
    pub const fn admit_any(&self) -> bool {
        self.listener.is_some() || self.from_proxies
    }

    /// The listener that asks for certificates, as an origin.
    pub fn listener_origin(&self) -> Option<String> {
        self.listener.as_ref().map(|url| url.origin().ascii_serialization())
    }

    /// The credential of an agent that this certificate is, at `now`. A self-signed one is vouched for by its
    /// registration, any other by an authority that the operator trusts for just this.
    pub fn credential(&self, agent: &Agent, shown: &ClientCertificate, now: Timestamp) -> Option<Thumbprint> {
        let Shown { certificate, chain } = &*shown.0;
        if !certificate.is_valid(now) {
            return None;
        }
        let vouched = |authorities: Option<&Authorities>| {
            authorities.is_some_and(|authorities| match authorities.vouch(chain, now) {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!(agent.id = %agent.name, %error, "a client's certificate was refused");
                    false
                }
            })
        };
        let proves = |authenticator: &Authenticator| {
            certificate.fits(authenticator)
                && match authenticator {
                    Authenticator::Key(_)
                    | Authenticator::Platform(_)
                    | Authenticator::Document(_)
                    | Authenticator::Attester(_) => false,
                    Authenticator::Certificate(_) => vouched(self.authorities.as_ref()),
                    Authenticator::SelfSigned(_) => true,
                    Authenticator::Spiffe(id) => vouched(self.trust_domains.get(&id.trust_domain())),
                }
        };
        let mut standing = agent.credentials.iter().filter(|credential| now < credential.expires_at);
        standing.find(|credential| proves(&credential.authenticator)).map(|credential| credential.authenticator.id())
    }
}

impl ClientCertificate {
    /// What a client showed, its own first.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Result<Self, CertificateError> {
        let own = chain.first().ok_or(CertificateError::Malformed)?;
        Ok(Self(Arc::new(Shown { certificate: Certificate::parse(own)?, chain })))
    }

    /// What tokens are bound to (RFC 8705 §3.1), if it is valid at `now`: whoever issued it vouches for no other time.
    pub fn thumbprint(&self, now: Timestamp) -> Option<Thumbprint> {
        self.0.certificate.is_valid(now).then(|| self.0.certificate.thumbprint())
    }

    /// SHA-256 of the DER of its public key.
    pub fn public_key(&self) -> Thumbprint {
        self.0.certificate.public_key()
    }

    /// Takes what a message says of a certificate out of its headers. It counts where a declared proxy said it; from
    /// anybody else it is as if it were not there (RFC 9440 §4). What cannot be read is refused: the client showed
    /// something, and nobody knows what.
    pub fn take(headers: &mut HeaderMap, by_proxy: bool) -> Result<Option<Self>, Problem> {
        let said = by_proxy.then(|| read(headers));
        for name in [CLIENT_CERT, CLIENT_CERT_CHAIN] {
            headers.remove(name);
        }
        said.unwrap_or(Ok(None))
    }
}

fn read(headers: &HeaderMap) -> Result<Option<ClientCertificate>, Problem> {
    let unreadable = |detail: &str| {
        Problem::new(StatusCode::BAD_REQUEST, "client_cert_unreadable", detail.to_owned())
            .with_hint("the proxy must set `Client-Cert` and `Client-Cert-Chain` as RFC 9440 writes them")
    };
    let mut own = headers.get_all(CLIENT_CERT).iter();
    let own = match (own.next(), own.next()) {
        (None, _) => return Ok(None),
        (Some(own), None) => own.to_str().ok().and_then(byte_sequence),
        (Some(_), Some(_)) => return Err(unreadable("there is more than one `Client-Cert`")),
    };
    let own = own.ok_or_else(|| unreadable("`Client-Cert` is not one byte sequence"))?;
    let mut chain = vec![own];
    for value in headers.get_all(CLIENT_CERT_CHAIN) {
        for element in value.to_str().unwrap_or_default().split(',') {
            if chain.len() == CHAIN_CERTIFICATES_MAX {
                return Err(unreadable("`Client-Cert-Chain` is too long"));
            }
            let one = byte_sequence(element.trim_matches([' ', '\t']));
            chain.push(one.ok_or_else(|| unreadable("`Client-Cert-Chain` is not a list of byte sequences"))?);
        }
    }
    let shown = ClientCertificate::new(chain.into_iter().map(CertificateDer::from).collect());
    shown.map(Some).map_err(|error| unreadable(&format!("`Client-Cert`: {error}")))
}

/// A byte sequence of a structured field (RFC 8941 §3.3.5).
fn byte_sequence(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.strip_prefix(':')?.strip_suffix(':')?).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests;
