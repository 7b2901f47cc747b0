//! Access tokens whose signature was verified before: an agent presents the same one with each call, and its bytes do not
//! change. Only the signature is remembered; whether a token holds here and now is checked each time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bailiwick_model::digest::Digest;
use bailiwick_oauth::{
    access_token::{self, AccessTokenClaims, AccessTokenError},
    verifying_key::KeySet,
};

/// Tokens that are remembered. About 1 KiB each; when there are more, all are forgotten and verified again.
pub(crate) const TOKENS_KNOWN_MAX: usize = 4_096;

/// What is remembered, under the keys that verified it.
#[derive(Debug, Default)]
pub(crate) struct KnownTokens(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    keys: Arc<KeySet>,
    claims: HashMap<Digest, AccessTokenClaims>,
}

impl KnownTokens {
    /// What a token says that one of `keys` has signed.
    pub(crate) fn read(&self, token: &str, keys: &Arc<KeySet>) -> Result<AccessTokenClaims, AccessTokenError> {
        let digest = Digest::of(token.as_bytes());
        {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // The very set: keys that were replaced have verified nothing.
            if Arc::ptr_eq(&known.keys, keys)
                && let Some(claims) = known.claims.get(&digest)
            {
                return Ok(claims.clone());
            }
        }
        let claims = access_token::read_signed(token, keys)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.keys, keys) || known.claims.len() >= TOKENS_KNOWN_MAX {
            *known = Known { keys: Arc::clone(keys), claims: HashMap::new() };
        }
        known.claims.insert(digest, claims.clone());
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_keys::signing_key::SigningKey;
    use bailiwick_model::{
        agent::Environment,
        id::TokenId,
        jwk::SigningAlgorithm,
        principal::{DelegationChain, Principal},
    };
    use jiff::{Timestamp, ToSpan as _};

    use super::*;

    fn issue(key: &SigningKey, number: u8) -> String {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let client: bailiwick_model::name::AgentName = "bot".parse().unwrap();
        let claims = AccessTokenClaims {
            issuer: "https://b.example".to_owned(),
            audience: "https://b.example/mcp/files".to_owned(),
            chain: DelegationChain::of(Principal::Agent(client.clone())),
            client,
            id: TokenId::new(1_800_000_000_000, [number; 10]),
            scopes: ["files:read".parse().unwrap()].into(),
            issued_at: now,
            expires_at: now + 15.minutes(),
            confirmation: None,
            task: None,
            environment: Environment::Production,
        };
        let input = claims.signing_input(key.public());
        let signature = key.sign(input.as_bytes()).unwrap();
        input.assemble(&signature)
    }

    fn set(keys: &[&SigningKey]) -> Arc<KeySet> {
        let keys: Vec<_> = keys.iter().map(|key| key.public().clone()).collect();
        Arc::new(KeySet::new(&keys).unwrap())
    }

    fn known(tokens: &KnownTokens) -> usize {
        tokens.0.lock().unwrap().claims.len()
    }

    #[test]
    fn a_known_token_is_read_again_and_nothing_like_it() {
        let key = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let (tokens, keys, token) = (KnownTokens::default(), set(&[&key]), issue(&key, 1));
        let first = tokens.read(&token, &keys).unwrap();
        assert_eq!(tokens.read(&token, &keys).unwrap(), first);
        assert_eq!(known(&tokens), 1);
        // The last character of a signature carries bits; another one is another signature.
        let swapped = if token.ends_with('A') { 'Q' } else { 'A' };
        let forged = format!("{}{swapped}", &token[..token.len() - 1]);
        assert!(tokens.read(&forged, &keys).is_err());
        assert!(tokens.read(&forged, &keys).is_err(), "a refusal is not remembered as anything else");
        assert_eq!(known(&tokens), 1);
    }

    #[test]
    fn keys_that_are_gone_open_nothing_that_they_opened() {
        let [old, new] = [SigningAlgorithm::ES256; 2].map(|algorithm| SigningKey::generate(algorithm).unwrap());
        let (tokens, token) = (KnownTokens::default(), issue(&old, 1));
        tokens.read(&token, &set(&[&old])).unwrap();
        assert!(matches!(tokens.read(&token, &set(&[&new])), Err(AccessTokenError::UnknownKey)));
        tokens.read(&issue(&new, 2), &set(&[&new])).unwrap();
        assert_eq!(known(&tokens), 1, "what other keys verified is forgotten");
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let key = SigningKey::generate(SigningAlgorithm::EdDSA).unwrap();
        let (tokens, keys) = (KnownTokens::default(), set(&[&key]));
        let claims = tokens.read(&issue(&key, 0), &keys).unwrap();
        tokens
            .0
            .lock()
            .unwrap()
            .claims
            .extend((1..TOKENS_KNOWN_MAX).map(|number| (Digest::of(number.to_string().as_bytes()), claims.clone())));
        assert_eq!(known(&tokens), TOKENS_KNOWN_MAX);
        tokens.read(&issue(&key, 1), &keys).unwrap();
        assert_eq!(known(&tokens), 1);
    }
}
