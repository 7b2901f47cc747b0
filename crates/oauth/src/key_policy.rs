//! The key policy: which public keys are fit to be registered or to prove
//! possession, decided before anything is verified with them.
//!
//! A JOSE library alone accepts keys for encryption, short keys, foreign
//! curves, several keys of one name and mixed sets. Here a key has one
//! algorithm, fixed now and never read from a token's header again.

use bailiwick_model::{
    jwk::{PublicKey, SigningAlgorithm},
    limits::KEYS_PER_AGENT_MAX,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{
    json::{JsonError, parse_object},
    key_material::{KeyMaterial, RsaPadding},
    pem,
    verifying_key::VerifyingKey,
};

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a key in any form that is taken.
    #[error("the key cannot be read: {0}")]
    Json(#[from] JsonError),
    /// Not PEM, or PEM of something else.
    #[error("the key cannot be read: {0}")]
    Pem(#[from] pem::PemError),
    /// A PEM block that holds a private key.
    #[error("this is a private key\nhint: hand over the public key only, and replace this one since it was shown")]
    PrivatePem,
    /// A JWK with a private member.
    #[error(
        "the key has the private member `{0}`\nhint: hand over the public members only, and replace this key since it was shown"
    )]
    Private(&'static str),
    /// A shared secret.
    #[error("a shared secret is not a key here\nhint: use a P-256, Ed25519 or RSA key pair")]
    Shared,
    /// A kind or curve that is not supported.
    #[error("the kind of key is not supported\nhint: {0}")]
    Kind(&'static str),
    /// A member that is absent or not a base64url text without padding.
    #[error("the key's member `{0}` is missing or is not strict base64url")]
    Member(&'static str),
    /// Its algorithm does not fit its kind, or is none of ours.
    #[error(
        "the key's `alg` is not the algorithm of its kind\nhint: use `ES256`, `EdDSA`, `PS256`, or `RS256` where it is admitted"
    )]
    Algorithm,
    /// The policy does not admit its algorithm.
    #[error("keys for `{0:?}` are not admitted here")]
    NotAdmitted(SigningAlgorithm),
    /// It is meant for something else than signatures.
    #[error("the key's `{0}` does not say that it verifies signatures")]
    Use(&'static str),
    /// Its numbers are no sound key.
    #[error("the key is not sound: {0}")]
    Unsound(&'static str),
    /// A name that is empty, long or not plain.
    #[error("the key's `kid` is not 1 to 128 printable ASCII characters without spaces, quotes or backslashes")]
    Name,
    /// Two keys of one name.
    #[error("two keys have the `kid` `{0}`")]
    RepeatedName(String),
    /// One key twice under two names.
    #[error("a key stands twice in the set")]
    Repeated,
    /// An empty set.
    #[error("the key set is empty")]
    Empty,
    /// Too many keys.
    #[error("a key set holds at most {KEYS_PER_AGENT_MAX} keys")]
    TooMany,
    /// A stored key whose parts contradict each other.
    #[error("the stored key contradicts itself")]
    Inconsistent,
}

/// Which algorithms a registration admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPolicy {
    algorithms: Vec<SigningAlgorithm>,
}

impl Default for KeyPolicy {
    /// What may prove possession: ES256, EdDSA, PS256. Whoever makes a proof today can make one of these.
    fn default() -> Self {
        Self { algorithms: vec![SigningAlgorithm::ES256, SigningAlgorithm::EdDSA, SigningAlgorithm::PS256] }
    }
}

impl KeyPolicy {
    /// A policy that admits these algorithms only. An RSA key that does not say what it is for is for `PS256`, unless
    /// `RS256` is the only one of the two.
    pub const fn admitting(algorithms: Vec<SigningAlgorithm>) -> Self {
        Self { algorithms }
    }

    /// The policy for keys that agents are registered with: all that we verify. The operator may admit fewer.
    pub fn of_agents() -> Self {
        Self { algorithms: SigningAlgorithm::ALL.to_vec() }
    }

    /// One JWK.
    pub fn jwk(&self, json: &str) -> Result<PublicKey, KeyError> {
        self.jwk_object(&parse_object(json.as_bytes())?)
    }

    /// A JWK set: 1 to [`KEYS_PER_AGENT_MAX`] keys, each with its own name, all of them fit.
    pub fn jwks(&self, json: &str) -> Result<Vec<PublicKey>, KeyError> {
        let set = parse_object(json.as_bytes())?;
        let Some(Value::Array(elements)) = set.get("keys") else {
            return Err(KeyError::Member("keys"));
        };
        if elements.len() > KEYS_PER_AGENT_MAX {
            return Err(KeyError::TooMany);
        }
        let keys = elements
            .iter()
            .map(|element| self.jwk_object(element.as_object().ok_or(JsonError::NotAnObject)?))
            .collect::<Result<Vec<_>, _>>()?;
        check_set(&keys)?;
        Ok(keys)
    }

    /// A `SubjectPublicKeyInfo` in PEM.
    pub fn spki_pem(&self, text: &str, kid: Option<&str>) -> Result<PublicKey, KeyError> {
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::PrivatePem);
        }
        let material = KeyMaterial::of_spki(&pem::decode("PUBLIC KEY", text)?)?;
        self.admit(material.padded(self.unsaid()).public_key(kid)?)
    }

    /// What a person hands over: a JWK, a JWK set or a public key in PEM.
    pub fn any(&self, text: &str) -> Result<Vec<PublicKey>, KeyError> {
        if text.trim_start().starts_with("-----BEGIN") {
            return self.spki_pem(text, None).map(|key| vec![key]);
        }
        let object = parse_object(text.as_bytes())?;
        if object.contains_key("keys") { self.jwks(text) } else { self.jwk_object(&object).map(|key| vec![key]) }
    }

    /// One JWK that has been parsed strictly.
    pub fn jwk_object(&self, jwk: &Map<String, Value>) -> Result<PublicKey, KeyError> {
        self.verifying_key(jwk).map(|key| key.public().clone())
    }

    /// One JWK that has been parsed strictly, ready to verify.
    pub fn verifying_key(&self, jwk: &Map<String, Value>) -> Result<VerifyingKey, KeyError> {
        let material = public_material(jwk, self.unsaid())?;
        check_algorithm(jwk, material.algorithm())?;
        check_use(jwk)?;
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str()),
            Some(_) => return Err(KeyError::Name),
        };
        let public = self.admit(material.describe(kid)?)?;
        VerifyingKey::ready(&material, public)
    }

    /// What an RSA key is for that does not say it.
    fn unsaid(&self) -> RsaPadding {
        let admits = |algorithm| self.algorithms.contains(&algorithm);
        if admits(SigningAlgorithm::RS256) && !admits(SigningAlgorithm::PS256) {
            RsaPadding::Pkcs1
        } else {
            RsaPadding::Pss
        }
    }

    fn admit(&self, key: PublicKey) -> Result<PublicKey, KeyError> {
        if self.algorithms.contains(&key.algorithm) { Ok(key) } else { Err(KeyError::NotAdmitted(key.algorithm)) }
    }
}

