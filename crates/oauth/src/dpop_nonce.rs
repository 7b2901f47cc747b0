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
#[derive(Debug, Clone)]
pub struct NonceSecret(Secret<[u8; 32]>);

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
    pub const fn new(secret: Secret<[u8; 32]>) -> Self {
        Self(secret)
    }

    /// The nonce to hand out now.
    pub fn nonce(&self, now: Timestamp) -> String {
        self.of_slot(slot(now))
    }

    /// The age of a nonce that is still good; anything else is `None` and asks for a new one.
    pub fn age(&self, nonce: &str, now: Timestamp) -> Option<NonceAge> {
        let is = |slot: i64| bool::from(self.of_slot(slot).as_bytes().ct_eq(nonce.as_bytes()));
        match (is(slot(now)), is(slot(now) - 1)) {
            (true, _) => Some(NonceAge::Current),
            (false, true) => Some(NonceAge::Previous),
            (false, false) => None,
        }
    }

    /// A tag over several parts for another purpose than nonces: what we hand out to have it back unchanged.
    pub fn tag(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.expose()));
        context.update(b"bailiwick-tag-v1");
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        // SHA-256 has 32 bytes; were it ever fewer, the rest would stay zero on both sides.
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }

    /// Whether a tag is ours, in constant time.
    pub fn is_tag(&self, tag: &[u8], purpose: &str, parts: &[&[u8]]) -> bool {
        self.tag(purpose, parts).ct_eq(tag).into()
    }

    fn of_slot(&self, slot: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let mut context = hmac::Context::with_key(&key);
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

    #[test]
    fn a_tag_is_of_its_purpose_and_of_its_parts() {
        let secret = NonceSecret::new(Secret::new([1; 32]));
        let tag = secret.tag("page", &[b"ab", b"c"]);
        assert!(secret.is_tag(&tag, "page", &[b"ab", b"c"]));
        assert!(!secret.is_tag(&tag, "page", &[b"a", b"bc"]), "where one part ends counts");
        assert!(!secret.is_tag(&tag, "other", &[b"ab", b"c"]));
        assert!(!secret.is_tag(tag.split_at(31).0, "page", &[b"ab", b"c"]));
        assert!(!NonceSecret::new(Secret::new([2; 32])).is_tag(&tag, "page", &[b"ab", b"c"]));
    }
}
