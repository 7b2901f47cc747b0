//! Key pairs for tests: the only private keys in this crate.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair as RsaKeyPair,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    },
};
use bailiwick_model::jwk::{PublicKey, SigningAlgorithm};

use crate::{
    jws::{SigningInput, TokenType},
    key_material::{KeyMaterial, RsaPadding},
};

enum Private {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A key pair of a test.
pub(crate) struct TestKey {
    private: Private,
    pub(crate) material: KeyMaterial,
    pub(crate) public: PublicKey,
}

impl TestKey {
    fn new(private: Private, material: KeyMaterial) -> Self {
        let public = material.public_key(None).unwrap();
        Self { private, material, public }
    }

    pub(crate) fn named(mut self, kid: &str) -> Self {
        self.public = self.material.public_key(Some(kid)).unwrap();
        self
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.private {
            Private::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Private::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                match self.public.algorithm {
                    SigningAlgorithm::RS256 => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap(),
                    _ => pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap(),
                }
                signature
            }
        }
    }

    /// A token as its honest owner makes it.
    pub(crate) fn token(&self, token_type: TokenType, claims: &serde_json::Value) -> String {
        let input = SigningInput::new(token_type, &self.public, &claims.to_string());
        let signature = self.sign(input.as_bytes());
        input.assemble(&signature)
    }

    /// A token with any header and payload, signed by this key all the same.
    pub(crate) fn raw_token(&self, header: &str, payload: &str) -> String {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
        let input = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
        let signature = self.sign(input.as_bytes());
        format!("{input}.{}", BASE64.encode(signature))
    }
}

/// An Ed25519 key.
pub(crate) fn ed25519() -> TestKey {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = pair.public_key().as_ref().try_into().unwrap();
    TestKey::new(Private::Ed25519(pair), KeyMaterial::Ed25519 { x })
}

/// A P-256 key.
pub(crate) fn p256() -> TestKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let material = KeyMaterial::of_p256_point(pair.public_key().as_ref()).unwrap();
    TestKey::new(Private::P256(pair), material)
}

/// An RSA key of 2048 bits.
pub(crate) fn rsa() -> TestKey {
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let material = KeyMaterial::of_rsa(
        public.modulus().big_endian_without_leading_zero().to_vec(),
        public.exponent().big_endian_without_leading_zero().to_vec(),
    );
    TestKey::new(Private::Rsa(pair), material)
}

/// An RSA key of 2048 bits that signs as older clients do.
pub(crate) fn rsa_pkcs1() -> TestKey {
    let TestKey { private, material, .. } = rsa();
    TestKey::new(private, material.padded(RsaPadding::Pkcs1))
}
