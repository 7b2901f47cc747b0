//! ID tokens (OpenID Connect Core §2, §3.1.3.7): how another provider tells us who somebody is. Believed only if a key of that
//! provider signed it by an algorithm that the operator admits, for us alone, for this very sign-in.

use bailiwick_model::name::Acr;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    claims::{CLOCK_SKEW_S, ClaimError, Claims, later},
    foreign_keys::ForeignKeys,
    jws::{JwsError, TokenType, UnverifiedToken},
};

/// Seconds since it was made: it comes straight from the token endpoint.
const AGE_S_MAX: i64 = 300;
/// Audiences that one names.
const AUDIENCES_MAX: usize = 8;
/// Characters of a subject (§2).
const SUBJECT_CHARS_MAX: usize = 255;

/// Why an ID token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// The token itself.
    #[error("id token: {0}")]
    Token(#[from] JwsError),
    /// A claim is missing or unfit.
    #[error("id token: {0}")]
    Claim(#[from] ClaimError),
    /// Its provider publishes no such key.
    #[error("id token: its provider has no fit key of that name")]
    UnknownKey,
    /// Another issuer.
    #[error("id token: `iss` is another issuer")]
    Issuer,
    /// Another client, or several of which the one that asked is not ours.
    #[error("id token: it is for another client")]
    Audience,
    /// Of another sign-in.
    #[error("id token: its `nonce` is not the one of this sign-in")]
    Nonce,
    /// It is over.
    #[error("id token: it has expired")]
    Expired,
    /// It comes from the future, or is too old.
    #[error("id token: `{0}` does not fit our clock")]
    Clock(&'static str),
    /// The user proved who they are too long ago.
    #[error("id token: its user proved who they are too long ago")]
    TooOld,
}

/// What an ID token is checked against.
#[derive(Debug, Clone, Copy)]
pub struct IdTokenRules<'a> {
    /// The provider, byte for byte.
    pub issuer: &'a str,
    /// Who we are there.
    pub client_id: &'a str,
    /// What this sign-in was asked with.
    pub nonce: &'a str,
    /// Seconds since the user proved who they are, where that was asked for: then `auth_time` must be there.
    pub max_age_s: Option<u32>,
}

/// What a provider says of somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct IdToken {
    /// Who: of one kind within the provider, never given to somebody else.
    pub subject: String,
    /// When they proved it, if the provider says.
    pub authenticated_at: Option<Timestamp>,
    /// How well, in the provider's words.
    pub acr: Option<Acr>,
    claims: Claims,
}

impl IdToken {
    /// Verifies one that came from the provider's token endpoint.
    pub fn verify(
        token: &str,
        keys: &ForeignKeys,
        rules: &IdTokenRules<'_>,
        now: Timestamp,
    ) -> Result<Self, IdTokenError> {
        let unverified = UnverifiedToken::parse(token, TokenType::WorkloadToken)?;
        let key = keys.named(unverified.kid()).ok_or(IdTokenError::UnknownKey)?;
        let verified = unverified.verify(key)?;
        let claims = verified.claims();
        if claims.text("iss")? != rules.issuer {
            return Err(IdTokenError::Issuer);
        }
        check_audience(claims, rules.client_id)?;
        if claims.text("nonce")? != rules.nonce {
            return Err(IdTokenError::Nonce);
        }
        if later(claims.time("exp")?, CLOCK_SKEW_S) <= now {
            return Err(IdTokenError::Expired);
        }
        let issued_at = claims.time("iat")?;
        if issued_at > later(now, CLOCK_SKEW_S) || issued_at < later(now, -(AGE_S_MAX + CLOCK_SKEW_S)) {
            return Err(IdTokenError::Clock("iat"));
        }
        if claims.optional_time("nbf")?.is_some_and(|not_before| not_before > later(now, CLOCK_SKEW_S)) {
            return Err(IdTokenError::Clock("nbf"));
        }
        let authenticated_at = claims.optional_time("auth_time")?;
        check_authentication(authenticated_at, rules.max_age_s, now)?;
        let subject = claims.text("sub")?;
        if subject.is_empty()
            || subject.len() > SUBJECT_CHARS_MAX
            || !subject.bytes().all(|b| (b' '..=b'~').contains(&b))
        {
            return Err(ClaimError::Unfit { name: "sub", expected: "a subject" }.into());
        }
        Ok(Self {
            subject: subject.to_owned(),
            authenticated_at: authenticated_at.map(|at| at.min(now)),
            // One that is no class of ours is none.
            acr: claims.optional_text("acr")?.and_then(|acr| acr.parse().ok()),
            claims: claims.clone(),
        })
    }

