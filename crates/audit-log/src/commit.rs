//! Salted commitments: the log proves a value without holding it.
//!
//! `HMAC-SHA256(salt, field || 0x00 || value)` with a fresh 32-byte salt per
//! record and field. Salt and value lie sealed elsewhere; once their key is
//! erased, the commitment says nothing, and every proof still verifies. A bare
//! digest of guessable data must never enter a leaf.

use aws_lc_rs::hmac;

use crate::event::Commitment;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;

/// Salt and value do not open the commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not the one that was committed to")]
pub struct CommitmentMismatch;

/// Commits to `value` as the content of `field`. A field name has no NUL byte in it.
pub fn commit(salt: &[u8; SALT_BYTES], field: &str, value: &[u8]) -> Commitment {
    let tag = context(salt, field, value).sign();
    let mut commitment = Commitment::default();
    commitment.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    commitment
}

/// Checks, in constant time, that salt and value open `commitment` for `field`.
pub fn open(
    commitment: &Commitment,
    salt: &[u8; SALT_BYTES],
    field: &str,
    value: &[u8],
) -> Result<(), CommitmentMismatch> {
    let mut message = Vec::with_capacity(field.len() + 1 + value.len());
    message.extend_from_slice(field.as_bytes());
    message.push(0);
    message.extend_from_slice(value);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, salt), &message, commitment).map_err(|_| CommitmentMismatch)
}

fn context(salt: &[u8; SALT_BYTES], field: &str, value: &[u8]) -> hmac::Context {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    context.update(field.as_bytes());
    context.update(&[0]);
    context.update(value);
    context
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_for_its_own_salt_field_and_value_only() {
        let commitment = commit(&[7; 32], "arguments", b"{}");
        assert_eq!(open(&commitment, &[7; 32], "arguments", b"{}"), Ok(()));
        for (salt, field, value) in
            [([8; 32], "arguments", "{}"), ([7; 32], "result", "{}"), ([7; 32], "arguments", "{} "), ([7; 32], "", "")]
        {
            assert_eq!(open(&commitment, &salt, field, value.as_bytes()), Err(CommitmentMismatch), "{field} {value}");
        }
    }

    /// Field and value cannot be shifted against each other: the NUL keeps them apart.
    #[test]
    fn the_border_between_field_and_value_is_part_of_it() {
        assert_ne!(commit(&[0; 32], "ab", b"c"), commit(&[0; 32], "a", b"bc"));
    }

    /// Computed with Python's `hmac`: the format is final.
    #[test]
    fn is_frozen() {
        let salt: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let commitment = commit(&salt, "arguments", br#"{"path":"/a"}"#);
        assert_eq!(hex::encode(commitment), "f9da916a2b4133c4c46d9b466e79afaae7f8f2bfd14a6d2332ec7c2ca8c523bf");
    }
}
