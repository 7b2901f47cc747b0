//! The broker's own token at a system's authorization server (`client_credentials`, RFC 6749 §4.4): in nobody's name, for
//! systems that hold no users, and for the broker's own looks at those that do. Kept in memory alone: it is had again for
//! the asking.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bailiwick_model::{digest::Digest, name::SystemName, secret::Secret};
use bailiwick_oauth::foreign_grant::joined;
use bailiwick_pdp::catalogue::OauthClient;
use bailiwick_ports::connections::FormPosts;
use jiff::{SignedDuration, Timestamp};

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

/// All of them, by what the tokens are bound to.
#[derive(Default)]
pub(super) struct OwnTokens(Mutex<HashMap<Digest, Place>>);

impl OwnTokens {
    fn place(&self, binding: Digest) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= KEPT_MAX && !places.contains_key(&binding) {
            places.clear();
        }
        Arc::clone(places.entry(binding).or_default())
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
    let place = broker.connections.own.place(binding);
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
