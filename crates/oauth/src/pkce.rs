//! Proof Key for Code Exchange (RFC 7636): who redeems a code must know what the one who asked for it made up. `S256`
//! only: `plain` shows the secret to whoever sees the request.

use bailiwick_model::{digest::Digest, secret::Secret};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The only transformation.
pub const METHOD: &str = "S256";
/// Characters of a verifier (RFC 7636 §4.1).
const VERIFIER_CHARACTERS: std::ops::RangeInclusive<usize> = 43..=128;

/// What a request commits to: the SHA-256 of its verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeChallenge(Digest);

/// The secret that redeems the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeVerifier(Secret<String>);

impl CodeChallenge {
    /// Reads `code_challenge`: 32 bytes in base64url without padding, in the one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        Some(Self(Digest::from_bytes(bytes)))
    }

    /// Whether `verifier` is the one that was committed to; takes as long for a near miss as for any other.
    pub fn is_met_by(&self, verifier: &CodeVerifier) -> bool {
        let digest = Digest::of(verifier.0.expose().as_bytes());
        Secret::new(digest.as_bytes().to_vec()) == Secret::new(self.0.as_bytes().to_vec())
    }
}

impl CodeVerifier {
    /// Reads `code_verifier`.
    pub fn parse(text: String) -> Option<Self> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        (VERIFIER_CHARACTERS.contains(&text.len()) && text.bytes().all(unreserved)).then(|| Self(Secret::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_holds() {
        // RFC 7636 Appendix B.
        let verifier = CodeVerifier::parse("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()).unwrap();
        let challenge = CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        assert!(challenge.is_met_by(&verifier));
        let other = CodeVerifier::parse("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl".to_owned()).unwrap();
        assert!(!challenge.is_met_by(&other));
        assert_eq!(format!("{verifier:?}"), "CodeVerifier(****)");
    }

    #[test]
    fn a_verifier_is_never_its_own_challenge() {
        let text = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let verifier = CodeVerifier::parse(text.to_owned()).unwrap();
        assert!(!CodeChallenge::parse(text).unwrap().is_met_by(&verifier), "`plain` would let it");
    }

    #[test]
    fn only_the_one_spelling() {
        for bad in [
            "",
            "short",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cMAA",
        ] {
            assert!(CodeChallenge::parse(bad).is_none(), "{bad}");
        }
        for (length, good) in [(42, false), (43, true), (128, true), (129, false)] {
            assert_eq!(CodeVerifier::parse("x".repeat(length)).is_some(), good, "{length}");
        }
        assert!(CodeVerifier::parse(format!("{}+", "x".repeat(43))).is_none());
    }
}
