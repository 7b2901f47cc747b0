//! Clients that register by themselves (RFC 7591) and manage what they registered (RFC 7592). An operator fixes beforehand,
//! in an initial access token, who they are to be; they bring their keys and redirect URIs, and start read-only.
//!
//! Both kinds of token are random, told once and kept as digests. The one that manages a registration is good once: each
//! use gives the next.

use std::sync::Arc;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::{Agent, AgentStatus, Authenticator, Credential, KeyProtection},
    digest::Digest,
    id::RegistrationTokenId,
    jwk::PublicKey,
    limits::KEYS_PER_AGENT_MAX,
    name::AgentName,
    principal::Principal,
    registration::{NAME_PREFIX_BYTES_MAX, RegistrationToken, Terms},
    secret::Secret,
};
use bailiwick_oauth::client_registration::ClientMetadata;
use bailiwick_ports::{chance::random, new_id, store::StoreError};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::SignedDuration;

use crate::{
    agents::{self, Change, LIFETIME_DAYS_MAX, Registration, admit, change, change_draft, install, text},
    broker::Broker,
    evidence::Draft,
    hardware, lifecycle,
    refusal::Refusal,
};

/// What an initial access token begins with, so that a scanner for lost secrets knows it.
pub const INITIAL_PREFIX: &str = "bwi_";
/// What a token that manages a registration begins with.
pub const ACCESS_PREFIX: &str = "bwm_";
/// Random bytes of each.
const TOKEN_BYTES: usize = 32;
/// Random bytes of a name: two are never alike.
const NAME_BYTES: usize = 10;
/// Seconds that an initial access token lives unless asked otherwise: a day.
pub const INITIAL_TOKEN_S: u64 = 24 * 60 * 60;
/// Seconds that it may live at most.
pub const INITIAL_TOKEN_S_MAX: u64 = 366 * 24 * 60 * 60;
/// Clients that may register by one at most.
pub const USES_MAX: u64 = 1_000_000;
/// Initial access tokens at a time.
pub const INITIAL_TOKENS_MAX: usize = 1_000;

/// Why nothing was registered or changed.
#[derive(Debug, thiserror::Error)]
pub enum NotRegistered {
    /// The token is unknown, used up, over, or of another client. Which, nobody is told.
    #[error("the token does not hold\nhint: ask an operator for another: `bailiwick registration-tokens create`")]
    Token,
    /// The terms of the token do not hold any more, or the client is in no state for it.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be recorded now.
    #[error("{0}")]
    Unavailable(String),
}

/// A client with the token that manages it, told this once.
#[derive(Debug)]
pub struct Registered {
    /// As registered.
    pub agent: Arc<Agent>,
    /// What manages it next.
    pub access: Secret<String>,
}

/// Makes an initial access token; what it opens is told this once.
pub async fn make_token(
    broker: &Broker,
    by: &Principal,
    terms: Terms,
    uses_max: u64,
    lifetime_s: u64,
) -> Result<(Secret<String>, RegistrationToken), Refusal> {
    let _changing = broker.changing().await;
    let now = broker.now();
    let terms = checked(broker, terms)?;
    if !(1..=USES_MAX).contains(&uses_max) || !(1..=INITIAL_TOKEN_S_MAX).contains(&lifetime_s) {
        let message = format!("a token is good for 1 to {USES_MAX} clients and 1 to {INITIAL_TOKEN_S_MAX} seconds");
        return Err(Refusal::invalid(message, "make one for each pipeline, as narrow as it can be"));
    }
    if list(broker).await?.len() >= INITIAL_TOKENS_MAX {
        return Err(Refusal::Conflict(format!("there are {INITIAL_TOKENS_MAX} tokens already; remove one")));
    }
    let secret = secret(broker, INITIAL_PREFIX);
    let token = RegistrationToken {
        id: new_id!(RegistrationTokenId, now, broker.entropy()),
        digest: Digest::of(secret.expose().as_bytes()),
        terms,
        uses: 0,
        uses_max,
        created_at: now,
        expires_at: now + SignedDuration::from_secs(i64::try_from(lifetime_s).unwrap_or(i64::MAX)),
    };
    let entry = draft(broker, by, "registration token made", token.id)
        .field("role", token.terms.role.as_str())
        .field("environment", token.terms.environment.as_str())
        .field("uses_max", i64::try_from(uses_max).unwrap_or(i64::MAX))
        .field("expires_at", token.expires_at.to_string())
        .sealed("owner", token.terms.owner.clone())
        .sealed("purpose", token.terms.purpose.clone())
        .finish(broker, by)
        .await?;
    broker.ports.store.add_registration_token(token.clone(), entry).await?;
    Ok((secret, token))
}