/// Checks that a set is neither empty nor too large and that names and keys are unique.
pub fn check_set(keys: &[PublicKey]) -> Result<(), KeyError> {
    if keys.is_empty() {
        return Err(KeyError::Empty);
    }
    if keys.len() > KEYS_PER_AGENT_MAX {
        return Err(KeyError::TooMany);
    }
    for (index, key) in keys.iter().enumerate() {
        for other in keys.iter().skip(index + 1) {
            if other.kid == key.kid {
                return Err(KeyError::RepeatedName(key.kid.clone()));
            }
            if other.thumbprint == key.thumbprint {
                return Err(KeyError::Repeated);
            }
        }
    }
    Ok(())
}

/// The published key set (RFC 7517 §5) in canonical JSON.
pub fn jwks_document(keys: &[PublicKey]) -> String {
    let jwks: Vec<&str> = keys.iter().map(|key| key.jwk.as_str()).collect();
    format!(r#"{{"keys":[{}]}}"#, jwks.join(","))
}

/// The numbers of a public JWK; `unsaid` is what an RSA key is for that does not say it.
pub(crate) fn public_material(jwk: &Map<String, Value>, unsaid: RsaPadding) -> Result<KeyMaterial, KeyError> {
    if jwk.get("kty") == Some(&Value::from("oct")) {
        return Err(KeyError::Shared);
    }
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        if jwk.contains_key(private) {
            return Err(KeyError::Private(private));
        }
    }
    match (text(jwk, "kty"), text(jwk, "crv")) {
        (Some("EC"), Some("P-256")) => Ok(KeyMaterial::P256 { x: chunk(jwk, "x")?, y: chunk(jwk, "y")? }),
        (Some("EC"), _) => Err(KeyError::Kind("use the curve `P-256`")),
        (Some("OKP"), Some("Ed25519")) => Ok(KeyMaterial::Ed25519 { x: chunk(jwk, "x")? }),
        (Some("OKP"), _) => Err(KeyError::Kind("use the curve `Ed25519`")),
        (Some("RSA"), _) => {
            // The numbers fit two algorithms. `check_algorithm` refuses whatever else it may say.
            let padding = match text(jwk, "alg") {
                Some("RS256") => RsaPadding::Pkcs1,
                Some(_) => RsaPadding::Pss,
                None => unsaid,
            };
            Ok(KeyMaterial::Rsa { n: bytes(jwk, "n")?, e: bytes(jwk, "e")?, padding })
        }
        _ => Err(KeyError::Kind("use `kty` `EC`, `OKP` or `RSA`")),
    }
}

