//! The key set of another issuer, and where that issuer says that it lies.
//!
//! Unlike a set that is registered here, it holds keys for purposes of others, so what we cannot use is left out. What
//! shows that the set as a whole cannot be trusted refuses it: a private key or a shared secret in it, two keys of one
//! name, too much of anything.

use bailiwick_model::jwk::SigningAlgorithm;
use serde_json::{Map, Value};
use url::Url;

use crate::{
    json::{JsonError, parse_object_within},
    key_policy::{KeyError, KeyPolicy, algorithm_name},
    verifying_key::VerifyingKey,
};

/// Bytes of one key set; the largest ones in use, with a certificate for each key, have a tenth.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1_024;
/// Bytes of one discovery document.
pub const DISCOVERY_BYTES_MAX: usize = 64 * 1_024;
/// Keys of one set.
pub const FOREIGN_KEYS_MAX: usize = 64;

/// What the keys are to be for, as the set marks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `use` is `sig` or absent (RFC 7517 §4.2).
    Signatures,
    /// `use` is `jwt-svid` (SPIFFE Trust Domain and Bundle §4.2).
    JwtSvid,
}

/// Keys of another issuer that are fit, each with a name of its own.
#[derive(Debug, Clone, Default)]
pub struct ForeignKeys(Vec<VerifyingKey>);

impl ForeignKeys {
    /// Reads a JWK set. A key without `alg` is for the first of `algorithms` that fits its kind.
    pub fn read(json: &[u8], algorithms: &[SigningAlgorithm], purpose: Purpose) -> Result<Self, KeyError> {
        let set = parse_object_within(json, KEY_SET_BYTES_MAX)?;
        let Some(Value::Array(elements)) = set.get("keys") else {
            return Err(KeyError::Member("keys"));
        };
        if elements.len() > FOREIGN_KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        let policy = KeyPolicy::admitting(algorithms.to_vec());
        let mut keys: Vec<VerifyingKey> = Vec::new();
        for element in elements {
            let jwk = element.as_object().ok_or(JsonError::NotAnObject)?.clone();
            let Some(jwk) = meant(jwk, algorithms, purpose) else { continue };
            match policy.verifying_key(&jwk) {
                Ok(key) if keys.iter().any(|known| known.kid() == key.kid()) => {
                    return Err(KeyError::RepeatedName(key.kid().to_owned()));
                }
                Ok(key) => keys.push(key),
                Err(error @ (KeyError::Private(_) | KeyError::Shared)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Self(keys))
    }

    /// The key of a name. Without a name there must be no choice.
    pub fn named(&self, kid: Option<&str>) -> Option<&VerifyingKey> {
        match (kid, self.0.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid() == kid),
            (None, [sole]) => Some(sole),
            (None, _) => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none of the set can be used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key of the purpose, with its algorithm; `None` is a key for something else.
fn meant(mut jwk: Map<String, Value>, algorithms: &[SigningAlgorithm], purpose: Purpose) -> Option<Map<String, Value>> {
    if purpose == Purpose::JwtSvid && jwk.remove("use") != Some(Value::from("jwt-svid")) {
        return None;
    }
    if jwk.get("kty") == Some(&Value::from("RSA")) && !jwk.contains_key("alg") {
        let of_rsa = |one: &&SigningAlgorithm| matches!(one, SigningAlgorithm::PS256 | SigningAlgorithm::RS256);
        let first = algorithms.iter().find(of_rsa)?;
        jwk.insert("alg".to_owned(), algorithm_name(*first).into());
    }
    Some(jwk)
}

/// A discovery document that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Not one JSON object in the strict sense.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is the document of somebody else (RFC 8414 §3.3).
    #[error("its `issuer` is another one")]
    Issuer,
    /// It does not say where the keys are.
    #[error("its `jwks_uri` is missing or not a URL")]
    Uri,
}

/// Where an issuer says that its keys lie (OpenID Connect Discovery 1.0 §3, RFC 8414 §2). The document must name the
/// issuer byte for byte.
pub fn jwks_uri(document: &[u8], issuer: &str) -> Result<Url, DiscoveryError> {
    let document = parse_object_within(document, DISCOVERY_BYTES_MAX)?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(DiscoveryError::Issuer);
    }
    let uri = document.get("jwks_uri").and_then(Value::as_str).ok_or(DiscoveryError::Uri)?;
    Url::parse(uri).map_err(|_| DiscoveryError::Uri)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_keys;

    const ALL: [SigningAlgorithm; 4] =
        [SigningAlgorithm::RS256, SigningAlgorithm::ES256, SigningAlgorithm::EdDSA, SigningAlgorithm::PS256];

    fn jwk(key: &test_keys::TestKey, changes: &Value) -> Value {
        let mut jwk: Value = serde_json::from_str(&key.public.jwk).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                jwk.as_object_mut().unwrap().remove(name);
            } else {
                jwk[name] = value.clone();
            }
        }
        jwk
    }

