//! A private key of one of our algorithms. It signs, and it leaves only as a
//! PKCS#8 file.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeyPair as RsaKeyPair,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PSS_SHA256},
};
use bailiwick_model::{
    jwk::{PublicKey, SigningAlgorithm},
    secret::Secret,
};
use bailiwick_oauth::{
    json::{JsonError, parse_object},
    key_material::KeyMaterial,
    key_policy::{KeyError, KeyPolicy},
    pem,
};
use bailiwick_ports::signer::SignError;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

const PEM_LABEL: &str = "PRIVATE KEY";

/// A private key that cannot be made or read. Never says what was inside.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// No randomness or no memory.
    #[error("the key cannot be generated")]
    Generate,
    /// We generate no RSA keys: they are slow to make and to sign with.
    #[error("keys for `PS256` are only read, not generated\nhint: use `ES256` or `EdDSA`")]
    NotGenerated,
    /// Not PKCS#8 in PEM.
    #[error("{0}\nhint: use an unencrypted PKCS#8 key, as `openssl pkcs8 -topk8 -nocrypt` writes it")]
    Pem(#[from] pem::PemError),
    /// Not a JWK.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// PKCS#8 of a kind that is none of ours, or inconsistent numbers.
    #[error("not a private key for ES256 (P-256), EdDSA (Ed25519) or PS256 (RSA, 2048 bits at least)")]
    Kind,
    /// Its public half does not pass the key policy.
    #[error(transparent)]
    Policy(#[from] KeyError),
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A private key and its public half.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public.kid).finish()
    }
}

impl SigningKey {
    /// Makes a new key, named by its thumbprint.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, SigningKeyError> {
        let pair = match algorithm {
            SigningAlgorithm::ES256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256),
            SigningAlgorithm::EdDSA => Ed25519KeyPair::generate().map(Pair::Ed25519),
            SigningAlgorithm::PS256 | SigningAlgorithm::RS256 => return Err(SigningKeyError::NotGenerated),
        };
        Self::of(pair.map_err(|_| SigningKeyError::Generate)?, None)
    }

    /// Reads PKCS#8 in PEM, or a private JWK.
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        if text.trim_start().starts_with("-----BEGIN") { Self::from_pem(text) } else { Self::from_jwk(text) }
    }

    /// Reads unencrypted PKCS#8 in PEM.
    pub fn from_pem(text: &str) -> Result<Self, SigningKeyError> {
        let der = Zeroizing::new(pem::decode(PEM_LABEL, text)?);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map(Pair::P256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8(&der).map(Pair::Ed25519))
            .or_else(|_| RsaKeyPair::from_pkcs8(&der).map(Pair::Rsa))
            .map_err(|_| SigningKeyError::Kind)?;
        Self::of(pair, None)
    }

    /// Reads a private JWK for ES256 or EdDSA; it keeps its `kid`.
    pub fn from_jwk(text: &str) -> Result<Self, SigningKeyError> {
        let mut jwk = parse_object(text.as_bytes())?;
        let private = Zeroizing::new(member(&jwk, "d")?);
        jwk.remove("d");
        // For a private key these say `sign`, or both.
        jwk.remove("key_ops");
        let public = KeyPolicy::default().jwk_object(&jwk)?;
        let x = member(&jwk, "x")?;
        let pair = match public.algorithm {
            SigningAlgorithm::ES256 => {
                let point = [&[4_u8][..], &x, &member(&jwk, "y")?].concat();
                EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &point)
                    .map(Pair::P256)
            }
            SigningAlgorithm::EdDSA => Ed25519KeyPair::from_seed_and_public_key(&private, &x).map(Pair::Ed25519),
            SigningAlgorithm::PS256 | SigningAlgorithm::RS256 => return Err(SigningKeyError::Kind),
        };
        Self::of(pair.map_err(|_| SigningKeyError::Kind)?, Some(&public.kid))
    }

    fn of(pair: Pair, kid: Option<&str>) -> Result<Self, SigningKeyError> {
        let material = match &pair {
            Pair::P256(pair) => KeyMaterial::of_p256_point(pair.public_key().as_ref())?,
            Pair::Ed25519(pair) => {
                KeyMaterial::Ed25519 { x: pair.public_key().as_ref().try_into().map_err(|_| SigningKeyError::Kind)? }
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let number =
                    |positive: aws_lc_rs::io::Positive<'_>| positive.big_endian_without_leading_zero().to_vec();
                KeyMaterial::of_rsa(number(public.modulus()), number(public.exponent()))
            }
        };
        Ok(Self { public: material.public_key(kid)?, pair })
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// PKCS#8 in PEM, for a file of mode 0600 and nothing else.
    pub fn to_pem(&self) -> Result<Secret<String>, SigningKeyError> {
        let der = match &self.pair {
            Pair::P256(pair) => pair.to_pkcs8v1().map(|der| Zeroizing::new(der.as_ref().to_vec())),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map(|der| Zeroizing::new(der.as_ref().to_vec())),
            Pair::Rsa(pair) => pair.as_der().map(|der| Zeroizing::new(der.as_ref().to_vec())),
        };
        Ok(Secret::new(pem::encode(PEM_LABEL, &der.map_err(|_| SigningKeyError::Kind)?)))
    }

    /// The JWS signature over `message` (for ES256 r and s of 32 bytes each).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError("the cryptographic library refused".to_owned());
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) => pair.sign(&random, message).map(|s| s.as_ref().to_vec()).map_err(failed),
            Pair::Ed25519(pair) => pair.try_sign(message).map(|s| s.as_ref().to_vec()).map_err(failed),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