/// All initial access tokens that are not over, oldest first.
pub async fn list(broker: &Broker) -> Result<Vec<RegistrationToken>, Refusal> {
    let now = broker.now();
    let mut tokens = broker.store().registration_tokens().await?;
    tokens.retain(|token| now < token.expires_at);
    Ok(tokens)
}

/// Removes an initial access token. Who registered by it stays.
pub async fn remove_token(broker: &Broker, by: &Principal, id: RegistrationTokenId) -> Result<(), Refusal> {
    let entry = draft(broker, by, "registration token removed", id).public(broker);
    broker.ports.store.remove_registration_token(id, entry).await?;
    Ok(())
}

/// Registers a client on the terms of the token that it presents.
pub async fn register(
    broker: &Broker,
    presented: &Secret<String>,
    metadata: ClientMetadata,
) -> Result<Registered, NotRegistered> {
    let digest = digest(presented, INITIAL_PREFIX).ok_or(NotRegistered::Token)?;
    let found = broker.store().registration_token(digest).await.map_err(unavailable)?;
    let token = found.filter(|token| token.is_open(broker.now())).ok_or(NotRegistered::Token)?;
    let _changing = broker.changing().await;
    let agent = admit(broker, asked(broker, token.terms, metadata)?).map_err(of_refusal)?;
    let (access, name) = (secret(broker, ACCESS_PREFIX), Principal::Agent(agent.name.clone()));
    let entry = change_draft(broker, &name, &agent, "registered", None)
        .field("via", token.id.to_string())
        .field("keys", thumbprints(&agent))
        .sealed("owner", agent.owner.clone())
        .sealed("purpose", agent.purpose.clone())
        .finish(broker, &name)
        .await
        .map_err(|error| NotRegistered::Unavailable(error.to_string()))?;
    let kept = Digest::of(access.expose().as_bytes());
    let epoch = match broker.ports.store.register_client(agent.clone(), token.id, kept, entry).await {
        // Others were faster, or somebody removed it.
        Err(StoreError::Missing(_)) => return Err(NotRegistered::Token),
        other => other.map_err(unavailable)?,
    };
    Ok(Registered { agent: install(broker, epoch, agent, &[]), access })
}

/// What a client is registered with, for whoever manages it.
pub async fn read(broker: &Broker, client: &str, presented: &Secret<String>) -> Result<Registered, NotRegistered> {
    let (agent, used) = managed(broker, client, presented).await?;
    let access = rotate(broker, &agent, used, "registration read").await?;
    Ok(Registered { agent, access })
}

/// Replaces a client's keys and redirect URIs; nothing else of it is its own to change.
pub async fn update(
    broker: &Broker,
    client: &str,
    presented: &Secret<String>,
    metadata: ClientMetadata,
) -> Result<Registered, NotRegistered> {
    let (agent, used) = managed(broker, client, presented).await?;
    metadata.keys.iter().try_for_each(|key| agents::admitted(broker, key)).map_err(of_refusal)?;
    // First, so that of two at once one is refused.
    let access = rotate(broker, &agent, used, "registration update asked").await?;
    let by = Principal::Agent(agent.name.clone());
    let ClientMetadata { redirect_uris, keys } = metadata;
    let updated = change(broker, &by, &agent.name, Change::new("updated", ""), |agent, now| {
        let known = std::mem::take(&mut agent.credentials);
        let expires_at = agent.expires_at;
        let credential = |key: PublicKey| {
            let authenticator = Authenticator::Key(key);
            match known.iter().find(|one| one.authenticator.id() == authenticator.id()).cloned() {
                Some(same) => Ok(Credential { authenticator, ..same }),
                None => {
                    let fresh = agents::fresh(authenticator, now, expires_at);
                    hardware::admit(broker, agent, &fresh).map(|()| fresh)
                }
            }
        };
        let keys: Vec<Credential> = keys.into_iter().map(credential).collect::<Result<_, _>>()?;
        // What an operator gave it beside its keys is not its own to change.
        let others = known.iter().filter(|one| one.authenticator.key().is_none()).cloned();
        agent.credentials = others.chain(keys).take(KEYS_PER_AGENT_MAX).collect();
        agent.redirect_uris = redirect_uris;
        Ok(())
    });
    Ok(Registered { agent: updated.await.map_err(of_refusal)?, access })
}

/// Ends a client, with all that it was given.
pub async fn end(broker: &Broker, client: &str, presented: &Secret<String>) -> Result<(), NotRegistered> {
    let (agent, _) = managed(broker, client, presented).await?;
    let by = Principal::Agent(agent.name.clone());
    agents::retire(broker, &by, &agent.name, "its registration was deleted").await.map_err(of_refusal)?;
    Ok(())
}

