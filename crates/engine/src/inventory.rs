//! What is out there: every access token that was issued and has not expired, every grant. Reads, and ends what somebody
//! picks out of it.

use std::sync::Arc;

use bailiwick_model::{
    grant::Grant,
    id::{GrantId, TokenId},
    limits::HOOK_TOKEN_TTL_S,
    name::AgentName,
    principal::Principal,
};
use bailiwick_ports::token_rows::{ListedToken, TokenFilter};
use jiff::SignedDuration;

use crate::{broker::Broker, grants, refusal::Refusal};

/// Access tokens that are listed at once at most; the next page begins after the last of them.
pub const TOKENS_LISTED_MAX: usize = 1_000;

/// Unexpired access tokens, the oldest first: those after `after`, of one client or one grant where they are named.
pub async fn tokens(
    broker: &Broker,
    client: Option<AgentName>,
    grant: Option<GrantId>,
    after: Option<TokenId>,
    limit: usize,
) -> Result<Vec<ListedToken>, Refusal> {
    let now = broker.now();
    // No token lives longer, and the first part of an id is the time that it was made at.
    let oldest = now - SignedDuration::from_secs(i64::try_from(HOOK_TOKEN_TTL_S).unwrap_or(i64::MAX));
    let oldest = TokenId::new(u64::try_from(oldest.as_millisecond()).unwrap_or(0), [0; 10]);
    let after = after.map_or(oldest, |after| after.max(oldest));
    let limit = limit.clamp(1, TOKENS_LISTED_MAX);
    Ok(broker.store().tokens(TokenFilter { unexpired_at: now, after, client, grant, limit }).await?)
}

/// Whether a listed token would still be let in, as far as it and its grant can tell; its task or a principal may have
/// ended all the same.
pub fn stands(broker: &Broker, token: &ListedToken) -> bool {
    let (live, now) = (broker.live(), broker.now());
    !token.revoked
        && live.holds(token.token.id, (token.token.grant, token.token.task), now)
        && live.agents.get(&token.token.client).is_some_and(|agent| agent.standing(now).is_ok())
}

/// Revokes one access token on an operator's word.
pub async fn revoke_token(broker: &Broker, by: &Principal, id: TokenId) -> Result<ListedToken, Refusal> {
    let found = broker.store().token(id).await?.ok_or_else(|| Refusal::Missing(format!("token `{id}`")))?;
    if found.token.expires_at <= broker.now() {
        return Err(Refusal::Conflict(format!("token `{id}` has expired already")));
    }
    grants::revoke_token(broker, by, id, found.token.expires_at).await?;
    Ok(ListedToken { revoked: true, ..found })
}

/// Active grants, the oldest first.
pub fn grants(broker: &Broker) -> Vec<Arc<Grant>> {
    let now = broker.now();
    let live = broker.live();
    let mut all: Vec<_> = live.grants.values().filter(|grant| grant.is_active(now)).cloned().collect();
    all.sort_by_key(|grant| grant.id);
    all
}

/// One grant, active or ended.
pub async fn grant(broker: &Broker, id: GrantId) -> Result<Grant, Refusal> {
    broker.store().grant(id).await?.ok_or_else(|| Refusal::Missing(format!("grant `{id}`")))
}
