//! The life of an agent: registered, promoted, suspended, resumed, retired. Each change is evidence and takes effect
//! on the very next call.

use std::sync::Arc;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::{Agent, AgentStatus, Attestation, Authenticator, Credential, Environment, Inactive, KeyProtection},
    id::GrantId,
    jwk::PublicKey,
    limits::{ACCESS_TOKEN_TTL_S, ACCESS_TOKEN_TTL_S_MAX, KEYS_PER_AGENT_MAX, TEXT_BYTES_MAX},
    name::{AgentName, RoleName, Scope, SystemName},
    principal::Principal,
    redirect_uri::{REDIRECT_URIS_MAX, RedirectUri},
};
use bailiwick_oauth::key_policy::algorithm_name;
use bailiwick_ports::store::Spent;
use jiff::{SignedDuration, Timestamp};

use crate::{
    broker::Broker,
    client_documents,
    evidence::Draft,
    grants, hardware, lifecycle,
    live::Live,
    refusal::Refusal,
    tasks,
    tokens::{self, TokenRefusal},
};

/// Days that a registration and a credential live unless asked otherwise.
pub const LIFETIME_DAYS: u32 = 90;
/// Days that they may live at most.
pub const LIFETIME_DAYS_MAX: u32 = 366;

/// Why an agent was retired that said it was done.
const DEREGISTERED: &str = "it deregistered itself";

/// What a registration asks for.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its name for good.
    pub name: AgentName,
    /// Who answers for it; never empty.
    pub owner: String,
    /// What it is for; never empty.
    pub purpose: String,
    /// Where it runs.
    pub environment: Environment,
    /// Its job; must be a role of the active bundle.
    pub role: RoleName,
    /// What it proves itself by, keys past the key policy; at least one.
    pub authenticators: Vec<Authenticator>,
    /// What the maker of a device says of one of them.
    pub attestation: Option<Attestation>,
    /// How its keys must be kept.
    pub key_protection: KeyProtection,
    /// Systems that it may ask tokens for; empty means all that its role can reach.
    pub systems: Vec<SystemName>,
    /// Scopes beyond systems.
    pub scopes: Vec<Scope>,
    /// Where users whom it asks for consent are sent back to.
    pub redirect_uris: Vec<RedirectUri>,
    /// Whether plain bearer tokens are allowed.
    pub bearer_tokens_allowed: bool,
    /// Whether it may act only within a task.
    pub task_required: bool,
    /// Seconds its access tokens live; `None` is the default.
    pub token_ttl_s: Option<u64>,
    /// Days until registration and keys expire; `None` is the default.
    pub lifetime_days: Option<u32>,
    /// Days until somebody must have reviewed it; `None` is when it expires.
    pub review_days: Option<u32>,
}

/// Registers an agent. It starts read-only, until it is promoted.
pub async fn register(broker: &Broker, by: &Principal, ask: Registration) -> Result<Arc<Agent>, Refusal> {
    register_by(broker, by, || Ok(ask)).await
}

/// The same, where what is asked for depends on what holds at that moment: nothing changes meanwhile.
pub(crate) async fn register_by(
    broker: &Broker,
    by: &Principal,
    ask: impl FnOnce() -> Result<Registration, Refusal>,
) -> Result<Arc<Agent>, Refusal> {
    let _changing = broker.changing().await;
    let agent = admit(broker, ask()?)?;
    let entry = change_draft(broker, by, &agent, "registered", None)
        .sealed("owner", agent.owner.clone())
        .sealed("purpose", agent.purpose.clone())
        .finish(broker, &Principal::Agent(agent.name.clone()))
        .await?;
    let epoch = match broker.ports.store.register_agent(agent.clone(), entry).await {
        Err(bailiwick_ports::store::StoreError::Exists(name)) => {
            return Err(Refusal::Conflict(format!(
                "an agent was registered as `{name}` before; names are never given twice"
            )));
        }
        other => other?,
    };
    Ok(install(broker, epoch, agent, &[]))
}

