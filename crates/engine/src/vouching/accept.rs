//! Another domain vouches for a user of ours, and an agent acts for that user: a grant of one token's life. Everybody must
//! be active: the issuer, the user, the agent (CVE-2026-1609 is a server that forgot to ask).

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_model::{
    agent::Agent,
    authentication::Authentication,
    confirmation::Confirmation,
    grant::{Grant, GrantKind, GrantStatus, Vouched},
    id::GrantId,
    jwk::Thumbprint,
    limits::DELEGATIONS_PER_AGENT_MAX,
    name::{Scope, UserId},
    principal::{DelegationChain, Principal},
};
use bailiwick_oauth::{authorization_details::AuthorizationDetails, id_jag::IdJag};
use bailiwick_pdp::issuers::{Issuer, Vouches};
use bailiwick_ports::{new_id, store::Spent};
use jiff::SignedDuration;

use crate::{
    broker::Broker,
    grants,
    live::Live,
    refusal::Refusal,
    tokens::{self, Audience, Issued, TokenAsk, TokenRefusal, available_scopes, standing_client},
};

/// A client presents what an issuer signed. The client is authenticated, its proof is verified, and the signature, audience
/// and times of the assertion hold.
#[derive(Debug, Clone)]
pub struct VouchedAsk {
    /// The client.
    pub agent: Arc<Agent>,
    /// The credential that authenticated it.
    pub credential: Thumbprint,
    /// The issuer whose key signed, byte for byte.
    pub issuer: String,
    /// What it says.
    pub assertion: IdJag,
    /// The resource that is asked for; `None` is the one that the assertion names.
    pub resource: Option<String>,
    /// The scopes asked for; `None` is all that the assertion names.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The tools and arguments asked for; `None` is all that the scopes open.
    pub details: Option<AuthorizationDetails>,
    /// What to bind the token to.
    pub confirmation: Option<Confirmation>,
    /// The assertion's, the client's and the proof's identifiers.
    pub spent: Vec<Spent>,
}

/// The issuer that an assertion names, if it may vouch for users here.
pub fn trusted_issuer(broker: &Broker, issuer: &str) -> Result<Issuer, TokenRefusal> {
    if issuer == broker.settings().issuer {
        return Err(refused("it was issued here, and vouches to others only"));
    }
    let live = broker.live();
    let found = live.policy.as_deref().and_then(|policy| policy.issuers().vouching(issuer));
    found.map(|(issuer, _)| issuer.clone()).ok_or_else(|| refused("its issuer may not vouch for users here"))
}

/// Issues a token for the user that an issuer vouches for, with the client as the actor. No refresh token comes with it: who
/// needs another asks the issuer again.
pub async fn accept(broker: &Broker, ask: VouchedAsk) -> Result<Issued, TokenRefusal> {
    let VouchedAsk { agent, credential, issuer, assertion, resource, scopes, details, confirmation, spent } = ask;
    standing_client(broker, &agent.name)?;
    if assertion.client != agent.name.as_str() {
        return Err(refused("`client_id` is not the client that presents it"));
    }
    if assertion.confirmation.is_some() && assertion.confirmation != confirmation.and_then(Confirmation::key) {
        let message = "the assertion is bound to a key\nhint: send a DPoP proof by the key that it names in `cnf`";
        return Err(TokenRefusal::Proof(message.to_owned()));
    }
    let (live, now) = (broker.live(), broker.now());
    trusted_issuer(broker, &issuer)?;
    let policy = live.policy.as_deref().ok_or_else(|| refused("nobody may vouch for users here"))?;
    let (_, vouches) = policy.issuers().vouching(&issuer).ok_or_else(|| refused("its issuer may not vouch here"))?;
    let user = user_of(&live, vouches, &assertion).ok_or_else(|| refused("its subject is nobody known here"))?;
    let chain = DelegationChain::new(vec![Principal::User(user), Principal::Agent(agent.name.clone())])
        .map_err(|error| refused(&error.to_string()))?;
    for principal in chain.principals() {
        live.party(principal, now).map_err(|inactive| refused(&format!("`{principal}` may not act: {inactive}")))?;
    }
    check_room(&live, &agent, broker)?;
    let audience = audience(broker, resource, &assertion.resources)?;
    let scopes =
        narrowed(scopes, &assertion, vouches, |asked| available_scopes(broker, &chain, &audience, Some(asked), None))?;
    let ttl = SignedDuration::from_secs(i64::try_from(agent.token_ttl_s).unwrap_or(0));
    let grant = Grant {
        id: new_id!(GrantId, now, broker.entropy()),
        kind: GrantKind::JwtBearer,
        chain,
        parent: None,
        subject: None,
        resources: BTreeSet::from([audience.resource(&broker.settings().issuer)]),
        scopes: scopes.clone(),
        details: None,
        task: None,
        // A proof of the future would never grow old.
        authentication: assertion.authentication.map(|proof| Authentication { at: proof.at.min(now), ..proof }),
        vouched: Some(Vouched { issuer, assertion: assertion.id }),
        status: GrantStatus::Active,
        created_at: now,
        expires_at: now.checked_add(ttl).unwrap_or(now).min(agent.expires_at),
    };
    let by = Principal::Agent(agent.name.clone());
    let grant = grants::give(broker, &by, grant, spent).await.map_err(not_given)?;
    let ask = TokenAsk {
        agent: agent.name.clone(),
        credential,
        grant: Some(grant.id),
        audience,
        scopes: Some(scopes),
        details,
        task: None,
        confirmation,
        spent: Vec::new(),
    };
    let issued = tokens::issue(broker, ask).await;
    if issued.is_err()
        && let Err(error) = grants::end(broker, &by, grant.id, "no token could be issued from it").await
    {
        tracing::error!(%error, "a grant could not be ended");
    }
    issued
}

