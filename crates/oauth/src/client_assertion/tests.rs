//! Assertions that must not authenticate anybody.

use bailiwick_model::jwk::SigningAlgorithm;
use serde_json::{Value, json};

use super::*;
use crate::test_keys::{TestKey, ed25519, p256, rsa, rsa_pkcs1};

const ISSUER: &str = "https://b.example";
const TOKEN_ENDPOINT: &str = "https://b.example/oauth/token";
const NOW_S: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn honest() -> Value {
    json!({"iss": "bot", "sub": "bot", "aud": ISSUER, "iat": NOW_S, "exp": NOW_S + 60, "jti": "j-1"})
}

/// The honest claims with some replaced, or removed by `null`.
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

fn verify_with(
    key: &TestKey,
    registered: &[PublicKey],
    claims: &Value,
    token_endpoint: Option<&str>,
) -> Result<VerifiedAssertion, AssertionError> {
    let text = key.token(TokenType::ClientAssertion, claims);
    let expected = AssertionExpectation { issuer: ISSUER, token_endpoint };
    UnverifiedAssertion::parse(&text)?.verify(registered, &expected, now())
}

fn verify(claims: &Value) -> Result<VerifiedAssertion, AssertionError> {
    let key = ed25519();
    verify_with(&key, std::slice::from_ref(&key.public), claims, None)
}

#[test]
fn an_honest_assertion_authenticates_its_client() {
    let verified = verify(&honest()).unwrap();
    assert_eq!(verified.client.as_str(), "bot");
    assert_eq!(verified.credential, ed25519().public.thumbprint);
    assert_eq!(verified.once.scope, "assertion:bot");
    assert!(verified.once.forget_at > later(now(), 60 + CLOCK_SKEW_S), "remembered as long as it could be replayed");
    for fine in [
        with(json!({"aud": [ISSUER]})),
        with(json!({"iat": null})),
        with(json!({"nbf": NOW_S + CLOCK_SKEW_S})),
        with(json!({"exp": NOW_S - CLOCK_SKEW_S + 1, "iat": null})),
        with(json!({"exp": NOW_S + ASSERTION_TTL_S_MAX + CLOCK_SKEW_S})),
        with(json!({"extra": {"x": [1]}})),
    ] {
        assert!(verify(&fine).is_ok(), "{fine}: {:?}", verify(&fine));
    }
}

/// What the MCP SDKs sign by unless told otherwise, under a key that is registered for it.
#[test]
fn an_rsa_assertion_is_signed_as_its_key_is_registered() {
    for key in [rsa(), rsa_pkcs1()] {
        let keys = std::slice::from_ref(&key.public);
        assert!(verify_with(&key, keys, &honest(), None).is_ok(), "{:?}", key.public.algorithm);
        let other = if key.public.algorithm == SigningAlgorithm::PS256 { "RS256" } else { "PS256" };
        let jwk = key.public.jwk.replace(&format!("{:?}", key.public.algorithm), other);
        let registered = crate::key_policy::KeyPolicy::of_agents().jwk(&jwk).unwrap();
        let refused = verify_with(&key, &[registered], &honest(), None);
        assert_eq!(refused, Err(AssertionError::Token(JwsError::OtherAlgorithm)), "{other}");
    }
}

#[test]
fn one_identifier_is_one_however_often_it_comes() {
    let (a, b) = (verify(&honest()).unwrap(), verify(&with(json!({"exp": NOW_S + 61}))).unwrap());
    assert_eq!((a.once.scope, a.once.jti), (b.once.scope, b.once.jti));
    assert_ne!(a.once.jti, verify(&with(json!({"jti": "j-2"}))).unwrap().once.jti);
}

