//! Tags: what we hand out to have it back unchanged, under the secret that
//! nonces are made from too. A tag is of one purpose, and no nonce.

use subtle::ConstantTimeEq as _;

use crate::dpop_nonce::NonceSecret;

impl NonceSecret {
    /// A tag of 32 bytes over several parts, for one purpose.
    pub fn tag(&self, purpose: &str, parts: &[&[u8]]) -> impl AsRef<[u8]> + use<> {
        let mut context = self.context();
        context.update(b"bailiwick-tag-v1");
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }

    /// Whether a tag is ours, in constant time.
    pub fn is_tag(&self, tag: &[u8], purpose: &str, parts: &[&[u8]]) -> bool {
        self.tag(purpose, parts).as_ref().ct_eq(tag).into()
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_model::secret::Secret;

    use super::*;

    #[test]
    fn a_tag_is_of_its_purpose_and_of_its_parts() {
        let secret = NonceSecret::new(Secret::new([1; 32]));
        let tag = secret.tag("page", &[b"ab", b"c"]);
        let tag = tag.as_ref();
        assert_eq!(tag.len(), 32);
        assert!(secret.is_tag(tag, "page", &[b"ab", b"c"]));
        assert!(!secret.is_tag(tag, "page", &[b"a", b"bc"]), "where one part ends counts");
        assert!(!secret.is_tag(tag, "other", &[b"ab", b"c"]));
        for other in [&tag[..31], &[tag, &[0]].concat(), &[]] {
            assert!(!secret.is_tag(other, "page", &[b"ab", b"c"]));
        }
        assert!(!NonceSecret::new(Secret::new([2; 32])).is_tag(tag, "page", &[b"ab", b"c"]));
    }
}
