//! Certificates that must not be taken for another agent's.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName as Name, DnType, DnValue, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

use super::*;

fn params(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.distinguished_name = Name::new();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params
}

fn parsed(params: CertificateParams) -> Certificate {
    let key = KeyPair::generate().unwrap();
    Certificate::parse(params.self_signed(&key).unwrap().der()).unwrap()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

fn certificate(name: Result<CertificateName, bailiwick_model::name::NameError>) -> Authenticator {
    Authenticator::Certificate(name.unwrap())
}

#[test]
fn each_kind_of_name_is_compared_whole_and_with_its_kind() {
    let found = parsed(params(vec![
        dns("Reader.bots.example"),
        dns("*.wild.example"),
        uri("urn:bot:reader"),
        SanType::Rfc822Name("reader@bots.example".try_into().unwrap()),
        SanType::IpAddress("10.1.2.3".parse().unwrap()),
    ]));
    for fits in [
        CertificateName::san_dns("reader.bots.example"),
        CertificateName::san_uri("urn:bot:reader"),
        CertificateName::san_email("reader@bots.example"),
        CertificateName::san_ip("10.1.2.3"),
    ] {
        assert!(found.fits(&certificate(fits.clone())), "{fits:?}");
    }
    for other in [
        CertificateName::san_dns("bots.example"),
        CertificateName::san_dns("a.wild.example"),
        CertificateName::san_dns("writer.bots.example"),
        CertificateName::san_uri("urn:bot:reader2"),
        CertificateName::san_uri("URN:bot:reader"),
        CertificateName::san_email("Reader@bots.example"),
        CertificateName::san_ip("10.1.2.4"),
        CertificateName::san_ip("::ffff:10.1.2.3"),
        "CN=reader.bots.example".parse().map(CertificateName::SubjectDn),
    ] {
        assert!(!found.fits(&certificate(other.clone())), "{other:?}");
    }
}

#[test]
fn a_subject_is_compared_whole() {
    let mut named = params(Vec::new());
    named.distinguished_name.push(DnType::OrganizationName, "Acme, Inc");
    named.distinguished_name.push(DnType::CommonName, DnValue::Utf8String("reader".to_owned()));
    let found = parsed(named);
    assert_eq!(found.subject().unwrap().to_string(), r"CN=reader,O=Acme\, Inc");
    let subject = |text: &str| certificate(text.parse().map(CertificateName::SubjectDn));
    assert!(found.fits(&subject(r"cn=reader, o=Acme\2c Inc")));
    for other in ["CN=reader", r"O=Acme\, Inc,CN=reader", "CN=reader,O=Acme", r"CN=Reader,O=Acme\, Inc"] {
        assert!(!found.fits(&subject(other)), "{other}");
    }
    assert_eq!(parsed(params(Vec::new())).subject(), None, "an empty subject is nobody's");
}

#[test]
fn a_pinned_certificate_is_this_one_or_one_of_its_key() {
    let key = KeyPair::generate().unwrap();
    let [first, second] = ["a.example", "b.example"]
        .map(|name| Certificate::parse(params(vec![dns(name)]).self_signed(&key).unwrap().der()).unwrap());
    let pinned =
        |certificate| Authenticator::SelfSigned(PinnedCertificate { public_key: first.public_key(), certificate });
    assert!(first.fits(&pinned(Some(first.thumbprint()))) && !second.fits(&pinned(Some(first.thumbprint()))));
    assert!(second.fits(&pinned(None)));
    assert!(!parsed(params(vec![dns("a.example")])).fits(&pinned(None)), "another key under the same name");
}

#[test]
fn an_svid_has_one_uri_and_issues_nothing() {
    let id = || uri("spiffe://prod.example/reader");
    let reader = Authenticator::Spiffe("spiffe://prod.example/reader".parse().unwrap());
    assert!(parsed(params(vec![id(), dns("reader.example")])).fits(&reader));
    for names in [
        vec![id(), uri("spiffe://prod.example/writer")],
        vec![id(), uri("https://example.com/")],
        vec![uri("spiffe://prod.example/writer")],
        vec![uri("spiffe://prod.example")],
        vec![dns("reader.example")],
    ] {
        assert!(!parsed(params(names.clone())).fits(&reader), "{names:?}");
    }
    let mut issuing = params(vec![id()]);
    issuing.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(!parsed(issuing).fits(&reader));
    let mut signing = params(vec![id()]);
    signing.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert!(!parsed(signing).fits(&reader));
}

#[test]
fn a_certificate_is_of_its_time() {
    let found = parsed(params(Vec::new()));
    for (at, valid) in [
        ("2025-12-31T23:59:59Z", false),
        ("2026-01-01T00:00:00Z", true),
        ("2027-01-01T00:00:00.5Z", true),
        ("2027-01-01T00:00:01Z", false),
    ] {
        assert_eq!(found.is_valid(at.parse().unwrap()), valid, "{at}");
    }
}

#[test]
fn what_is_no_certificate_is_refused() {
    let key = KeyPair::generate().unwrap();
    let made = params(vec![dns("a.example")]).self_signed(&key).unwrap();
    let der = made.der().to_vec();
    assert!(Certificate::parse_pem(&made.pem()).is_ok());
    assert_eq!(Certificate::parse_pem(&made.pem().repeat(2)), Err(CertificateError::Pem));
    assert_eq!(Certificate::parse_pem(&key.serialize_pem()), Err(CertificateError::Pem));
    assert_eq!(Certificate::parse(&[der.as_slice(), b"x"].concat()), Err(CertificateError::Malformed));
    assert_eq!(Certificate::parse(&der[..der.len() - 1]), Err(CertificateError::Malformed));
    assert_eq!(Certificate::parse(&vec![0; CERTIFICATE_BYTES_MAX + 1]), Err(CertificateError::TooLarge));
    let many = (0..=ALTERNATIVE_NAMES_MAX).map(|number| dns(&format!("a{number}.example"))).collect();
    let many = params(many).self_signed(&key).unwrap();
    assert_eq!(Certificate::parse(many.der()), Err(CertificateError::TooLarge));
}
