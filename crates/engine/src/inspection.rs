//! What clients ask about tokens that exist: whether one holds (RFC 7662), and for its end (RFC 7009). Each question is
//! evidence, and says nothing of a token to whom it does not concern.

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{agent::Agent, id::TokenId, principal::Principal, secret::Secret};
use bailiwick_oauth::access_token::AccessTokenClaims;
use bailiwick_ports::store::{Spent, StoreError};

use crate::{
    broker::Broker,
    evidence::Draft,
    grants, hardware, refresh,
    refusal::Refusal,
    tokens::{self, Audience, TokenRefusal},
};

/// The scope of a registration that lets a client ask about tokens that it does not hold.
pub const TOKEN_INTROSPECT: &str = "token:introspect";

/// Why a grant ended whose refresh token was revoked.
const GIVEN_BACK: &str = "its client revoked it";

/// What a client names by presenting it.
#[derive(Debug)]
pub enum Presented {
    /// An access token that one of our keys has signed; whether it still holds is not known.
    Access(Box<AccessTokenClaims>),
    /// Anything else: a refresh token, or nothing of ours.
    Other(Secret<String>),
}

/// Whether a client may ask whether tokens hold.
pub fn may_introspect(agent: &Agent) -> bool {
    agent.scopes.iter().any(|scope| scope.as_str() == TOKEN_INTROSPECT)
}

/// Tells a client that may ask what an access token says, if it holds now and is for what the client answers for.
/// Everything else is not active, whatever the reason.
pub async fn introspect(
    broker: &Broker,
    asks: &Agent,
    presented: Presented,
    once: Option<Spent>,
) -> Result<Option<Box<AccessTokenClaims>>, TokenRefusal> {
    let party = broker.live().party(&Principal::Agent(asks.name.clone()), broker.now());
    party.map_err(|inactive| TokenRefusal::Client(format!("client may not ask: {inactive}")))?;
    let standing = match presented {
        Presented::Access(claims) if answers_for(broker, asks, &claims) && holds(broker, &claims).await? => {
            Some(claims)
        }
        Presented::Access(_) | Presented::Other(_) => None,
    };
    let found = if standing.is_some() { "active" } else { "inactive" };
    record(broker, asks, "introspection", found, standing.as_ref().map(|claims| claims.id), once).await?;
    Ok(standing)
}

/// Ends what a client holds: an access token by itself, a refresh token with its grant and all that came from it. What is
/// another's, over already or none of ours stays as it is, and the client cannot tell.
pub async fn revoke(
    broker: &Broker,
    asks: &Agent,
    presented: Presented,
    once: Option<Spent>,
) -> Result<(), TokenRefusal> {
    let by = Principal::Agent(asks.name.clone());
    match presented {
        Presented::Access(claims) => {
            let own = claims.client == asks.name;
            let found = match own {
                true if claims.expires_at <= broker.now() => "expired",
                true => "access token",
                false => "another's",
            };
            record(broker, asks, "revocation", found, own.then_some(claims.id), once).await?;
            if own {
                grants::revoke_token(broker, &by, claims.id, claims.expires_at).await.map_err(unavailable)?;
            }
        }
        Presented::Other(text) => {
            let row = refresh::find(broker, &text).await.map_err(tokens::not_written)?;
            let grant = row.and_then(|row| broker.live().grants.get(&row.grant).cloned());
            let own = grant.as_ref().filter(|grant| grant.client() == Some(&asks.name));
            let found = match (&grant, own) {
                (None, _) => "nothing",
                (Some(_), None) => "another's",
                (Some(_), Some(_)) => "refresh token",
            };
            record(broker, asks, "revocation", found, None, once).await?;
            if let Some(grant) = own {
                let _changing = broker.changing().await;
                grants::end_those(broker, &by, GIVEN_BACK, |one| one.id == grant.id).await.map_err(unavailable)?;
            }
        }
    }
    Ok(())
}

/// Whether a client that is registered for some systems alone answers for what a token is for.
fn answers_for(broker: &Broker, asks: &Agent, claims: &AccessTokenClaims) -> bool {
    match Audience::of_resource(&broker.settings().issuer, &claims.audience) {
        _ if asks.systems.is_empty() => true,
        Some(Audience::System(system)) => asks.systems.contains(&system),
        Some(
            Audience::Aggregate | Audience::Access | Audience::Provisioning | Audience::Hook(_) | Audience::Agent(_),
        )
        | None => false,
    }
}

/// Whether a token that we signed would be let in now: the same questions that every listener asks, and that every
/// decision asks of its principals.
async fn holds(broker: &Broker, claims: &AccessTokenClaims) -> Result<bool, TokenRefusal> {
    let (live, now) = (broker.live(), broker.now());
    let settings = broker.settings();
    // What hands work over is let in nowhere.
    let ours = claims.issuer == settings.issuer
        && claims.may_act.is_none()
        && settings.environment.is_none_or(|here| here == claims.environment)
        && claims.check_times(now).is_ok();
    let stands = ours
        && live.holds(claims.id, (claims.grant, claims.task), now)
        && claims.chain.principals().iter().all(|principal| live.party(principal, now).is_ok());
    let (true, Some(agent)) = (stands, live.agents.get(&claims.client)) else { return Ok(false) };
    let audience = Audience::of_resource(&settings.issuer, &claims.audience);
    if audience.is_some_and(|audience| audience.only_asks()) {
        if !hardware::may_be_bound(broker, agent, claims.confirmation) {
            return Ok(false);
        }
        return tokens::key_is_kept(broker, agent, claims.id).await.map_err(tokens::not_written);
    }
    let bound = claims.confirmation.is_some() || agent.bearer_tokens_allowed;
    Ok(bound && hardware::may_be_bound(broker, agent, claims.confirmation))
}

/// Records a question and uses up the assertion that authenticated it, if one did, so that nobody asks again with a copy.
async fn record(
    broker: &Broker,
    asks: &Agent,
    purpose: &str,
    found: &str,
    token: Option<TokenId>,
    once: Option<Spent>,
) -> Result<(), TokenRefusal> {
    let entry = Draft::event(broker, EventKind::TokenExamined)
        .field("agent", asks.name.as_str())
        .field("purpose", purpose)
        .field("found", found)
        .field_if("token", token.map(|token| token.to_string()))
        .public(broker);
    match broker.store().append(entry, once.into_iter().collect()).await {
        Ok(_) => Ok(()),
        Err(StoreError::Replayed) => Err(TokenRefusal::Client("the assertion was used before".to_owned())),
        Err(error) => Err(TokenRefusal::Unavailable(error.to_string())),
    }
}

fn unavailable(refusal: Refusal) -> TokenRefusal {
    TokenRefusal::Unavailable(refusal.to_string())
}
