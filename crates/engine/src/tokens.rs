//! Issuing access tokens: short-lived, for one audience, bound to a key, each one in the evidence.

mod own_task;

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::{Agent, Authenticator, Credential},
    confirmation::Confirmation,
    grant::Grant,
    id::{GrantId, TaskId, TokenId},
    jwk::Thumbprint,
    limits::{HANDOVER_TTL_S, HOOK_TOKEN_TTL_S},
    name::{AgentName, Scope, SystemName},
    operation::ActionClass,
    principal::{DelegationChain, Principal},
    secret::Secret,
    task::{Task, ToolGrant},
};
use bailiwick_oauth::{
    access_token::AccessTokenClaims, authorization_details::AuthorizationDetails, jws::TOKEN_BYTES_MAX,
    presented::Scheme,
};
use bailiwick_pdp::{
    catalogue::{ClientKind, System},
    snapshot::Snapshot,
};
use bailiwick_ports::{
    entry::Entry,
    new_id,
    store::{IssuedToken, Spent, StoreError},
    vault::VaultError,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    broker::Broker,
    delegation::{self, Delegation},
    details,
    directory::SCIM_MANAGE,
    evidence::Draft,
    hardware::{self, Unprotected},
    live::Live,
    tasks::knows_action,
};

/// The scope that lets a caller ask for decisions over AuthZEN.
pub const ACCESS_EVALUATE: &str = "access:evaluate";

/// What a token is for: the one `aud`, and the systems that it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// `<issuer>/mcp/<system>`.
    System(SystemName),
    /// `<issuer>/mcp`: all systems of the agent.
    Aggregate,
    /// `<issuer>/access/v1`: decisions over AuthZEN.
    Access,
    /// `<issuer>/scim/v2`: users and groups, for a client that keeps a directory.
    Provisioning,
    /// `<issuer>/hook/<client>`: decisions for the hook of the agent's own client.
    Hook(ClientKind),
    /// `<issuer>/agents/<name>`: nothing but an exchange by that agent, which the token hands work over to.
    Agent(AgentName),
}

impl Audience {
    /// Reads a resource indicator (RFC 8707 §2) of this issuer, byte for byte.
    pub fn of_resource(issuer: &str, resource: &str) -> Option<Self> {
        let path = resource.strip_prefix(issuer)?;
        match path {
            "/mcp" => Some(Self::Aggregate),
            "/access/v1" => Some(Self::Access),
            "/scim/v2" => Some(Self::Provisioning),
            "/hook/claude-code" => Some(Self::Hook(ClientKind::ClaudeCode)),
            _ => match path.strip_prefix("/agents/") {
                Some(agent) => agent.parse().ok().map(Self::Agent),
                None => path.strip_prefix("/mcp/")?.parse().ok().map(Self::System),
            },
        }
    }

    /// The resource indicator.
    pub fn resource(&self, issuer: &str) -> String {
        match self {
            Self::System(system) => format!("{issuer}/mcp/{system}"),
            Self::Aggregate => format!("{issuer}/mcp"),
            Self::Access => format!("{issuer}/access/v1"),
            Self::Provisioning => format!("{issuer}/scim/v2"),
            Self::Hook(client) => format!("{issuer}/hook/{}", client.as_str()),
            Self::Agent(agent) => format!("{issuer}/agents/{agent}"),
        }
    }

    /// Whether its tokens can only ask and never act: such a one need not be bound to a key.
    pub const fn only_asks(&self) -> bool {
        matches!(self, Self::Hook(_))
    }

    /// The agent that its tokens hand work over to. They are bound to no key: only that agent can use them, by its own.
    pub const fn handed_to(&self) -> Option<&AgentName> {
        match self {
            Self::Agent(agent) => Some(agent),
            Self::System(_) | Self::Aggregate | Self::Access | Self::Provisioning | Self::Hook(_) => None,
        }
    }
}

