//! Client assertions: nothing but the honest one says who somebody is.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_fuzz::{
    edit::edited,
    signed::{AGENT, ASSERTION, ISSUER, agent, now},
};
use bailiwick_oauth::client_assertion::{AssertionExpectation, UnverifiedAssertion};
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
});
