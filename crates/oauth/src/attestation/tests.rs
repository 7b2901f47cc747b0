//! Attestations that hold, and above all those that must not.

use bailiwick_model::{
    agent::{CertificateName, PinnedCertificate},
    jwk::PublicKey,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};

use super::*;
use crate::key_policy::KeyPolicy;

type Issuer = CertifiedIssuer<'static, KeyPair>;

const NOW: &str = "2026-06-01T00:00:00Z";

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params
}

fn maker(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn root(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(maker(name), KeyPair::generate().unwrap()).unwrap()
}

fn below(issuer: &Issuer, params: CertificateParams) -> Issuer {
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

/// A key and what `issuer` says of it.
fn attested(key: &KeyPair, params: CertificateParams, issuer: &Issuer) -> String {
    params.signed_by(key, issuer).unwrap().pem()
}

fn public(key: &KeyPair) -> PublicKey {
    KeyPolicy::default().spki_pem(&key.public_key_pem(), None).unwrap()
}

fn credential(authenticator: Authenticator, pem: &str) -> Credential {
    let (created_at, expires_at) = (NOW.parse().unwrap(), "2026-07-01T00:00:00Z".parse().unwrap());
    let attestation = Some(parse_pem(pem).unwrap());
    Credential { authenticator, attestation, created_at, expires_at, last_used_at: None }
}

fn check(one: &Credential, root: &Issuer, now: &str) -> Result<AttestedKey, AttestationError> {
    let roots = Authorities::parse_pem(root.pem().as_bytes()).unwrap();
    verify_credential(one, &roots, now.parse().unwrap()).unwrap()
}

#[test]
fn a_key_is_attested_by_a_certificate_of_just_that_key_under_a_trusted_root() {
    let (vendor, key) = (root("vendor"), KeyPair::generate().unwrap());
    let device = below(&vendor, maker("device"));
    let pem = attested(&key, named("slot 9a"), &device) + &device.pem();
    let own = credential(Authenticator::Key(public(&key)), &pem);
    let found = check(&own, &vendor, NOW).unwrap();
    assert_eq!(found.jwk, Some(public(&key).thumbprint));
    assert_eq!(found.public_key, Thumbprint::of_der(&key.subject_public_key_info()));
    let pinned = PinnedCertificate { public_key: found.public_key, certificate: None };
    assert_eq!(check(&credential(Authenticator::SelfSigned(pinned), &pem), &vendor, NOW), Ok(found));
    let name = Authenticator::Certificate(CertificateName::san_dns("reader.example").unwrap());
    assert_eq!(check(&credential(name, &pem), &vendor, NOW), Ok(found));

    let other = KeyPair::generate().unwrap();
    let foreign = credential(Authenticator::Key(public(&other)), &pem);
    assert_eq!(check(&foreign, &vendor, NOW), Err(AttestationError::OtherKey));
    let pinned = PinnedCertificate { public_key: Thumbprint::of_der(b"another"), certificate: None };
    let foreign = credential(Authenticator::SelfSigned(pinned), &pem);
    assert_eq!(check(&foreign, &vendor, NOW), Err(AttestationError::OtherKey));
    assert!(
        verify_credential(&Credential { attestation: None, ..own }, &Authorities::default(), NOW.parse().unwrap())
            .is_none()
    );
}

#[test]
fn whatever_a_trusted_maker_did_not_say_attests_nothing() {
    let (vendor, stranger) = (root("vendor"), root("vendor"));
    let device = below(&vendor, maker("device"));
    let key = KeyPair::generate().unwrap();
    let leaf = |issuer: &Issuer| attested(&key, named("slot 9a"), issuer);
    let expired = {
        let mut params = named("slot 9a");
        params.not_after = rcgen::date_time_ymd(2026, 3, 1);
        attested(&key, params, &vendor)
    };
    let of_a_server = {
        let mut params = named("slot 9a");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        attested(&key, params, &vendor)
    };
    // Whoever holds an attested key could sign such a certificate with it.
    let holder = below(&vendor, named("another slot"));
    let itself = named("slot 9a").self_signed(&key).unwrap().pem();
    let authority = maker("slot 9a").signed_by(&key, &vendor).unwrap().pem();
    for (what, pem) in [
        ("another root of the same name", leaf(&stranger)),
        ("a link is missing", leaf(&device)),
        ("expired", expired),
        ("for servers", of_a_server),
        ("issued by what is no authority", leaf(&holder) + &holder.pem()),
        ("by itself", itself),
        ("an authority's own key", authority),
        ("the wrong order", device.pem() + &leaf(&device)),
    ] {
        let found = check(&credential(Authenticator::Key(public(&key)), &pem), &vendor, NOW);
        assert!(matches!(found, Err(AttestationError::Path(_))), "{what}: {found:?}");
    }
    let fine = credential(Authenticator::Key(public(&key)), &leaf(&vendor));
    for outside in ["2025-12-31T23:59:59Z", "2027-01-01T00:00:01Z"] {
        assert!(matches!(check(&fine, &vendor, outside), Err(AttestationError::Path(_))), "{outside}");
    }
    let nobody = verify_credential(&fine, &Authorities::default(), NOW.parse().unwrap()).unwrap();
    assert!(matches!(nobody, Err(AttestationError::Path(_))), "where no root is trusted, nothing is attested");
}

#[test]
fn what_is_no_attestation_is_refused_where_it_comes_in() {
    let vendor = root("vendor");
    for bad in ["", "nothing", &KeyPair::generate().unwrap().serialize_pem(), &vendor.pem().repeat(9)] {
        assert!(parse_pem(bad).is_err(), "{bad}");
    }
    assert!(parse_pem(&vendor.pem()).is_ok(), "read; trusted is another question");
}