/// The agent that a registration asks for, if it holds together.
pub(crate) fn admit(broker: &Broker, ask: Registration) -> Result<Agent, Refusal> {
    let now = broker.now();
    let owner = lifecycle::owner_of(&broker.live(), &ask.owner)?;
    let purpose = text("purpose", &ask.purpose, "say in one sentence what it is for")?;
    known_role(broker, &ask.role)?;
    if ask.authenticators.is_empty() || ask.authenticators.len() > KEYS_PER_AGENT_MAX {
        return Err(Refusal::invalid(
            format!("an agent has 1 to {KEYS_PER_AGENT_MAX} credentials"),
            "make one with `bailiwick agents register --generate-key FILE`",
        ));
    }
    ask.authenticators.iter().filter_map(Authenticator::key).try_for_each(|key| admitted(broker, key))?;
    let ttl = ask.token_ttl_s.unwrap_or(ACCESS_TOKEN_TTL_S);
    if !(60..=ACCESS_TOKEN_TTL_S_MAX).contains(&ttl) {
        return Err(Refusal::invalid(
            format!("an access token lives 60 to {ACCESS_TOKEN_TTL_S_MAX} seconds, not {ttl}"),
            "leave it out for 15 minutes",
        ));
    }
    let expires_at = expiry(now, ask.lifetime_days.unwrap_or(LIFETIME_DAYS))?;
    let review_by =
        ask.review_days.map(|days| expiry(now, days)).transpose()?.map_or(expires_at, |by| by.min(expires_at));
    for authenticator in &ask.authenticators {
        of_nobody_else(&broker.live(), &ask.name, authenticator)?;
    }
    let mut credentials: Vec<Credential> =
        ask.authenticators.into_iter().map(|authenticator| fresh(authenticator, now, expires_at)).collect();
    if let Some(attestation) = ask.attestation {
        hardware::attest(broker, &mut credentials, attestation)?;
    }
    let agent = Agent {
        name: ask.name,
        owner,
        purpose,
        environment: ask.environment,
        role: ask.role,
        systems: ask.systems,
        scopes: ask.scopes,
        redirect_uris: few(ask.redirect_uris)?,
        promoted: false,
        bearer_tokens_allowed: ask.bearer_tokens_allowed,
        task_required: ask.task_required,
        key_protection: ask.key_protection,
        token_ttl_s: ttl,
        credentials,
        status: AgentStatus::Active,
        created_at: now,
        expires_at,
        review_by,
        successor_by: None,
        version: 1,
    };
    agent.credentials.iter().try_for_each(|credential| hardware::admit(broker, &agent, credential))?;
    Ok(agent)
}

/// A credential that was never used.
pub(crate) const fn fresh(authenticator: Authenticator, now: Timestamp, expires_at: Timestamp) -> Credential {
    Credential { authenticator, attestation: None, created_at: now, expires_at, last_used_at: None }
}

/// Whether the operator lets agents use a key's algorithm.
pub(crate) fn admitted(broker: &Broker, key: &PublicKey) -> Result<(), Refusal> {
    let algorithms = &broker.settings().agent_algorithms;
    if algorithms.contains(&key.algorithm) {
        return Ok(());
    }
    let names: Vec<&str> = algorithms.iter().map(|algorithm| algorithm_name(*algorithm)).collect();
    Err(Refusal::invalid(
        format!("keys for `{}` are not admitted here", algorithm_name(key.algorithm)),
        format!("use `{}`; `keys.agent_algorithms` in `bailiwick.toml` says which", names.join("`, `")),
    ))
}

/// Refuses a role that is not in the active bundle.
pub(crate) fn known_role(broker: &Broker, role: &RoleName) -> Result<(), Refusal> {
    let live = broker.live();
    let mut known = live.policy.as_deref().into_iter().flat_map(|policy| policy.roles_with_purpose());
    if known.any(|(known, _)| known == role) {
        return Ok(());
    }
    Err(Refusal::invalid(
        format!("role `{role}` is not in the active bundle"),
        "add `roles/<name>.toml` and run `bailiwick policy publish`",
    ))
}

/// Redirect URIs: bounded, each once.
fn few(mut uris: Vec<RedirectUri>) -> Result<Vec<RedirectUri>, Refusal> {
    uris.sort();
    uris.dedup();
    if uris.len() > REDIRECT_URIS_MAX {
        return Err(Refusal::invalid(
            format!("an agent has at most {REDIRECT_URIS_MAX} redirect URIs"),
            "on a user's own machine one serves every port: `http://127.0.0.1/callback`",
        ));
    }
    Ok(uris)
}