fn check_algorithm(jwk: &Map<String, Value>, algorithm: SigningAlgorithm) -> Result<(), KeyError> {
    match jwk.get("alg") {
        None => Ok(()),
        Some(Value::String(name)) if algorithm_of(name) == Some(algorithm) => Ok(()),
        Some(_) => Err(KeyError::Algorithm),
    }
}

fn check_use(jwk: &Map<String, Value>) -> Result<(), KeyError> {
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return Err(KeyError::Use("use"));
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if matches!(operations.as_slice(), [Value::String(verify)] if verify == "verify") => {
            Ok(())
        }
        Some(_) => Err(KeyError::Use("key_ops")),
    }
}

/// The algorithm that a name of the JOSE registry stands for, if it is one of
/// ours. `Ed25519` is the fully specified name of what `EdDSA` means here (RFC 9864).
pub fn algorithm_of(name: &str) -> Option<SigningAlgorithm> {
    match name {
        "ES256" => Some(SigningAlgorithm::ES256),
        "EdDSA" | "Ed25519" => Some(SigningAlgorithm::EdDSA),
        "PS256" => Some(SigningAlgorithm::PS256),
        "RS256" => Some(SigningAlgorithm::RS256),
        _ => None,
    }
}

/// The name that we write for an algorithm.
pub const fn algorithm_name(algorithm: SigningAlgorithm) -> &'static str {
    match algorithm {
        SigningAlgorithm::ES256 => "ES256",
        SigningAlgorithm::EdDSA => "EdDSA",
        SigningAlgorithm::PS256 => "PS256",
        SigningAlgorithm::RS256 => "RS256",
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}

fn bytes(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    text(jwk, name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(KeyError::Member(name))
}

fn chunk(jwk: &Map<String, Value>, name: &'static str) -> Result<[u8; 32], KeyError> {
    bytes(jwk, name)?.try_into().map_err(|_| KeyError::Member(name))
}

#[cfg(test)]
mod tests;
