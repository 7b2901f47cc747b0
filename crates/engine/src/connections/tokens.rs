//! The token for one call, renewed when it is about to end: by one task at a time per connection, and kept before anybody
//! uses it. Whoever is cut off between the server's answer and the commit has lost the refresh token, as the server sees
//! it, and connects again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bailiwick_model::{
    connection::Connection,
    digest::Digest,
    id::ConnectionId,
    name::{SystemName, UserId},
    principal::Principal,
    secret::Secret,
};
use bailiwick_pdp::catalogue::Accounts;
use bailiwick_ports::{connections::FormPosts, store::StoreError};
use jiff::{SignedDuration, Timestamp};

use super::{
    account::{self, Failed, Tokens, plain},
    accounts,
    connect::ends_at,
    draft, is_good,
};
use crate::{broker::Broker, refusal::Refusal, sessions};

/// A token that ends sooner than this is renewed first, so that it does not end on its way; one that does not live four
/// times as long, after three quarters of its life.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(30);

/// Why there is no token for a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// The user has connected no account there, or has to do it again.
    #[error("its user has no account connected there")]
    NotConnected,
    /// The other side does not answer, or we cannot ask; the same call can succeed later.
    #[error("the server that renews its user's token cannot be asked now")]
    Unavailable,
}

/// For so long whoever waited behind a renewal that failed does not try again: a server that is away is waited for once.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(2);

/// One renewal at a time; until when, after one that failed, none is tried.
type Turn = tokio::sync::Mutex<Option<Timestamp>>;

/// Who renews what, in this process.
#[derive(Default)]
pub(super) struct Renewals(Mutex<HashMap<ConnectionId, Weak<Turn>>>);

impl Renewals {
    fn turn(&self, id: ConnectionId) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&id).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(id, Arc::downgrade(&turn));
        turn
    }
}

/// The access token for calls that are made for `user` at `system`. One that the system has just `refused` is renewed.
pub async fn token(
    broker: &Arc<Broker>,
    posts: &Arc<dyn FormPosts>,
    user: &UserId,
    system: &SystemName,
    refused: Option<&Secret<String>>,
) -> Result<Secret<String>, NoToken> {
    let found = Found::of(broker, user, system).await?;
    if found.serves(broker.now(), refused) {
        return Ok(found.tokens.access);
    }
    // A task of its own, so that whoever goes away meanwhile takes no refresh token along.
    let (broker, posts, refused) = (Arc::clone(broker), Arc::clone(posts), refused.cloned());
    let (user, system, id) = (user.clone(), system.clone(), found.connection.id);
    let renewing = tokio::spawn(async move {
        let turn = broker.connections.renewals.turn(id);
        let mut not_before = turn.lock().await;
        // Whoever had the turn before may have renewed it.
        let (found, now) = (Found::of(&broker, &user, &system).await?, broker.now());
        if found.serves(now, refused.as_ref()) {
            return Ok(found.tokens.access);
        }
        let spent = found.is_spent(now, refused.as_ref());
        if not_before.is_some_and(|until| now < until) {
            return if spent { Err(NoToken::Unavailable) } else { Ok(found.tokens.access) };
        }
        let access = found.tokens.access.clone();
        match renew(&broker, posts.as_ref(), found, spent).await {
            Err(NoToken::Unavailable) => {
                *not_before = broker.now().checked_add(AFTER_FAILURE).ok();
                if spent { Err(NoToken::Unavailable) } else { Ok(access) }
            }
            renewed => renewed,
        }
    });
    renewing.await.unwrap_or(Err(NoToken::Unavailable))
}

/// A connection as it stands, opened.
struct Found {
    accounts: Arc<Accounts>,
    connection: Connection,
    tokens: Tokens,
}

impl Found {
    async fn of(broker: &Broker, user: &UserId, system: &SystemName) -> Result<Self, NoToken> {
        sessions::standing(broker, user).map_err(|_| NoToken::NotConnected)?;
        let (accounts, binding): (_, Digest) = accounts(&broker.live(), system).ok_or(NoToken::NotConnected)?;
        let connection = broker.ports.store.connection(user, system).await.map_err(|error| unavailable(&error))?;
        let connection = connection.filter(|connection| is_good(connection, &accounts, binding));
        let connection = connection.ok_or(NoToken::NotConnected)?;
        let tokens = account::open(broker, &connection).await.map_err(|error| unavailable(&error))?;
        Ok(Self { accounts, connection, tokens })
    }

