//! Access tokens whose signature was verified before: an agent presents the same one with each call, and its bytes do not
//! change. Only the signature is remembered; whether a token holds here and now is checked each time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bailiwick_engine::weight;
use bailiwick_model::digest::Digest;
use bailiwick_oauth::{
    access_token::{self, AccessTokenClaims, AccessTokenError},
    verifying_key::KeySet,
};
use jiff::Timestamp;

/// Tokens that are remembered. When there are more, those that are over go first, and if none is, all of them.
pub(crate) const TOKENS_KNOWN_MAX: usize = 4_096;
/// Bytes of a token that is remembered. One with a few scopes has less than half of it; a longer one is verified each time.
pub(crate) const KNOWN_TOKEN_BYTES_MAX: usize = 2 * 1_024;

/// Bytes of memory that the `authorization_details` of a token that is remembered take: few bytes of a token can be many.
pub(crate) const KNOWN_DETAILS_BYTES_MAX: usize = 4 * 1_024;

/// What is remembered, under the keys that verified it.
#[derive(Debug, Default)]
pub(crate) struct KnownTokens(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    keys: Arc<KeySet>,
    claims: HashMap<Digest, AccessTokenClaims>,
}

impl KnownTokens {
    /// What a token says that one of `keys` has signed. It may be over `now`: that is for whoever checks the claims.
    pub(crate) fn read(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
        now: Timestamp,
    ) -> Result<AccessTokenClaims, AccessTokenError> {
        if token.len() > KNOWN_TOKEN_BYTES_MAX {
            return access_token::read_signed(token, keys);
        }
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
        if claims.details.as_deref().map_or(0, weight::tools) > KNOWN_DETAILS_BYTES_MAX {
            return Ok(claims);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.claims.len() >= TOKENS_KNOWN_MAX {
            known.claims.retain(|_, claims| claims.expires_at > now);
        }
        if !Arc::ptr_eq(&known.keys, keys) || known.claims.len() >= TOKENS_KNOWN_MAX {
            *known = Known { keys: Arc::clone(keys), claims: HashMap::new() };
        }
        known.claims.insert(digest, claims.clone());
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bailiwick_keys::signing_key::SigningKey;
    use bailiwick_model::{
        agent::Environment,
        id::TokenId,
        jwk::SigningAlgorithm,
        name::Scope,
        principal::{DelegationChain, Principal},
        task::{Pin, ToolGrant},
    };

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
    }

    /// The claims of a token that lives from minute 0 to 15.
    fn claims(number: u8) -> AccessTokenClaims {
        let client: bailiwick_model::name::AgentName = "bot".parse().unwrap();
        AccessTokenClaims {
            issuer: "https://b.example".to_owned(),
            audience: "https://b.example/mcp/files".to_owned(),
            chain: DelegationChain::of(Principal::Agent(client.clone())),
            client,
            id: TokenId::new(1_800_000_000_000, [number; 10]),
            scopes: ["files:read".parse().unwrap()].into(),
            details: None,
            issued_at: at(0),
            expires_at: at(15),
            confirmation: None,
            may_act: None,
            authentication: None,
            grant: None,
            task: None,
            environment: Environment::Production,
        }
    }

    fn signed(key: &SigningKey, claims: &AccessTokenClaims) -> String {
        let input = claims.signing_input(key.public());
        let signature = key.sign(input.as_bytes()).unwrap();
        input.assemble(&signature)
    }

    fn issue(key: &SigningKey, number: u8) -> String {
        signed(key, &claims(number))
    }

    fn set(keys: &[&SigningKey]) -> Arc<KeySet> {
        let keys: Vec<_> = keys.iter().map(|key| key.public().clone()).collect();
        Arc::new(KeySet::new(&keys).unwrap())
    }

    fn known(tokens: &KnownTokens) -> usize {
        tokens.0.lock().unwrap().claims.len()
    }

    /// As if so many others had come before.
    fn fill(tokens: &KnownTokens, count: usize, claims: &AccessTokenClaims) {
        let others = (0..count).map(|number| (Digest::of(number.to_string().as_bytes()), claims.clone()));
        tokens.0.lock().unwrap().claims.extend(others);
    }

    #[test]
    fn a_known_token_is_read_from_memory_and_nothing_like_it() {
        let key = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let (tokens, keys, token) = (KnownTokens::default(), set(&[&key]), issue(&key, 1));
        assert_eq!(tokens.read(&token, &keys, at(1)).unwrap(), claims(1));
        // What is remembered shows by being altered.
        tokens.0.lock().unwrap().claims.values_mut().for_each(|known| known.id = claims(9).id);
        assert_eq!(tokens.read(&token, &keys, at(1)).unwrap(), claims(9));
        assert_eq!(known(&tokens), 1);
        // The last character of a signature carries bits; another one is another signature.
        let swapped = if token.ends_with('A') { 'Q' } else { 'A' };
        let forged = format!("{}{swapped}", &token[..token.len() - 1]);
        assert!(tokens.read(&forged, &keys, at(1)).is_err());
        assert!(tokens.read(&forged, &keys, at(1)).is_err(), "a refusal is not remembered as anything else");
        assert_eq!(known(&tokens), 1);
    }

    #[test]
    fn keys_that_are_gone_open_nothing_that_they_opened() {
        let [old, new] = [SigningAlgorithm::ES256; 2].map(|algorithm| SigningKey::generate(algorithm).unwrap());
        let (tokens, token) = (KnownTokens::default(), issue(&old, 1));
        tokens.read(&token, &set(&[&old]), at(1)).unwrap();
        assert!(matches!(tokens.read(&token, &set(&[&new]), at(1)), Err(AccessTokenError::UnknownKey)));
        tokens.read(&issue(&new, 2), &set(&[&new]), at(1)).unwrap();
        assert_eq!(known(&tokens), 1, "what other keys verified is forgotten");
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for_and_what_is_over_goes_first() {
        let key = SigningKey::generate(SigningAlgorithm::EdDSA).unwrap();
        let (tokens, keys) = (KnownTokens::default(), set(&[&key]));
        tokens.read(&issue(&key, 0), &keys, at(1)).unwrap();
        let over = AccessTokenClaims { expires_at: at(5), ..claims(2) };
        fill(&tokens, TOKENS_KNOWN_MAX - 1, &over);
        assert_eq!(known(&tokens), TOKENS_KNOWN_MAX);
        tokens.read(&issue(&key, 1), &keys, at(5)).unwrap();
        assert_eq!(known(&tokens), 2, "the first, which is good still, and the new one");
        fill(&tokens, TOKENS_KNOWN_MAX - 2, &claims(2));
        assert_eq!(known(&tokens), TOKENS_KNOWN_MAX);
        tokens.read(&issue(&key, 3), &keys, at(5)).unwrap();
        assert_eq!(known(&tokens), 1);
    }

    #[test]
    fn a_long_token_is_verified_each_time() {
        let key = SigningKey::generate(SigningAlgorithm::EdDSA).unwrap();
        let (tokens, keys) = (KnownTokens::default(), set(&[&key]));
        assert!(issue(&key, 1).len() < KNOWN_TOKEN_BYTES_MAX / 2);
        let scopes = (0..KNOWN_TOKEN_BYTES_MAX / 10).map(|number| format!("files:{number}").parse::<Scope>().unwrap());
        let long = signed(&key, &AccessTokenClaims { scopes: scopes.collect(), ..claims(1) });
        assert!(long.len() > KNOWN_TOKEN_BYTES_MAX);
        assert!(tokens.read(&long, &keys, at(1)).is_ok());
        assert_eq!(known(&tokens), 0);
    }

    /// One detail says its arguments once, and each of its tools holds them.
    #[test]
    fn a_short_token_that_says_much_is_verified_each_time() {
        let key = SigningKey::generate(SigningAlgorithm::EdDSA).unwrap();
        let (tokens, keys) = (KnownTokens::default(), set(&[&key]));
        let of_tools = |count: usize| {
            let pins: BTreeMap<String, Pin> =
                (b'a'..b'g').map(|name| (char::from(name).into(), Pin::AtMost(1))).collect();
            let tool = |number| ToolGrant { action: format!("files.t{number}").parse().unwrap(), pins: pins.clone() };
            signed(&key, &AccessTokenClaims { details: Some((10..10 + count).map(tool).collect()), ..claims(1) })
        };
        for (count, remembered) in [(32, 0), (2, 1)] {
            let token = of_tools(count);
            assert!(token.len() < KNOWN_TOKEN_BYTES_MAX, "{}", token.len());
            assert!(tokens.read(&token, &keys, at(1)).is_ok());
            assert_eq!(known(&tokens), remembered, "{count} tools");
        }
    }
}
