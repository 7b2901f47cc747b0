//! Proofs of possession: nothing but the honest one proves anything of that key.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that is surprised must fail")]

use bailiwick_fuzz::{
    edit::edited,
    signed::{AGENT, PROOF, RESOURCE, TOKEN, now},
};
use bailiwick_oauth::dpop::{NonceRule, ProofExpectation, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let expected =
        ProofExpectation { method: "POST", uri: RESOURCE, access_token: Some(&TOKEN), nonce: NonceRule::NotAsked };
    let raw = String::from_utf8_lossy(data).into_owned();
    for proof in [Some(raw), edited(&PROOF, data)].into_iter().flatten() {
        let proved = verify(&proof, &expected, now()).is_ok_and(|it| it.thumbprint() == AGENT.public().thumbprint);
        assert_eq!(proved, proof == *PROOF, "{proof}");
    }
});
