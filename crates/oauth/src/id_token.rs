//! ID tokens (OpenID Connect Core 1.0 §2): who a user is, and how they proved it, for one client. They open nothing: their
//! type is that of no other token of ours.

use std::collections::BTreeSet;

use bailiwick_model::{
    jwk::PublicKey,
    name::{Acr, AgentName, UserId},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    claims::ClaimError,
    jws::{JwsError, SigningInput, TokenType, UnverifiedToken},
    verifying_key::KeySet,
};

/// What an ID token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdToken {
    /// Who issued it.
    pub issuer: String,
    /// Who was authenticated.
    pub user: UserId,
    /// The one client that it is for.
    pub client: AgentName,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When the user proved who they are.
    pub auth_time: Timestamp,
    /// How well.
    pub acr: Option<Acr>,
    /// By what.
    pub amr: BTreeSet<String>,
}

impl IdToken {
    /// What the owner of `key` has to sign. `sub` is written as in access tokens.
    pub fn signing_input(&self, key: &PublicKey) -> SigningInput {
        let mut claims = json!({
            "iss": self.issuer,
            "sub": format!("user:{}", self.user),
            "aud": self.client.as_str(),
            "iat": self.issued_at.as_second(),
            "exp": self.expires_at.as_second(),
            "auth_time": self.auth_time.as_second(),
            "amr": self.amr,
        });
        if let (Some(acr), Some(members)) = (&self.acr, claims.as_object_mut()) {
            members.insert("acr".to_owned(), acr.as_str().into());
        }
        SigningInput::new(TokenType::IdToken, key, &claims.to_string())
    }
}

/// The user of an ID token that we issued to this client. It may be over: as a hint it says whom, and proves nothing.
pub fn hinted_user(token: &str, keys: &KeySet, issuer: &str, client: &AgentName) -> Option<UserId> {
    read(token, keys, issuer, client).ok().flatten()
}

fn read(token: &str, keys: &KeySet, issuer: &str, client: &AgentName) -> Result<Option<UserId>, JwsError> {
    let unverified = UnverifiedToken::parse(token, TokenType::IdToken)?;
    let unknown = JwsError::Claim(ClaimError::Missing("kid"));
    let key = unverified.kid().and_then(|kid| keys.named(kid)).ok_or(unknown)?;
    let verified = unverified.verify(key)?;
    let claims = verified.claims();
    if claims.text("iss")? != issuer || claims.sole_audience()? != client.as_str() {
        return Ok(None);
    }
    Ok(claims.text("sub")?.strip_prefix("user:").and_then(|user| user.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_keys::{ed25519, p256};

    #[test]
    fn a_hint_is_ours_and_for_this_client() {
        let (ours, other) = (p256(), ed25519());
        let at = |second| Timestamp::from_second(second).unwrap();
        let token = IdToken {
            issuer: "https://b.example".into(),
            user: "u-ada".parse().unwrap(),
            client: "bot".parse().unwrap(),
            issued_at: at(1_800_000_000),
            expires_at: at(1_800_000_300),
            auth_time: at(1_799_999_990),
            acr: Some("phr".parse().unwrap()),
            amr: ["hwk".to_owned()].into(),
        };
        let input = token.signing_input(&ours.public);
        let signature = ours.sign(input.as_bytes());
        let text = input.assemble(&signature);
        let keys = |key: &crate::test_keys::TestKey| KeySet::new(std::slice::from_ref(&key.public)).unwrap();
        let hinted = |text: &str, keys: &KeySet, issuer: &str, client: &str| {
            hinted_user(text, keys, issuer, &client.parse().unwrap()).map(|user| user.to_string())
        };
        assert_eq!(hinted(&text, &keys(&ours), "https://b.example", "bot").as_deref(), Some("u-ada"));
        assert_eq!(hinted(&text, &keys(&ours), "https://b.example", "other"), None);
        assert_eq!(hinted(&text, &keys(&ours), "https://evil.example", "bot"), None);
        assert_eq!(hinted(&text, &keys(&other), "https://b.example", "bot"), None);
        let json: serde_json::Value = json!({"iss": "https://b.example", "sub": "user:u-ada", "aud": "bot"});
        let access = ours.token(TokenType::AccessToken, &json);
        assert_eq!(hinted(&access, &keys(&ours), "https://b.example", "bot"), None, "an access token is no hint");
        assert!(crate::access_token::read_signed(&text, &keys(&ours)).is_err(), "and no access token");
    }
}