    /// A text among its claims; one of another kind is none.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.value(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The address, if the provider says that it is theirs.
    pub fn verified_email(&self) -> Option<&str> {
        let verified = self.claims.value("email_verified") == Some(&Value::Bool(true));
        self.text("email").filter(|_| verified)
    }

    /// Whether a claim is this text, or a list that has it.
    pub fn says(&self, name: &str, value: &str) -> bool {
        match self.claims.value(name) {
            Some(Value::String(text)) => text == value,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(value)),
            _ => false,
        }
    }
}

/// `aud` names us; where it names others too, or says who asked, that was us (§3.1.3.7, 3 to 5).
fn check_audience(claims: &Claims, client_id: &str) -> Result<(), IdTokenError> {
    let unfit = || ClaimError::Unfit { name: "aud", expected: "one or a few audiences" };
    let several = match claims.value("aud").ok_or(ClaimError::Missing("aud"))? {
        Value::String(text) if text == client_id => false,
        Value::String(_) => return Err(IdTokenError::Audience),
        Value::Array(all) if !all.is_empty() && all.len() <= AUDIENCES_MAX && all.iter().all(Value::is_string) => {
            if !all.iter().any(|one| one.as_str() == Some(client_id)) {
                return Err(IdTokenError::Audience);
            }
            all.len() > 1
        }
        _ => return Err(unfit().into()),
    };
    match claims.optional_text("azp")? {
        Some(party) if party != client_id => Err(IdTokenError::Audience),
        None if several => Err(IdTokenError::Audience),
        _ => Ok(()),
    }
}

