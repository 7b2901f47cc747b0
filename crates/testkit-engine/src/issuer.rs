//! An issuer of another domain: it has a key of its own, and signs whatever a test wants it to.

use bailiwick_keys::signing_key::SigningKey;
use bailiwick_model::jwk::SigningAlgorithm;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The issuer.
pub struct ForeignIssuer {
    /// What its tokens name.
    pub issuer: String,
    key: SigningKey,
}

impl ForeignIssuer {
    /// With a fresh P-256 key.
    pub fn new(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), key: SigningKey::generate(SigningAlgorithm::ES256).unwrap() }
    }

    /// Its key set.
    pub fn jwks(&self) -> String {
        format!("{{\"keys\":[{}]}}", self.key.public().jwk)
    }

    /// A token with any header members beside algorithm and key, and any claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let whole = changed(json!({"alg": "ES256", "kid": self.key.public().kid}), header);
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let input = format!("{}.{}", part(&whole), part(claims));
        let signature = self.key.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What it vouches for: a user, for a client at `audience`, for a resource there and for `files:read`. `changes` replace
    /// claims, or remove them by `null`.
    pub fn id_jag(&self, audience: &str, client: &str, now: Timestamp, jti: &str, changes: &Value) -> String {
        let claims = json!({
            "iss": self.issuer, "sub": "00u1", "aud": audience, "client_id": client, "jti": jti,
            "iat": now.as_second(), "exp": now.as_second() + 300,
            "resource": format!("{audience}/mcp/files"), "scope": "files:read",
        });
        self.sign(&json!({"typ": "oauth-id-jag+jwt"}), &changed(claims, changes))
    }
}

/// Claims with some replaced, or removed by `null`.
pub fn changed(mut claims: Value, changes: &Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    claims
}
