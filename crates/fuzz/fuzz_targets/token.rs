//! Access tokens: nothing but the honest one, byte for byte, opens anything.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_fuzz::{
    edit::edited,
    signed::{ISSUER, KEYS, RESOURCE, TOKEN, now},
};
use bailiwick_oauth::{
    access_token::{AccessTokenExpectation, read_signed},
    presented::Presented,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let expected = AccessTokenExpectation { issuer: ISSUER, audience: RESOURCE, environment: None };
    let raw = String::from_utf8_lossy(data).into_owned();
    for token in [Some(raw), edited(&TOKEN, data)].into_iter().flatten() {
        let opened = read_signed(&token, &KEYS).and_then(|claims| claims.check(&expected, now())).is_ok();
        assert_eq!(opened, token == *TOKEN, "{token}");
        if let Ok(presented) = Presented::parse(&format!("DPoP {token}")) {
            assert_eq!(presented.token, token.trim_start_matches(' '));
        }
    }
});
