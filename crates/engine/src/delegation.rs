//! Agents delegate to agents (RFC 8693): one hands work over in a token that opens nothing, the other exchanges it for a
//! grant of its own that is narrower in every respect and ends with what it came from. Policy says who may.

use std::collections::BTreeSet;

use bailiwick_model::{
    bundle::BundleRevision,
    confirmation::Confirmation,
    digest::Digest,
    grant::{Grant, GrantKind, GrantStatus, SubjectToken},
    id::{GrantId, TaskId, TokenId},
    jwk::Thumbprint,
    limits::DELEGATIONS_PER_AGENT_MAX,
    name::{AgentName, Scope},
    principal::{DelegationChain, Principal},
    task::Task,
};
use bailiwick_oauth::{
    access_token::{AccessTokenClaims, AccessTokenExpectation},
    authorization_details::AuthorizationDetails,
};
use bailiwick_pdp::narrowing::{Bounds, Dimension, Wanted, hand_down, tools_within};
use bailiwick_ports::{new_id, store::Spent};
use jiff::Timestamp;

use crate::{
    broker::Broker,
    details, grants,
    live::Live,
    refusal::Refusal,
    tokens::{self, Audience, Issued, TokenAsk, TokenRefusal, available_scopes, open_task, standing_client},
};

/// Under which scope the ids of exchanged tokens are used up.
const EXCHANGED: &str = "exchanged";

/// What lets an agent delegate, as evidence cites it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    /// `role:<role>:delegates-to:<role>`.
    pub(crate) policy: String,
    /// In this bundle.
    pub(crate) bundle: BundleRevision,
}

/// A token exchange whose client is authenticated, whose proof is verified, and whose subject token one of our keys has
/// signed.
#[derive(Debug, Clone)]
pub struct ExchangeAsk {
    /// The client.
    pub agent: AgentName,
    /// The credential that authenticated it.
    pub credential: Thumbprint,
    /// What the subject token says. Whether it holds is still to be decided.
    pub subject: AccessTokenClaims,
    /// What the new token is for.
    pub audience: Audience,
    /// The scopes asked for; `None` is all that was handed over and can be used there.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The tools and arguments asked for; `None` is what was handed over.
    pub details: Option<AuthorizationDetails>,
    /// A task of the client, to be narrower than the one that the subject token is bound to.
    pub task: Option<TaskId>,
    /// The key to bind it to.
    pub confirmation: Option<Confirmation>,
    /// The assertion's and the proof's identifiers.
    pub spent: Vec<Spent>,
}

/// Exchanges a token: one that was handed to the client for one that acts, or the client's own for one that hands over.
pub async fn exchange(broker: &Broker, ask: ExchangeAsk) -> Result<Issued, TokenRefusal> {
    standing_client(broker, &ask.agent)?;
    match ask.audience {
        Audience::Agent(_) => pass_on(broker, ask).await,
        Audience::System(_) | Audience::Aggregate => accept(broker, ask).await,
        Audience::Access | Audience::Provisioning | Audience::Hook(_) => {
            Err(TokenRefusal::Target("nothing is delegated for this resource\nhint: name a system".to_owned()))
        }
    }
}

/// The client's own token becomes one that hands over what its grant allows.
async fn pass_on(broker: &Broker, ask: ExchangeAsk) -> Result<Issued, TokenRefusal> {
    let ExchangeAsk { agent, credential, subject, audience, scopes, details, task, confirmation, spent } = ask;
    let acts = matches!(
        Audience::of_resource(&broker.settings().issuer, &subject.audience),
        Some(Audience::System(_) | Audience::Aggregate)
    );
    if subject.client != agent || subject.may_act.is_some() || !acts {
        return Err(subject_refused("it is not one of this client's own for a system"));
    }
    if subject.confirmation.is_some() && subject.confirmation != confirmation {
        return Err(subject_refused("it is bound to a key or certificate, and another was proved"));
    }
    check_subject(broker, &subject, &subject.audience)?;
    let Some(grant) = subject.grant else {
        let hint = "it comes from no grant\nhint: ask by `client_credentials` with the same `resource`";
        return Err(subject_refused(hint));
    };
    let wider = |asked: &&Scope| !subject.scopes.contains(*asked);
    if let Some(scope) = scopes.as_ref().and_then(|asked| asked.iter().find(wider)) {
        return Err(TokenRefusal::Scope(format!("scope `{scope}` is not one of the subject token's")));
    }
    let details = handed_details(broker, &audience, details, &subject)?;
    let ask = TokenAsk { agent, credential, grant: Some(grant), audience, scopes, details, task, confirmation, spent };
    tokens::issue_until(broker, ask, subject.expires_at).await
}

/// The `authorization_details` of a token that hands over: those of the client's own token, or narrower ones.
fn handed_details(
    broker: &Broker,
    audience: &Audience,
    asked: Option<AuthorizationDetails>,
    subject: &AccessTokenClaims,
) -> Result<Option<AuthorizationDetails>, TokenRefusal> {
    let had = subject.details.as_deref();
    let Some(asked) = asked else { return Ok(had.map(AuthorizationDetails::of)) };
    match tools_within(Some(&details::tools(broker, audience, &asked)?), had) {
        true => Ok(Some(asked)),
        false => Err(wider(Dimension::Details)),
    }
}