/// A token request whose client is authenticated and whose proof is verified.
#[derive(Debug, Clone)]
pub struct TokenAsk {
    /// The client.
    pub agent: AgentName,
    /// The credential that authenticated it.
    pub credential: Thumbprint,
    /// The grant that it uses; `None` is a client acting for itself.
    pub grant: Option<GrantId>,
    /// What the token is for.
    pub audience: Audience,
    /// The scopes asked for; `None` is all that the client may have there.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The tools and arguments asked for, and a task to be made; `None` is all that its scopes open.
    pub details: Option<AuthorizationDetails>,
    /// The task to bind it to.
    pub task: Option<TaskId>,
    /// What to bind it to; `None` asks for a bearer token.
    pub confirmation: Option<Confirmation>,
    /// The assertion's and the proof's identifiers.
    pub spent: Vec<Spent>,
}

/// An issued token, ready for the response.
#[derive(Debug)]
pub struct Issued {
    /// The compact JWT.
    pub token: Secret<String>,
    /// Seconds until it ends.
    pub expires_in_s: u64,
    /// Its scopes.
    pub scopes: BTreeSet<Scope>,
    /// The tools and arguments that it is for; `None` is all that its scopes open, in its task.
    pub details: Option<Vec<ToolGrant>>,
    /// The task that was made with it.
    pub task: Option<Arc<Task>>,
    /// How it is to be presented.
    pub scheme: Scheme,
}

/// Why no token was issued, as RFC 6749 §5.2 and its extensions name it.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefusal {
    /// `invalid_client`: unknown, inactive, or its assertion was used before.
    #[error("{0}")]
    Client(String),
    /// `invalid_grant`: what it is to be issued from does not hold.
    #[error("{0}")]
    Grant(String),
    /// `invalid_target` (RFC 8707 §2).
    #[error("{0}")]
    Target(String),
    /// `invalid_scope`.
    #[error("{0}")]
    Scope(String),
    /// `invalid_authorization_details` (RFC 9396 §5).
    #[error("{0}")]
    Details(String),
    /// `invalid_dpop_proof` (RFC 9449 §5).
    #[error("{0}")]
    Proof(String),
    /// `invalid_request` for the token that is to be exchanged (RFC 8693 §2.2.2).
    #[error("the subject token is refused: {0}")]
    Subject(String),
    /// `invalid_request`.
    #[error("{0}")]
    Request(String),
    /// The token cannot be recorded or signed now: 503.
    #[error("{0}")]
    Unavailable(String),
}

/// Issues a token, recorded before it leaves.
pub async fn issue(broker: &Broker, ask: TokenAsk) -> Result<Issued, TokenRefusal> {
    match ask.details.as_ref().and_then(|details| details.task.clone()) {
        Some(task) => own_task::issue(broker, ask, task).await,
        None => issue_until(broker, ask, Timestamp::MAX).await,
    }
}

/// The same, and it ends at `latest` or earlier.
pub(crate) async fn issue_until(broker: &Broker, ask: TokenAsk, latest: Timestamp) -> Result<Issued, TokenRefusal> {
    let prepared = prepare_until(broker, ask, None, latest).await?;
    let (row, spent, entry) = (prepared.row.clone(), prepared.spent.clone(), prepared.entry.clone());
    broker.ports.store.issue_token(row, spent, entry).await.map_err(not_written)?;
    Ok(prepared.issued(broker))
}

/// The client, if it may have tokens here and now.
pub(crate) fn standing_client(broker: &Broker, name: &AgentName) -> Result<Arc<Agent>, TokenRefusal> {
    let agent = broker.agent(name).ok_or_else(|| TokenRefusal::Client("client is not registered".to_owned()))?;
    let inactive = |inactive| TokenRefusal::Client(format!("client cannot get a token: {inactive}"));
    agent.standing(broker.now()).map_err(inactive)?;
    if broker.settings().environment.is_some_and(|here| here != agent.environment) {
        return Err(TokenRefusal::Client(format!(
            "client belongs to environment `{}`, and this broker serves another",
            agent.environment
        )));
    }
    Ok(agent)
}

/// A signed token that must not leave before its row and its evidence are durable.
pub(crate) struct Prepared {
    token: Secret<String>,
    scopes: BTreeSet<Scope>,
    details: Option<Vec<ToolGrant>>,
    pub(crate) row: IssuedToken,
    pub(crate) spent: Vec<Spent>,
    pub(crate) entry: Entry,
}

