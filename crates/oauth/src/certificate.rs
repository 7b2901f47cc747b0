//! A client's certificate (RFC 8705): what it says of itself. Who issued it, and whether its holder has its key, is for
//! others to find out: [`crate::certificate_path`], and the connection.

use std::net::IpAddr;

use bailiwick_model::{
    agent::{Authenticator, CertificateName, DistinguishedName, PinnedCertificate, SpiffeId},
    jwk::Thumbprint,
};
use jiff::Timestamp;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
    x509::X509Name,
};

use crate::{key_material::KeyMaterial, pem};

/// Bytes of one certificate at most.
pub const CERTIFICATE_BYTES_MAX: usize = 12 * 1_024;
/// Alternative names of one certificate at most.
pub const ALTERNATIVE_NAMES_MAX: usize = 64;

/// Bytes that are no certificate of ours to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM.
    #[error("not one certificate in PEM")]
    Pem,
    /// Not DER of an X.509 certificate, and nothing after it.
    #[error("not an X.509 certificate")]
    Malformed,
    /// Too long, or too many names.
    #[error("a certificate has at most {CERTIFICATE_BYTES_MAX} bytes and {ALTERNATIVE_NAMES_MAX} alternative names")]
    TooLarge,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    thumbprint: Thumbprint,
    public_key: Thumbprint,
    signing_key: Option<Thumbprint>,
    not_before: Timestamp,
    not_after: Timestamp,
    subject: Option<DistinguishedName>,
    names: Vec<CertificateName>,
    /// All URIs among its names, of whatever form.
    uris: Vec<String>,
    /// Whether it may issue others.
    issues: bool,
}

impl Certificate {
    /// Reads one in DER.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge);
        }
        let malformed = |_| CertificateError::Malformed;
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).map_err(malformed);
        let extensions = certificate.extensions_map().map_err(|_| CertificateError::Malformed)?;
        let (mut names, mut uris, mut issues) = (Vec::new(), Vec::new(), false);
        for extension in extensions.values() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(found) => {
                    if found.general_names.len() > ALTERNATIVE_NAMES_MAX {
                        return Err(CertificateError::TooLarge);
                    }
                    names.extend(found.general_names.iter().filter_map(alternative_name));
                    uris.extend(found.general_names.iter().filter_map(|name| match name {
                        GeneralName::URI(uri) => Some((*uri).to_owned()),
                        _ => None,
                    }));
                }
                ParsedExtension::BasicConstraints(constraints) => issues |= constraints.ca,
                ParsedExtension::KeyUsage(usage) => issues |= usage.key_cert_sign() || usage.crl_sign(),
                ParsedExtension::ParseError { .. } => return Err(CertificateError::Malformed),
                _ => {}
            }
        }
        Ok(Self {
            thumbprint: Thumbprint::of_der(der),
            public_key: Thumbprint::of_der(certificate.public_key().raw),
            signing_key: KeyMaterial::of_spki(certificate.public_key().raw).ok().map(|key| key.thumbprint()),
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
            subject: distinguished_name(certificate.subject()),
            names,
            uris,
            issues,
        })
    }

    /// Reads one in PEM.
    pub fn parse_pem(text: &str) -> Result<Self, CertificateError> {
        Self::parse(&pem::decode("CERTIFICATE", text).map_err(|_| CertificateError::Pem)?)
    }

    /// `x5t#S256`: SHA-256 of its DER (RFC 8705 §3.1).
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// SHA-256 of the DER of its public key.
    pub const fn public_key(&self) -> Thumbprint {
        self.public_key
    }

    /// The thumbprint of its public key by RFC 7638, if it is of a kind that signs for us.
    pub const fn signing_key(&self) -> Option<Thumbprint> {
        self.signing_key
    }

    /// The subject; `None` where it is empty or no text.
    pub const fn subject(&self) -> Option<&DistinguishedName> {
        self.subject.as_ref()
    }

    /// Whether it is of this moment: whatever a certificate proves, it proves between its two times only, both included
    /// (RFC 5280 §4.1.2.5).
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now.as_second() <= self.not_after.as_second()
    }

    /// The id in an X.509-SVID (X509-SVID §2 and §4): its only URI, in a certificate that issues no others.
    pub fn spiffe_id(&self) -> Option<SpiffeId> {
        match self.uris.as_slice() {
            [uri] if !self.issues => uri.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is what a credential looks for. Nothing is said of who issued it.
    pub fn fits(&self, authenticator: &Authenticator) -> bool {
        match authenticator {
            Authenticator::Key(_)
            | Authenticator::Platform(_)
            | Authenticator::Document(_)
            | Authenticator::Attester(_) => false,
            Authenticator::Certificate(CertificateName::SubjectDn(name)) => self.subject.as_ref() == Some(name),
            Authenticator::Certificate(name) => self.names.contains(name),
            Authenticator::SelfSigned(PinnedCertificate { public_key, certificate }) => {
                self.public_key == *public_key && certificate.is_none_or(|one| one == self.thumbprint)
            }
            Authenticator::Spiffe(id) => self.spiffe_id().as_ref() == Some(id),
        }
    }
}

/// A name that can be compared whole; a pattern such as `*.example.com` cannot.
fn alternative_name(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::DNSName(name) => CertificateName::san_dns(name).ok(),
        GeneralName::URI(uri) => CertificateName::san_uri(uri).ok(),
        GeneralName::RFC822Name(address) => CertificateName::san_email(address).ok(),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(CertificateName::SanIp)
        }
        _ => None,
    }
}

/// The name in the order of RFC 4514 §2.1: the last set first.
fn distinguished_name(name: &X509Name<'_>) -> Option<DistinguishedName> {
    let mut sets = Vec::new();
    for set in name.iter_rdn() {
        let attribute = |one: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            Some((one.attr_type().to_id_string(), one.as_str().ok()?.to_owned()))
        };
        sets.push(set.iter().map(attribute).collect::<Option<Vec<_>>>()?);
    }
    sets.reverse();
    DistinguishedName::new(&sets).ok()
}

#[cfg(test)]
mod tests;
