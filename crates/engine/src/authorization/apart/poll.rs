//! The client's side of consent apart from it: asking whether its request was answered, and redeeming it once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use bailiwick_model::{
    agent::Agent,
    confirmation::Confirmation,
    consent_request::{ConsentKey, ConsentRequest, ConsentStatus},
    digest::Digest,
    grant::{Authentication, Grant, GrantKind, GrantStatus},
    id::GrantId,
    jwk::Thumbprint,
    name::{AgentName, UserId},
    principal::Principal,
    secret::Secret,
};
use bailiwick_oauth::id_token::IdToken;
use bailiwick_ports::{new_id, store::Spent};
use jiff::{SignedDuration, Timestamp};

use super::{super::chain, INTERVAL_S, REMEMBERED, may_ask};
use crate::{
    broker::Broker,
    grants, refresh,
    refusal::Refusal,
    tokens::{self, Audience, Issued, TokenAsk, TokenRefusal},
};

/// Seconds that the interval grows by for a client that does not keep it (RFC 8628 §3.5).
const SLOWER_S: u32 = 5;
/// Clients' last questions that are kept in mind.
const POLLS_MAX: usize = 8_192;
/// How long an ID token lives: it says that somebody was there, not that they still are.
const ID_TOKEN_LIVES: SignedDuration = SignedDuration::from_mins(5);

/// A client that asks whether its request was answered.
#[derive(Debug)]
pub struct Poll {
    /// By which grant it asks.
    pub kind: GrantKind,
    /// What it holds.
    pub secret: Secret<String>,
    /// The credential that authenticated it.
    pub credential: Thumbprint,
    /// The key that the token is to be bound to.
    pub confirmation: Option<Confirmation>,
    /// The assertion's and the proof's identifiers.
    pub spent: Vec<Spent>,
}

/// What came of an answered request.
#[derive(Debug)]
pub struct Redeemed {
    /// The access token.
    pub issued: Issued,
    /// What renews it.
    pub refresh_token: Secret<String>,
    /// Who allowed it.
    pub user: UserId,
    /// How they proved who they are.
    pub authentication: Authentication,
}

/// Why a client gets nothing yet, or at all.
#[derive(Debug, thiserror::Error)]
pub enum NotYet {
    /// Nobody answered.
    #[error("its user has not answered yet")]
    Pending,
    /// The client asks more often than it may.
    #[error("its user has not answered yet, and this was asked too soon\nhint: wait {0} seconds between two questions")]
    SlowDown(u32),
    /// The user said no, or they or the client were stopped meanwhile.
    #[error("its user refused, took it back, or was stopped")]
    Denied,
    /// Nobody answered in time.
    #[error("its time is over\nhint: ask anew")]
    Expired,
    /// It is refused.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
}

/// Clients' last questions: in memory, as nothing but their pace hangs on it.
#[derive(Default)]
pub(in crate::authorization) struct Polls(Mutex<HashMap<Digest, (Timestamp, u32)>>);

impl Polls {
    /// Notes a question; the interval that its client did not keep, if so.
    fn note(&self, secret: Digest, now: Timestamp) -> Option<u32> {
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if polls.len() >= POLLS_MAX {
            polls.retain(|_, (at, _)| now.duration_since(*at) < REMEMBERED);
        }
        let (last, interval) = polls.get(&secret).copied().unwrap_or((Timestamp::MIN, INTERVAL_S));
        let kept = now.duration_since(last) >= SignedDuration::from_secs(i64::from(interval));
        let interval = if kept { interval } else { interval.saturating_add(SLOWER_S) };
        if polls.len() < POLLS_MAX || polls.contains_key(&secret) {
            polls.insert(secret, (now, interval));
        }
        (!kept).then_some(interval)
    }
}

/// A client asks whether its request was answered; an allowed one becomes a grant, once. Whatever it is told, its assertion
/// and its proof are used up: a copy of a question that came too early must not get the answer.
pub async fn poll(broker: &Broker, agent: &Agent, poll: Poll) -> Result<Redeemed, NotYet> {
    let not_yet = match allowed(broker, agent, &poll).await {
        Ok((request, said)) => return redeem(broker, agent, &request, poll, said).await,
        Err(not_yet) => not_yet,
    };
    broker.store().use_up(poll.spent).await.map_err(tokens::not_written)?;
    match not_yet {
        // After it: a copy makes nobody wait longer.
        NotYet::Refused(_) | NotYet::SlowDown(_) => Err(not_yet),
        NotYet::Pending | NotYet::Denied | NotYet::Expired => {
            let secret = Digest::of(poll.secret.expose().as_bytes());
            Err(broker.authorizations.polls.note(secret, broker.now()).map_or(not_yet, NotYet::SlowDown))
        }
    }
}

