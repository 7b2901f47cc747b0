//! Assertions of clients and of other issuers: nothing but the honest one says who somebody is.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_fuzz::{
    edit::edited,
    signed::{AGENT, ASSERTION, DOMAIN, DOMAIN_KEYS, ID_JAG, ID_TOKEN, ISSUER, NONCE, agent, now},
};
use bailiwick_oauth::{
    claims::Claims,
    client_assertion::{AssertionExpectation, UnverifiedAssertion},
    foreign_id_token::{IdToken, IdTokenRules},
    foreign_token::{ForeignError, ForeignRules, UnverifiedForeign},
    id_jag::{ID_JAG_TTL_S_MAX, IdJag},
    json::parse_object,
    jws::TokenType,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let expected = AssertionExpectation { issuer: ISSUER, token_endpoint: None };
    let keys = [AGENT.public().clone()];
    let raw = String::from_utf8_lossy(data).into_owned();
    for assertion in [Some(raw), edited(&ASSERTION, data)].into_iter().flatten() {
        let verified = UnverifiedAssertion::parse(&assertion).and_then(|it| it.verify(&keys, &expected, now()));
        assert_eq!(verified.is_ok(), assertion == *ASSERTION, "{assertion}");
        if let Ok(verified) = verified {
            assert_eq!(verified.client, agent());
        }
    }
    let rules = ForeignRules { issuer: Some(DOMAIN), source: DOMAIN, audience: ISSUER, age_s_max: ID_JAG_TTL_S_MAX };
    let raw = String::from_utf8_lossy(data).into_owned();
    for assertion in [Some(raw), edited(&ID_JAG, data)].into_iter().flatten() {
        let parsed = UnverifiedForeign::parse(&assertion, TokenType::IdJag).map_err(ForeignError::from);
        let verified = parsed.and_then(|it| it.verify(&DOMAIN_KEYS, &rules, now()));
        assert_eq!(verified.is_ok(), assertion == *ID_JAG, "{assertion}");
        if let Ok(verified) = verified {
            assert_eq!(IdJag::read(&verified.claims).unwrap().client, agent().as_str());
        }
    }
    let client = agent();
    let rules = IdTokenRules { issuer: DOMAIN, client_id: client.as_str(), nonce: NONCE, max_age_s: None };
    let raw = String::from_utf8_lossy(data).into_owned();
    for token in [Some(raw), edited(&ID_TOKEN, data)].into_iter().flatten() {
        let verified = IdToken::verify(&token, &DOMAIN_KEYS, &rules, now());
        assert_eq!(verified.is_ok(), token == *ID_TOKEN, "{token}");
        if let Ok(verified) = verified {
            assert_eq!((&*verified.subject, verified.verified_email()), ("00u1", Some("ada@example.com")));
        }
    }
    if let Ok(members) = parse_object(data)
        && let Ok(read) = IdJag::read(&Claims::new(members))
    {
        assert!(!read.subject.is_empty());
    }
});