impl Prepared {
    /// Hands the token out; its row was written.
    pub(crate) fn issued(self, broker: &Broker) -> Issued {
        let Self { token, scopes, details, row, .. } = self;
        let IssuedToken { credential, confirmation, issued_at, expires_at, .. } = row;
        broker.note_use(credential, issued_at);
        let expires_in_s = u64::try_from(expires_at.as_second().saturating_sub(issued_at.as_second())).unwrap_or(0);
        let scheme = Scheme::of(confirmation);
        Issued { token, expires_in_s, scopes, details, task: None, scheme }
    }
}

/// Why a token that was prepared must not leave.
pub(crate) fn not_written(error: StoreError) -> TokenRefusal {
    match error {
        StoreError::Replayed => TokenRefusal::Client("the assertion or the proof was used before".to_owned()),
        error => TokenRefusal::Unavailable(error.to_string()),
    }
}

/// Decides what a client gets and signs it. `refreshed` counts the refresh tokens that were used up for it.
pub(crate) async fn prepare(broker: &Broker, ask: TokenAsk, refreshed: Option<u64>) -> Result<Prepared, TokenRefusal> {
    prepare_until(broker, ask, refreshed, Timestamp::MAX).await
}

async fn prepare_until(
    broker: &Broker,
    ask: TokenAsk,
    refreshed: Option<u64>,
    latest: Timestamp,
) -> Result<Prepared, TokenRefusal> {
    let now = broker.now();
    let agent = standing_client(broker, &ask.agent)?;
    if ask.confirmation.is_none() && !agent.bearer_tokens_allowed && !ask.audience.only_asks() {
        return Err(TokenRefusal::Proof(
            "a DPoP proof is required for this client, or a connection with its certificate".to_owned(),
        ));
    }
    // The doors see which key a certificate has; here a token that is bound to no attested key is refused again.
    if !hardware::may_be_bound(broker, &agent, ask.confirmation) {
        return Err(TokenRefusal::Proof(Unprotected::Software.to_string()));
    }
    let grant = ask.grant.map(|id| standing_grant(broker, &agent, &ask, id, now)).transpose()?;
    let chain = grant
        .as_ref()
        .map_or_else(|| DelegationChain::of(Principal::Agent(agent.name.clone())), |grant| grant.chain.clone());
    let details = details::within_grant(broker, &ask.audience, ask.details.as_ref(), grant.as_deref())?;
    let asked = asked_scopes(&ask, details.as_deref());
    let delegated_by = match ask.audience.handed_to() {
        Some(to) => Some(delegation::check_hand_over(broker, &chain, to, asked.as_ref())?),
        None => None,
    };
    let granted = grant.as_ref().map(|grant| &grant.scopes);
    let scopes = available_scopes(broker, &chain, &ask.audience, asked.as_ref(), granted)?;
    let task = grant.as_ref().map_or(ask.task, |grant| grant.task);
    let expires_at = lifetime(broker, &agent, &ask, (&chain, task), now)?.min(latest);
    let expires_at = grant.as_ref().map_or(expires_at, |grant| expires_at.min(grant.expires_at));
    let confirmation = ask.confirmation.filter(|_| ask.audience.handed_to().is_none());
    let id = new_id!(TokenId, now, broker.entropy());
    let claims = AccessTokenClaims {
        issuer: broker.settings().issuer.clone(),
        chain,
        client: agent.name.clone(),
        audience: ask.audience.resource(&broker.settings().issuer),
        id,
        issued_at: now,
        expires_at,
        scopes: scopes.clone(),
        details: details.clone(),
        confirmation,
        may_act: ask.audience.handed_to().cloned(),
        authentication: grant.as_ref().and_then(|grant| grant.authentication.clone()),
        grant: ask.grant,
        task,
        environment: agent.environment,
    };
    let signer = broker.token_signer();
    let key = signer.current();
    let input = claims.signing_input(&key);
    let signature =
        signer.sign_as(&key.kid, input.as_bytes()).map_err(|error| TokenRefusal::Unavailable(error.to_string()))?;
    let token = Secret::new(input.assemble(&signature));
    if token.expose().len() > TOKEN_BYTES_MAX {
        return Err(unreadable(details.is_some()));
    }
    let kind = grant.as_ref().map_or("client_credentials", |grant| grant.kind.as_str());
    let entry = evidence(broker, &ask, &claims, (kind, refreshed), delegated_by).await;
    let entry = entry.map_err(|error| TokenRefusal::Unavailable(error.to_string()))?;
    let row = IssuedToken {
        id,
        client: agent.name.clone(),
        audience: claims.audience,
        grant: ask.grant,
        task,
        confirmation,
        credential: ask.credential,
        issued_at: now,
        expires_at,
    };
    Ok(Prepared { token, scopes, details, row, spent: ask.spent, entry })
}