/// The client that a token manages, which must be the one that the URL names, and not one that is stopped: that is in an
/// operator's hands.
async fn managed(
    broker: &Broker,
    client: &str,
    presented: &Secret<String>,
) -> Result<(Arc<Agent>, Digest), NotRegistered> {
    let digest = digest(presented, ACCESS_PREFIX).ok_or(NotRegistered::Token)?;
    let name: Option<AgentName> = broker.store().managed_client(digest).await.map_err(unavailable)?;
    let name = name.filter(|name| name.as_str() == client).ok_or(NotRegistered::Token)?;
    let agent = broker.agent(&name).filter(|agent| agent.status == AgentStatus::Active);
    let agent = agent.filter(|agent| agent.standing(broker.now()).is_ok()).ok_or(NotRegistered::Token)?;
    Ok((agent, digest))
}

async fn rotate(broker: &Broker, agent: &Agent, used: Digest, verb: &str) -> Result<Secret<String>, NotRegistered> {
    let access = secret(broker, ACCESS_PREFIX);
    let name = Principal::Agent(agent.name.clone());
    let entry = change_draft(broker, &name, agent, verb, None).public(broker);
    let next = Digest::of(access.expose().as_bytes());
    match broker.ports.store.rotate_registration_access(used, next, entry).await {
        Ok(_) => Ok(access),
        Err(StoreError::Missing(_)) => Err(NotRegistered::Token),
        Err(error) => Err(unavailable(error)),
    }
}

/// Terms that hold together now; they are looked at again with each client.
fn checked(broker: &Broker, terms: Terms) -> Result<Terms, Refusal> {
    if terms.name_prefix.as_str().len() > NAME_PREFIX_BYTES_MAX {
        return Err(Refusal::invalid(
            format!("the beginning of a name has {NAME_PREFIX_BYTES_MAX} bytes at most"),
            "the rest of each name is made by chance",
        ));
    }
    if !(1..=LIFETIME_DAYS_MAX).contains(&terms.lifetime_days) {
        return Err(Refusal::invalid(
            format!("a registration lives 1 to {LIFETIME_DAYS_MAX} days, not {}", terms.lifetime_days),
            "one day is enough for a job",
        ));
    }
    let owner = lifecycle::owner_of(&broker.live(), &terms.owner)?;
    let purpose = text("purpose", &terms.purpose, "say in one sentence what they are for")?;
    agents::known_role(broker, &terms.role)?;
    Ok(Terms { owner, purpose, ..terms })
}

fn asked(broker: &Broker, terms: Terms, metadata: ClientMetadata) -> Result<Registration, NotRegistered> {
    let Terms { name_prefix, owner, purpose, environment, role, systems, lifetime_days } = terms;
    let chance: [u8; NAME_BYTES] = random(broker.entropy());
    let name = format!("{name_prefix}-{}", hex::encode(chance));
    Ok(Registration {
        name: name.parse().map_err(|error| NotRegistered::Conflict(format!("{error}")))?,
        owner,
        purpose,
        environment,
        role,
        authenticators: metadata.keys.into_iter().map(Authenticator::Key).collect(),
        attestation: None,
        key_protection: KeyProtection::Any,
        systems,
        scopes: Vec::new(),
        redirect_uris: metadata.redirect_uris,
        bearer_tokens_allowed: false,
        task_required: false,
        token_ttl_s: None,
        lifetime_days: Some(lifetime_days),
        review_days: None,
    })
}

fn thumbprints(agent: &Agent) -> Vec<String> {
    agent.credentials.iter().map(|credential| credential.authenticator.id().to_string()).collect()
}

fn draft(broker: &Broker, by: &Principal, verb: &str, id: RegistrationTokenId) -> Draft {
    Draft::event(broker, EventKind::AgentChanged)
        .field("by", by.to_string())
        .field("change", verb)
        .field("registration_token", id.to_string())
}

fn secret(broker: &Broker, prefix: &str) -> Secret<String> {
    let bytes = Secret::new(random::<TOKEN_BYTES>(broker.entropy()));
    Secret::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes.expose())))
}

/// The digest of what has the form of a token of this kind.
fn digest(presented: &Secret<String>, prefix: &str) -> Option<Digest> {
    let text = presented.expose();
    let decoded = Secret::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(prefix)?).ok()?);
    (decoded.expose().len() == TOKEN_BYTES).then(|| Digest::of(text.as_bytes()))
}

fn unavailable(error: StoreError) -> NotRegistered {
    NotRegistered::Unavailable(error.to_string())
}

fn of_refusal(refusal: Refusal) -> NotRegistered {
    match refusal {
        Refusal::Unavailable(cause) => NotRegistered::Unavailable(cause),
        other => NotRegistered::Conflict(other.to_string()),
    }
}
