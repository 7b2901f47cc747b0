//! Public keys made ready to verify. Parsing a key costs more than looking it
//! up, so whoever verifies often keeps these.

use std::collections::BTreeMap;

use aws_lc_rs::signature::ParsedPublicKey;
use bailiwick_model::jwk::{PublicKey, SigningAlgorithm, Thumbprint};

use crate::{
    json::parse_object,
    key_material::{KeyMaterial, RsaPadding},
    key_policy::{KeyError, public_material},
};

/// A signature that does not fit. Says nothing else on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit")]
pub struct BadSignature;

/// A key of known algorithm that verifies.
#[derive(Clone)]
pub struct VerifyingKey {
    public: PublicKey,
    parsed: ParsedPublicKey,
}

impl VerifyingKey {
    /// Makes a registered key ready. Its numbers are checked again, so that an
    /// altered row is an error and never a different key.
    pub fn of(public: &PublicKey) -> Result<Self, KeyError> {
        let material = public_material(&parse_object(public.jwk.as_bytes())?, RsaPadding::Pss)?;
        if material.describe(Some(&public.kid))? != *public {
            return Err(KeyError::Inconsistent);
        }
        Self::ready(&material, public.clone())
    }

    /// Makes a key ready that was described from this very material.
    pub(crate) fn ready(material: &KeyMaterial, public: PublicKey) -> Result<Self, KeyError> {
        Ok(Self { parsed: material.parse()?, public })
    }

    /// The key's name.
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// The only algorithm that it verifies.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.public.algorithm
    }

    /// The key's thumbprint.
    pub const fn thumbprint(&self) -> Thumbprint {
        self.public.thumbprint
    }

    /// The key as registered.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Verifies a JWS signature; an ECDSA one is r and s of 32 bytes each, neither of them zero.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if self.algorithm() == SigningAlgorithm::ES256 {
            // A zero in r or s "verifies" anything in a careless implementation (CVE-2022-21449).
            // The library refuses it too; here it is refused by us.
            let halves = signature.split_at_checked(32).ok_or(BadSignature)?;
            let is_zero = |half: &[u8]| half.iter().all(|byte| *byte == 0);
            if halves.1.len() != 32 || is_zero(halves.0) || is_zero(halves.1) {
                return Err(BadSignature);
            }
        }
        self.parsed.verify_sig(message, signature).map_err(|_| BadSignature)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.public.kid).field(&self.public.thumbprint).finish()
    }
}

/// Keys by name.
#[derive(Debug, Clone, Default)]
pub struct KeySet(BTreeMap<String, VerifyingKey>);

impl KeySet {
    /// Makes all keys ready; two of one name are an error.
    pub fn new(keys: &[PublicKey]) -> Result<Self, KeyError> {
        let mut set = BTreeMap::new();
        for key in keys {
            if set.insert(key.kid.clone(), VerifyingKey::of(key)?).is_some() {
                return Err(KeyError::RepeatedName(key.kid.clone()));
            }
        }
        Ok(Self(set))
    }

    /// The key of a name.
    pub fn named(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.get(kid)
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.0.values()
    }
}
