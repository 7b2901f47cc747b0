//! A user connects an account: sent to the system's authorization server, back with a code, which is redeemed at once. All
//! of it belongs to the one browser session in which it began.

use std::collections::BTreeSet;

use bailiwick_model::{
    connection::{Connection, ConnectionStatus},
    digest::Digest,
    id::ConnectionId,
    name::{Scope, SystemName},
    principal::Principal,
    secret::Secret,
    session::Session,
};
use bailiwick_oauth::foreign_grant::{CODE_BYTES_MAX, ConsentAsk, error_word};
use bailiwick_pdp::catalogue::Accounts;
use bailiwick_ports::{connections::FormPosts, new_id};
use jiff::{SignedDuration, Timestamp};

use super::{
    account::{self, Failed, Tokens, plain},
    accounts, draft, redirect_uri,
};
use crate::{
    authorization::held::{Bounds, Held},
    broker::Broker,
    refusal::Refusal,
    sessions,
};

/// How long a user may take at the other side.
const ATTEMPT_LIVES: SignedDuration = SignedDuration::from_mins(10);
/// Attempts under way together, and of them those of one session.
const ATTEMPTS_MAX: usize = 4_096;
const ATTEMPTS_OF_ONE_MAX: usize = 8;

/// Attempts under way, by `state`, which only their own session can take out.
pub(super) struct Attempts(Held<Attempt>);

impl Default for Attempts {
    fn default() -> Self {
        let (entries_max, per_owner_max) = (ATTEMPTS_MAX, ATTEMPTS_OF_ONE_MAX);
        Self(Held::new(Bounds { entries_max, per_owner_max, kept_for: ATTEMPT_LIVES }))
    }
}

struct Attempt {
    system: SystemName,
    /// What the catalogue said when it began: a server that was declared since gets nothing of it.
    binding: Digest,
    /// What was asked for, which an answer without `scope` gives.
    scopes: BTreeSet<Scope>,
    verifier: Secret<String>,
    redirect_uri: String,
}

/// What a browser brings back (RFC 6749 §4.1.2, RFC 9207).
#[derive(Debug, Default)]
pub struct Returned {
    /// `state`.
    pub state: Option<String>,
    /// `code`.
    pub code: Option<Secret<String>>,
    /// `iss`.
    pub iss: Option<String>,
    /// `error`.
    pub error: Option<String>,
}

/// Where a user's browser goes to connect an account at a system. `origin` is that of our pages.
pub fn begin(broker: &Broker, session: &Session, system: &SystemName, origin: &str) -> Result<String, Refusal> {
    sessions::standing(broker, &session.user)?;
    let (accounts, binding) = accounts(&broker.live(), system).ok_or_else(|| no_accounts(system))?;
    let verifier = sessions::new_token(broker);
    let attempt = Attempt {
        system: system.clone(),
        binding,
        scopes: accounts.client.scopes.clone(),
        verifier: verifier.clone(),
        redirect_uri: redirect_uri(origin, system),
    };
    let redirect_uri = attempt.redirect_uri.clone();
    let attempts = &broker.connections.attempts.0;
    let state = attempts.put(&session.id.to_string(), attempt, broker.now(), broker.entropy());
    let state = state.map_err(|_| Refusal::Unavailable("too many accounts are being connected at once".to_owned()))?;
    let ask = ConsentAsk {
        client: &accounts.client.client_id,
        redirect_uri: &redirect_uri,
        scopes: &accounts.client.scopes,
        resource: accounts.client.resource.as_deref(),
        state: &state,
        verifier: &verifier,
    };
    Ok(ask.url(&accounts.authorization_endpoint).into())
}