    /// Whether a call can be made with it as it is.
    fn serves(&self, now: Timestamp, refused: Option<&Secret<String>>) -> bool {
        !renewal_due(self.connection.renewed_at, self.connection.expires_at, now)
            && refused != Some(&self.tokens.access)
    }

    /// Whether it is no good at all any more without a renewal.
    fn is_spent(&self, now: Timestamp, refused: Option<&Secret<String>>) -> bool {
        self.connection.expires_at.is_some_and(|end| end <= now) || refused == Some(&self.tokens.access)
    }
}

/// Whether a token that was given at `since` is to be renewed.
pub(super) fn renewal_due(since: Timestamp, ends_at: Option<Timestamp>, now: Timestamp) -> bool {
    ends_at.is_some_and(|end| end.duration_since(now) <= RENEW_BEFORE.min(end.duration_since(since) / 4))
}

async fn renew(broker: &Broker, posts: &dyn FormPosts, found: Found, spent: bool) -> Result<Secret<String>, NoToken> {
    let Found { accounts, mut connection, tokens } = found;
    let Some(refresh) = tokens.refresh else {
        return if spent { give_up(broker, &connection).await } else { Ok(tokens.access) };
    };
    let form = vec![plain("grant_type", "refresh_token"), ("refresh_token", refresh.clone())];
    // What the connection allows, which the bundle's scopes bound, or it would not have been found.
    let given = match account::ask_for_user(broker, posts, &accounts, form, &connection.scopes).await {
        Ok(given) => given,
        Err(failed) => {
            tracing::warn!(connection.id = %connection.id, error = %failed, "an account's token is not renewed");
            return match failed {
                Failed::NotGiven(why) if !why.is_passing() => give_up(broker, &connection).await,
                Failed::NotGiven(_) | Failed::NotAsked(_) => Err(NoToken::Unavailable),
            };
        }
    };
    let now = broker.now();
    connection.version += 1;
    connection.renewed_at = now;
    connection.expires_at = ends_at(now, given.expires_in_s);
    connection.scopes = given.scopes.unwrap_or(connection.scopes);
    let next = Tokens { access: given.access, refresh: given.refresh.or(Some(refresh)) };
    account::seal(broker, &mut connection, &next).await.map_err(|error| unavailable(&error))?;
    let by = Principal::User(connection.user.clone());
    let entry = draft(broker, &by, &connection, "renewed").public(broker);
    match broker.ports.store.renew_connection(connection, entry).await {
        Ok(_) => Ok(next.access),
        Err(error) => {
            // It ended meanwhile, or nothing can be kept: what was just given is for nobody.
            for token in [next.refresh.as_ref(), Some(&next.access)].into_iter().flatten() {
                drop(account::revoke(broker, posts, &accounts, token).await);
            }
            match error {
                StoreError::Conflict(_) => Err(NoToken::NotConnected),
                error => Err(unavailable(&error)),
            }
        }
    }
}

/// The server does not renew it: it is over, and its user connects again.
async fn give_up(broker: &Broker, connection: &Connection) -> Result<Secret<String>, NoToken> {
    let by = Principal::User(connection.user.clone());
    let entry = draft(broker, &by, connection, "refused").public(broker);
    match broker.ports.store.end_connection(connection.id, broker.now(), entry).await {
        Ok(_) | Err(StoreError::Missing(_)) => {
            let _ = broker.connections.ended.send((connection.user.clone(), connection.system.clone()));
            Err(NoToken::NotConnected)
        }
        Err(error) => Err(unavailable(&Refusal::from(error))),
    }
}

fn unavailable(error: &dyn std::error::Error) -> NoToken {
    tracing::warn!(%error, "an account's token is not to be had");
    NoToken::Unavailable
}
