//! Consent that a user gives apart from the client: on another device (RFC 8628), or told by the back channel (OpenID CIBA,
//! poll mode). The request is durable, its user answers it on their own pages after a fresh proof of who they are, and its
//! client asks until it is answered. What it gets is redeemed once, by that client, with the key that it was asked with.

mod answer;
mod poll;

use std::{net::IpAddr, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::Agent,
    confirmation::Confirmation,
    consent_request::{AskedConsent, ConsentRequest, ConsentStatus},
    digest::Digest,
    grant::GrantKind,
    id::ConsentRequestId,
    name::UserId,
    principal::Principal,
    secret::Secret,
    user::User,
};
use bailiwick_oauth::apart_request::Asked;
use bailiwick_ports::{
    chance::{Entropy, random},
    new_id,
    store::{Spent, StoreError},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::SignedDuration;

pub(super) use self::poll::Polls;
pub use self::{
    answer::{Seen, answer, by_code, open, unfetched, waiting, withdraw},
    poll::{NotYet, Poll, Redeemed, id_token, poll},
};
use super::{Wanted, attainable, wanted_at};
use crate::{broker::Broker, evidence::Draft, refusal::Refusal};

/// The scope of a registration that lets an agent ask users apart from itself: whoever may not bother people cannot.
pub const USER_ASK: &str = "user:ask";
/// Seconds that a request waits unless its client asks for less.
pub const WAITS_S: u32 = 300;
/// Seconds between two questions of a client whether it was answered.
pub const INTERVAL_S: u32 = 5;
/// How long a request that ended is known as such.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);
/// Letters of a code that users type in: no vowels, so no words; 34.5 bits (RFC 8628 §6.1).
const CODE_LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of one code.
const CODE_LENGTH: usize = 8;

/// What a client asks for.
#[derive(Debug)]
pub struct AskApart {
    /// [`GrantKind::DeviceCode`] or [`GrantKind::Ciba`].
    pub kind: GrantKind,
    /// Who is asked, where the client knows.
    pub user: Option<UserId>,
    /// What for.
    pub asked: Asked,
    /// What the client shows as well.
    pub binding_message: Option<String>,
    /// The key that was proved.
    pub confirmation: Option<Confirmation>,
    /// Where the request came from.
    pub from: Option<IpAddr>,
    /// Seconds that it waits at most.
    pub waits_s: Option<u32>,
}

/// A request that waits.
#[derive(Debug)]
pub struct Waiting {
    /// What its client holds: `device_code`, `auth_req_id`.
    pub secret: Secret<String>,
    /// What its user types in.
    pub user_code: Option<Secret<String>>,
    /// Seconds that it waits.
    pub expires_in_s: u32,
}

/// Whether a client may ask users apart from itself.
pub fn may_ask(agent: &Agent) -> bool {
    agent.scopes.iter().any(|scope| scope.as_str() == USER_ASK)
}

/// The active user that a hint names: by their id here, or by an e-mail address that one active user alone has. Whoever
/// left or is suspended is nobody, and in nobody's way.
pub fn hinted(broker: &Broker, hint: &str) -> Option<UserId> {
    let live = broker.live();
    if let Some(user) = hint.parse::<UserId>().ok().and_then(|id| live.users.get(&id)) {
        return user.standing().ok().map(|()| user.id.clone());
    }
    let called = |user: &&Arc<User>| user.email.as_deref() == Some(hint) && user.standing().is_ok();
    let mut found = live.users.values().filter(called);
    match (found.next(), found.next()) {
        (Some(user), None) => Some(user.id.clone()),
        _ => None,
    }
}

/// Keeps a request of an authenticated client, using up what authenticated it.
pub async fn ask(broker: &Broker, agent: &Agent, ask: AskApart, spent: Vec<Spent>) -> Result<Waiting, NotAsked> {
    let now = broker.now();
    let Asked { resource, scopes, details, acr_values } = ask.asked;
    attainable(broker, &acr_values)?;
    let Wanted { scopes, details } = wanted_at(broker, agent, &resource, &scopes, details.as_ref())?;
    let inactive = |inactive| Refusal::Conflict(format!("the client may not act: {inactive}"));
    broker.live().party(&Principal::Agent(agent.name.clone()), now).map_err(inactive)?;
    let bytes: Secret<[u8; 32]> = Secret::new(random(broker.entropy()));
    let secret = Secret::new(URL_SAFE_NO_PAD.encode(bytes.expose()));
    let user_code = ask.user.is_none().then(|| Secret::new(user_code(broker.entropy())));
    let expires_in_s = ask.waits_s.unwrap_or(WAITS_S).clamp(1, WAITS_S);
    let request = ConsentRequest {
        id: new_id!(ConsentRequestId, now, broker.entropy()),
        kind: ask.kind,
        secret: Digest::of(secret.expose().as_bytes()),
        user_code: user_code.as_ref().map(|code| code_digest(code.expose())),
        client: agent.name.clone(),
        user: ask.user,
        asked: AskedConsent {
            resource,
            scopes,
            details,
            acr_values,
            binding_message: ask.binding_message,
            confirmation: ask.confirmation,
            from: ask.from,
        },
        status: ConsentStatus::Waiting,
        created_at: now,
        expires_at: now.checked_add(SignedDuration::from_secs(i64::from(expires_in_s))).unwrap_or(now),
    };
    let entry = draft(broker, &Principal::Agent(agent.name.clone()), &request, "asked").public(broker);
    let forget_before = now.checked_sub(REMEMBERED).unwrap_or(now);
    match broker.store().ask_consent(request, forget_before, spent, entry).await {
        Ok(_) => Ok(Waiting { secret, user_code, expires_in_s }),
        Err(StoreError::Conflict(_)) => Err(NotAsked::TooMany),
        Err(error) => Err(Refusal::from(error).into()),
    }
}

/// Why a request was not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// What it asks for cannot be had.
    #[error(transparent)]
    Unfit(#[from] bailiwick_oauth::error::OAuthError),
    /// Too many of its client or for its user wait.
    #[error("too many requests wait for an answer\nhint: try again when some were answered")]
    TooMany,
    /// Anything else.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

fn draft(broker: &Broker, by: &Principal, request: &ConsentRequest, change: &str) -> Draft {
    Draft::event(broker, EventKind::GrantChanged)
        .field("by", by.to_string())
        .field("change", change)
        .field("request", request.id.to_string())
        .field("kind", request.kind.as_str())
        .field("agent", request.client.as_str())
        .field("resources", vec![request.asked.resource.clone()])
}

/// A code for people to type: each letter equally likely.
fn user_code(entropy: &dyn Entropy) -> String {
    let mut letters = Vec::with_capacity(CODE_LENGTH);
    while letters.len() < CODE_LENGTH {
        let bytes: [u8; 16] = random(entropy);
        let fair = bytes.iter().filter(|byte| **byte < 240);
        letters.extend(fair.filter_map(|byte| CODE_LETTERS.get(usize::from(byte % 20)).copied().map(char::from)));
    }
    letters.iter().take(CODE_LENGTH).collect()
}

fn code_digest(code: &str) -> Digest {
    Digest::of(format!("user-code:{code}").as_bytes())
}
