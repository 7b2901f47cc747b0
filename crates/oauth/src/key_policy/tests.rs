//! What may be registered and what may not.

use serde_json::json;

use super::*;
use crate::{pem, test_keys, verifying_key::VerifyingKey};

fn jwk(key: &PublicKey) -> Value {
    serde_json::from_str(&key.jwk).unwrap()
}

/// The key with some members replaced, or removed by `null`.
fn with(key: &PublicKey, changes: Value) -> String {
    let mut jwk = jwk(key);
    for (name, value) in changes.as_object().unwrap() {
        let members = jwk.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    jwk.to_string()
}

fn refuse(json: &str) -> KeyError {
    KeyPolicy::default().jwk(json).expect_err(json)
}

#[test]
fn our_three_kinds_are_registered_in_every_form() {
    for key in [test_keys::ed25519(), test_keys::p256(), test_keys::rsa()] {
        let public = &key.public;
        let policy = KeyPolicy::default();
        assert_eq!(policy.jwk(&public.jwk).as_ref(), Ok(public), "canonical JSON is read back");
        assert_eq!(public.kid, public.thumbprint.to_string(), "named by its thumbprint");
        let bare = with(public, json!({"alg": null, "use": null, "kid": null}));
        assert_eq!(policy.jwk(&bare).as_ref(), Ok(public));
        let for_verifying = with(public, json!({"key_ops": ["verify"], "ext": true, "x5t": "abc"}));
        assert_eq!(policy.jwk(&for_verifying).as_ref(), Ok(public), "unknown members are ignored");
        let set = json!({"keys": [jwk(public)]}).to_string();
        assert_eq!(policy.any(&set), Ok(vec![public.clone()]));
        assert_eq!(jwks_document(std::slice::from_ref(public)), format!(r#"{{"keys":[{}]}}"#, public.jwk));
        assert!(policy.jwks(&jwks_document(std::slice::from_ref(public))).is_ok());
        VerifyingKey::of(public).unwrap();
    }
}

#[test]
fn a_private_key_is_refused_and_says_what_to_do() {
    for key in [test_keys::ed25519(), test_keys::p256(), test_keys::rsa()] {
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            let error = refuse(&with(&key.public, json!({member: "AAAA"})));
            assert_eq!(error, KeyError::Private(member));
            assert!(error.to_string().contains("hint: "), "{error}");
        }
    }
    let pem = pem::encode("PRIVATE KEY", b"secret");
    assert_eq!(KeyPolicy::default().any(&pem), Err(KeyError::PrivatePem));
    let shared = r#"{"kty":"oct","k":"AAAA"}"#;
    assert_eq!(refuse(shared), KeyError::Shared);
}

#[test]
fn an_algorithm_fits_its_kind_or_the_key_is_refused() {
    for key in [test_keys::ed25519(), test_keys::p256(), test_keys::rsa()] {
        for name in ["none", "HS256", "RS384", "rs256", "ES384", "ES256K", "RSA-OAEP", "es256", ""] {
            assert_eq!(refuse(&with(&key.public, json!({"alg": name}))), KeyError::Algorithm, "{name}");
        }
        assert_eq!(refuse(&with(&key.public, json!({"alg": 1}))), KeyError::Algorithm);
    }
    assert_eq!(refuse(&with(&test_keys::p256().public, json!({"alg": "EdDSA"}))), KeyError::Algorithm);
    assert!(KeyPolicy::default().jwk(&with(&test_keys::ed25519().public, json!({"alg": "Ed25519"}))).is_ok());
    let narrow = KeyPolicy::admitting(vec![SigningAlgorithm::ES256]);
    let refused = narrow.jwk(&test_keys::ed25519().public.jwk);
    assert_eq!(refused, Err(KeyError::NotAdmitted(SigningAlgorithm::EdDSA)));
}

/// The numbers of an RSA key fit two algorithms; which it is for is said once, when it is registered.
#[test]
fn an_rsa_key_verifies_by_the_algorithm_that_it_is_registered_for_and_no_other() {
    let (pss, pkcs1) = (test_keys::rsa(), test_keys::rsa_pkcs1());
    let agents = KeyPolicy::of_agents();
    assert_eq!(agents.jwk(&pkcs1.public.jwk).as_ref(), Ok(&pkcs1.public));
    assert_eq!(pkcs1.public.algorithm, SigningAlgorithm::RS256);
    assert_eq!(KeyPolicy::default().jwk(&pkcs1.public.jwk), Err(KeyError::NotAdmitted(SigningAlgorithm::RS256)));
    let unsaid = agents.jwk(&with(&pkcs1.public, json!({"alg": null}))).unwrap();
    assert_eq!(unsaid.algorithm, SigningAlgorithm::PS256, "unless it says otherwise");
    assert_eq!(unsaid.thumbprint, pkcs1.public.thumbprint);
    let sole = KeyPolicy::admitting(vec![SigningAlgorithm::RS256]);
    assert_eq!(
        sole.jwk(&with(&pkcs1.public, json!({"alg": null}))).as_ref(),
        Ok(&pkcs1.public),
        "nothing else is left"
    );
    assert_eq!(sole.jwk(&pss.public.jwk), Err(KeyError::NotAdmitted(SigningAlgorithm::PS256)));
    let renamed: Value = serde_json::from_str(&with(&unsaid, json!({"kid": "other"}))).unwrap();
    let both = json!({"keys": [jwk(&pkcs1.public), renamed]});
    assert_eq!(agents.jwks(&both.to_string()), Err(KeyError::Repeated), "one key is not registered for both");
    for (signer, other) in [(&pkcs1, unsaid), (&pss, agents.jwk(&with(&pss.public, json!({"alg": "RS256"}))).unwrap())]
    {
        let signature = signer.sign(b"message");
        assert!(VerifyingKey::of(&signer.public).unwrap().verify(b"message", &signature).is_ok());
        assert!(VerifyingKey::of(&other).unwrap().verify(b"message", &signature).is_err(), "{:?}", other.algorithm);
    }
}

#[test]
fn a_key_for_anything_but_signatures_is_refused() {
    let key = test_keys::p256().public;
    for usage in [json!("enc"), json!(""), json!(1), json!(["sig"])] {
        assert_eq!(refuse(&with(&key, json!({"use": usage}))), KeyError::Use("use"));
    }
    for operations in [json!([]), json!(["encrypt"]), json!(["verify", "encrypt"]), json!(["sign"]), json!("verify")] {
        assert_eq!(refuse(&with(&key, json!({"key_ops": operations}))), KeyError::Use("key_ops"));
    }
}

#[test]
fn unsound_numbers_are_refused() {
    let (p256, ed25519, rsa) = (test_keys::p256().public, test_keys::ed25519().public, test_keys::rsa().public);
    let text = |key: &PublicKey, name: &str| jwk(key)[name].as_str().unwrap().to_owned();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y, n) = (text(&p256, "x"), text(&p256, "y"), text(&rsa, "n"));
    let modulus = URL_SAFE_NO_PAD.decode(&n).unwrap();
    let mut even = modulus.clone();
    *even.last_mut().unwrap() &= 0xfe;
    for (key, changes) in [
        (&p256, json!({"x": y, "y": x})),
        (&p256, json!({"x": encode(&[0; 32]), "y": encode(&[0; 32])})),
        (&p256, json!({"x": encode(&[0xff; 32])})),
        (&p256, json!({"x": encode(&[1; 31])})),
        (&p256, json!({"x": encode(&[1; 33])})),
        (&p256, json!({"x": format!("{x}=")})),
        (&p256, json!({"x": x.replace(['-', '_'], "/") + "/"})),
        (&p256, json!({"x": 1})),
        (&p256, json!({"y": null})),
        (&p256, json!({"crv": "P-384"})),
        (&p256, json!({"crv": "secp256k1"})),
        (&p256, json!({"crv": null})),
        (&p256, json!({"kty": "RSA"})),
        (&p256, json!({"kty": "ec"})),
        (&ed25519, json!({"crv": "Ed448"})),
        (&ed25519, json!({"crv": "X25519"})),
        (&ed25519, json!({"x": encode(&[0; 32])})),
        (&ed25519, json!({"x": encode(&[7; 31])})),
        (&rsa, json!({"n": encode(&modulus[..255])})),
        (&rsa, json!({"n": encode(&modulus[..128])})),
        (&rsa, json!({"n": encode(&[&[0], &modulus[..]].concat())})),
        (&rsa, json!({"n": encode(&even)})),
        (&rsa, json!({"n": encode(&modulus.repeat(3))})),
        (&rsa, json!({"n": ""})),
        (&rsa, json!({"e": "AQ"})),
        (&rsa, json!({"e": "Ag"})),
        (&rsa, json!({"e": "AA"})),
        (&rsa, json!({"e": ""})),
        (&rsa, json!({"e": encode(&[0, 1, 0, 1])})),
        (&rsa, json!({"e": encode(&[1, 0, 0, 0, 1])})),
    ] {
        refuse(&with(key, changes));
    }
}

#[test]
fn a_set_has_every_key_and_every_name_once() {
    let policy = KeyPolicy::default();
    let set = |keys: Vec<Value>| json!({ "keys": keys }).to_string();
    let (a, b) = (test_keys::p256(), test_keys::p256());
    let named = |key: &PublicKey, kid: &str| serde_json::from_str(&with(key, json!({"kid": kid}))).unwrap();
    assert_eq!(policy.jwks(&set(vec![named(&a.public, "1"), named(&b.public, "2")])).map(|keys| keys.len()), Ok(2));
    let twice = policy.jwks(&set(vec![named(&a.public, "1"), named(&b.public, "1")]));
    assert_eq!(twice, Err(KeyError::RepeatedName("1".to_owned())));
    let same = policy.jwks(&set(vec![named(&a.public, "1"), named(&a.public, "2")]));
    assert_eq!(same, Err(KeyError::Repeated));
    let mixed = policy.jwks(&set(vec![named(&a.public, "1"), json!({"kty": "oct", "k": "AAAA", "kid": "2"})]));
    assert_eq!(mixed, Err(KeyError::Shared), "one class of keys");
    assert_eq!(policy.jwks(&set(vec![])), Err(KeyError::Empty));
    let many = (0..=KEYS_PER_AGENT_MAX).map(|_| jwk(&test_keys::p256().public)).collect();
    assert_eq!(policy.jwks(&set(many)), Err(KeyError::TooMany));
    assert!(policy.jwks("{}").is_err());
    assert!(policy.jwks(r#"{"keys":[1]}"#).is_err());
    assert!(policy.any("").is_err());
}

#[test]
fn a_public_key_in_pem_is_the_same_key() {
    let rsa = r"-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA4+YPbWWJiwcW6PAGFsCA
-----END PUBLIC KEY-----";
    assert!(KeyPolicy::default().spki_pem(rsa, None).is_err(), "cut short");
    let p256 = test_keys::p256();
    let crate::key_material::KeyMaterial::P256 { x, y } = &p256.material else { panic!("a P-256 key") };
    let mut der = vec![0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08];
    der.extend([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04]);
    der.extend(x);
    der.extend(y);
    let read = KeyPolicy::default().any(&pem::encode("PUBLIC KEY", &der)).unwrap();
    assert_eq!(read, vec![p256.public.clone()]);
    der.push(0);
    assert!(KeyPolicy::default().any(&pem::encode("PUBLIC KEY", &der)).is_err(), "trailing bytes");
    assert!(KeyPolicy::default().any(&pem::encode("CERTIFICATE", &der)).is_err());
}

#[test]
fn an_altered_row_is_an_error_and_never_another_key() {
    let (a, b) = (test_keys::p256().public, test_keys::p256().public);
    assert!(VerifyingKey::of(&PublicKey { jwk: b.jwk.clone(), ..a.clone() }).is_err());
    assert!(VerifyingKey::of(&PublicKey { kid: "x".to_owned(), ..a.clone() }).is_err());
    assert!(VerifyingKey::of(&PublicKey { thumbprint: b.thumbprint, ..a.clone() }).is_err());
    assert!(VerifyingKey::of(&PublicKey { algorithm: SigningAlgorithm::EdDSA, ..a }).is_err());
}