pub(crate) fn expiry(now: Timestamp, days: u32) -> Result<Timestamp, Refusal> {
    if !(1..=LIFETIME_DAYS_MAX).contains(&days) {
        return Err(Refusal::invalid(
            format!("a registration lives, and waits for a review, 1 to {LIFETIME_DAYS_MAX} days, not {days}"),
            "leave it out for 90 days",
        ));
    }
    now.checked_add(SignedDuration::from_hours(24 * i64::from(days)))
        .map_err(|_| Refusal::invalid("the expiry lies beyond the calendar", "ask for fewer days"))
}

/// A text made by a person: not blank, bounded, one line.
pub(crate) fn text(what: &str, text: &str, hint: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::invalid(format!("{what} is missing"), hint));
    }
    if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Refusal::invalid(
            format!("{what} must be one line of at most {TEXT_BYTES_MAX} bytes"),
            "shorten it",
        ));
    }
    Ok(text.to_owned())
}

/// Ends an agent's read-only start.
pub async fn promote(broker: &Broker, by: &Principal, name: &AgentName, reason: &str) -> Result<Arc<Agent>, Refusal> {
    change(broker, by, name, Change::new("promoted", reason), |agent, _| {
        if agent.promoted {
            return Err(Refusal::Conflict(format!("agent `{}` is promoted already", agent.name)));
        }
        agent.promoted = true;
        Ok(())
    })
    .await
}

/// Stops an agent until it is resumed.
pub async fn suspend(broker: &Broker, by: &Principal, name: &AgentName, reason: &str) -> Result<Arc<Agent>, Refusal> {
    let why = text("reason", reason, "say why, for whoever resumes it")?;
    change(broker, by, name, Change::new("suspended", reason), |agent, now| match agent.status {
        AgentStatus::Active => {
            agent.status = AgentStatus::Suspended { at: now, reason: why };
            Ok(())
        }
        AgentStatus::Suspended { .. } | AgentStatus::Retired { .. } => Err(already(agent)),
    })
    .await
}

/// Lets a suspended agent act again.
pub async fn resume(broker: &Broker, by: &Principal, name: &AgentName, reason: &str) -> Result<Arc<Agent>, Refusal> {
    change(broker, by, name, Change::new("resumed", reason), |agent, now| match agent.status {
        AgentStatus::Suspended { .. } => {
            if let Some(needs) = agent.overdue(now) {
                return Err(Refusal::invalid(
                    format!("agent `{}` cannot be resumed: {needs}", agent.name),
                    needed(needs),
                ));
            }
            agent.status = AgentStatus::Active;
            Ok(())
        }
        AgentStatus::Active | AgentStatus::Retired { .. } => Err(already(agent)),
    })
    .await
}

/// Ends an agent for good: its keys, the grants that it has a part in, and what waits for its users end with it.
pub async fn retire(broker: &Broker, by: &Principal, name: &AgentName, reason: &str) -> Result<Arc<Agent>, Refusal> {
    let why = text("reason", reason, "say why, for whoever looks back")?;
    let ending = Change::new("retired", reason).ending("an agent of its chain retired");
    let agent = change(broker, by, name, ending, |agent, now| match agent.status {
        AgentStatus::Active | AgentStatus::Suspended { .. } => {
            agent.status = AgentStatus::Retired { at: now, reason: why };
            agent.credentials.clear();
            Ok(())
        }
        AgentStatus::Retired { .. } => Err(already(agent)),
    })
    .await?;
    broker.authorizations.forget(name);
    Ok(agent)
}