/// The browser is back at the place of `system`: the code becomes a connection.
pub async fn finish(
    broker: &Broker,
    posts: &dyn FormPosts,
    session: &Session,
    system: &SystemName,
    returned: Returned,
) -> Result<Connection, Refusal> {
    let Returned { state, code, iss, error } = returned;
    let attempts = &broker.connections.attempts.0;
    let attempt = state.and_then(|state| attempts.take(&session.id.to_string(), &state, broker.now()));
    let attempt = attempt.filter(|attempt| attempt.system == *system).ok_or_else(|| {
        Refusal::invalid(
            "this browser did not begin this, or began it more than ten minutes ago",
            "begin again at your account's connections",
        )
    })?;
    let (accounts, binding) = accounts(&broker.live(), system).ok_or_else(|| no_accounts(system))?;
    if binding != attempt.binding || accounts.client.scopes != attempt.scopes {
        return Err(Refusal::Conflict(format!("how accounts at `{system}` are connected was changed meanwhile")));
    }
    if iss.is_some_and(|iss| iss != accounts.client.issuer) {
        return Err(Refusal::Conflict(format!("the answer is not from the server of `{system}`")));
    }
    if let Some(error) = error {
        return Err(Refusal::Conflict(format!("the server of `{system}` says `{}`", error_word(&error))));
    }
    let code = code.filter(|code| (1..=CODE_BYTES_MAX).contains(&code.expose().len()));
    let code = code.ok_or_else(|| Refusal::Conflict(format!("the server of `{system}` gave no code")))?;
    let form = vec![
        plain("grant_type", "authorization_code"),
        ("code", code),
        plain("redirect_uri", &attempt.redirect_uri),
        ("code_verifier", attempt.verifier),
    ];
    let given =
        account::ask_for_user(broker, posts, &accounts, form, &accounts.client.scopes).await.map_err(|failed| {
            tracing::warn!(system.name = %system, error = %failed, "an account is not connected");
            match failed {
                Failed::NotGiven(why) => Refusal::Conflict(format!("the server of `{system}` gave no tokens: {why}")),
                Failed::NotAsked(_) => Refusal::Unavailable(format!("the server of `{system}` cannot be asked now")),
            }
        })?;
    let now = broker.now();
    let mut connection = Connection {
        id: new_id!(ConnectionId, now, broker.entropy()),
        user: session.user.clone(),
        system: system.clone(),
        binding,
        scopes: given.scopes.unwrap_or_else(|| accounts.client.scopes.clone()),
        sealed: Vec::new(),
        version: 1,
        connected_at: now,
        renewed_at: now,
        expires_at: ends_at(now, given.expires_in_s),
        status: ConnectionStatus::Active,
    };
    let tokens = Tokens { access: given.access, refresh: given.refresh };
    account::seal(broker, &mut connection, &tokens).await?;
    keep(broker, posts, &accounts, &connection, &tokens).await?;
    Ok(connection)
}

/// Keeps a connection. Tokens that cannot be kept are taken back: nobody would know of them.
async fn keep(
    broker: &Broker,
    posts: &dyn FormPosts,
    accounts: &Accounts,
    connection: &Connection,
    tokens: &Tokens,
) -> Result<(), Refusal> {
    let by = Principal::User(connection.user.clone());
    let entry = draft(broker, &by, connection, "connected").public(broker);
    let Err(error) = broker.ports.store.connect(connection.clone(), entry).await else {
        // It may have taken the place of another account's: what is open in that one's name does not go on in this one's.
        let _ = broker.connections.ended.send((connection.user.clone(), connection.system.clone()));
        return Ok(());
    };
    for token in [tokens.refresh.as_ref(), Some(&tokens.access)].into_iter().flatten() {
        drop(account::revoke(broker, posts, accounts, token).await);
    }
    Err(error.into())
}

/// When a token ends that was given now.
pub(super) fn ends_at(now: Timestamp, expires_in_s: Option<u64>) -> Option<Timestamp> {
    let seconds = i64::try_from(expires_in_s?).ok()?;
    now.checked_add(SignedDuration::from_secs(seconds)).ok()
}

fn no_accounts(system: &SystemName) -> Refusal {
    Refusal::Missing(format!("a system `{system}` that holds its own users"))
}
