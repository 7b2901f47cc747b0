//! Authenticated encryption of one value: AES-256-GCM-SIV with a random nonce,
//! bound to labels that say where the value belongs.
//!
//! Sealed bytes are: version (1 byte), nonce (12), ciphertext, tag (16). SIV
//! keeps a repeated nonce from being a disaster, so random ones are safe for
//! any number of values under one key.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bailiwick_model::secret::Secret;
use bailiwick_ports::chance::{Entropy, random};

/// The version that sealed bytes start with.
const VERSION: u8 = 1;
/// Bytes that sealing adds.
pub const OVERHEAD_BYTES: usize = 1 + NONCE_LEN + 16;
/// Bytes of one value that can be sealed.
pub const SEALED_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// Sealed bytes that do not open: the wrong key, the wrong labels, altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open")]
pub struct Unopened;

/// A value that cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value of more than {SEALED_BYTES_MAX} bytes cannot be sealed")]
pub struct Unsealed;

/// A key that seals values.
pub struct SealingKey(LessSafeKey);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(****)")
    }
}

impl SealingKey {
    /// Takes 32 random bytes.
    pub fn new(bytes: &Secret<[u8; 32]>) -> Result<Self, Unsealed> {
        UnboundKey::new(&AES_256_GCM_SIV, bytes.expose()).map(|key| Self(LessSafeKey::new(key))).map_err(|_| Unsealed)
    }

    /// Seals a value under labels, which must be the same to open it.
    pub fn seal(&self, labels: &[&str], plaintext: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, Unsealed> {
        if plaintext.len() > SEALED_BYTES_MAX {
            return Err(Unsealed);
        }
        let nonce: [u8; NONCE_LEN] = random(entropy);
        let mut body = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
        body.extend_from_slice(plaintext);
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), associated(labels), &mut body)
            .map_err(|_| Unsealed)?;
        let mut sealed = Vec::with_capacity(body.len() + 1 + NONCE_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made under the same labels.
    pub fn open(&self, labels: &[&str], sealed: &[u8]) -> Result<Secret<Vec<u8>>, Unopened> {
        let (version, rest) = sealed.split_first().ok_or(Unopened)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unopened)?;
        if *version != VERSION || body.len() > SEALED_BYTES_MAX + OVERHEAD_BYTES {
            return Err(Unopened);
        }
        let mut body = body.to_vec();
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), associated(labels), &mut body)
            .map_err(|_| Unopened)?
            .len();
        body.truncate(length);
        Ok(Secret::new(body))
    }
}

/// Version and labels in one unambiguous encoding: each label after its length.
fn associated(labels: &[&str]) -> Aad<Vec<u8>> {
    let mut bytes = vec![VERSION];
    for label in labels {
        bytes.extend_from_slice(&(label.len() as u64).to_be_bytes());
        bytes.extend_from_slice(label.as_bytes());
    }
    Aad::from(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chance::SystemEntropy;

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&Secret::new([byte; 32])).unwrap()
    }

    #[test]
    fn opens_only_where_it_belongs() {
        let sealed = key(1).seal(&["agent:a", "prompt"], b"text", &SystemEntropy).unwrap();
        assert_eq!(sealed.len(), 4 + OVERHEAD_BYTES);
        assert_eq!(key(1).open(&["agent:a", "prompt"], &sealed).unwrap().expose(), b"text");
        for labels in [&["agent:b", "prompt"][..], &["agent:a", "result"], &["agent:ap", "rompt"], &["agent:a"], &[]] {
            assert_eq!(key(1).open(labels, &sealed), Err(Unopened), "{labels:?}");
        }
        assert_eq!(key(2).open(&["agent:a", "prompt"], &sealed), Err(Unopened));
    }

    #[test]
    fn one_value_sealed_twice_looks_different() {
        let seal = || key(1).seal(&["a"], b"text", &SystemEntropy).unwrap();
        assert_ne!(seal(), seal());
    }

    proptest! {
        #[test]
        fn altered_bytes_never_open(plain: Vec<u8>, at: prop::sample::Index, bit in 0_u8..8) {
            let sealed = key(1).seal(&["a"], &plain, &SystemEntropy).unwrap();
            let opened = key(1).open(&["a"], &sealed).unwrap();
            prop_assert_eq!(opened.expose(), &plain);
            let mut altered = sealed.clone();
            altered[at.index(sealed.len())] ^= 1 << bit;
            prop_assert_eq!(key(1).open(&["a"], &altered), Err(Unopened));
            prop_assert_eq!(key(1).open(&["a"], &sealed[..at.index(sealed.len())]), Err(Unopened));
        }
    }
}