    fn read(keys: &[Value], algorithms: &[SigningAlgorithm], purpose: Purpose) -> Result<ForeignKeys, KeyError> {
        ForeignKeys::read(json!({ "keys": keys }).to_string().as_bytes(), algorithms, purpose)
    }

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let (ec, rsa) = (test_keys::p256().named("ec"), test_keys::rsa().named("rsa"));
        let keys = [
            jwk(&ec, &json!({})),
            jwk(&rsa, &json!({"alg": null, "x5c": ["MII"], "x5t": "a"})),
            jwk(&rsa, &json!({"alg": "RSA-OAEP", "use": "enc", "kid": "enc"})),
            json!({"kty": "EC", "crv": "P-384", "kid": "p384", "x": "AA", "y": "AA"}),
            json!({"kty": "OKP", "crv": "X25519", "kid": "x", "x": "AA"}),
        ];
        let read = read(&keys, &ALL, Purpose::Signatures).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read.named(Some("ec")).unwrap().algorithm(), SigningAlgorithm::ES256);
        assert_eq!(read.named(Some("rsa")).unwrap().algorithm(), SigningAlgorithm::RS256, "the first that fits");
        assert!(read.named(Some("enc")).is_none() && read.named(None).is_none(), "no choice without a name");
    }

    #[test]
    fn a_key_has_one_algorithm_which_must_be_admitted() {
        let rsa = test_keys::rsa().named("rsa");
        let of = |alg: Value, algorithms: &[SigningAlgorithm]| {
            let read = read(&[jwk(&rsa, &json!({ "alg": alg }))], algorithms, Purpose::Signatures).unwrap();
            read.named(Some("rsa")).map(VerifyingKey::algorithm)
        };
        assert_eq!(of(json!("PS256"), &ALL), Some(SigningAlgorithm::PS256));
        assert_eq!(of(json!("RS256"), &[SigningAlgorithm::PS256]), None);
        assert_eq!(of(json!(null), &[SigningAlgorithm::ES256]), None);
        assert_eq!(of(json!("HS256"), &ALL), None);
    }

    #[test]
    fn what_spoils_the_set_refuses_it() {
        let ec = test_keys::p256().named("ec");
        let other = test_keys::p256().named("ec");
        let honest = jwk(&ec, &json!({}));
        for (bad, expected) in [
            (jwk(&other, &json!({})), KeyError::RepeatedName("ec".to_owned())),
            (jwk(&ec, &json!({"kid": "b", "d": "AA"})), KeyError::Private("d")),
            (json!({"kty": "oct", "k": "AAAA"}), KeyError::Shared),
            (json!("text"), KeyError::Json(JsonError::NotAnObject)),
        ] {
            let refused = read(&[honest.clone(), bad], &ALL, Purpose::Signatures).unwrap_err();
            assert_eq!(refused, expected);
        }
        let many = vec![honest; FOREIGN_KEYS_MAX + 1];
        assert_eq!(read(&many, &ALL, Purpose::Signatures).unwrap_err(), KeyError::TooMany);
        let long = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(KEY_SET_BYTES_MAX));
        let refused = ForeignKeys::read(long.as_bytes(), &ALL, Purpose::Signatures).unwrap_err();
        assert_eq!(refused, KeyError::Json(JsonError::TooLarge(KEY_SET_BYTES_MAX)));
        assert!(ForeignKeys::read(b"{\"keys\":[],\"keys\":[]}", &ALL, Purpose::Signatures).is_err());
        assert!(ForeignKeys::read(b"<html>", &ALL, Purpose::Signatures).is_err());
    }

    #[test]
    fn a_bundle_of_a_trust_domain_marks_its_keys() {
        let (svid, plain) = (test_keys::p256().named("svid"), test_keys::p256().named("plain"));
        let keys = [jwk(&svid, &json!({"use": "jwt-svid", "alg": null})), jwk(&plain, &json!({}))];
        let read_as = |purpose| read(&keys, &ALL, purpose).unwrap();
        let of_domain = read_as(Purpose::JwtSvid);
        assert!(of_domain.named(Some("svid")).is_some() && of_domain.named(Some("plain")).is_none());
        assert!(read_as(Purpose::Signatures).named(Some("svid")).is_none());
    }

    #[test]
    fn a_document_of_somebody_else_is_refused() {
        let issuer = "https://idp.example";
        let document = |issuer: &str| json!({"issuer": issuer, "jwks_uri": "https://idp.example/keys"}).to_string();
        assert_eq!(jwks_uri(document(issuer).as_bytes(), issuer).unwrap().path(), "/keys");
        for other in ["https://idp.example/", "https://IDP.example", "https://other.example", ""] {
            assert_eq!(jwks_uri(document(other).as_bytes(), issuer), Err(DiscoveryError::Issuer), "{other}");
        }
        assert_eq!(jwks_uri(br#"{"issuer":"https://idp.example"}"#, issuer), Err(DiscoveryError::Uri));
        assert!(jwks_uri(b"{}{}", issuer).is_err());
    }
}