/// An agent's own word that it is done: it is retired by itself. Its assertion, if one proved it, is used up first. One
/// that was stopped has no word: it may be its key that was stolen, and what retired never comes back.
pub async fn deregister(broker: &Broker, name: &AgentName, once: Option<Spent>) -> Result<(), TokenRefusal> {
    tokens::standing_client(broker, name)?;
    let entry = Draft::event(broker, EventKind::AgentChanged)
        .field("agent", name.as_str())
        .field("by", Principal::Agent(name.clone()).to_string())
        .field("change", "deregistration asked")
        .public(broker);
    broker.ports.store.append(entry, once.into_iter().collect()).await.map_err(tokens::not_written)?;
    match retire(broker, &Principal::Agent(name.clone()), name, DEREGISTERED).await {
        // Somebody else retired it meanwhile: it is as it wished.
        Ok(_) | Err(Refusal::Conflict(_)) => Ok(()),
        Err(refusal) => Err(TokenRefusal::Unavailable(refusal.to_string())),
    }
}

/// Adds a credential; all work until one expires or is removed.
pub async fn add_credential(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    authenticator: Authenticator,
) -> Result<Arc<Agent>, Refusal> {
    add_attested(broker, by, name, authenticator, None).await
}

/// The same, with what the maker of a device says of its key.
pub async fn add_attested(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    authenticator: Authenticator,
    attestation: Option<Attestation>,
) -> Result<Arc<Agent>, Refusal> {
    let verb = if authenticator.key().is_some() { "key_added" } else { "credential_added" };
    if let Some(key) = authenticator.key() {
        admitted(broker, key)?;
    }
    change(broker, by, name, Change::new(verb, ""), |agent, now| {
        if agent.credentials.len() >= KEYS_PER_AGENT_MAX {
            let full = format!("agent `{}` has {KEYS_PER_AGENT_MAX} credentials already", agent.name);
            return Err(Refusal::Conflict(full));
        }
        let same = |one: &Credential| {
            one.authenticator.id() == authenticator.id() || one.authenticator.name() == authenticator.name()
        };
        if agent.credentials.iter().any(same) {
            return Err(Refusal::Conflict(format!("agent `{}` has this credential already", agent.name)));
        }
        of_nobody_else(&broker.live(), &agent.name, &authenticator)?;
        let expires_at = agent.expires_at;
        let credential = Credential { attestation, ..fresh(authenticator, now, expires_at) };
        hardware::admit(broker, agent, &credential)?;
        agent.credentials.push(credential);
        Ok(())
    })
    .await
}

/// Removes a credential by its name, which is a key's id or a certificate's thumbprint; the last one stays (retire the
/// agent instead).
pub async fn remove_credential(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    which: &str,
) -> Result<Arc<Agent>, Refusal> {
    change(broker, by, name, Change::new("credential_removed", ""), |agent, _| {
        let before = agent.credentials.len();
        if before == 1 {
            return Err(Refusal::Conflict(format!(
                "`{}` is about to lose its last credential; retire it instead",
                agent.name
            )));
        }
        agent.credentials.retain(|credential| credential.authenticator.name() != which);
        if agent.credentials.len() == before {
            return Err(Refusal::Missing(format!("credential `{which}` of agent `{}`", agent.name)));
        }
        Ok(())
    })
    .await
}

/// Refuses a certificate that another agent is known by: who shows it would be both. Retired agents count no more.
fn of_nobody_else(live: &Live, name: &AgentName, authenticator: &Authenticator) -> Result<(), Refusal> {
    if authenticator.key().is_some() {
        return Ok(());
    }
    let id = authenticator.id();
    let others = live
        .agents
        .values()
        .filter(|agent| agent.name != *name && !matches!(agent.status, AgentStatus::Retired { .. }));
    match others.flat_map(|agent| &agent.credentials).any(|credential| credential.authenticator.id() == id) {
        true => Err(Refusal::Conflict("another agent is registered with this certificate or SPIFFE id".to_owned())),
        false => Ok(()),
    }
}

/// Replaces where its users are sent back to; with none, no user can be asked for it any more. What was consented to
/// before stays: withdraw it with its grant.
pub async fn set_redirect_uris(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    uris: Vec<RedirectUri>,
) -> Result<Arc<Agent>, Refusal> {
    let uris = few(uris)?;
    change(broker, by, name, Change::new("redirect_uris", ""), |agent, _| {
        client_documents::is_not_ruled(&broker.live(), agent)?;
        agent.redirect_uris = uris;
        Ok(())
    })
    .await
}

