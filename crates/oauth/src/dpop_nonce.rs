//! DPoP nonces (RFC 9449 §8) without state: a keyed hash of a slot of time, so
//! that every replica agrees and none remembers.

use aws_lc_rs::hmac;
use bailiwick_model::secret::Secret;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use subtle::ConstantTimeEq as _;

/// Seconds of one slot. A nonce is good for its slot and the next one.
pub const NONCE_SLOT_S: i64 = 300;

/// The secret that nonces are made from: derived from the key-encryption key, so it survives a restart.
/// Kept as a key that is ready: each answer carries a nonce.
#[derive(Clone)]
pub struct NonceSecret(hmac::Key);

impl std::fmt::Debug for NonceSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceSecret(****)")
    }
}

/// Which slot a good nonce is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceAge {
    /// The current one.
    Current,
    /// The one before: answer with a new one.
    Previous,
}

impl NonceSecret {
    /// Takes 32 random bytes.
    pub fn new(secret: Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// The beginning of a keyed hash. Each use goes on with a label of its own.
    pub(crate) fn context(&self) -> hmac::Context {
        hmac::Context::with_key(&self.0)
    }

    /// The nonce to hand out now.
    pub fn nonce(&self, now: Timestamp) -> String {
        self.of_slot(slot(now))
    }

    /// The age of a nonce that is still good; anything else is `None` and asks for a new one.
    pub fn age(&self, nonce: &str, now: Timestamp) -> Option<NonceAge> {
        let is = |slot: i64| bool::from(self.of_slot(slot).as_bytes().ct_eq(nonce.as_bytes()));
        if is(slot(now)) { Some(NonceAge::Current) } else { is(slot(now) - 1).then_some(NonceAge::Previous) }
    }

    fn of_slot(&self, slot: i64) -> String {
        let mut context = self.context();
        context.update(b"bailiwick-dpop-nonce-v1");
        context.update(&slot.to_be_bytes());
        URL_SAFE_NO_PAD.encode(context.sign())
    }
}

fn slot(now: Timestamp) -> i64 {
    now.as_second().div_euclid(NONCE_SLOT_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_lives_for_its_slot_and_the_next() {
        let secret = NonceSecret::new(Secret::new([1; 32]));
        let at = |slot: i64| Timestamp::from_second(slot * NONCE_SLOT_S).unwrap();
        let nonce = secret.nonce(at(1_000));
        assert_eq!(secret.age(&nonce, at(1_000)), Some(NonceAge::Current));
        assert_eq!(secret.age(&nonce, at(1_001)), Some(NonceAge::Previous));
        assert_eq!(secret.age(&nonce, at(1_002)), None);
        assert_eq!(secret.age(&nonce, at(999)), None, "not before it was made");
        for forged in ["", "x", &nonce[1..], &nonce.to_uppercase()] {
            assert_eq!(secret.age(forged, at(1_000)), None, "{forged:?}");
        }
        assert_eq!(NonceSecret::new(Secret::new([2; 32])).age(&nonce, at(1_000)), None, "another secret");
    }
}
