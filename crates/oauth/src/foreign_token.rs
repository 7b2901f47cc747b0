//! What another issuer signed for us: an ID-JAG, an ID token of a platform, a JWT-SVID. Checked alike: by a key that this
//! issuer publishes, for us alone, of this moment, and not for long.

use bailiwick_model::{digest::Digest, jwk::Thumbprint};
use jiff::Timestamp;

use crate::{
    claims::{CLOCK_SKEW_S, ClaimError, Claims, later},
    foreign_keys::ForeignKeys,
    jws::{JwsError, TokenType, UnverifiedToken},
    one_time::{OneTimeIdentifier, jti_fits},
};

/// Why a token of another issuer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// The token itself.
    #[error("{0}")]
    Token(#[from] JwsError),
    /// A claim is missing or unfit.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// Its issuer publishes no such key.
    #[error("its issuer has no fit key of that name")]
    UnknownKey,
    /// It is of another issuer.
    #[error("`iss` is another issuer")]
    Issuer,
    /// It is meant for another server, or for several.
    #[error("`aud` must be our issuer `{expected}` and nothing else")]
    Audience {
        /// Our issuer.
        expected: String,
    },
    /// It is over.
    #[error("it has expired")]
    Expired,
    /// It lives too long.
    #[error("`exp` is more than {0} s ahead")]
    TooLong(i64),
    /// It comes from the future, or is too old.
    #[error("`{0}` does not fit our clock, or is too old")]
    Clock(&'static str),
    /// Its identifier is empty or too long.
    #[error("`jti` must have 1 to 256 bytes")]
    Identifier,
}

impl ForeignError {
    /// Whether the signature did not hold: whoever sent it has shown nothing.
    pub const fn is_unsigned(&self) -> bool {
        matches!(self, Self::Token(_) | Self::UnknownKey)
    }
}

/// What a token of another issuer is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignRules<'a> {
    /// The issuer that it must name, byte for byte; `None` where its kind names none (a JWT-SVID).
    pub issuer: Option<&'a str>,
    /// Whose keys they are, for what is used once: the issuer or the trust domain.
    pub source: &'a str,
    /// Our issuer, byte for byte: the only audience.
    pub audience: &'a str,
    /// Seconds that it may be old, and may have left.
    pub age_s_max: i64,
}

/// A token of another issuer as it came.
#[derive(Debug, Clone)]
pub struct UnverifiedForeign<'a>(UnverifiedToken<'a>);

impl<'a> UnverifiedForeign<'a> {
    /// Parses a token far enough to know who claims to have made it.
    pub fn parse(text: &'a str, token_type: TokenType) -> Result<Self, JwsError> {
        UnverifiedToken::parse(text, token_type).map(Self)
    }

    /// The issuer that it names, to find that issuer's keys.
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.0.unverified_claims().optional_text("iss").ok().flatten()
    }

    /// The subject that it names, to find the keys of its trust domain.
    pub fn claimed_subject(&self) -> Option<&str> {
        self.0.unverified_claims().optional_text("sub").ok().flatten()
    }

    /// The key that it names.
    pub fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    /// Verifies it with the keys of the issuer that it must be of.
    pub fn verify(
        self,
        keys: &ForeignKeys,
        rules: &ForeignRules<'_>,
        now: Timestamp,
    ) -> Result<VerifiedForeign, ForeignError> {
        let key = keys.named(self.0.kid()).ok_or(ForeignError::UnknownKey)?;
        let signed = Digest::of(self.0.signed_text().as_bytes());
        let verified = self.0.verify(key)?;
        let claims = verified.claims();
        if rules.issuer.is_some() && claims.optional_text("iss")? != rules.issuer {
            return Err(ForeignError::Issuer);
        }
        let wrong = || ForeignError::Audience { expected: rules.audience.to_owned() };
        if claims.sole_audience().map_err(|_| wrong())? != rules.audience {
            return Err(wrong());
        }
        let expires_at = check_times(claims, rules, now)?;
        let forget_at = later(expires_at, CLOCK_SKEW_S + 1);
        let jti = claims.optional_text("jti")?;
        if jti.is_some_and(|jti| !jti_fits(jti)) {
            return Err(ForeignError::Identifier);
        }
        let once = match jti {
            Some(jti) => OneTimeIdentifier::new(format!("foreign:{}", rules.source), jti, forget_at),
            None => OneTimeIdentifier::new(format!("foreign-signed:{}", rules.source), &signed.to_string(), forget_at),
        };
        let named = jti.is_some();
        Ok(VerifiedForeign { key: verified.key(), claims: claims.clone(), expires_at, once, named })
    }
}

/// A token that its issuer signed for us, good now. What it says still has to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedForeign {
    /// Its claims.
    pub claims: Claims,
    /// The key that signed it.
    pub key: Thumbprint,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What must be used up where it is good once: its `jti`, or the digest of what was signed.
    pub once: OneTimeIdentifier,
    /// Whether it has a `jti`.
    pub named: bool,
}

fn check_times(claims: &Claims, rules: &ForeignRules<'_>, now: Timestamp) -> Result<Timestamp, ForeignError> {
    let expires_at = claims.time("exp")?;
    if later(expires_at, CLOCK_SKEW_S) <= now {
        return Err(ForeignError::Expired);
    }
    if expires_at > later(now, rules.age_s_max + CLOCK_SKEW_S) {
        return Err(ForeignError::TooLong(rules.age_s_max));
    }
    // Only a JWT-SVID may leave it out (SPIFFE JWT-SVID §3).
    let issued_at = if rules.issuer.is_some() { Some(claims.time("iat")?) } else { claims.optional_time("iat")? };
    if let Some(issued_at) = issued_at {
        let oldest = later(now, -(rules.age_s_max + CLOCK_SKEW_S));
        if issued_at > later(now, CLOCK_SKEW_S) || issued_at < oldest || issued_at > expires_at {
            return Err(ForeignError::Clock("iat"));
        }
    }
    if claims.optional_time("nbf")?.is_some_and(|not_before| not_before > later(now, CLOCK_SKEW_S)) {
        return Err(ForeignError::Clock("nbf"));
    }
    Ok(expires_at)
}

#[cfg(test)]
mod tests;