#[test]
fn only_our_issuer_and_nothing_else_is_the_audience() {
    for audience in [
        json!(null),
        json!("https://b.example/"),
        json!("https://B.example"),
        json!("http://b.example"),
        json!("https://evil.example"),
        json!(TOKEN_ENDPOINT),
        json!([ISSUER, "https://evil.example"]),
        json!([ISSUER, ISSUER]),
        json!([ISSUER, TOKEN_ENDPOINT]),
        json!([]),
        json!([[ISSUER]]),
        json!({"x": ISSUER}),
        json!(1),
        json!(""),
    ] {
        let outcome = verify(&with(json!({"aud": audience})));
        assert!(matches!(outcome, Err(AssertionError::Audience { .. })), "{audience}: {outcome:?}");
    }
    let key = ed25519();
    let keys = std::slice::from_ref(&key.public);
    let older = with(json!({"aud": TOKEN_ENDPOINT}));
    assert!(verify_with(&key, keys, &older, Some(TOKEN_ENDPOINT)).is_ok(), "where the registration admits it");
    let both = with(json!({"aud": [ISSUER, TOKEN_ENDPOINT]}));
    assert!(verify_with(&key, keys, &both, Some(TOKEN_ENDPOINT)).is_err());
}

#[test]
fn an_assertion_is_short_and_of_now() {
    for (changes, expected) in [
        (json!({"exp": NOW_S - CLOCK_SKEW_S, "iat": null}), AssertionError::Expired),
        (json!({"exp": 0, "iat": null}), AssertionError::Expired),
        (json!({"exp": NOW_S + ASSERTION_TTL_S_MAX + CLOCK_SKEW_S + 1}), AssertionError::TooLong),
        (json!({"exp": 253_000_000_000_i64}), AssertionError::TooLong),
        (json!({"iat": NOW_S + CLOCK_SKEW_S + 1, "exp": NOW_S + 200}), AssertionError::Clock("iat")),
        (json!({"iat": NOW_S - ASSERTION_TTL_S_MAX - CLOCK_SKEW_S - 1}), AssertionError::Clock("iat")),
        (json!({"iat": NOW_S + 1, "exp": NOW_S}), AssertionError::Clock("iat")),
        (json!({"nbf": NOW_S + CLOCK_SKEW_S + 1}), AssertionError::Clock("nbf")),
    ] {
        assert_eq!(verify(&with(changes.clone())), Err(expected), "{changes}");
    }
    for unfit in [json!({"exp": null}), json!({"exp": "1800000060"}), json!({"iat": "x"}), json!({"nbf": true})] {
        let outcome = verify(&with(unfit.clone()));
        assert!(matches!(outcome, Err(AssertionError::Claim(_))), "{unfit}: {outcome:?}");
    }
}

#[test]
fn a_client_speaks_for_itself_only() {
    for changes in [
        json!({"iss": "other"}),
        json!({"sub": "other"}),
        json!({"iss": null}),
        json!({"sub": null}),
        json!({"iss": "Bot", "sub": "Bot"}),
        json!({"iss": "", "sub": ""}),
        json!({"iss": ["bot"], "sub": ["bot"]}),
        json!({"iss": "../bot", "sub": "../bot"}),
    ] {
        assert!(verify(&with(changes.clone())).is_err(), "{changes}");
    }
}

#[test]
fn an_identifier_is_required_and_bounded() {
    for (jti, fits) in [
        (json!(null), false),
        (json!(""), false),
        (json!(1), false),
        (json!("x".repeat(256)), true),
        (json!("x".repeat(257)), false),
    ] {
        assert_eq!(verify(&with(json!({"jti": jti}))).is_ok(), fits, "{jti}");
    }
}

#[test]
fn only_a_registered_key_counts() {
    let (registered, stranger) = (p256().named("1"), p256());
    let keys = std::slice::from_ref(&registered.public);
    assert!(verify_with(&registered, keys, &honest(), None).is_ok());
    assert_eq!(verify_with(&stranger, keys, &honest(), None), Err(AssertionError::UnknownKey));
    let posing = stranger.named("1");
    assert!(
        matches!(verify_with(&posing, keys, &honest(), None), Err(AssertionError::Token(_))),
        "same name, other key"
    );
    assert_eq!(verify_with(&registered, &[], &honest(), None), Err(AssertionError::UnknownKey));

    // Without a name there must be no choice.
    let text = registered.raw_token(r#"{"alg":"ES256"}"#, &honest().to_string());
    let expected = AssertionExpectation { issuer: ISSUER, token_endpoint: None };
    let verify = |keys: &[PublicKey]| UnverifiedAssertion::parse(&text).unwrap().verify(keys, &expected, now());
    assert!(verify(keys).is_ok());
    let two = [registered.public.clone(), ed25519().public];
    assert_eq!(verify(&two), Err(AssertionError::UnknownKey));
}