/// The scopes that are asked for: of a client that acts for itself and names tools alone, those of the tools.
pub(crate) fn asked_scopes(ask: &TokenAsk, tools: Option<&[ToolGrant]>) -> Option<BTreeSet<Scope>> {
    ask.scopes.clone().or_else(|| tools.filter(|_| ask.grant.is_none()).map(details::scopes))
}

/// Whether the credential that a token was asked for with is one of the agent's still. What is bound to no key and lives
/// for hours must at least end with the credential that it came from.
pub async fn key_is_kept(broker: &Broker, agent: &Agent, token: TokenId) -> Result<bool, StoreError> {
    let credential = broker.ports.store.token_credential(token).await?;
    let now = broker.now();
    let kept = |of_agent: &Credential| Some(of_agent.authenticator.id()) == credential && now < of_agent.expires_at;
    Ok(agent.credentials.iter().any(kept))
}

/// No reader takes a token that long.
fn unreadable(with_details: bool) -> TokenRefusal {
    let why = "the token would be longer than anybody reads\nhint: ask for less in one token".to_owned();
    if with_details { TokenRefusal::Details(why) } else { TokenRefusal::Scope(why) }
}

/// How the client proved itself.
fn method(broker: &Broker, ask: &TokenAsk) -> Option<&'static str> {
    let agent = broker.agent(&ask.agent)?;
    let found = agent.credentials.iter().map(|credential| &credential.authenticator);
    found.filter(|authenticator| authenticator.id() == ask.credential).map(Authenticator::method).next()
}

