//! Proofs that must not prove anything.

use bailiwick_model::secret::Secret;
use serde_json::{Value, json};

use super::*;
use crate::{
    dpop_nonce::NONCE_SLOT_S,
    test_keys::{TestKey, ed25519, p256, rsa, rsa_pkcs1},
};

const URI: &str = "https://b.example/mcp/files";
const NOW_S: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn honest() -> Value {
    json!({"htm": "POST", "htu": URI, "iat": NOW_S, "jti": "j-1", "ath": access_token_hash("at")})
}

fn with(changes: Value) -> Value {
    let mut claims = honest();
    for (name, value) in changes.as_object().unwrap() {
        let members = claims.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}

const EXPECTED: ProofExpectation<'static> =
    ProofExpectation { method: "POST", uri: URI, access_token: Some("at"), nonce: NonceRule::NotAsked };

fn prove(key: &TestKey, claims: &Value) -> Result<VerifiedProof, DpopError> {
    verify(&key.token(TokenType::DpopProof, claims), &EXPECTED, at(NOW_S))
}

#[test]
fn an_honest_proof_names_its_key() {
    for key in [ed25519(), p256(), rsa()] {
        let proof = prove(&key, &honest()).unwrap();
        assert_eq!(proof.thumbprint(), key.public.thumbprint);
        assert_eq!(proof.once.scope, format!("dpop:{}", key.public.thumbprint));
        assert!(proof.once.forget_at > at(NOW_S + PROOF_AGE_S_MAX + CLOCK_SKEW_S));
    }
    let older = prove(&rsa_pkcs1(), &honest());
    assert!(matches!(older, Err(DpopError::Key(_))), "RS256 is for assertions alone: {older:?}");
}

#[test]
fn a_proof_is_for_one_method_and_one_url() {
    let key = ed25519();
    for method in ["GET", "post", "", "POST "] {
        assert_eq!(prove(&key, &with(json!({"htm": method}))), Err(DpopError::Method), "{method}");
    }
    for same in [
        "https://b.example/mcp/files?x=1",
        "https://b.example/mcp/files#y",
        "HTTPS://B.EXAMPLE:443/mcp/files",
        "https://b.example/mcp/./files",
        "https://b.example/mcp/x/../files",
        "https://b.example/mcp/%66iles",
    ] {
        assert!(prove(&key, &with(json!({"htu": same}))).is_ok(), "{same}");
    }
    for other in [
        "https://b.example/mcp/files/",
        "https://b.example/mcp/Files",
        "https://b.example/mcp",
        "https://b.example:8443/mcp/files",
        "http://b.example/mcp/files",
        "https://b.example.evil/mcp/files",
        "https://user@b.example/mcp/files",
        "https://b.example/mcp%2Ffiles",
        "https://b.example/mcp/files%",
        "/mcp/files",
        "",
        "file:///mcp/files",
    ] {
        assert_eq!(prove(&key, &with(json!({"htu": other}))), Err(DpopError::Uri), "{other}");
    }
    for missing in ["htm", "htu", "iat", "jti"] {
        assert!(matches!(prove(&key, &with(json!({missing: null}))), Err(DpopError::Claim(_))), "{missing}");
    }
}

#[test]
fn a_proof_is_of_now() {
    let key = ed25519();
    let oldest = PROOF_AGE_S_MAX + CLOCK_SKEW_S;
    for (issued_at, outcome) in [
        (NOW_S - oldest, Err(DpopError::Clock)),
        (NOW_S - oldest + 1, Ok(())),
        (NOW_S + CLOCK_SKEW_S, Ok(())),
        (NOW_S + CLOCK_SKEW_S + 1, Err(DpopError::Clock)),
        (0, Err(DpopError::Clock)),
    ] {
        assert_eq!(prove(&key, &with(json!({"iat": issued_at}))).map(|_| ()), outcome, "{issued_at}");
    }
}

#[test]
fn a_proof_is_for_one_access_token() {
    let key = ed25519();
    for hash in [json!(access_token_hash("other")), json!(""), json!("at"), json!(access_token_hash("at") + "=")] {
        assert_eq!(prove(&key, &with(json!({"ath": hash}))), Err(DpopError::AccessToken));
    }
    assert!(matches!(prove(&key, &with(json!({"ath": null}))), Err(DpopError::Claim(_))));
    // RFC 9449 §7.1 gives the hash of this token.
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    assert_eq!(access_token_hash(token), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
}

#[test]
fn an_identifier_is_required_and_bounded() {
    for (jti, fits) in [("", false), (&*"x".repeat(256), true), (&*"x".repeat(257), false)] {
        assert_eq!(prove(&ed25519(), &with(json!({"jti": jti}))).is_ok(), fits, "{}", jti.len());
    }
}

#[test]
fn the_key_is_public_fit_and_in_the_header() {
    let (key, other) = (p256(), p256());
    let token = |header: &str| key.raw_token(header, &honest().to_string());
    let check = |header: &str| verify(&token(header), &EXPECTED, at(NOW_S));
    let jwk = &key.public.jwk;
    assert!(check(&format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk}}}"#)).is_ok());
    let private = jwk.replace(r#""kty""#, r#""d":"AAAA","kty""#);
    let encryption = jwk.replace(r#""use":"sig""#, r#""use":"enc""#);
    for header in [
        r#"{"typ":"dpop+jwt","alg":"ES256"}"#.to_owned(),
        r#"{"typ":"dpop+jwt","alg":"ES256","kid":"x"}"#.to_owned(),
        format!(r#"{{"typ":"JWT","alg":"ES256","jwk":{jwk}}}"#),
        format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#),
        format!(r#"{{"typ":"dpop+jwt","alg":"none","jwk":{jwk}}}"#),
        format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{jwk}}}"#),
        format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{private}}}"#),
        format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{encryption}}}"#),
        format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{}}}"#, other.public.jwk),
        format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":[{jwk}]}}"#),
        r#"{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"oct","k":"AAAA"}}"#.to_owned(),
        format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk},"crit":["x"]}}"#),
    ] {
        assert!(check(&header).is_err(), "{header}");
    }
    assert_eq!(verify(&"a".repeat(PROOF_BYTES_MAX + 1), &EXPECTED, at(NOW_S)), Err(DpopError::TooLarge));
}

#[test]
fn a_nonce_is_ours_and_fresh() {
    let secret = NonceSecret::new(Secret::new([1; 32]));
    let expected = ProofExpectation { nonce: NonceRule::Required(&secret), ..EXPECTED };
    let check = |nonce: Value| {
        let proof = ed25519().token(TokenType::DpopProof, &with(json!({"nonce": nonce})));
        verify(&proof, &expected, at(NOW_S)).map(|proof| proof.nonce)
    };
    assert_eq!(check(json!(secret.nonce(at(NOW_S)))), Ok(Some(NonceAge::Current)));
    assert_eq!(check(json!(secret.nonce(at(NOW_S - NONCE_SLOT_S)))), Ok(Some(NonceAge::Previous)));
    for stale in [json!(null), json!(""), json!("made up"), json!(secret.nonce(at(NOW_S - 2 * NONCE_SLOT_S)))] {
        assert_eq!(check(stale.clone()), Err(DpopError::UseNonce), "{stale}");
    }
}

#[test]
fn there_is_one_header() {
    assert_eq!(sole_header(["a"].into_iter()), Ok(Some("a")));
    assert_eq!(sole_header(std::iter::empty()), Ok(None));
    assert_eq!(sole_header(["a", "a"].into_iter()), Err(DpopError::Several));
}