/// What was handed to the client becomes a grant of its own, and a token of it.
async fn accept(broker: &Broker, ask: ExchangeAsk) -> Result<Issued, TokenRefusal> {
    let ExchangeAsk { agent, credential, subject, audience, scopes, details, task, confirmation, mut spent } = ask;
    let issuer = &broker.settings().issuer;
    if subject.may_act.as_ref() != Some(&agent) {
        return Err(subject_refused(
            "it was not handed to this client\nhint: whoever delegates asks for it with `resource=…/agents/<client>`",
        ));
    }
    check_subject(broker, &subject, &Audience::Agent(agent.clone()).resource(issuer))?;
    let (live, now) = (broker.live(), broker.now());
    check_room(&live, &agent, subject.id, now)?;
    let chain = extended(&subject.chain, &agent)?;
    by_policy(&live, &chain)?;
    let of = |id| open_task(&live, id, &subject.chain, now);
    let above = subject.task.map(of).transpose()?;
    let own = DelegationChain::of(Principal::Agent(agent.clone()));
    let below = task.map(|id| open_task(&live, id, &own, now)).transpose()?;
    let parent = bounds_of(&live, issuer, &subject, above.as_deref())?;
    let usable = available_scopes(broker, &chain, &audience, scopes.as_ref(), Some(&parent.scopes))?;
    if usable.is_empty() {
        let message = "nothing of what was handed over can be used there by everybody of the chain";
        return Err(TokenRefusal::Scope(message.to_owned()));
    }
    let wanted = Wanted {
        agent: agent.clone(),
        resource: audience.resource(issuer),
        scopes: Some(usable),
        tools: below.as_ref().map(|task| task.tools.clone()),
        details: details.map(|asked| details::tools(broker, &audience, &asked)).transpose()?,
        expires_at: ends(&live, &chain, [above.as_deref(), below.as_deref()]),
    };
    let Bounds { chain, resources, scopes, tools: _, details, expires_at } =
        hand_down(&parent, wanted).map_err(wider)?;
    if expires_at <= now {
        return Err(subject_refused("what it comes from has ended"));
    }
    let grant = Grant {
        id: new_id!(GrantId, now, broker.entropy()),
        kind: GrantKind::TokenExchange,
        chain,
        parent: subject.grant,
        subject: Some(SubjectToken { id: subject.id, task: subject.task }),
        resources,
        scopes: scopes.clone(),
        details,
        task: task.or(subject.task),
        authentication: subject.authentication,
        vouched: None,
        status: GrantStatus::Active,
        created_at: now,
        expires_at,
    };
    spent.push(Spent {
        scope: EXCHANGED.to_owned(),
        jti: Digest::of(subject.id.to_string().as_bytes()),
        forget_at: subject.expires_at,
    });
    let by = Principal::Agent(agent.clone());
    let grant = grants::give(broker, &by, grant, spent).await.map_err(not_given)?;
    let ask = TokenAsk {
        agent,
        credential,
        grant: Some(grant.id),
        audience,
        scopes: Some(scopes),
        details: None,
        task: None,
        confirmation,
        spent: Vec::new(),
    };
    tokens::issue(broker, ask).await
}

/// Whether a token that hands over may be issued: to an agent that can act, by a role that may delegate to its role, with
/// scopes that somebody named.
pub(crate) fn check_hand_over(
    broker: &Broker,
    chain: &DelegationChain,
    to: &AgentName,
    scopes: Option<&BTreeSet<Scope>>,
) -> Result<Delegation, TokenRefusal> {
    let live = broker.live();
    let delegation = by_policy(&live, &extended(chain, to)?)?;
    if scopes.is_none_or(BTreeSet::is_empty) {
        let message = "nothing is handed over by default\nhint: name in `scope` what the other agent is to have";
        return Err(TokenRefusal::Scope(message.to_owned()));
    }
    let to = Principal::Agent(to.clone());
    live.party(&to, broker.now())
        .map_err(|inactive| TokenRefusal::Target(format!("`{to}` may not act: {inactive}")))?;
    delegation.ok_or_else(|| TokenRefusal::Target(not_allowed(chain.current(), &to)))
}

/// What lets the last hop of a chain be, if every hop may be by the active bundle; `None` is a chain without hops. The
/// decision asks the same of every call.
pub(crate) fn by_policy(live: &Live, chain: &DelegationChain) -> Result<Option<Delegation>, TokenRefusal> {
    let role = |name: &AgentName| live.agents.get(name).map(|agent| agent.role.clone());
    let mut last = None;
    for hop in chain.principals().windows(2) {
        let [from, to] = hop else { continue };
        let policy = live.policy.as_deref();
        last = match (from, to) {
            // A user's consent is their grant.
            (Principal::User(_), Principal::Agent(_)) => None,
            (Principal::Agent(a), Principal::Agent(b)) => {
                let roles = role(a).zip(role(b));
                let found = policy.zip(roles).and_then(|(policy, (a, b))| {
                    policy.delegation(&a, &b).map(|id| Delegation { policy: id, bundle: policy.revision() })
                });
                Some(found.ok_or_else(|| TokenRefusal::Target(not_allowed(from, to)))?)
            }
            _ => return Err(TokenRefusal::Target(not_allowed(from, to))),
        };
    }
    Ok(last)
}

