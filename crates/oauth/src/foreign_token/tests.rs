//! Tokens of other issuers that must not be believed.

use bailiwick_model::jwk::SigningAlgorithm;
use serde_json::{Value, json};

use super::*;
use crate::{
    foreign_keys::Purpose,
    test_keys::{TestKey, ed25519, p256, rsa},
};

const ISSUER: &str = "https://idp.example";
const OURS: &str = "https://b.example";
const NOW_S: i64 = 1_800_000_000;
const RULES: ForeignRules<'static> =
    ForeignRules { issuer: Some(ISSUER), source: ISSUER, audience: OURS, age_s_max: 300 };

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn honest() -> Value {
    json!({"iss": ISSUER, "sub": "u1", "aud": OURS, "iat": NOW_S, "exp": NOW_S + 300, "jti": "j-1"})
}

/// The honest claims with some replaced, or removed by `null`.
fn with(changes: Value) -> Value {
    let mut claims = honest();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn published(keys: &[&TestKey]) -> ForeignKeys {
    let jwks: Vec<Value> = keys.iter().map(|key| serde_json::from_str(&key.public.jwk).unwrap()).collect();
    let algorithms =
        [SigningAlgorithm::RS256, SigningAlgorithm::ES256, SigningAlgorithm::EdDSA, SigningAlgorithm::PS256];
    ForeignKeys::read(json!({ "keys": jwks }).to_string().as_bytes(), &algorithms, Purpose::Signatures).unwrap()
}

fn verify_text(text: &str, keys: &ForeignKeys, rules: &ForeignRules<'_>) -> Result<VerifiedForeign, ForeignError> {
    UnverifiedForeign::parse(text, TokenType::WorkloadToken)?.verify(keys, rules, now())
}

fn verify(claims: &Value) -> Result<VerifiedForeign, ForeignError> {
    let key = ed25519();
    verify_text(&key.token(TokenType::WorkloadToken, claims), &published(&[&key]), &RULES)
}

#[test]
fn an_honest_token_is_believed_whatever_its_key() {
    for key in [ed25519(), p256(), rsa()] {
        let text = key.token(TokenType::WorkloadToken, &honest());
        let verified = verify_text(&text, &published(&[&key]), &RULES).unwrap();
        assert_eq!((verified.key, verified.named), (key.public.thumbprint, true));
        assert_eq!(verified.once.scope, "foreign:https://idp.example");
        assert!(verified.once.forget_at > later(verified.expires_at, CLOCK_SKEW_S));
    }
    for fine in [json!({"aud": [OURS]}), json!({"iat": NOW_S + CLOCK_SKEW_S}), json!({"iat": NOW_S - 300})] {
        assert!(verify(&with(fine.clone())).is_ok(), "{fine}");
    }
}

#[test]
fn what_is_not_for_us_or_not_of_its_issuer_is_refused() {
    for iss in [json!("https://idp.example/"), json!("https://IDP.example"), json!(null), json!("")] {
        assert_eq!(verify(&with(json!({ "iss": iss }))).unwrap_err(), ForeignError::Issuer, "{iss}");
    }
    assert!(matches!(verify(&with(json!({"iss": 1}))), Err(ForeignError::Claim(_))));
    for aud in [
        json!("https://b.example/"),
        json!("https://b.example/oauth/token"),
        json!([OURS, "https://c.example"]),
        json!([]),
        json!(null),
        json!({"0": OURS}),
    ] {
        let refused = verify(&with(json!({ "aud": aud }))).unwrap_err();
        assert_eq!(refused, ForeignError::Audience { expected: OURS.to_owned() }, "{aud}");
    }
}

#[test]
fn what_is_not_of_this_moment_is_refused() {
    for (changes, expected) in [
        (json!({"exp": NOW_S - CLOCK_SKEW_S}), ForeignError::Expired),
        (json!({"exp": NOW_S + 300 + CLOCK_SKEW_S + 1}), ForeignError::TooLong(300)),
        (json!({"exp": 9_999_999_999_i64}), ForeignError::TooLong(300)),
        (json!({"iat": NOW_S + CLOCK_SKEW_S + 1}), ForeignError::Clock("iat")),
        (json!({"iat": NOW_S - 300 - CLOCK_SKEW_S - 1}), ForeignError::Clock("iat")),
        (json!({"nbf": NOW_S + CLOCK_SKEW_S + 1}), ForeignError::Clock("nbf")),
        (json!({"iat": null}), ForeignError::Claim(ClaimError::Missing("iat"))),
        (json!({"exp": null}), ForeignError::Claim(ClaimError::Missing("exp"))),
        (json!({"jti": ""}), ForeignError::Identifier),
        (json!({"jti": "j".repeat(257)}), ForeignError::Identifier),
    ] {
        assert_eq!(verify(&with(changes.clone())).unwrap_err(), expected, "{changes}");
    }
    for text in ["exp", "iat", "nbf", "jti"] {
        assert!(matches!(verify(&with(json!({ text: true }))), Err(ForeignError::Claim(_))), "{text}");
    }
}

#[test]
fn no_key_comes_from_the_token_and_no_algorithm_from_its_header() {
    let (key, thief) = (rsa().named("k"), p256().named("k"));
    let keys = published(&[&key]);
    let payload = honest().to_string();
    for header in [
        r#"{"alg":"none","kid":"k"}"#,
        r#"{"alg":"HS256","kid":"k"}"#,
        r#"{"alg":"ES256","kid":"k"}"#,
        r#"{"alg":"RS256","kid":"k"}"#,
        r#"{"alg":"PS256","kid":"k","jku":"https://evil.example/keys"}"#,
        r#"{"alg":"PS256","kid":"k","x5u":"https://evil.example/keys"}"#,
        r#"{"alg":"PS256","kid":"k","x5c":["MII"]}"#,
        r#"{"alg":"PS256","kid":"k","crit":["exp"]}"#,
        r#"{"alg":"PS256","kid":"../k"}"#,
        r#"{"alg":"PS256","kid":"K"}"#,
        r#"{"alg":"PS256","kid":"k","typ":"at+jwt"}"#,
        r#"{"alg":"PS256","kid":"k","typ":"oauth-id-jag+jwt"}"#,
    ] {
        assert!(verify_text(&key.raw_token(header, &payload), &keys, &RULES).is_err(), "{header}");
    }
    assert!(verify_text(&key.raw_token(r#"{"alg":"PS256","kid":"k"}"#, &payload), &keys, &RULES).is_ok());
    // The thief's own key in the header, and under the name of the honest one.
    let embedded = format!(r#"{{"alg":"ES256","kid":"k","jwk":{}}}"#, thief.public.jwk);
    for header in [embedded.as_str(), r#"{"alg":"ES256","kid":"k"}"#, r#"{"alg":"PS256","kid":"k"}"#] {
        assert!(verify_text(&thief.raw_token(header, &payload), &keys, &RULES).is_err(), "{header}");
    }
}

/// Who replays a token without `jti` can give an ECDSA signature its other spelling; what is signed stays the same.
#[test]
fn without_an_identifier_what_is_signed_is_good_once() {
    let key = p256();
    let keys = published(&[&key]);
    let claims = with(json!({"jti": null}));
    let input = crate::jws::SigningInput::new(TokenType::WorkloadToken, &key.public, &claims.to_string());
    let verified = [(); 2].map(|()| {
        let text = input.clone().assemble(&key.sign(input.as_bytes()));
        verify_text(&text, &keys, &RULES).unwrap()
    });
    assert_eq!(verified[0].once, verified[1].once, "two signatures, one token");
    assert!(!verified[0].named && verified[0].once.scope.starts_with("foreign-signed:"));
}

#[test]
fn a_svid_may_lack_issuer_and_time_of_issue() {
    let key = ed25519();
    let domain = ForeignRules { issuer: None, source: "spiffe://prod.example", ..RULES };
    let claims = with(json!({"iss": null, "iat": null, "jti": null, "sub": "spiffe://prod.example/ns/a"}));
    let text = key.token(TokenType::WorkloadToken, &claims);
    assert!(verify_text(&text, &published(&[&key]), &domain).is_ok());
    assert!(verify_text(&text, &published(&[&p256()]), &domain).unwrap_err().is_unsigned());
}
