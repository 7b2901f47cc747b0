//! Whether a key is held in hardware: the maker of its device says so in a certificate for exactly that key, under a root that
//! the operator trusts for just this. So do PIV tokens and hardware security modules (`x509` attestation statements).

use bailiwick_model::{
    agent::{Attestation, Authenticator, Credential},
    jwk::Thumbprint,
    name::NameError,
};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    certificate::{Certificate, CertificateError},
    certificate_path::{Authorities, PathError},
};

/// Why an attestation attests nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// Not certificates in PEM.
    #[error("the attestation is not certificates in PEM: {0}")]
    Pem(String),
    /// None, too many, too long.
    #[error("{0}")]
    Form(#[from] NameError),
    /// The first of them cannot be read.
    #[error("the attestation: {0}")]
    Certificate(#[from] CertificateError),
    /// No root that is trusted here vouches for it now.
    #[error("the attestation is not trusted here: {0}")]
    Path(#[from] PathError),
    /// It is about another key.
    #[error("the attestation is for another key")]
    OtherKey,
}

/// A key of which a trusted maker says that a device holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttestedKey {
    /// SHA-256 of the DER of the public key.
    pub public_key: Thumbprint,
    /// The thumbprint of RFC 7638, if it is a key of a kind that signs for us.
    pub jwk: Option<Thumbprint>,
}

/// Reads the certificates of an attestation: the key's own first, then those between it and a root.
pub fn parse_pem(text: &str) -> Result<Attestation, AttestationError> {
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|one| one.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| AttestationError::Pem(error.to_string()))?;
    let attestation = Attestation::new(certificates)?;
    own(&attestation)?;
    Ok(attestation)
}

/// The key that one of `roots` vouches for at `now`.
pub fn verify(attestation: &Attestation, roots: &Authorities, now: Timestamp) -> Result<AttestedKey, AttestationError> {
    let certificate = own(attestation)?;
    let chain: Vec<CertificateDer<'_>> =
        attestation.certificates().iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    roots.vouch(&chain, now)?;
    Ok(AttestedKey { public_key: certificate.public_key(), jwk: certificate.signing_key() })
}

/// The same for a credential, whose own key it has to be. Where the credential is a name, the key is the one that each
/// certificate of that name must have from now on.
pub fn verify_credential(
    credential: &Credential,
    roots: &Authorities,
    now: Timestamp,
) -> Option<Result<AttestedKey, AttestationError>> {
    let attestation = credential.attestation.as_ref()?;
    Some(verify(attestation, roots, now).and_then(|key| match is_of(&credential.authenticator, &key) {
        true => Ok(key),
        false => Err(AttestationError::OtherKey),
    }))
}

fn is_of(authenticator: &Authenticator, key: &AttestedKey) -> bool {
    match authenticator {
        Authenticator::Key(own) => key.jwk == Some(own.thumbprint),
        Authenticator::SelfSigned(pinned) => key.public_key == pinned.public_key,
        Authenticator::Certificate(_) | Authenticator::Spiffe(_) | Authenticator::Attester(_) => true,
        // Its platform signs for it, or nobody does, and no key of its is known.
        Authenticator::Platform(_) | Authenticator::Document(_) => false,
    }
}

fn own(attestation: &Attestation) -> Result<Certificate, CertificateError> {
    Certificate::parse(attestation.certificates().first().map(Vec::as_slice).unwrap_or_default())
}

#[cfg(test)]
mod tests;