/// The request that a client may redeem now, and what its user said.
async fn allowed(
    broker: &Broker,
    agent: &Agent,
    poll: &Poll,
) -> Result<(ConsentRequest, (Authentication, Timestamp)), NotYet> {
    let now = broker.now();
    let secret = Digest::of(poll.secret.expose().as_bytes());
    let found = broker.store().consent_request(ConsentKey::Secret(secret)).await.map_err(tokens::not_written)?;
    let request = found
        .filter(|request| request.client == agent.name && request.kind == poll.kind)
        .ok_or_else(|| refused("the request is none of this client's, or was forgotten"))?;
    if request.asked.confirmation.is_some() && request.asked.confirmation != poll.confirmation {
        return Err(refused("the proof is not by the key that the request was made with").into());
    }
    if !may_ask(agent) {
        return Err(refused("this client may not ask users apart from itself any more").into());
    }
    for principal in request.user.iter().cloned().map(Principal::User).chain([Principal::Agent(agent.name.clone())]) {
        let inactive = |inactive| refused(&format!("`{principal}` may not act: {inactive}"));
        broker.live().party(&principal, now).map_err(inactive)?;
    }
    match request.status.clone() {
        ConsentStatus::Redeemed { .. } => Err(refused("it was redeemed before").into()),
        ConsentStatus::Allowed { authentication, until } if now < request.expires_at => {
            Ok((request, (authentication, until)))
        }
        ConsentStatus::Refused => Err(NotYet::Denied),
        _ if request.expires_at <= now => Err(NotYet::Expired),
        _ => Err(NotYet::Pending),
    }
}

async fn redeem(
    broker: &Broker,
    agent: &Agent,
    request: &ConsentRequest,
    poll: Poll,
    (authentication, until): (Authentication, Timestamp),
) -> Result<Redeemed, NotYet> {
    let now = broker.now();
    let user = request.user.clone().ok_or_else(|| refused("nobody answered it"))?;
    let audience = Audience::of_resource(&broker.settings().issuer, &request.asked.resource)
        .ok_or_else(|| TokenRefusal::Target("no such resource for this client".to_owned()))?;
    if poll.confirmation.is_none() && !agent.bearer_tokens_allowed {
        return Err(TokenRefusal::Proof("a DPoP proof is required for this client".to_owned()).into());
    }
    let grant = Grant {
        id: new_id!(GrantId, now, broker.entropy()),
        kind: request.kind,
        chain: chain(&user, &agent.name).ok_or_else(|| refused("nobody can act so"))?,
        parent: None,
        subject: None,
        vouched: None,
        resources: BTreeSet::from([request.asked.resource.clone()]),
        scopes: request.asked.scopes.clone(),
        details: request.asked.details.clone(),
        task: None,
        authentication: Some(authentication.clone()),
        status: GrantStatus::Active,
        created_at: now,
        expires_at: until,
    };
    let by = Principal::User(user.clone());
    let grant = match grants::redeem(broker, &by, request.id, grant, poll.spent).await {
        Ok(grant) => grant,
        Err(Refusal::Conflict(_)) => {
            return Err(refused("it was redeemed or taken back meanwhile, or the request came twice").into());
        }
        Err(other) => return Err(TokenRefusal::Unavailable(other.to_string()).into()),
    };
    let token = TokenAsk {
        agent: agent.name.clone(),
        credential: poll.credential,
        grant: Some(grant.id),
        audience,
        scopes: None,
        details: None,
        task: None,
        confirmation: poll.confirmation,
        spent: Vec::new(),
    };
    let issued = match tokens::issue(broker, token).await {
        Ok(issued) => refresh::first(broker, &grant, poll.confirmation).await.map(|renewing| (issued, renewing)),
        Err(refusal) => Err(refusal),
    };
    match issued {
        Ok((issued, refresh_token)) => Ok(Redeemed { issued, refresh_token, user, authentication }),
        Err(refusal) => {
            let by = Principal::Agent(agent.name.clone());
            if let Err(error) = grants::end(broker, &by, grant.id, "no token could be issued from it").await {
                tracing::error!(%error, "a grant could not be ended");
            }
            Err(refusal.into())
        }
    }
}

/// Says who gave their consent, for its client alone (OpenID Connect Core 1.0 §2).
pub fn id_token(broker: &Broker, client: &AgentName, redeemed: &Redeemed) -> Result<String, TokenRefusal> {
    let now = broker.now();
    let token = IdToken {
        issuer: broker.settings().issuer.clone(),
        user: redeemed.user.clone(),
        client: client.clone(),
        issued_at: now,
        expires_at: now.checked_add(ID_TOKEN_LIVES).unwrap_or(now),
        auth_time: redeemed.authentication.at,
        acr: redeemed.authentication.acr.clone(),
        amr: redeemed.authentication.methods.clone(),
    };
    let signer = broker.token_signer();
    let key = signer.current();
    let input = token.signing_input(&key);
    let signature = signer.sign_as(&key.kid, input.as_bytes());
    Ok(input.assemble(&signature.map_err(|error| TokenRefusal::Unavailable(error.to_string()))?))
}

fn refused(why: &str) -> TokenRefusal {
    TokenRefusal::Grant(why.to_owned())
}
