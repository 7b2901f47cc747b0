//! An agent's own key, on the agent's side: what `bailiwick token` and
//! `bailiwick bridge` sign with. The broker only ever has its public half.

use std::path::Path;

use bailiwick_model::{
    jwk::{PublicKey, SigningAlgorithm},
    name::AgentName,
};
use bailiwick_oauth::{
    dpop::access_token_hash,
    jws::{SigningInput, TokenType},
    key_material::KeyMaterial,
};
use bailiwick_ports::signer::{DeviceKey, SignError};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    secret_file::{self, Access, SecretFileError},
    signing_key::{SigningKey, SigningKeyError},
};

/// Seconds that an assertion of ours lives: long enough for a slow network, far below the server's maximum.
pub const ASSERTION_TTL_S: i64 = 60;
const EXPECTED: &str = "a private key in PKCS#8 or as a JWK";

/// An agent's private key: here, or in a device.
pub struct AgentKey {
    public: PublicKey,
    private: Private,
}

enum Private {
    Here(SigningKey),
    InDevice(Box<dyn DeviceKey>),
}

impl std::fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AgentKey").field(&self.public.kid).finish()
    }
}

/// What a proof of possession is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProofSubject<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The URL; its query and fragment are left out of the proof.
    pub uri: &'a str,
    /// The nonce that the server gave last, if any.
    pub nonce: Option<&'a str>,
    /// The access token that goes with it; `None` at the token endpoint.
    pub access_token: Option<&'a str>,
}

impl AgentKey {
    fn here(key: SigningKey) -> Self {
        Self { public: key.public().clone(), private: Private::Here(key) }
    }

    /// A key that stays in its device, whose public half is this uncompressed point of P-256.
    pub fn in_device(point: &[u8], key: Box<dyn DeviceKey>) -> Result<Self, SigningKeyError> {
        let public = KeyMaterial::of_p256_point(point)?.public_key(None)?;
        Ok(Self { public, private: Private::InDevice(key) })
    }

    /// Makes a new key (EdDSA or ES256).
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, SigningKeyError> {
        SigningKey::generate(algorithm).map(Self::here)
    }

    /// Reads PKCS#8 in PEM, or a private JWK.
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        SigningKey::parse(text).map(Self::here)
    }

    /// Loads a key from a file that only its owner can read.
    pub fn load(path: &Path) -> Result<Self, SecretFileError> {
        let bytes = secret_file::read(path, Access::Owner)?;
        let text = std::str::from_utf8(bytes.expose()).map_err(|e| SecretFileError::content(path, EXPECTED, &e))?;
        Self::parse(text).map_err(|error| SecretFileError::content(path, EXPECTED, &error))
    }

    /// Writes the private key to a new file of mode 0600, as PKCS#8 in PEM.
    pub fn write_new(&self, path: &Path) -> Result<(), SecretFileError> {
        let Private::Here(key) = &self.private else {
            return Err(SecretFileError::content(path, EXPECTED, &"the key stays in its device"));
        };
        let pem = key.to_pem().map_err(|error| SecretFileError::content(path, EXPECTED, &error))?;
        secret_file::create(path, pem.expose().as_bytes())
    }

    /// The public half, as it is registered.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as a JWK in JSON.
    pub fn public_jwk(&self) -> &str {
        &self.public().jwk
    }

    /// An assertion that authenticates `client` at `issuer` (RFC 7523).
    pub fn sign_client_assertion(
        &self,
        issuer: &str,
        client: &AgentName,
        now: Timestamp,
        jti: &str,
    ) -> Result<String, SignError> {
        let issued_at = now.as_second();
        let claims = json!({
            "iss": client.as_str(),
            "sub": client.as_str(),
            "aud": issuer,
            "iat": issued_at,
            "exp": issued_at.saturating_add(ASSERTION_TTL_S),
            "jti": jti,
        });
        self.token(TokenType::ClientAssertion, &claims)
    }

    /// A proof of possession (RFC 9449).
    pub fn sign_dpop(&self, subject: &ProofSubject<'_>, now: Timestamp, jti: &str) -> Result<String, SignError> {
        let uri = subject.uri.split(['?', '#']).next().unwrap_or_default();
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("htm", subject.method.into());
        set("htu", uri.into());
        set("iat", now.as_second().into());
        set("jti", jti.into());
        if let Some(nonce) = subject.nonce {
            set("nonce", nonce.into());
        }
        if let Some(access_token) = subject.access_token {
            set("ath", access_token_hash(access_token).into());
        }
        self.token(TokenType::DpopProof, &Value::Object(claims))
    }

    fn token(&self, token_type: TokenType, claims: &Value) -> Result<String, SignError> {
        let input = SigningInput::new(token_type, self.public(), &claims.to_string());
        let signature = match &self.private {
            Private::Here(key) => key.sign(input.as_bytes()),
            Private::InDevice(key) => key.sign(input.as_bytes()),
        }?;
        Ok(input.assemble(&signature))
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_oauth::{
        client_assertion::{AssertionExpectation, UnverifiedAssertion},
        dpop::{self, NonceRule, ProofExpectation},
        key_policy::KeyPolicy,
    };

    use super::*;

    const ISSUER: &str = "https://b.example";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn what_an_agent_signs_its_broker_verifies() {
        for algorithm in [SigningAlgorithm::ES256, SigningAlgorithm::EdDSA] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("bot.pem");
            AgentKey::generate(algorithm).unwrap().write_new(&path).unwrap();
            let key = AgentKey::load(&path).unwrap();
            let registered = KeyPolicy::default().jwk(key.public_jwk()).unwrap();
            assert_eq!(&registered, key.public());

            let client: AgentName = "bot".parse().unwrap();
            let assertion = key.sign_client_assertion(ISSUER, &client, now(), "j1").unwrap();
            let expected = AssertionExpectation { issuer: ISSUER, token_endpoint: None };
            let unverified = UnverifiedAssertion::parse(&assertion).unwrap();
            let verified = unverified.verify(&[registered], &expected, now()).unwrap();
            assert_eq!((verified.client, verified.credential), (client, key.public().thumbprint));

            let uri = "https://b.example/mcp/files?x=1#y";
            let subject = ProofSubject { method: "POST", uri, nonce: None, access_token: Some("at") };
            let proof = key.sign_dpop(&subject, now(), "j2").unwrap();
            let expected =
                ProofExpectation { method: "POST", uri, access_token: Some("at"), nonce: NonceRule::NotAsked };
            assert_eq!(dpop::verify(&proof, &expected, now()).unwrap().thumbprint(), key.public().thumbprint);
        }
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bot.pem");
        AgentKey::generate(SigningAlgorithm::EdDSA).unwrap().write_new(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(AgentKey::load(&path), Err(SecretFileError::Exposed { .. })));
    }
}