fn not_allowed(from: &Principal, to: &Principal) -> String {
    format!("`{from}` may not delegate to `{to}`\nhint: a role's file says so with `delegates_to`")
}

fn extended(chain: &DelegationChain, to: &AgentName) -> Result<DelegationChain, TokenRefusal> {
    let mut all = chain.principals().to_vec();
    all.push(Principal::Agent(to.clone()));
    DelegationChain::new(all).map_err(|error| TokenRefusal::Target(error.to_string()))
}

/// A subject token of ours, for this audience, of this moment, on which everybody of its chain may act.
fn check_subject(broker: &Broker, subject: &AccessTokenClaims, audience: &str) -> Result<(), TokenRefusal> {
    let settings = broker.settings();
    let expected = AccessTokenExpectation { issuer: &settings.issuer, audience, environment: settings.environment };
    let (live, now) = (broker.live(), broker.now());
    subject.check(&expected, now).map_err(|error| subject_refused(&error.to_string()))?;
    if !live.token_stands(subject.id, subject.grant, now) {
        return Err(subject_refused("it was revoked, or what it was issued from has ended"));
    }
    for principal in subject.chain.principals() {
        live.party(principal, now)
            .map_err(|inactive| subject_refused(&format!("`{principal}` may not act: {inactive}")))?;
    }
    Ok(())
}

/// Refuses what was exchanged already, and an agent that has too many delegations at a time.
fn check_room(live: &Live, agent: &AgentName, subject: TokenId, now: Timestamp) -> Result<(), TokenRefusal> {
    let of_agent = live.grants.values().filter(|grant| {
        grant.kind == GrantKind::TokenExchange && grant.client() == Some(agent) && grant.is_active(now)
    });
    let (mut count, mut exchanged) = (0, false);
    for grant in of_agent {
        count += 1;
        exchanged |= grant.subject.is_some_and(|one| one.id == subject);
    }
    if exchanged {
        return Err(subject_refused("it was exchanged before\nhint: it is good once; ask for another"));
    }
    if count >= DELEGATIONS_PER_AGENT_MAX {
        let message = format!("the client has {count} delegations already\nhint: each ends within minutes");
        return Err(TokenRefusal::Request(message));
    }
    Ok(())
}

/// What the subject token may do at most.
fn bounds_of(
    live: &Live,
    issuer: &str,
    subject: &AccessTokenClaims,
    task: Option<&Task>,
) -> Result<Bounds, TokenRefusal> {
    let grant = match subject.grant {
        None => None,
        Some(id) => Some(live.grants.get(&id).ok_or_else(|| subject_refused("what it was issued from has ended"))?),
    };
    let everything = || BTreeSet::from([Audience::Aggregate.resource(issuer)]);
    Ok(Bounds {
        chain: subject.chain.clone(),
        resources: grant.map_or_else(everything, |grant| grant.resources.clone()),
        scopes: subject.scopes.clone(),
        tools: task.map(|task| task.tools.clone()),
        details: subject.details.clone(),
        expires_at: grant.map_or(subject.expires_at, |grant| subject.expires_at.min(grant.expires_at)),
    })
}

/// When a chain must end at the latest: with the first of its agents that may act no longer, and the first of these tasks.
fn ends(live: &Live, chain: &DelegationChain, tasks: [Option<&Task>; 2]) -> Timestamp {
    let agents = chain.principals().iter().filter_map(|principal| match principal {
        Principal::Agent(name) => live.agents.get(name).map(|agent| agent.active_until()),
        Principal::User(_) | Principal::Workload(_) | Principal::Operator(_) => None,
    });
    agents.chain(tasks.into_iter().flatten().map(|task| task.expires_at)).min().unwrap_or(Timestamp::MIN)
}

fn wider(dimension: Dimension) -> TokenRefusal {
    let message = format!("what is asked for is more than what was handed over: {dimension}");
    match dimension {
        Dimension::Resources => TokenRefusal::Target(message),
        Dimension::Scopes => TokenRefusal::Scope(message),
        Dimension::Details => TokenRefusal::Details(message),
        Dimension::Chain | Dimension::Tools | Dimension::Expiry => TokenRefusal::Request(message),
    }
}

fn not_given(refusal: Refusal) -> TokenRefusal {
    match refusal {
        Refusal::Unavailable(cause) => TokenRefusal::Unavailable(cause),
        // Something was used before, or ended meanwhile: which, the store does not say.
        other => subject_refused(&other.to_string()),
    }
}

/// RFC 8693 §2.2.2: what is wrong with a subject token is an `invalid_request`.
fn subject_refused(why: &str) -> TokenRefusal {
    TokenRefusal::Subject(why.to_owned())
}
