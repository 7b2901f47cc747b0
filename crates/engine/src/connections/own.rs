//! The broker's own token at a system's authorization server (`client_credentials`, RFC 6749 §4.4): in nobody's name, for
//! systems that hold no users, and for the broker's own looks at those that do. Kept in memory alone: it is had again for
//! the asking.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bailiwick_model::{
    digest::Digest,
    name::{Scope, SystemName},
    secret::Secret,
};
use bailiwick_oauth::foreign_grant::joined;
use bailiwick_pdp::catalogue::OauthClient;
use bailiwick_ports::connections::FormPosts;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    NoToken,
    account::{self, plain},
    connect::ends_at,
    tokens::renewal_due,
};
use crate::broker::Broker;

/// Tokens that are kept; beyond them all are forgotten, and had again.
const KEPT_MAX: usize = 256;
/// For so long nobody asks a server again that gave none.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(2);

/// What is kept of one client.
enum Kept {
    Token { token: Secret<String>, since: Timestamp, ends_at: Option<Timestamp> },
    Failed { until: Option<Timestamp> },
}

type Place = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// All of them, by system, what the tokens are bound to, and what else they were asked for with.
#[derive(Default)]
pub(super) struct OwnTokens(Mutex<HashMap<Key, Place>>);

type Key = (SystemName, Digest);

/// Nobody comes with a token that another system was given, or that was asked for with other scopes or another proof.
fn key(system: &SystemName, client: &OauthClient, binding: Digest) -> Key {
    let asked = (client.written(), client.scopes.iter().map(Scope::as_str).collect::<Vec<_>>());
    (system.clone(), Digest::of(json!([binding.to_string(), asked]).to_string().as_bytes()))
}

impl OwnTokens {
    fn place(&self, key: Key) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= KEPT_MAX && !places.contains_key(&key) {
            places.clear();
        }
        Arc::clone(places.entry(key).or_default())
    }
}

/// The token, renewed when it is about to end, or because the system has just `refused` it. `binding` is what it is bound to.
pub async fn own_token(
    broker: &Broker,
    posts: &dyn FormPosts,
    system: &SystemName,
    (client, binding): (&OauthClient, Digest),
    refused: Option<&Secret<String>>,
) -> Result<Secret<String>, NoToken> {
    let place = broker.connections.own.place(key(system, client, binding));
    let mut kept = place.lock().await;
    let now = broker.now();
    match &*kept {
        Some(Kept::Token { token, since, ends_at })
            if refused != Some(token) && !renewal_due(*since, *ends_at, now) =>
        {
            return Ok(token.clone());
        }
        Some(Kept::Failed { until: Some(until) }) if now < *until => return Err(NoToken::Unavailable),
        _ => {}
    }
    let mut form = vec![plain("grant_type", "client_credentials")];
    if !client.scopes.is_empty() {
        form.push(plain("scope", &joined(&client.scopes)));
    }
    let given = match account::ask(broker, posts, client, form).await {
        Ok(given) if account::is_wider(&given, &client.scopes) => Err(account::WIDER),
        other => other,
    };
    match given {
        Ok(given) => {
            let (token, now) = (given.access, broker.now());
            *kept = Some(Kept::Token { token: token.clone(), since: now, ends_at: ends_at(now, given.expires_in_s) });
            Ok(token)
        }
        Err(failed) => {
            tracing::warn!(system.name = %system, error = %failed, "the broker gets no token of its own");
            *kept = Some(Kept::Failed { until: now.checked_add(AFTER_FAILURE).ok() });
            Err(NoToken::Unavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_pdp::catalogue::ClientAuthentication;

    use super::*;

    #[test]
    fn tokens_are_kept_apart_by_system_scopes_and_proof() {
        let (crm, files) = ("crm".parse().unwrap(), "files".parse().unwrap());
        let client = OauthClient {
            issuer: "https://login.test".to_owned(),
            token_endpoint: "https://login.test/token".parse().unwrap(),
            client_id: "bailiwick".to_owned(),
            authentication: ClientAuthentication::PrivateKeyJwt,
            scopes: ["read".parse().unwrap()].into(),
            resource: None,
        };
        let other_scopes =
            OauthClient { scopes: ["read".parse().unwrap(), "write".parse().unwrap()].into(), ..client.clone() };
        let other_proof = OauthClient {
            authentication: ClientAuthentication::SecretPost("crm/secret".parse().unwrap()),
            ..client.clone()
        };
        let (here, there) = (Digest::of(b"here"), Digest::of(b"there"));
        let same = key(&crm, &client, here);
        assert_eq!(same, key(&crm, &client.clone(), here));
        for other in [
            key(&files, &client, here),
            key(&crm, &client, there),
            key(&crm, &other_scopes, here),
            key(&crm, &other_proof, here),
        ] {
            assert_ne!(same, other);
        }
    }
}
