//! A client of which an attester vouches that an instance of it holds a key
//! (draft-ietf-oauth-attestation-based-client-auth-12). Which attester may vouch for which client is the registration's
//! business: an attestation names nobody who made it.

use std::collections::BTreeMap;

use bailiwick_model::{
    jwk::{SigningAlgorithm, Thumbprint},
    name::{AgentName, AttesterName},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    claims::{CLOCK_SKEW_S, ClaimError, later},
    dpop::PROOF_AGE_S_MAX,
    dpop_nonce::NonceSecret,
    foreign_keys::{ForeignKeys, Purpose},
    jws::{JwsError, TokenType, UnverifiedToken},
    key_policy::{KeyError, KeyPolicy},
    one_time::{OneTimeIdentifier, jti_fits},
    verifying_key::VerifyingKey,
};

/// The header with what the attester signed.
pub const ATTESTATION_HEADER: &str = "oauth-client-attestation";
/// The header with what the instance signed, where that is no DPoP proof.
pub const PROOF_HEADER: &str = "oauth-client-attestation-pop";
/// The header of an answer with the next challenge.
pub const CHALLENGE_HEADER: &str = "oauth-client-attestation-challenge";
/// The method of a client that proves its key so.
pub const METHOD: &str = "attest_jwt_client_auth";
/// The method of a client that proves its key by a DPoP proof alone.
pub const COMBINED_METHOD: &str = "attest_jwt_client_auth_dpop";
/// Seconds that an attestation may be old unless its attester's entry says less: a day.
pub const ATTESTATION_AGE_S_MAX: i64 = 24 * 60 * 60;

/// Why a client is not attested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientAttestationError {
    /// One of the two tokens.
    #[error("{0}")]
    Token(#[from] JwsError),
    /// A claim is missing or unfit.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// The attester has no such key.
    #[error("its attester has no fit key of that name")]
    UnknownKey,
    /// The key of the instance.
    #[error("`cnf`: {0}")]
    InstanceKey(#[from] KeyError),
    /// No key of the instance.
    #[error("`cnf` has no `jwk`")]
    NoInstanceKey,
    /// The attestation is over, or older than its attester may let it be: `use_fresh_attestation`.
    #[error("the attestation is over, or too old\nhint: ask the attester for a fresh one")]
    Stale,
    /// A time from the future, or of a proof that is too old.
    #[error("`{0}` does not fit our clock\nhint: compare the clocks")]
    Clock(&'static str),
    /// The proof is meant for another server, or for several.
    #[error("`aud` must be our issuer and nothing else")]
    Audience,
    /// Its identifier is empty or too long.
    #[error("`jti` must have 1 to 256 bytes")]
    Identifier,
    /// The challenge is missing or stale: `use_attestation_challenge`.
    #[error("use the challenge that comes with this answer")]
    UseChallenge,
}

/// Whoever vouches for clients, as the operator named it.
#[derive(Debug, Clone)]
pub struct Attester {
    keys: ForeignKeys,
    age_s_max: i64,
}

/// All of them, by name.
pub type Attesters = BTreeMap<AttesterName, Attester>;

impl Attester {
    /// Reads its key set. Its attestations may be as old as `age_s_max`, a day at most.
    pub fn new(jwks: &[u8], age_s_max: i64) -> Result<Self, KeyError> {
        let algorithms = [SigningAlgorithm::ES256, SigningAlgorithm::EdDSA, SigningAlgorithm::PS256];
        let keys = ForeignKeys::read(jwks, &algorithms, Purpose::Signatures)?;
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self { keys, age_s_max: age_s_max.clamp(1, ATTESTATION_AGE_S_MAX) })
    }
}

/// What an attester signed, as it came.
#[derive(Debug, Clone)]
pub struct UnverifiedClientAttestation<'a> {
    token: UnverifiedToken<'a>,
    client: AgentName,
}

/// An instance of a client that its attester vouches for. That whoever sent it has the key is still to be proved.
#[derive(Debug, Clone)]
pub struct AttestedInstance {
    /// The client.
    pub client: AgentName,
    key: VerifyingKey,
}