/// What is done to an agent, for the evidence.
pub(crate) struct Change<'a> {
    verb: &'static str,
    reason: &'a str,
    /// Why the grants that it has a part in end with it.
    ends_grants: Option<&'static str>,
}

impl<'a> Change<'a> {
    pub(crate) const fn new(verb: &'static str, reason: &'a str) -> Self {
        Self { verb, reason, ends_grants: None }
    }

    pub(crate) const fn ending(self, why: &'static str) -> Self {
        Self { ends_grants: Some(why), ..self }
    }
}

/// Changes one agent: one transaction with its evidence and with all that ends by it.
pub(crate) async fn change(
    broker: &Broker,
    by: &Principal,
    name: &AgentName,
    change: Change<'_>,
    apply: impl FnOnce(&mut Agent, Timestamp) -> Result<(), Refusal>,
) -> Result<Arc<Agent>, Refusal> {
    let _changing = broker.changing().await;
    let current = broker.agent(name).ok_or_else(|| Refusal::Missing(format!("agent `{name}`")))?;
    let mut agent = Agent::clone(&current);
    apply(&mut agent, broker.now())?;
    agent.version += 1;
    let entry = change_draft(broker, by, &agent, change.verb, Some(change.reason))
        .finish(broker, &Principal::Agent(name.clone()))
        .await?;
    let principal = Principal::Agent(name.clone());
    let ends = change
        .ends_grants
        .map(|why| grants::ending_all(broker, by, why, |grant| grant.chain.principals().contains(&principal)));
    let ended = ends.as_ref().map(|ends| ends.ids.clone()).unwrap_or_default();
    let epoch = broker.ports.store.change_agent(agent.clone(), ends, entry).await?;
    Ok(install(broker, epoch, agent, &ended))
}

pub(crate) fn change_draft(broker: &Broker, by: &Principal, agent: &Agent, verb: &str, reason: Option<&str>) -> Draft {
    let credentials = agent.credentials.iter().map(|one| one.authenticator.id().to_string());
    let draft = Draft::event(broker, EventKind::AgentChanged)
        .field("agent", agent.name.as_str())
        .field("by", by.to_string())
        .field("change", verb)
        .field("role", agent.role.as_str())
        .field("credentials", credentials.collect::<Vec<_>>())
        .field_if("client_document", agent.documented_by().map(ToString::to_string))
        .field("environment", agent.environment.as_str())
        .field("key_protection", agent.key_protection.as_str())
        .field("redirect_uris", agent.redirect_uris.iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("version", i64::try_from(agent.version).unwrap_or(i64::MAX))
        .field("expires_at", agent.expires_at.to_string())
        .field("review_by", agent.review_by.to_string())
        .field_if("successor_by", agent.successor_by.map(|by| by.to_string()));
    match reason.map(str::trim).filter(|reason| !reason.is_empty()) {
        Some(reason) => draft.sealed("reason", reason),
        None => draft,
    }
}

/// Lets a registration or a change of it take effect.
pub(crate) fn install(broker: &Broker, epoch: u64, agent: Agent, ended: &[GrantId]) -> Arc<Agent> {
    let agent = Arc::new(agent);
    broker.replace_live(epoch, |live| {
        live.agents.insert_mut(agent.name.clone(), Arc::clone(&agent));
        grants::remove(live, ended);
        if let AgentStatus::Retired { .. } = agent.status {
            tasks::remove_of(live, &agent.name);
        }
    });
    agent
}

/// What helps an agent that may not act any more as it is.
const fn needed(inactive: Inactive) -> &'static str {
    match inactive {
        Inactive::Unreviewed => "`bailiwick agents review` says that it is still needed; then resume it",
        Inactive::Ownerless => "`bailiwick agents owner` says who answers for it now; then resume it",
        Inactive::Undocumented => "name the URL of its document in `clients/` of the bundle",
        Inactive::Outdated => "its next visit with a user brings it to its rule",
        Inactive::Expired | Inactive::Unknown | Inactive::Suspended | Inactive::Retired | Inactive::Elsewhere => {
            "register another one"
        }
    }
}

pub(crate) fn already(agent: &Agent) -> Refusal {
    Refusal::Conflict(format!("agent `{}` is {}", agent.name, agent.status.as_str()))
}