/// What the evidence says of an issued token: everything but the token. It is found by the token's own id. What arguments
/// it is for may be about whoever it is on behalf of.
async fn evidence(
    broker: &Broker,
    ask: &TokenAsk,
    claims: &AccessTokenClaims,
    (kind, refreshed): (&str, Option<u64>),
    delegated_by: Option<Delegation>,
) -> Result<Entry, VaultError> {
    let entry = Draft::with_id(EventKind::TokenIssued, claims.id.to_string())
        .field("agent", claims.client.as_str())
        .field("token", claims.id.to_string())
        .field("audience", claims.audience.as_str())
        .field("scope", claims.scopes.iter().map(ToString::to_string).collect::<Vec<_>>())
        .field_if("details", claims.details.as_deref().map(details::actions))
        .field("grant", kind)
        .field_if("grant_id", claims.grant.map(|grant| grant.to_string()))
        .field_if("refreshed", refreshed.map(|times| i64::try_from(times).unwrap_or(i64::MAX)))
        .field("chain", claims.chain.principals().iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("credential", ask.credential.to_string())
        .field_if("method", method(broker, ask))
        .field_if("confirmation", claims.confirmation.map(|key| key.to_string()))
        .field_if("task", claims.task.map(|task| task.to_string()))
        .field_if("may_act", claims.may_act.as_ref().map(ToString::to_string))
        .field_if("delegated_by", delegated_by.as_ref().map(|delegation| delegation.policy.clone()))
        .field_if("bundle", delegated_by.map(|delegation| delegation.bundle.to_string()))
        .field("expires_at", claims.expires_at.to_string());
    let entry = match &claims.details {
        Some(tools) => entry.sealed("details_whole", serde_json::to_string(tools).unwrap_or_default()),
        None => entry,
    };
    entry.finish(broker, claims.chain.initiating()).await
}

/// Records a refused token request. `why` is one of our own constant phrases.
pub async fn refused(broker: &Broker, client: Option<&AgentName>, error: &str, why: &str, spent: Vec<Spent>) {
    let entry = Draft::event(broker, EventKind::TokenRefused)
        .field_if("agent", client.map(|client| client.to_string()))
        .field("error", error)
        .field("why", why)
        .public(broker);
    if let Err(error) = broker.ports.store.append(entry, spent).await {
        tracing::error!(%error, "a refused token request could not be recorded");
    }
}

/// The grant that a client wants to use: its own, active with all that it comes from, and for this resource. Everybody
/// on whose authority it acts must be active now.
fn standing_grant(
    broker: &Broker,
    agent: &Agent,
    ask: &TokenAsk,
    id: GrantId,
    now: Timestamp,
) -> Result<Arc<Grant>, TokenRefusal> {
    let live = broker.live();
    let ended = || TokenRefusal::Grant("the grant has ended, or is not this client's".to_owned());
    let grant = live.grants.get(&id).filter(|grant| grant.client() == Some(&agent.name)).ok_or_else(ended)?;
    if !live.grant_stands(Some(id), now) {
        return Err(ended());
    }
    for principal in grant.chain.principals() {
        live.party(principal, now)
            .map_err(|inactive| TokenRefusal::Grant(format!("`{principal}` may not act: {inactive}")))?;
    }
    let handed_over = ask.audience.handed_to().is_some();
    if !handed_over && !grant.resources.contains(&ask.audience.resource(&broker.settings().issuer)) {
        return Err(TokenRefusal::Target("the grant is not for this resource".to_owned()));
    }
    if ask.task.is_some() && ask.task != grant.task {
        return Err(TokenRefusal::Request("the grant is for another task".to_owned()));
    }
    Ok(Arc::clone(grant))
}

fn lifetime(
    broker: &Broker,
    agent: &Agent,
    ask: &TokenAsk,
    (chain, task): (&DelegationChain, Option<TaskId>),
    now: Timestamp,
) -> Result<Timestamp, TokenRefusal> {
    let ttl_s = match ask.audience {
        Audience::Hook(_) => HOOK_TOKEN_TTL_S,
        Audience::Agent(_) => agent.token_ttl_s.min(HANDOVER_TTL_S),
        Audience::System(_) | Audience::Aggregate | Audience::Access | Audience::Provisioning => agent.token_ttl_s,
    };
    let ttl = SignedDuration::from_secs(i64::try_from(ttl_s).unwrap_or(0));
    let mut expires_at = (now + ttl).min(agent.active_until());
    if let Some(id) = task {
        expires_at = expires_at.min(open_task(&broker.live(), id, chain, now)?.expires_at);
    }
    Ok(expires_at)
}

/// A task that is open, and of one of these: a task in which work was handed over narrows whoever it was handed to.
pub(crate) fn open_task(
    live: &Live,
    id: TaskId,
    chain: &DelegationChain,
    now: Timestamp,
) -> Result<Arc<Task>, TokenRefusal> {
    let of_chain = |task: &Task| chain.principals().iter().any(|one| *one == Principal::Agent(task.agent.clone()));
    let task = live.tasks.get(&id).filter(|task| task.is_open(now) && of_chain(task));
    task.cloned().ok_or_else(|| TokenRefusal::Request("the task has ended, or is not this client's".to_owned()))
}

/// Narrows the scopes asked for to what every agent of the chain may have at this audience and what was granted, or
/// refuses.
pub(crate) fn available_scopes(
    broker: &Broker,
    chain: &DelegationChain,
    audience: &Audience,
    asked: Option<&BTreeSet<Scope>>,
    granted: Option<&BTreeSet<Scope>>,
) -> Result<BTreeSet<Scope>, TokenRefusal> {
    let live = broker.live();
    let Some(policy) = live.policy.as_deref() else {
        return Err(TokenRefusal::Target("no policy bundle is active".to_owned()));
    };
    let agents = chain.principals().iter().filter_map(|principal| match principal {
        Principal::Agent(name) => live.agents.get(name),
        Principal::User(_) | Principal::Workload(_) | Principal::Operator(_) => None,
    });
    let reaches = agents.map(|agent| Reach::of(policy, agent, audience)).collect::<Result<Vec<_>, _>>()?;
    let admits = |scope: &Scope| reaches.iter().all(|reach| reach.admits(policy, scope));
    let Some(asked) = asked else {
        let own = reaches.last().map(|reach| &reach.available);
        return Ok(granted.or(own).into_iter().flatten().filter(|scope| admits(scope)).cloned().collect());
    };
    for scope in asked {
        if !admits(scope) {
            return Err(TokenRefusal::Scope(format!("scope `{scope}` is not available to this client here")));
        }
        if granted.is_some_and(|granted| !granted.contains(scope)) {
            return Err(TokenRefusal::Scope(format!("scope `{scope}` was not granted")));
        }
    }
    Ok(asked.clone())
}

/// What a client can have at an audience.
pub(crate) struct Reach {
    systems: Vec<SystemName>,
    available: BTreeSet<Scope>,
}

impl Reach {
    pub(crate) fn of(policy: &Snapshot, agent: &Agent, audience: &Audience) -> Result<Self, TokenRefusal> {
        let nothing = || TokenRefusal::Target("no such resource for this client".to_owned());
        let catalogue = policy.catalogue();
        let of_agent = |system: &SystemName| agent.systems.is_empty() || agent.systems.contains(system);
        let names = |systems: &mut dyn Iterator<Item = &System>| -> Vec<SystemName> {
            systems.map(|system| system.name.clone()).filter(of_agent).collect()
        };
        // What opens a door of the broker itself is a scope of the registration.
        let own = match audience {
            Audience::Access => Some(ACCESS_EVALUATE),
            Audience::Provisioning => Some(SCIM_MANAGE),
            _ => None,
        };
        let asks = |scope: &&Scope| own == Some(scope.as_str());
        let systems: Vec<SystemName> = match audience {
            Audience::System(system)
                if of_agent(system) && catalogue.servers().any(|server| server.name == *system) =>
            {
                vec![system.clone()]
            }
            // What is handed over can reach what its agent can; the exchange says which of it.
            Audience::Aggregate | Audience::Agent(_) => names(&mut catalogue.servers()),
            // What the hook asks about may be its client's own tool, or one that goes on to the gateway.
            Audience::Hook(client) if catalogue.client(*client).is_some_and(|system| of_agent(&system.name)) => {
                names(&mut catalogue.systems())
            }
            Audience::Access | Audience::Provisioning if agent.scopes.iter().any(|scope| asks(&scope)) => Vec::new(),
            Audience::System(_) | Audience::Hook(_) | Audience::Access | Audience::Provisioning => {
                return Err(nothing());
            }
        };
        let classes: &[ActionClass] = if agent.promoted { &ActionClass::ALL } else { &[ActionClass::Read] };
        let mut available: BTreeSet<Scope> = systems
            .iter()
            .flat_map(|system| classes.iter().map(move |class| format!("{system}:{}", class.as_str())))
            .filter_map(|scope| scope.parse().ok())
            .collect();
        if own.is_some() {
            available.extend(agent.scopes.iter().filter(asks).cloned());
        }
        Ok(Self { systems, available })
    }

    /// The classes of all its systems.
    pub(crate) fn into_available(self) -> BTreeSet<Scope> {
        self.available
    }

    /// Whether a scope is among them: a class of a system, or one tool of it.
    pub(crate) fn admits(&self, policy: &Snapshot, scope: &Scope) -> bool {
        let system = scope.as_str().split(['.', ':']).next().unwrap_or_default();
        let of_tool = || {
            scope.as_str().parse().is_ok_and(|action| knows_action(policy, &action))
                && self.systems.iter().any(|known| known.as_str() == system)
        };
        self.available.contains(scope) || of_tool()
    }
}
