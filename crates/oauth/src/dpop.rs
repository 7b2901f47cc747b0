//! Proofs of possession (RFC 9449 §4.3): the caller holds the key that its
//! token is bound to, for this method, this URL, now, once.

use bailiwick_model::jwk::{PublicKey, Thumbprint};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::{
    claims::{CLOCK_SKEW_S, ClaimError, later},
    dpop_nonce::{NonceAge, NonceSecret},
    jws::{JwsError, TokenType, UnverifiedToken},
    key_policy::{KeyError, KeyPolicy},
    one_time::{OneTimeIdentifier, jti_fits},
};

/// Seconds that a proof is good for after it was made, the difference of clocks aside.
pub const PROOF_AGE_S_MAX: i64 = 60;
/// Bytes of one proof.
pub const PROOF_BYTES_MAX: usize = 8 * 1_024;

/// Why a proof is refused. On the wire it is `invalid_dpop_proof`, or `use_dpop_nonce` for the last one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// No proof where one is needed.
    #[error("DPoP proof: there is none\nhint: send exactly one `DPoP` header")]
    Missing,
    /// More than one header.
    #[error("DPoP proof: there is more than one `DPoP` header")]
    Several,
    /// More than [`PROOF_BYTES_MAX`].
    #[error("DPoP proof: it has more than {PROOF_BYTES_MAX} bytes")]
    TooLarge,
    /// The token itself.
    #[error("DPoP proof: {0}")]
    Token(#[from] JwsError),
    /// A claim is missing or unfit.
    #[error("DPoP proof: {0}")]
    Claim(#[from] ClaimError),
    /// The embedded key.
    #[error("DPoP proof: {0}")]
    Key(#[from] KeyError),
    /// Another method.
    #[error("DPoP proof: `htm` is not this call's method")]
    Method,
    /// Another URL.
    #[error("DPoP proof: `htu` is not this call's URL without query and fragment")]
    Uri,
    /// Too old, or from the future.
    #[error("DPoP proof: `iat` is not within {PROOF_AGE_S_MAX} s of our clock\nhint: compare the clocks")]
    Clock,
    /// Its identifier is empty or too long.
    #[error("DPoP proof: `jti` must have 1 to 256 bytes")]
    Identifier,
    /// Bound to another access token, or to none.
    #[error("DPoP proof: `ath` is not the hash of this access token")]
    AccessToken,
    /// The nonce is missing or stale.
    #[error("DPoP proof: use the nonce that comes with this answer")]
    UseNonce,
}

/// Whether a nonce is asked for.
#[derive(Debug, Clone, Copy)]
pub enum NonceRule<'a> {
    /// No: a nonce in the proof is ignored.
    NotAsked,
    /// Yes: a fresh one made from this secret.
    Required(&'a NonceSecret),
}

/// What a proof is checked against.
#[derive(Debug, Clone, Copy)]
pub struct ProofExpectation<'a> {
    /// The HTTP method, byte for byte.
    pub method: &'a str,
    /// The URL as clients know it, made from the public URL; query and fragment are ignored.
    pub uri: &'a str,
    /// The access token that comes with it; `None` at the token endpoint.
    pub access_token: Option<&'a str>,
    /// Whether a nonce is asked for.
    pub nonce: NonceRule<'a>,
}

/// A proof that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedProof {
    /// The key that the caller holds.
    pub key: PublicKey,
    /// What must be used up in the commit of what it authenticates.
    pub once: OneTimeIdentifier,
    /// The age of its nonce, if one was asked for.
    pub nonce: Option<NonceAge>,
}

impl VerifiedProof {
    /// The thumbprint that an access token is bound to: `cnf.jkt`.
    pub const fn thumbprint(&self) -> Thumbprint {
        self.key.thumbprint
    }
}

/// The only `DPoP` header of a call, or none; more than one is refused.
pub fn sole_header<'h>(mut values: impl Iterator<Item = &'h str>) -> Result<Option<&'h str>, DpopError> {
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(DpopError::Several),
    }
}

/// Verifies a proof. That its key is the one the access token is bound to is
/// checked by [`crate::access_token::AccessTokenClaims::check_possession`].
pub fn verify(proof: &str, expected: &ProofExpectation<'_>, now: Timestamp) -> Result<VerifiedProof, DpopError> {
    if proof.len() > PROOF_BYTES_MAX {
        return Err(DpopError::TooLarge);
    }
    let unverified = UnverifiedToken::parse(proof, TokenType::DpopProof)?;
    let jwk = unverified.embedded_jwk().ok_or(JwsError::Header("jwk"))?;
    let key = KeyPolicy::default().verifying_key(jwk)?;
    let verified = unverified.verify(&key)?;
    let claims = verified.claims();
    if claims.text("htm")? != expected.method {
        return Err(DpopError::Method);
    }
    if !same_uri(claims.text("htu")?, expected.uri) {
        return Err(DpopError::Uri);
    }
    let issued_at = claims.time("iat")?;
    let stale_at = later(issued_at, PROOF_AGE_S_MAX + CLOCK_SKEW_S);
    if stale_at <= now || issued_at > later(now, CLOCK_SKEW_S) {
        return Err(DpopError::Clock);
    }
    if let Some(access_token) = expected.access_token
        && !bool::from(access_token_hash(access_token).as_bytes().ct_eq(claims.text("ath")?.as_bytes()))
    {
        return Err(DpopError::AccessToken);
    }
    let jti = claims.text("jti")?;
    if !jti_fits(jti) {
        return Err(DpopError::Identifier);
    }
    let nonce = match expected.nonce {
        NonceRule::NotAsked => None,
        NonceRule::Required(secret) => {
            let nonce = claims.optional_text("nonce")?.ok_or(DpopError::UseNonce)?;
            Some(secret.age(nonce, now).ok_or(DpopError::UseNonce)?)
        }
    };
    let once = OneTimeIdentifier::new(format!("dpop:{}", key.thumbprint()), jti, later(stale_at, 1));
    Ok(VerifiedProof { key: key.public().clone(), once, nonce })
}

/// `ath`: the hash of an access token (RFC 9449 §4.2).
pub fn access_token_hash(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(access_token.as_bytes()))
}

/// Whether a claimed URL is ours. Most clients write it as we do, which needs no reading.
fn same_uri(claimed: &str, ours: &str) -> bool {
    let plain = |uri: &str| !uri.contains(['?', '#', '@', '%']);
    (claimed == ours && plain(ours))
        || normalise_uri(claimed).is_some_and(|claimed| Some(claimed) == normalise_uri(ours))
}

/// One spelling of an `htu`: scheme and host in lower case, no default port, no
/// dot segments, no query, no fragment (RFC 9449 §4.3, RFC 3986 §6.2.2 and §6.2.3).
fn normalise_uri(uri: &str) -> Option<String> {
    let mut url = Url::parse(uri).ok()?;
    let plain = matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
    if !plain {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = normalise_escapes(url.path())?;
    url.set_path("/");
    Some(format!("{}{path}", url.as_str().trim_end_matches('/')))
}

/// Percent-escapes in upper case, and none where none is needed (RFC 3986 §6.2.2.2).
fn normalise_escapes(path: &str) -> Option<String> {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let (digits, further) = after.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            normal.push(char::from(byte));
        } else {
            normal.push_str(&format!("%{byte:02X}"));
        }
        rest = further;
    }
    normal.push_str(rest);
    Some(normal)
}

#[cfg(test)]
mod tests;