/// The user of ours that an assertion is about: by what its issuer calls them, or by an address in a domain of which it is
/// the authority. Two users of one address are nobody.
fn user_of(live: &Live, vouches: &Vouches, assertion: &IdJag) -> Option<UserId> {
    if let Some(user) = vouches.subjects.get(&assertion.subject) {
        return Some(user.clone());
    }
    let email = assertion.verified_email.as_deref()?;
    let (_, domain) = email.rsplit_once('@')?;
    if !vouches.email_domains.contains(&domain.to_ascii_lowercase()) {
        return None;
    }
    let is = |written: &String| written.eq_ignore_ascii_case(email);
    let mut found = live.users.values().filter(|user| !user.has_left() && user.email.as_ref().is_some_and(is));
    match (found.next(), found.next()) {
        (Some(user), None) => Some(user.id.clone()),
        _ => None,
    }
}

/// A system of ours, or all of them: the one that is asked for, if the assertion is for it, or else the assertion's own.
fn audience(broker: &Broker, asked: Option<String>, named: &BTreeSet<String>) -> Result<Audience, TokenRefusal> {
    let target = |message: &str| TokenRefusal::Target(message.to_owned());
    let resource = match (asked, named.first()) {
        (Some(asked), Some(_)) if !named.contains(&asked) => {
            return Err(target("the assertion is for another resource"));
        }
        (Some(asked), _) => asked,
        (None, Some(only)) if named.len() == 1 => only.clone(),
        (None, _) => return Err(target("`resource` is missing\nhint: name the URL that the token is for")),
    };
    match Audience::of_resource(&broker.settings().issuer, &resource) {
        Some(audience @ (Audience::System(_) | Audience::Aggregate)) => Ok(audience),
        _ => Err(target("no such resource for this client")),
    }
}

/// What is asked for, what the assertion names and what its issuer may allow: only what all of them say.
fn narrowed(
    asked: Option<BTreeSet<Scope>>,
    assertion: &IdJag,
    vouches: &Vouches,
    available: impl Fn(&BTreeSet<Scope>) -> Result<BTreeSet<Scope>, TokenRefusal>,
) -> Result<BTreeSet<Scope>, TokenRefusal> {
    let none = |message: &str| TokenRefusal::Scope(message.to_owned());
    let bounds = [asked.as_ref(), assertion.scopes.as_ref(), vouches.scopes.as_ref()];
    if asked.is_none() && assertion.scopes.is_none() {
        return Err(none("nothing is granted by default\nhint: name in `scope` what the token is to be for"));
    }
    let named: BTreeSet<Scope> = bounds.iter().flatten().flat_map(|scopes| scopes.iter()).cloned().collect();
    let everybody_says = |scope: &Scope| bounds.iter().flatten().all(|scopes| scopes.contains(scope));
    // One by one: what is not there is left out and not refused, as the assertion may have been made for other servers too.
    let mut usable = BTreeSet::new();
    for scope in named.into_iter().filter(everybody_says) {
        match available(&BTreeSet::from([scope.clone()])) {
            Ok(_) => usable.insert(scope),
            Err(TokenRefusal::Scope(_)) => continue,
            Err(refusal) => return Err(refusal),
        };
    }
    if usable.is_empty() {
        return Err(none("nothing of what is asked for was vouched for and can be used there"));
    }
    Ok(usable)
}

/// A client cannot fill the memory with grants that last for minutes.
fn check_room(live: &Live, agent: &Agent, broker: &Broker) -> Result<(), TokenRefusal> {
    let now = broker.now();
    let of_agent = |grant: &&Arc<Grant>| {
        grant.kind == GrantKind::JwtBearer && grant.client() == Some(&agent.name) && grant.is_active(now)
    };
    let count = live.grants.values().filter(of_agent).count();
    if count >= DELEGATIONS_PER_AGENT_MAX {
        let message = format!("the client has {count} such grants already\nhint: each ends with its token");
        return Err(TokenRefusal::Request(message));
    }
    Ok(())
}

fn not_given(refusal: Refusal) -> TokenRefusal {
    match refusal {
        Refusal::Unavailable(cause) => TokenRefusal::Unavailable(cause),
        // The assertion, the client's own or the proof: which, the store does not say.
        Refusal::Conflict(_) => refused("it, the client's assertion or the proof was used before"),
        other => refused(&other.to_string()),
    }
}

/// RFC 7521 §4.1.1: what is wrong with an assertion is an `invalid_grant`.
fn refused(why: &str) -> TokenRefusal {
    TokenRefusal::Grant(format!("the assertion is refused: {why}"))
}
