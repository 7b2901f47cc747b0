//! Clients that publish a document about themselves (draft-ietf-oauth-client-id-metadata-document-02) become agents by a rule
//! of the bundle. The rule says who they are; of the document count only the redirect URIs. Whoever fetched it says so; here
//! it is judged, and takes effect.

use std::sync::Arc;

use bailiwick_model::{
    agent::{Agent, AgentStatus, Authenticator, ClientUrl, Inactive, KeyProtection},
    name::AgentName,
    principal::Principal,
};
use bailiwick_oauth::client_document::ClientDocument;
use bailiwick_pdp::clients::ClientRule;
use jiff::Timestamp;

use crate::{
    agents::{self, Change, Registration, change, expiry},
    broker::Broker,
    lifecycle::owner_of,
    live::Live,
    refusal::Refusal,
};

/// The rule by which a client may be one at all.
pub fn rule_of<'a>(live: &'a Live, url: &ClientUrl) -> Option<&'a ClientRule> {
    live.policy.as_deref()?.clients().rule(url)
}

/// Whether somebody could be a client by a document here.
pub fn are_admitted(live: &Live) -> bool {
    live.policy.as_deref().is_some_and(|policy| !policy.clients().is_empty())
}

/// The agent that a client is already.
pub fn known(broker: &Broker, url: &ClientUrl) -> Option<Arc<Agent>> {
    let agent = broker.agent(&url.agent_name()?)?;
    agent.documented_by().is_some_and(|known| known == url).then_some(agent)
}

/// Whether a client by a document is still what its rule says. One of which its rule says something else since its last visit
/// may not act until the next one, which ends what was allowed before.
pub fn judge(live: &Live, agent: &Agent) -> Result<(), Inactive> {
    let Some(url) = agent.documented_by() else { return Ok(()) };
    let rule = rule_of(live, url).ok_or(Inactive::Undocumented)?;
    if is_by(agent, rule) { Ok(()) } else { Err(Inactive::Outdated) }
}

/// Takes in what a client's document says now: the client becomes an agent, stays one for a while longer, or changes. What its
/// users had allowed ends when the document or its rule says something else than before.
pub async fn accept(broker: &Broker, url: &ClientUrl, document: ClientDocument) -> Result<Arc<Agent>, Refusal> {
    let rule = current(broker, url)?;
    let name = url.agent_name().ok_or_else(|| unknown(url))?;
    let by = Principal::Agent(name.clone());
    match broker.agent(&name) {
        None => {
            // Its rule and its neighbours are those of the moment at which it is written down.
            let ask = || {
                let rule = current(broker, url)?;
                has_room(broker, &rule)?;
                Ok(asked(name, url, rule, document))
            };
            agents::register_by(broker, &by, ask).await
        }
        Some(agent) if agent.documented_by() != Some(url) || agent.status != AgentStatus::Active => Err(stopped()),
        Some(agent) => update(broker, &by, (&agent, url), rule, document).await,
    }
}

/// What the rule of the active bundle says of a client.
fn current(broker: &Broker, url: &ClientUrl) -> Result<ClientRule, Refusal> {
    let live = broker.live();
    let mut rule = rule_of(&live, url).cloned().ok_or_else(|| unknown(url))?;
    rule.owner = owner_of(&live, &rule.owner)?;
    rule.purpose = rule.purpose.trim().to_owned();
    Ok(rule)
}

/// Refuses to change by hand what a rule says of a client: its next visit would change it back.
pub(crate) fn is_not_ruled(live: &Live, agent: &Agent) -> Result<(), Refusal> {
    let Some(rule) = agent.documented_by().and_then(|url| rule_of(live, url)) else { return Ok(()) };
    Err(Refusal::invalid(
        format!("agent `{}` is what `clients/{}.toml` and its document say", agent.name, rule.name),
        format!("change the rule in `clients/{}.toml`, or suspend the client", rule.name),
    ))
}

/// The same of who answers for it: whoever the rule names already may be named here too, so that a client need not wait for
/// its next visit.
pub(crate) fn may_be_owned(live: &Live, agent: &Agent, owner: &str) -> Result<(), Refusal> {
    let rule = agent.documented_by().and_then(|url| rule_of(live, url));
    if rule.is_some_and(|rule| rule.owner.trim() == owner.trim()) { Ok(()) } else { is_not_ruled(live, agent) }
}

fn stopped() -> Refusal {
    Refusal::Conflict("this client was stopped here".to_owned())
}