fn check_authentication(at: Option<Timestamp>, max_age_s: Option<u32>, now: Timestamp) -> Result<(), IdTokenError> {
    if at.is_some_and(|at| at > later(now, CLOCK_SKEW_S)) {
        return Err(IdTokenError::Clock("auth_time"));
    }
    match (at, max_age_s) {
        (_, None) => Ok(()),
        (None, Some(_)) => Err(ClaimError::Missing("auth_time").into()),
        (Some(at), Some(max)) if later(at, i64::from(max) + CLOCK_SKEW_S) < now => Err(IdTokenError::TooOld),
        (Some(_), Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_model::jwk::SigningAlgorithm;
    use serde_json::json;

    use super::*;
    use crate::{
        foreign_keys::Purpose,
        test_keys::{TestKey, p256, rsa},
    };

    const ISSUER: &str = "https://idp.example";
    const RULES: IdTokenRules<'_> = IdTokenRules { issuer: ISSUER, client_id: "broker", nonce: "n-1", max_age_s: None };
    const NOW_S: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW_S).unwrap()
    }

    fn keys(key: &TestKey) -> ForeignKeys {
        let set = json!({ "keys": [serde_json::from_str::<Value>(&key.public.jwk).unwrap()] });
        ForeignKeys::read(set.to_string().as_bytes(), &[SigningAlgorithm::ES256], Purpose::Signatures).unwrap()
    }

    fn claims(changes: &Value) -> Value {
        let mut claims = json!({
            "iss": ISSUER, "aud": "broker", "sub": "00u1", "nonce": "n-1", "exp": NOW_S + 300, "iat": NOW_S - 2,
            "email": "ada@example.com", "email_verified": true, "tid": "t-1", "groups": ["staff"], "acr": "phr",
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn read(changes: &Value, rules: &IdTokenRules<'_>) -> Result<IdToken, IdTokenError> {
        let key = p256();
        let token = key.token(TokenType::WorkloadToken, &claims(changes));
        IdToken::verify(&token, &keys(&key), rules, now())
    }

    #[test]
    fn an_honest_one_says_who() {
        let token = read(&json!({}), &RULES).unwrap();
        assert_eq!((token.subject.as_str(), token.verified_email()), ("00u1", Some("ada@example.com")));
        assert!(token.says("tid", "t-1") && token.says("groups", "staff") && !token.says("groups", "st"));
        assert_eq!(token.acr.map(|acr| acr.to_string()).as_deref(), Some("phr"));
        assert!(read(&json!({ "aud": ["broker", "other"], "azp": "broker" }), &RULES).is_ok());
        assert!(read(&json!({ "auth_time": NOW_S - 100 }), &IdTokenRules { max_age_s: Some(300), ..RULES }).is_ok());
        assert_eq!(read(&json!({ "email_verified": "true" }), &RULES).unwrap().verified_email(), None);
    }

    #[test]
    fn every_other_is_refused() {
        let fresh = IdTokenRules { max_age_s: Some(300), ..RULES };
        for (changes, rules) in [
            (json!({ "iss": "https://idp.example/" }), RULES),
            (json!({ "iss": "https://other.example" }), RULES),
            (json!({ "aud": "another" }), RULES),
            (json!({ "aud": ["another"] }), RULES),
            (json!({ "aud": ["broker", "other"] }), RULES),
            (json!({ "aud": ["broker", "other"], "azp": "other" }), RULES),
            (json!({ "azp": "other" }), RULES),
            (json!({ "aud": [] }), RULES),
            (json!({ "aud": null }), RULES),
            (json!({ "nonce": null }), RULES),
            (json!({ "nonce": "n-2" }), RULES),
            (json!({ "nonce": 1 }), RULES),
            (json!({ "exp": NOW_S - 61 }), RULES),
            (json!({ "exp": null }), RULES),
            (json!({ "iat": NOW_S + 120 }), RULES),
            (json!({ "iat": NOW_S - 3_600 }), RULES),
            (json!({ "nbf": NOW_S + 120 }), RULES),
            (json!({ "sub": "" }), RULES),
            (json!({ "sub": "a\nb" }), RULES),
            (json!({ "sub": "a".repeat(256) }), RULES),
            (json!({}), fresh),
            (json!({ "auth_time": NOW_S - 1_000 }), fresh),
            (json!({ "auth_time": NOW_S + 1_000 }), RULES),
        ] {
            assert!(read(&changes, &rules).is_err(), "{changes} {rules:?}");
        }
    }

    #[test]
    fn only_keys_and_algorithms_that_were_admitted_count() {
        let (key, other) = (p256(), rsa());
        let token = key.token(TokenType::WorkloadToken, &claims(&json!({})));
        assert_eq!(IdToken::verify(&token, &ForeignKeys::default(), &RULES, now()), Err(IdTokenError::UnknownKey));
        let foreign = other.token(TokenType::WorkloadToken, &claims(&json!({})));
        assert!(IdToken::verify(&foreign, &keys(&key), &RULES, now()).is_err());
        let access = key.token(TokenType::AccessToken, &claims(&json!({})));
        assert!(matches!(
            IdToken::verify(&access, &keys(&key), &RULES, now()),
            Err(IdTokenError::Token(JwsError::Type(_)))
        ));
        let (_, rest) = token.split_once('.').unwrap();
        let kid = &key.public.kid;
        for header in [
            json!({ "alg": "none" }),
            json!({ "alg": "HS256", "kid": kid }),
            json!({ "alg": "RS256", "kid": kid }),
            json!({ "alg": "ES256", "kid": kid, "jwk": {} }),
            json!({ "alg": "ES256", "kid": kid, "crit": ["b64"] }),
        ] {
            use base64::Engine as _;
            let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string());
            let forged = format!("{header}.{rest}");
            assert!(IdToken::verify(&forged, &keys(&key), &RULES, now()).is_err(), "{forged}");
            let unsigned = format!("{}.", forged.rsplit_once('.').unwrap().0);
            assert!(IdToken::verify(&unsigned, &keys(&key), &RULES, now()).is_err());
        }
    }
}