fn member(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, SigningKeyError> {
    jwk.get(name)
        .and_then(Value::as_str)
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or(SigningKeyError::Policy(KeyError::Member(name)))
}

#[cfg(test)]
mod tests {
    use bailiwick_oauth::verifying_key::VerifyingKey;

    use super::*;

    /// RFC 8037 Appendix A.1.
    const ED25519_JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"job","key_ops":["sign"],"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    /// RFC 7515 Appendix A.3.
    const P256_JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

    fn signs(key: &SigningKey) {
        let signature = key.sign(b"message").unwrap();
        let verifying = VerifyingKey::of(key.public()).unwrap();
        assert_eq!(verifying.verify(b"message", &signature), Ok(()));
        assert!(verifying.verify(b"massage", &signature).is_err());
    }

    #[test]
    fn every_kind_signs_and_survives_its_file() {
        let rsa = SigningKey::of(Pair::Rsa(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap()), None);
        for key in [
            SigningKey::generate(SigningAlgorithm::ES256).unwrap(),
            SigningKey::generate(SigningAlgorithm::EdDSA).unwrap(),
            SigningKey::parse(ED25519_JWK).unwrap(),
            SigningKey::parse(P256_JWK).unwrap(),
            rsa.unwrap(),
        ] {
            signs(&key);
            let again = SigningKey::parse(key.to_pem().unwrap().expose()).unwrap();
            assert_eq!(again.public().thumbprint, key.public().thumbprint);
            signs(&again);
        }
        assert!(SigningKey::generate(SigningAlgorithm::PS256).is_err());
        assert_eq!(SigningKey::parse(ED25519_JWK).unwrap().public().kid, "job");
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        let other = SigningKey::generate(SigningAlgorithm::EdDSA).unwrap();
        let other_x = other.public().jwk.split("\"x\":\"").nth(1).unwrap().trim_end_matches("\"}");
        let mixed = ED25519_JWK.replace("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", other_x);
        assert!(matches!(SigningKey::parse(&mixed), Err(SigningKeyError::Kind)));
        assert!(SigningKey::parse(&ED25519_JWK.replace("\"d\"", "\"D\"")).is_err(), "a public key only");
        assert!(SigningKey::parse("").is_err());
        assert!(
            SigningKey::parse("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----")
                .is_err()
        );
        assert!(!format!("{other:?}").contains(&other.to_pem().unwrap().expose()[30..60]));
    }
}