/// Refuses one more client by a rule than it takes at a time. Under a change.
fn has_room(broker: &Broker, rule: &ClientRule) -> Result<(), Refusal> {
    let (live, now) = (broker.live(), broker.now());
    let others = live.agents.values().filter(|agent| is_of(agent, &live, rule, now)).count();
    if others < rule.clients_max {
        return Ok(());
    }
    Err(Refusal::Conflict(format!("there are {others} clients by `clients/{}.toml` already", rule.name)))
}

/// Whether an agent is a client by this rule, and not yet over: one that nobody came by in time takes no place.
fn is_of(agent: &Agent, live: &Live, rule: &ClientRule, now: Timestamp) -> bool {
    let by = agent.documented_by().and_then(|url| rule_of(live, url));
    agent.standing(now).is_ok() && by.is_some_and(|by| by.name == rule.name)
}

async fn update(
    broker: &Broker,
    by: &Principal,
    (agent, url): (&Agent, &ClientUrl),
    rule: ClientRule,
    document: ClientDocument,
) -> Result<Arc<Agent>, Refusal> {
    let now = broker.now();
    let expires_at = expiry(now, rule.lifetime_days)?;
    let is_same = agent.redirect_uris == document.redirect_uris && is_by(agent, &rule);
    if is_same && !is_half_over(agent, expires_at, now) {
        return broker.agent(&agent.name).ok_or_else(|| Refusal::Missing(format!("agent `{}`", agent.name)));
    }
    agents::known_role(broker, &rule.role)?;
    let what = match is_same {
        true => Change::new("document seen", ""),
        false => Change::new("document changed", "").ending("the document of its client changed"),
    };
    let changed = change(broker, by, &agent.name, what, |agent, now| {
        if agent.status != AgentStatus::Active {
            return Err(stopped());
        }
        // What was judged above must be what is written here.
        if current(broker, url)? != rule {
            return Err(Refusal::Conflict("the rule of this client changed just now; start again".to_owned()));
        }
        // One that was over comes back as a new one would.
        if agent.overdue(now) == Some(Inactive::Expired) {
            has_room(broker, &rule)?;
        }
        if agent.role != rule.role {
            agent.promoted = false;
        }
        if agent.owner != rule.owner {
            agent.successor_by = None;
        }
        agent.owner = rule.owner;
        agent.purpose = rule.purpose;
        agent.environment = rule.environment;
        agent.role = rule.role;
        agent.systems = rule.systems;
        agent.bearer_tokens_allowed = rule.bearer_tokens;
        agent.redirect_uris = document.redirect_uris;
        // A review that an operator set for it comes when they said.
        agent.review_by =
            if agent.review_by == agent.expires_at { expires_at } else { agent.review_by.min(expires_at) };
        agent.expires_at = expires_at;
        for credential in &mut agent.credentials {
            credential.expires_at = expires_at;
        }
        Ok(())
    })
    .await?;
    if !is_same {
        broker.authorizations.forget(&changed.name);
    }
    Ok(changed)
}

/// Whether an agent is what the rule says.
fn is_by(agent: &Agent, rule: &ClientRule) -> bool {
    agent.owner == rule.owner.trim()
        && agent.purpose == rule.purpose.trim()
        && agent.environment == rule.environment
        && agent.role == rule.role
        && agent.systems == rule.systems
        && agent.bearer_tokens_allowed == rule.bearer_tokens
}

/// Not every visit is worth a row: only one in the second half of its life is.
fn is_half_over(agent: &Agent, expires_at: Timestamp, now: Timestamp) -> bool {
    let whole = expires_at.duration_since(now);
    agent.expires_at.duration_since(now) < whole / 2
}

fn asked(name: AgentName, url: &ClientUrl, rule: ClientRule, document: ClientDocument) -> Registration {
    Registration {
        name,
        owner: rule.owner,
        purpose: rule.purpose,
        environment: rule.environment,
        role: rule.role,
        authenticators: vec![Authenticator::Document(url.clone())],
        attestation: None,
        key_protection: KeyProtection::Any,
        systems: rule.systems,
        scopes: Vec::new(),
        redirect_uris: document.redirect_uris,
        bearer_tokens_allowed: rule.bearer_tokens,
        task_required: false,
        token_ttl_s: None,
        lifetime_days: Some(rule.lifetime_days),
        review_days: None,
    }
}

fn unknown(url: &ClientUrl) -> Refusal {
    Refusal::invalid(
        format!("clients at `{}` are not taken here", url.host()),
        "an operator can name the URL in `clients/` of the bundle",
    )
}
