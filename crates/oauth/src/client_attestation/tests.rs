//! Attestations and proofs that must not be believed.

use bailiwick_model::secret::Secret;
use serde_json::json;

use super::*;
use crate::test_keys::{TestKey, ed25519, p256, rsa, rsa_pkcs1};

const OURS: &str = "https://b.example";
const NOW_S: i64 = 1_800_000_000;
const AGE_S: i64 = 3_600;

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn challenges() -> NonceSecret {
    NonceSecret::new(Secret::new([7; 32]))
}

fn public(key: &TestKey) -> Value {
    serde_json::from_str(&key.public.jwk).unwrap()
}

fn attester(keys: &[&TestKey]) -> Attester {
    let jwks: Vec<Value> = keys.iter().map(|key| public(key)).collect();
    Attester::new(json!({ "keys": jwks }).to_string().as_bytes(), AGE_S).unwrap()
}

/// `claims` with some replaced, or removed by `null`.
fn with(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn attestation(instance: &TestKey) -> Value {
    json!({"sub": "bot", "iat": NOW_S - 60, "exp": NOW_S + 600, "cnf": {"jwk": public(instance)}})
}

fn proof() -> Value {
    json!({"aud": OURS, "iat": NOW_S, "jti": "j-1", "challenge": challenges().nonce(now())})
}

fn attested(text: &str, by: &Attester) -> Result<AttestedInstance, ClientAttestationError> {
    UnverifiedClientAttestation::parse(text)?.verify(by, now())
}

fn proved(instance: &TestKey, text: &str) -> Result<OneTimeIdentifier, ClientAttestationError> {
    let vouching = ed25519();
    let signed = vouching.token(TokenType::ClientAttestation, &attestation(instance));
    let secret = challenges();
    let expected = InstanceProofExpectation { audience: OURS, challenges: &secret };
    attested(&signed, &attester(&[&vouching])).unwrap().prove(text, &expected, now())
}

#[test]
fn an_attested_instance_proves_its_key() {
    for (vouching, instance) in [(ed25519(), p256()), (p256(), ed25519()), (rsa(), p256())] {
        let signed = vouching.token(TokenType::ClientAttestation, &attestation(&instance));
        let found = attested(&signed, &attester(&[&vouching, &p256().named("other")])).unwrap();
        assert_eq!((found.client.as_str(), found.thumbprint()), ("bot", instance.public.thumbprint));
        let text = instance.token(TokenType::ClientAttestationProof, &proof());
        let once = proved(&instance, &text).unwrap();
        assert_eq!(once.scope, format!("instance:{}", instance.public.thumbprint));
        assert!(once.forget_at > later(now(), PROOF_AGE_S_MAX));
    }
}

#[test]
fn what_the_attester_did_not_say_now_is_refused() {
    let (vouching, instance) = (ed25519(), p256());
    let by = attester(&[&vouching]);
    let private = {
        let mut jwk = public(&instance);
        jwk["d"] = json!("AAAA");
        json!({"cnf": {"jwk": jwk}})
    };
    let shared = json!({"cnf": {"jwk": {"kty": "oct", "k": "c2VjcmV0"}}});
    let two = json!({"cnf": {"jwk": public(&instance), "kid": "another"}});
    for change in [
        json!({"sub": null}),
        json!({"sub": "Bot"}),
        json!({"sub": ["bot"]}),
        json!({"iat": null}),
        json!({"exp": null}),
        json!({"exp": "tomorrow"}),
        json!({"iat": NOW_S + CLOCK_SKEW_S + 1}),
        json!({"iat": NOW_S, "exp": NOW_S - 1}),
        json!({"nbf": NOW_S + CLOCK_SKEW_S + 1}),
        json!({"cnf": null}),
        json!({"cnf": {}}),
        json!({"cnf": {"jkt": instance.public.thumbprint.to_string()}}),
        json!({"cnf": {"jwk": public(&rsa_pkcs1())}}),
        private,
        shared,
        two,
    ] {
        let signed = vouching.token(TokenType::ClientAttestation, &with(attestation(&instance), &change));
        let found = attested(&signed, &by);
        assert!(found.as_ref().is_err_and(|error| *error != ClientAttestationError::Stale), "{change}: {found:?}");
    }
    for change in [json!({"exp": NOW_S - CLOCK_SKEW_S}), json!({"iat": NOW_S - AGE_S - CLOCK_SKEW_S})] {
        let signed = vouching.token(TokenType::ClientAttestation, &with(attestation(&instance), &change));
        assert_eq!(attested(&signed, &by).unwrap_err(), ClientAttestationError::Stale, "{change}");
    }
    let honest = attestation(&instance);
    let forged = p256().named(&vouching.public.kid).token(TokenType::ClientAttestation, &honest);
    assert!(attested(&forged, &by).is_err(), "signed by another key of that name");
    let unknown = p256().token(TokenType::ClientAttestation, &honest);
    assert_eq!(attested(&unknown, &by).unwrap_err(), ClientAttestationError::UnknownKey);
    for other in [TokenType::ClientAttestationProof, TokenType::ClientAssertion, TokenType::AccessToken] {
        assert!(attested(&vouching.token(other, &honest), &by).is_err(), "{other:?}");
    }
    for header in [
        r#"{"alg":"none","typ":"oauth-client-attestation+jwt"}"#,
        r#"{"alg":"HS256","typ":"oauth-client-attestation+jwt"}"#,
    ] {
        assert!(attested(&vouching.raw_token(header, &honest.to_string()), &by).is_err(), "{header}");
    }
    let with_key = format!(r#"{{"alg":"EdDSA","typ":"oauth-client-attestation+jwt","jwk":{}}}"#, vouching.public.jwk);
    assert!(attested(&vouching.raw_token(&with_key, &honest.to_string()), &by).is_err(), "no key comes along");
}

#[test]
fn what_the_instance_did_not_say_to_us_now_is_refused() {
    let instance = p256();
    let earlier = challenges().nonce(now() - jiff::SignedDuration::from_hours(1));
    let others = NonceSecret::new(Secret::new([8; 32])).nonce(now());
    for (change, expected) in [
        (json!({"challenge": null}), Some(ClientAttestationError::UseChallenge)),
        (json!({"challenge": earlier}), Some(ClientAttestationError::UseChallenge)),
        (json!({"challenge": others}), Some(ClientAttestationError::UseChallenge)),
        (json!({"challenge": 7}), None),
        (json!({"aud": "https://other.example"}), Some(ClientAttestationError::Audience)),
        (json!({"aud": [OURS, "https://other.example"]}), Some(ClientAttestationError::Audience)),
        (json!({"aud": format!("{OURS}/")}), Some(ClientAttestationError::Audience)),
        (json!({"aud": format!("{OURS}/oauth/token")}), Some(ClientAttestationError::Audience)),
        (json!({"aud": null}), Some(ClientAttestationError::Audience)),
        (json!({"iat": null}), None),
        (json!({"iat": NOW_S + CLOCK_SKEW_S + 1}), Some(ClientAttestationError::Clock("iat"))),
        (json!({"iat": NOW_S - PROOF_AGE_S_MAX - CLOCK_SKEW_S}), Some(ClientAttestationError::Clock("iat"))),
        (json!({"jti": null}), None),
        (json!({"jti": ""}), Some(ClientAttestationError::Identifier)),
        (json!({"jti": "j".repeat(257)}), Some(ClientAttestationError::Identifier)),
    ] {
        let text = instance.token(TokenType::ClientAttestationProof, &with(proof(), &change));
        let found = proved(&instance, &text);
        assert!(found.is_err(), "{change}");
        if let Some(expected) = expected {
            assert_eq!(found, Err(expected), "{change}");
        }
    }
    let stranger = p256();
    assert!(proved(&instance, &stranger.token(TokenType::ClientAttestationProof, &proof())).is_err());
    for other in [TokenType::ClientAttestation, TokenType::ClientAssertion, TokenType::WorkloadToken] {
        assert!(proved(&instance, &instance.token(other, &proof())).is_err(), "{other:?}");
    }
}

#[test]
fn an_attester_has_keys_and_no_private_ones() {
    assert!(Attester::new(br#"{"keys":[]}"#, AGE_S).is_err());
    assert!(Attester::new(br#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#, AGE_S).is_err());
    assert!(Attester::new(b"not a set", AGE_S).is_err());
    assert_eq!(attester(&[&ed25519()]).age_s_max, AGE_S);
    let set = json!({ "keys": [public(&ed25519())] }).to_string();
    assert_eq!(Attester::new(set.as_bytes(), i64::MAX).unwrap().age_s_max, ATTESTATION_AGE_S_MAX);
}
