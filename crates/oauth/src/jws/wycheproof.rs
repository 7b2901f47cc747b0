//! The public Wycheproof vectors (C2SP/wycheproof) against the key policy and
//! the verifier: not one false accept, and what is ours and valid is accepted.
//!
//! The vectors lie beside the repository or where `BAILIWICK_VECTORS` says;
//! without them these tests say so and pass.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use super::*;
use crate::{
    key_policy::{KeyError, KeyPolicy},
    verifying_key::KeySet,
};

#[expect(clippy::disallowed_methods, reason = "a test reads its vectors from files")]
fn vectors(name: &str) -> Option<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("BAILIWICK_VECTORS").map_or_else(beside, PathBuf::from).join("wycheproof");
    let path = folder.join(format!("{name}_test.json"));
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: no vectors at {}; set BAILIWICK_VECTORS", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn tests(group: &Value) -> impl Iterator<Item = (&Value, bool, String)> {
    group["tests"].as_array().unwrap().iter().map(|test| {
        let label = format!("{} {} {}", group["comment"], test["tcId"], test["comment"]);
        (test, test["result"] == "valid", label)
    })
}

/// Registers what the group gives as key or key set, and verifies as we would.
fn accepts(registered: &Result<Vec<PublicKey>, KeyError>, text: &str) -> bool {
    let Ok(keys) = registered.as_ref().map(|keys| KeySet::new(keys).unwrap()) else { return false };
    let Ok(compact) = Compact::parse(text) else { return false };
    let key = compact.kid.as_deref().map_or_else(|| keys.iter().next(), |kid| keys.named(kid));
    key.is_some_and(|key| compact.verify(key).is_ok())
}

fn sole_algorithm(registered: &Result<Vec<PublicKey>, KeyError>) -> Option<SigningAlgorithm> {
    registered.as_ref().ok().and_then(|keys| keys.first()).map(|key| key.algorithm)
}

fn check_jose(name: &str, accepted_min: usize) {
    let Some(file) = vectors(name) else { return };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for group in file["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let registered = KeyPolicy::of_agents().any(&key.to_string());
        let mut without_algorithm = key.clone();
        if let Some(members) = without_algorithm.as_object_mut() {
            members.remove("alg");
        }
        let as_our_kind = KeyPolicy::of_agents().any(&without_algorithm.to_string());
        for (test, valid, label) in tests(group) {
            let token = test.get("jws").or_else(|| test.get("jwe")).unwrap();
            let text = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
            let accepted = accepts(&registered, &text);
            assert!(valid || !accepted, "false accept: {label}");
            // Registered as one of ours, a key still verifies no signature of the algorithm it came with.
            let named = key.pointer("/keys/0").unwrap_or(key).get("alg");
            let ours = named.and_then(Value::as_str).is_some_and(|name| algorithm_of(name).is_some());
            assert!(ours || !valid || !accepts(&as_our_kind, &text), "algorithm confusion: {label}");
            // One vector calls PS384 valid under a key for PS256; we hold to the key.
            let fits =
                Compact::parse(&text).is_ok_and(|compact| Some(compact.algorithm) == sole_algorithm(&registered));
            assert!(accepted || !valid || !fits, "false refusal: {label}");
            *counts.entry(if accepted { "accepted" } else { "refused" }).or_default() += 1;
        }
    }
    assert!(counts.get("accepted").copied().unwrap_or_default() >= accepted_min, "{counts:?}");
}

#[test]
fn json_web_signature() {
    check_jose("json_web_signature", 8);
}

#[test]
fn json_web_crypto() {
    check_jose("json_web_crypto", 1);
}

#[test]
fn json_web_key() {
    check_jose("json_web_key", 0);
}

fn check_primitive(name: &str) {
    let Some(file) = vectors(name) else { return };
    let hex = |text: &Value| -> Vec<u8> {
        let text = text.as_str().unwrap();
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    };
    let mut accepted = 0;
    for group in file["testGroups"].as_array().unwrap() {
        let public = KeyPolicy::of_agents().spki_pem(group["publicKeyPem"].as_str().unwrap(), None).unwrap();
        if let Some(jwk) = group.get("publicKeyJwk") {
            let jwk = KeyPolicy::of_agents().jwk(&jwk.to_string()).unwrap();
            assert_eq!(jwk.thumbprint, public.thumbprint, "one key, two spellings");
        }
        let key = VerifyingKey::of(&public).unwrap();
        for (test, valid, label) in tests(group) {
            let outcome = key.verify(&hex(&test["msg"]), &hex(&test["sig"]));
            assert_eq!(outcome.is_ok(), valid, "{label}");
            accepted += usize::from(outcome.is_ok());
        }
    }
    assert!(accepted > 80, "{accepted}");
}

#[test]
fn ecdsa_p1363() {
    check_primitive("ecdsa_secp256r1_sha256_p1363");
}

#[test]
fn ed25519() {
    check_primitive("ed25519");
}

#[test]
fn a_roca_modulus_is_known_by_its_fingerprint() {
    let Some(file) = vectors("json_web_key") else { return };
    let groups = file["testGroups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["comment"] == "jws_rsa_roca_key").unwrap();
    let text = group["public"].to_string().replace(r#""alg":"RS256","#, "");
    let refused = KeyPolicy::of_agents().any(&text);
    assert!(matches!(refused, Err(KeyError::Unsound(_))), "{refused:?}");
}
