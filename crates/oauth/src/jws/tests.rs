//! The attacks on signed tokens that everybody knows, and every single-byte change.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::test_keys::{TestKey, ed25519, p256, rsa, rsa_pkcs1};

const CLAIMS: &str = r#"{"sub":"bot"}"#;

static KEYS: LazyLock<[TestKey; 4]> =
    LazyLock::new(|| [ed25519(), p256(), rsa(), rsa_pkcs1()].map(|key| key.named("k")));

fn verify(key: &TestKey, text: &str) -> Result<VerifiedToken, JwsError> {
    UnverifiedToken::parse(text, TokenType::AccessToken)?.verify(&VerifyingKey::of(&key.public).unwrap())
}

fn algorithm(key: &TestKey) -> &'static str {
    algorithm_name(key.public.algorithm)
}

/// A token with this header, honestly signed, so that only the header can be why it is refused.
fn refused(key: &TestKey, header: &str, payload: &str, why: impl Fn(&JwsError) -> bool) {
    let header = header.replace("ALG", algorithm(key));
    let outcome = verify(key, &key.raw_token(&header, payload));
    assert!(outcome.as_ref().is_err_and(&why), "{header} {payload}: {outcome:?}");
}

#[test]
fn an_honest_token_is_verified() {
    for key in KEYS.iter() {
        let token = key.token(TokenType::AccessToken, &serde_json::json!({"sub": "bot"}));
        let verified = verify(key, &token).unwrap();
        assert_eq!(verified.claims().text("sub"), Ok("bot"));
        assert_eq!(verified.key(), key.public.thumbprint);
        let spelled = format!(r#"{{"typ":"application/AT+JWT","alg":"{}"}}"#, algorithm(key));
        assert!(verify(key, &key.raw_token(&spelled, CLAIMS)).is_ok(), "a media type has no case");
    }
    let fully_specified = KEYS[0].raw_token(r#"{"typ":"at+jwt","alg":"Ed25519"}"#, CLAIMS);
    assert!(verify(&KEYS[0], &fully_specified).is_ok(), "RFC 9864");
}

#[test]
fn the_header_chooses_no_algorithm() {
    for key in KEYS.iter() {
        for name in [
            "none", "None", "nOnE", "", "HS256", "HS384", "HS512", "rs256", "RS384", "RS512", "ES384", "ES512",
            "ES256K",
        ] {
            let header = format!(r#"{{"typ":"at+jwt","kid":"k","alg":"{name}"}}"#);
            refused(key, &header, CLAIMS, |e| *e == JwsError::Algorithm);
        }
        for bad in [r#""alg":1"#, r#""alg":null"#, r#""alg":["ALG"]"#, r#""Alg":"ALG""#] {
            refused(key, &format!(r#"{{"typ":"at+jwt",{bad}}}"#), CLAIMS, |e| *e == JwsError::Algorithm);
        }
        for other in KEYS.iter().filter(|other| other.public.algorithm != key.public.algorithm) {
            let header = format!(r#"{{"typ":"at+jwt","alg":"{}"}}"#, algorithm(other));
            refused(key, &header, CLAIMS, |e| *e == JwsError::OtherAlgorithm);
        }
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for header in [r#"{"typ":"at+jwt","alg":"none"}"#, r#"{"typ":"at+jwt","alg":"EdDSA"}"#] {
        for signature in ["", "AA", &"A".repeat(86)] {
            let text = format!("{}.{}.{signature}", part(header), part(CLAIMS));
            assert!(verify(&KEYS[0], &text).is_err(), "{header} {signature}");
        }
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    // The RS/HS confusion: an HMAC keyed with what everybody knows.
    let key = &KEYS[2];
    let input = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"typ":"at+jwt","alg":"HS256","kid":"k"}"#),
        URL_SAFE_NO_PAD.encode(CLAIMS)
    );
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.public.jwk.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&secret, input.as_bytes());
    let outcome = verify(key, &format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag)));
    assert_eq!(outcome, Err(JwsError::Algorithm));
}

#[test]
fn a_psychic_signature_is_refused() {
    let key = &KEYS[1];
    let input = SigningInput::new(TokenType::AccessToken, &key.public, CLAIMS);
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let good = key.sign(input.as_bytes());
    let (r, s) = good.split_at(32);
    for signature in [
        vec![0; 64],
        [&[0; 32], s].concat(),
        [r, &[0; 32]].concat(),
        [&order[..], s].concat(),
        [r, &order].concat(),
        [&good[..], &[0]].concat(),
        good[..63].to_vec(),
        vec![],
    ] {
        let outcome = verify(key, &input.clone().assemble(&signature));
        assert_eq!(outcome, Err(JwsError::Signature(BadSignature)), "{signature:?}");
    }
    assert!(verify(key, &input.assemble(&good)).is_ok());
}

#[test]
fn a_token_brings_no_key_and_no_extension() {
    for key in KEYS.iter() {
        let jwk = &key.public.jwk;
        for (member, value) in [
            ("crit", r#"["exp"]"#),
            ("crit", "[]"),
            ("b64", "false"),
            ("jku", r#""https://evil.example/jwks""#),
            ("x5u", r#""https://evil.example/x""#),
            ("x5c", r#"["AAAA"]"#),
            ("zip", r#""DEF""#),
            ("enc", r#""A256GCM""#),
            ("jwk", jwk.as_str()),
            ("jwk", "null"),
        ] {
            let header = format!(r#"{{"typ":"at+jwt","alg":"ALG","{member}":{value}}}"#);
            refused(key, &header, CLAIMS, |e| *e == JwsError::Header(member));
        }
    }
}

#[test]
fn a_key_name_is_only_compared() {
    for kid in ["other", "", "K", "../k", "/etc/passwd", "k' OR '1'='1", "k\\u0000", "k;ls", "http://evil.example/k"] {
        let header = format!(r#"{{"typ":"at+jwt","alg":"ALG","kid":"{kid}"}}"#);
        refused(&KEYS[0], &header, CLAIMS, |e| *e == JwsError::OtherKey);
    }
    for kid in ["1", "null", "[\"k\"]", "{\"k\":1}"] {
        let header = format!(r#"{{"typ":"at+jwt","alg":"ALG","kid":{kid}}}"#);
        refused(&KEYS[0], &header, CLAIMS, |e| *e == JwsError::Header("kid"));
    }
}

#[test]
fn nothing_stands_twice() {
    let json = |e: &JwsError| matches!(e, JwsError::Json { .. });
    refused(&KEYS[0], r#"{"typ":"at+jwt","alg":"none","alg":"ALG"}"#, CLAIMS, json);
    refused(&KEYS[0], r#"{"typ":"at+jwt","alg":"ALG","\u0061lg":"ALG"}"#, CLAIMS, json);
    let header = r#"{"typ":"at+jwt","alg":"ALG"}"#;
    for payload in [r#"{"sub":"a","sub":"b"}"#, r#"{"a":{"b":1,"b":2}}"#, "[]", "foo", "", r#"{"sub":"a"} "x""#] {
        refused(&KEYS[0], header, payload, json);
    }
}

#[test]
fn one_type_never_passes_as_another() {
    let key = &KEYS[0];
    let types = [TokenType::AccessToken, TokenType::ClientAssertion, TokenType::DpopProof];
    for made in types {
        for expected in types {
            let text = key.token(made, &serde_json::json!({}));
            let outcome = UnverifiedToken::parse(&text, expected);
            assert_eq!(outcome.is_ok(), made == expected, "{made:?} as {expected:?}: {outcome:?}");
        }
    }
    for typ in ["", r#""typ":"JWT","#, r#""typ":"at+jwt2","#, r#""typ":"logout+jwt","#, r#""typ":"text/at+jwt","#] {
        let header = format!(r#"{{{typ}"alg":"ALG"}}"#);
        refused(key, &header, CLAIMS, |e| *e == JwsError::Type(TokenType::AccessToken));
    }
    let untyped = key.raw_token(r#"{"alg":"EdDSA"}"#, CLAIMS);
    assert!(UnverifiedToken::parse(&untyped, TokenType::ClientAssertion).is_ok(), "older clients send no type");
}

#[test]
fn three_parts_of_strict_base64url() {
    let token = KEYS[0].token(TokenType::AccessToken, &serde_json::json!({"sub": "bot"}));
    let [header, payload, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{token}="),
        format!("{token}=="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{header}.{payload}\n.{signature}"),
        token.replace('-', "+").replace('_', "/") + "+",
        format!("{header}.{}.{signature}", payload.to_owned() + "%3D"),
        serde_json::json!({"protected": header, "payload": payload, "signature": signature}).to_string(),
    ] {
        assert!(verify(&KEYS[0], &bad).is_err(), "{bad:?}");
    }
    // 64 bytes end in two digits of which the last carries four unused bits: they must be zero.
    let (rest, last) = signature.split_at(signature.len() - 1);
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
        let text = format!("{header}.{payload}.{rest}{other}");
        assert_eq!(verify(&KEYS[0], &text).is_ok(), last == other.to_string(), "{other}");
    }
    let long = format!("{header}.{}.{signature}", "A".repeat(TOKEN_BYTES_MAX));
    assert_eq!(verify(&KEYS[0], &long), Err(JwsError::TooLarge));
}

proptest! {
    #[test]
    fn any_changed_byte_is_refused(which in 0_usize..3, at: prop::sample::Index, byte: u8) {
        static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
            let claims = serde_json::json!({"sub": "bot", "aud": "x", "exp": 1_800_000_000});
            KEYS.iter().map(|key| key.token(TokenType::AccessToken, &claims)).collect()
        });
        let (key, token) = (&KEYS[which], &TOKENS[which]);
        prop_assert!(verify(key, token).is_ok());
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(changed) = String::from_utf8(bytes.clone()) {
            prop_assert!(verify(key, &changed).is_err(), "{changed}");
        }
        bytes.remove(at);
        if let Ok(shorter) = String::from_utf8(bytes) {
            prop_assert!(verify(key, &shorter).is_err(), "{shorter}");
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[A-Za-z0-9._=-]{0,200}") {
        prop_assert!(verify(&KEYS[0], &text).is_err());
    }
}
