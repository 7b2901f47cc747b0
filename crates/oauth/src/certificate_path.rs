//! Whether an authority that the operator trusts has issued a client's certificate (RFC 5280 §6). Authorities never come
//! from a client.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject as _};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Authorities of one file at most.
pub const AUTHORITIES_MAX: usize = 64;
/// Certificates of one client at most: its own, and those between it and an authority.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;

/// A file of authorities that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// Not certificates in PEM.
    #[error("not certificates in PEM: {0}")]
    Pem(String),
    /// None, or too many.
    #[error("1 to {AUTHORITIES_MAX} certificates are expected")]
    Count,
    /// One of them is no authority's.
    #[error("certificate {number} cannot be an authority: {reason}")]
    Unfit {
        /// Which, from 1.
        number: usize,
        /// Why.
        reason: String,
    },
}

/// A certificate that no authority vouches for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is not vouched for: {0}")]
pub struct PathError(String);

/// Authorities that may vouch for clients.
#[derive(Debug, Clone, Default)]
pub struct Authorities(Vec<TrustAnchor<'static>>);

impl Authorities {
    /// Reads their certificates in PEM.
    pub fn parse_pem(text: &[u8]) -> Result<Self, AuthoritiesError> {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(|error| AuthoritiesError::Pem(error.to_string()))?;
        if certificates.is_empty() || certificates.len() > AUTHORITIES_MAX {
            return Err(AuthoritiesError::Count);
        }
        let anchor = |(at, certificate): (usize, &CertificateDer<'static>)| {
            anchor_from_trusted_cert(certificate)
                .map(|anchor| anchor.to_owned())
                .map_err(|error| AuthoritiesError::Unfit { number: at + 1, reason: error.to_string() })
        };
        certificates.iter().enumerate().map(anchor).collect::<Result<_, _>>().map(Self)
    }

    /// Adds those of another file.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether one of them has the key of one of the others, however their certificates were renewed.
    pub fn shares_a_key_with(&self, others: &Self) -> bool {
        let has = |key: &[u8]| self.0.iter().any(|one| one.subject_public_key_info.as_ref() == key);
        others.0.iter().any(|other| has(other.subject_public_key_info.as_ref()))
    }

    /// Whether one of them vouches at `now` for the first of these certificates as a client's, over the others. One
    /// whose extended key usage does not name clients is none (RFC 5280 §4.2.1.12).
    pub fn vouch(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), PathError> {
        let refused = |error: &dyn std::fmt::Display| PathError(error.to_string());
        let Some((leaf, between)) = chain.split_first().filter(|_| chain.len() <= CHAIN_CERTIFICATES_MAX) else {
            return Err(refused(&"a client shows 1 to 8 certificates"));
        };
        let seconds = u64::try_from(now.as_second()).map_err(|error| refused(&error))?;
        let leaf = EndEntityCert::try_from(leaf).map_err(|error| refused(&error))?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &self.0, between, time, KeyUsage::client_auth(), None, None)
            .map(|_| ())
            .map_err(|error| refused(&error))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        KeyUsagePurpose,
    };

    use super::*;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn authority_of(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    }

    fn authority(name: &str) -> Issuer {
        CertifiedIssuer::self_signed(authority_of(name), KeyPair::generate().unwrap()).unwrap()
    }

    fn client(usages: Vec<ExtendedKeyUsagePurpose>) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["reader.example".to_owned()]).unwrap();
        params.extended_key_usages = usages;
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        params
    }

    fn issued(params: CertificateParams, issuer: &Issuer) -> CertificateDer<'static> {
        params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
    }

    fn trusting(issuer: &Issuer) -> Authorities {
        Authorities::parse_pem(issuer.pem().as_bytes()).unwrap()
    }

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn check(authorities: &Authorities, chain: &[CertificateDer<'_>], now: &str, expected: bool) {
        let vouched = authorities.vouch(chain, now.parse().unwrap());
        assert_eq!(vouched.is_ok(), expected, "{vouched:?}");
    }

    #[test]
    fn an_authority_vouches_for_what_it_issued_to_a_client_while_it_is_valid() {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let (root, other) = (authority("root"), authority("root"));
        let leaf = issued(client(vec![ClientAuth]), &root);
        check(&trusting(&root), std::slice::from_ref(&leaf), NOW, true);
        check(&trusting(&other), std::slice::from_ref(&leaf), NOW, false);
        check(&Authorities::default(), std::slice::from_ref(&leaf), NOW, false);
        for outside in ["2025-12-31T23:59:59Z", "2027-01-01T00:00:01Z"] {
            check(&trusting(&root), std::slice::from_ref(&leaf), outside, false);
        }
        check(&trusting(&root), &[issued(client(vec![ServerAuth]), &root)], NOW, false);
        check(&trusting(&root), &[issued(client(Vec::new()), &root)], NOW, true);
        check(&trusting(&root), &[], NOW, false);
        check(&trusting(&root), &vec![leaf; CHAIN_CERTIFICATES_MAX + 1], NOW, false);
    }

    #[test]
    fn a_chain_needs_every_link_and_each_must_be_an_authority() {
        let root = authority("root");
        let between = CertifiedIssuer::signed_by(authority_of("between"), KeyPair::generate().unwrap(), &root).unwrap();
        let leaf = issued(client(Vec::new()), &between);
        check(&trusting(&root), &[leaf.clone(), between.der().clone()], NOW, true);
        check(&trusting(&root), &[leaf], NOW, false);
        // Any client could issue such a certificate with its own key.
        let mallory = CertifiedIssuer::signed_by(client(Vec::new()), KeyPair::generate().unwrap(), &root).unwrap();
        let forged = issued(client(Vec::new()), &mallory);
        check(&trusting(&root), &[forged, mallory.der().clone()], NOW, false);
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        assert_eq!(Authorities::parse_pem(b"").unwrap_err(), AuthoritiesError::Count);
        let many = authority("root").pem().repeat(AUTHORITIES_MAX + 1);
        assert_eq!(Authorities::parse_pem(many.as_bytes()).unwrap_err(), AuthoritiesError::Count);
        let key = KeyPair::generate().unwrap().serialize_pem();
        assert!(Authorities::parse_pem(key.as_bytes()).is_err(), "a private key has no place there");
    }
}
