//! Client authentication by `private_key_jwt` (RFC 7521, RFC 7523 and its
//! revision draft-ietf-oauth-rfc7523bis-11). A client has no shared secret,
//! ever; an assertion is short, meant for us alone, and used once.

use bailiwick_model::{
    jwk::{PublicKey, Thumbprint},
    name::AgentName,
};
use jiff::Timestamp;

use crate::{
    claims::{CLOCK_SKEW_S, ClaimError, Claims, later},
    jws::{JwsError, TokenType, UnverifiedToken},
    key_policy::KeyError,
    one_time::{OneTimeIdentifier, jti_fits},
    verifying_key::VerifyingKey,
};

/// The `client_assertion_type` of RFC 7523 §2.2.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Seconds from now that an assertion may live at most: longer ones would fill the store of used identifiers.
pub const ASSERTION_TTL_S_MAX: i64 = 300;

/// Why an assertion is refused. On the wire all of it is `invalid_client`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// The token itself.
    #[error("client assertion: {0}")]
    Token(#[from] JwsError),
    /// A claim is missing or unfit.
    #[error("client assertion: {0}")]
    Claim(#[from] ClaimError),
    /// A registered key cannot be used.
    #[error("client assertion: a registered key cannot be used: {0}")]
    Key(#[from] KeyError),
    /// Issuer and subject differ.
    #[error("client assertion: `iss` and `sub` must both be the client's id")]
    NotSelfIssued,
    /// It is meant for another server, or for several.
    #[error("client assertion: `aud` must be our issuer `{expected}` and nothing else")]
    Audience {
        /// Our issuer.
        expected: String,
    },
    /// No registered key bears the name.
    #[error(
        "client assertion: no valid key of this client fits\nhint: put the `kid` of a registered key that has not expired into the header"
    )]
    UnknownKey,
    /// It is over.
    #[error("client assertion: it has expired\nhint: compare the clocks if it was made just now")]
    Expired,
    /// It lives too long.
    #[error("client assertion: `exp` is more than {ASSERTION_TTL_S_MAX} s ahead")]
    TooLong,
    /// It comes from the future, or is too old.
    #[error("client assertion: `{0}` does not fit our clock")]
    Clock(&'static str),
    /// Its identifier is empty or too long.
    #[error("client assertion: `jti` must have 1 to 256 bytes")]
    Identifier,
}

/// What an assertion is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssertionExpectation<'a> {
    /// Our issuer, byte for byte: the only audience.
    pub issuer: &'a str,
    /// The token endpoint's URL, for a client whose registration admits it as audience instead.
    pub token_endpoint: Option<&'a str>,
}

/// An assertion as it came.
#[derive(Debug, Clone)]
pub struct UnverifiedAssertion<'a> {
    token: UnverifiedToken<'a>,
    client: AgentName,
}

impl<'a> UnverifiedAssertion<'a> {
    /// Parses an assertion far enough to know who claims to have made it.
    pub fn parse(text: &'a str) -> Result<Self, AssertionError> {
        let token = UnverifiedToken::parse(text, TokenType::ClientAssertion)?;
        let claims = token.unverified_claims();
        let client: AgentName = claims.parsed("sub", "a client's id")?;
        if claims.text("iss")? != client.as_str() {
            return Err(AssertionError::NotSelfIssued);
        }
        Ok(Self { token, client })
    }

    /// The client that it claims to be, to find that client's keys.
    pub const fn claimed_client(&self) -> &AgentName {
        &self.client
    }

    /// Verifies it with the client's keys, of which the caller left out the expired ones.
    pub fn verify(
        self,
        keys: &[PublicKey],
        expected: &AssertionExpectation<'_>,
        now: Timestamp,
    ) -> Result<VerifiedAssertion, AssertionError> {
        let named = |key: &&PublicKey| self.token.kid().is_none_or(|kid| key.kid == kid);
        // Without a name there must be no choice, and names are unique.
        let key = match keys.iter().filter(named).collect::<Vec<_>>().as_slice() {
            [key] => VerifyingKey::of(key)?,
            _ => return Err(AssertionError::UnknownKey),
        };
        let verified = self.token.verify(&key)?;
        let claims = verified.claims();
        check_audience(claims, expected)?;
        let expires_at = check_times(claims, now)?;
        let jti = claims.text("jti")?;
        if !jti_fits(jti) {
            return Err(AssertionError::Identifier);
        }
        let once =
            OneTimeIdentifier::new(format!("assertion:{}", self.client), jti, later(expires_at, CLOCK_SKEW_S + 1));
        Ok(VerifiedAssertion { credential: verified.key(), client: self.client, once })
    }
}

/// A client that proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAssertion {
    /// The client.
    pub client: AgentName,
    /// The key that authenticated it.
    pub credential: Thumbprint,
    /// What must be used up in the commit of what it authenticates.
    pub once: OneTimeIdentifier,
}

fn check_audience(claims: &Claims, expected: &AssertionExpectation<'_>) -> Result<(), AssertionError> {
    let wrong = || AssertionError::Audience { expected: expected.issuer.to_owned() };
    let audience = claims.sole_audience().map_err(|_| wrong())?;
    if audience == expected.issuer || expected.token_endpoint == Some(audience) { Ok(()) } else { Err(wrong()) }
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<Timestamp, AssertionError> {
    let expires_at = claims.time("exp")?;
    if later(expires_at, CLOCK_SKEW_S) <= now {
        return Err(AssertionError::Expired);
    }
    if expires_at > later(now, ASSERTION_TTL_S_MAX + CLOCK_SKEW_S) {
        return Err(AssertionError::TooLong);
    }
    if let Some(issued_at) = claims.optional_time("iat")? {
        let oldest = later(now, -(ASSERTION_TTL_S_MAX + CLOCK_SKEW_S));
        if issued_at > later(now, CLOCK_SKEW_S) || issued_at < oldest || issued_at > expires_at {
            return Err(AssertionError::Clock("iat"));
        }
    }
    if claims.optional_time("nbf")?.is_some_and(|not_before| not_before > later(now, CLOCK_SKEW_S)) {
        return Err(AssertionError::Clock("nbf"));
    }
    Ok(expires_at)
}

#[cfg(test)]
mod tests;