impl<'a> UnverifiedClientAttestation<'a> {
    /// Parses one far enough to know whom it claims to be about.
    pub fn parse(text: &'a str) -> Result<Self, ClientAttestationError> {
        let token = UnverifiedToken::parse(text, TokenType::ClientAttestation)?;
        let client = token.unverified_claims().parsed("sub", "the client's id")?;
        Ok(Self { token, client })
    }

    /// Whom it claims to be about.
    pub const fn claimed_client(&self) -> &AgentName {
        &self.client
    }

    /// Verifies it by the keys of one attester.
    pub fn verify(&self, attester: &Attester, now: Timestamp) -> Result<AttestedInstance, ClientAttestationError> {
        let key = attester.keys.named(self.token.kid()).ok_or(ClientAttestationError::UnknownKey)?;
        let verified = self.token.clone().verify(key)?;
        let claims = verified.claims();
        let (issued_at, expires_at) = (claims.time("iat")?, claims.time("exp")?);
        if issued_at > later(now, CLOCK_SKEW_S) || issued_at > expires_at {
            return Err(ClientAttestationError::Clock("iat"));
        }
        if claims.optional_time("nbf")?.is_some_and(|not_before| not_before > later(now, CLOCK_SKEW_S)) {
            return Err(ClientAttestationError::Clock("nbf"));
        }
        if later(expires_at, CLOCK_SKEW_S) <= now || later(issued_at, attester.age_s_max + CLOCK_SKEW_S) <= now {
            return Err(ClientAttestationError::Stale);
        }
        let key = instance_key(claims.value("cnf"))?;
        Ok(AttestedInstance { client: self.client.clone(), key })
    }
}

/// What a proof of an instance is checked against.
#[derive(Debug, Clone, Copy)]
pub struct InstanceProofExpectation<'a> {
    /// Our issuer, byte for byte: the only audience.
    pub audience: &'a str,
    /// The secret that challenges are made from.
    pub challenges: &'a NonceSecret,
}

impl AttestedInstance {
    /// The thumbprint of its key.
    pub fn thumbprint(&self) -> Thumbprint {
        self.key.thumbprint()
    }

    /// Verifies that whoever sent it has the key, for us, now, once. Gives what must be used up.
    pub fn prove(
        &self,
        proof: &str,
        expected: &InstanceProofExpectation<'_>,
        now: Timestamp,
    ) -> Result<OneTimeIdentifier, ClientAttestationError> {
        let verified = UnverifiedToken::parse(proof, TokenType::ClientAttestationProof)?.verify(&self.key)?;
        let claims = verified.claims();
        if claims.sole_audience().map_err(|_| ClientAttestationError::Audience)? != expected.audience {
            return Err(ClientAttestationError::Audience);
        }
        let issued_at = claims.time("iat")?;
        let stale_at = later(issued_at, PROOF_AGE_S_MAX + CLOCK_SKEW_S);
        if stale_at <= now || issued_at > later(now, CLOCK_SKEW_S) {
            return Err(ClientAttestationError::Clock("iat"));
        }
        let jti = claims.text("jti")?;
        if !jti_fits(jti) {
            return Err(ClientAttestationError::Identifier);
        }
        let challenge = claims.optional_text("challenge")?.ok_or(ClientAttestationError::UseChallenge)?;
        expected.challenges.age(challenge, now).ok_or(ClientAttestationError::UseChallenge)?;
        Ok(OneTimeIdentifier::new(format!("instance:{}", self.thumbprint()), jti, later(stale_at, 1)))
    }
}

/// The public key in `cnf` (RFC 7800 §3.2), and nothing else: a second way to name a key would be a second key.
fn instance_key(cnf: Option<&Value>) -> Result<VerifyingKey, ClientAttestationError> {
    let jwk: Option<&Map<String, Value>> = match cnf {
        Some(Value::Object(cnf)) if cnf.len() == 1 => cnf.get("jwk").and_then(Value::as_object),
        _ => None,
    };
    Ok(KeyPolicy::default().verifying_key(jwk.ok_or(ClientAttestationError::NoInstanceKey)?)?)
}

#[cfg(test)]
mod tests;
