//! What a proxy passes on, and what anybody else claims to.

use rcgen::{CertificateParams, KeyPair};

use super::*;

fn der() -> Vec<u8> {
    let params = CertificateParams::new(vec!["reader.example".to_owned()]).unwrap();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn sequence(bytes: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(bytes))
}

fn headers(sent: &[(HeaderName, String)]) -> HeaderMap {
    sent.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

#[test]
fn a_declared_proxy_passes_a_certificate_on() {
    let (own, between) = (der(), der());
    let list = format!("{},  {}", sequence(&between), sequence(&between));
    let mut sent = headers(&[(CLIENT_CERT, sequence(&own)), (CLIENT_CERT_CHAIN, list)]);
    let shown = ClientCertificate::take(&mut sent, true).unwrap().unwrap();
    assert_eq!(shown.thumbprint(now()), Some(Thumbprint::of_der(&own)));
    assert_eq!((shown.0.chain.len(), sent.len()), (3, 0), "no room behind sees the headers");
}

/// Trap 9: whoever is no declared proxy claims what it likes.
#[test]
fn nobody_else_does() {
    for claimed in [sequence(&der()), "x".to_owned()] {
        let mut sent = headers(&[(CLIENT_CERT, claimed.clone()), (CLIENT_CERT_CHAIN, claimed)]);
        assert!(ClientCertificate::take(&mut sent, false).unwrap().is_none());
        assert!(sent.is_empty());
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let own = der();
    let good = || (CLIENT_CERT, sequence(&own));
    let many = vec![sequence(&own); CHAIN_CERTIFICATES_MAX].join(",");
    for sent in [
        vec![(CLIENT_CERT, String::new())],
        vec![(CLIENT_CERT, "::".to_owned())],
        vec![(CLIENT_CERT, STANDARD.encode(&own))],
        vec![(CLIENT_CERT, format!("{};x=1", sequence(&own)))],
        vec![(CLIENT_CERT, sequence(b"no certificate"))],
        vec![(CLIENT_CERT, format!("{}, {}", sequence(&own), sequence(&own)))],
        vec![good(), (CLIENT_CERT_CHAIN, "x".to_owned())],
        vec![good(), (CLIENT_CERT_CHAIN, many)],
    ] {
        let refused = ClientCertificate::take(&mut headers(&sent), true);
        assert_eq!(refused.unwrap_err().status(), StatusCode::BAD_REQUEST, "{sent:?}");
    }
    let mut twice = headers(&[good()]);
    twice.append(CLIENT_CERT, sequence(&own).parse().unwrap());
    assert!(ClientCertificate::take(&mut twice, true).is_err());
    let mut alone = headers(&[(CLIENT_CERT_CHAIN, sequence(&own))]);
    assert!(ClientCertificate::take(&mut alone, true).unwrap().is_none(), "a chain of nobody");
}
