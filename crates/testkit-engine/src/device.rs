//! The maker of devices, who says which keys are held in one: its root, and its certificates for keys. It says so of any key
//! that a test likes.

use bailiwick_model::{agent::Attestation, jwk::PublicKey};
use bailiwick_oauth::{attestation, certificate_path::Authorities};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use serde_json::Value;

/// A maker with a root of its own.
pub struct Maker {
    root: CertifiedIssuer<'static, KeyPair>,
}

/// A key of P-256 of which only the public half is known.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Default for Maker {
    fn default() -> Self {
        let mut params = valid("maker");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self { root: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }
}

impl Maker {
    /// Its root, PEM.
    pub fn root(&self) -> String {
        self.root.pem()
    }

    /// The same, trusted.
    pub fn trusted(&self) -> Authorities {
        Authorities::parse_pem(self.root().as_bytes()).unwrap()
    }

    /// What it says of an ES256 key, PEM.
    pub fn says_of(&self, key: &PublicKey) -> String {
        self.says_of_point(&point(key))
    }

    /// The same of a key by its uncompressed point.
    pub fn says_of_point(&self, point: &[u8]) -> String {
        self.says(point, valid("slot"))
    }

    fn says(&self, point: &[u8], params: CertificateParams) -> String {
        params.signed_by(&Point(point.to_vec()), &self.root).unwrap().pem()
    }

    /// The same, read.
    pub fn attests(&self, key: &PublicKey) -> Attestation {
        attestation::parse_pem(&self.says_of(key)).unwrap()
    }

    /// The same, good up to the day of `until`.
    pub fn attests_until(&self, key: &PublicKey, until: Timestamp) -> Attestation {
        let day = until.to_zoned(TimeZone::UTC).date();
        let (month, of_month) = (day.month().unsigned_abs(), day.day().unsigned_abs());
        let mut params = valid("slot");
        params.not_after = rcgen::date_time_ymd(day.year().into(), month, of_month);
        attestation::parse_pem(&self.says(&point(key), params)).unwrap()
    }
}

/// Valid over all years that tests run in.
fn valid(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2040, 1, 1));
    params
}

fn point(key: &PublicKey) -> Vec<u8> {
    let jwk: Value = serde_json::from_str(&key.jwk).unwrap();
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name).unwrap().as_str().unwrap()).unwrap();
    [vec![4], member("x"), member("y")].concat()
}
