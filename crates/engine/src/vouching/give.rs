//! We vouch for a user to another domain, for an agent that acts for them there: if the user allowed that agent to
//! act here at all, and as far as somebody listed that server, that agent and what it may ask for.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    confirmation::Confirmation,
    grant::Grant,
    id::TokenId,
    jwk::Thumbprint,
    name::{AgentName, Scope},
    principal::Principal,
    secret::Secret,
};
use bailiwick_oauth::{
    access_token::{AccessTokenClaims, AccessTokenExpectation},
    id_jag::{ID_JAG_TTL_S_MAX, Vouching},
};
use bailiwick_pdp::issuers::Target;
use bailiwick_ports::{new_id, store::Spent};
use jiff::{SignedDuration, Timestamp};

use crate::{
    broker::Broker,
    evidence::Draft,
    live::Live,
    refresh,
    tokens::{TokenRefusal, not_written, standing_client},
};

/// What a client holds of a user's grant.
#[derive(Debug, Clone)]
pub enum HeldBy {
    /// What an access token says that one of our keys has signed. Whether it holds is still to be decided.
    Access(Box<AccessTokenClaims>),
    /// A refresh token; nothing is known of it. It is not used up.
    Refresh(Secret<String>),
}

/// A client wants us to vouch for its user. It is authenticated, and its proof is verified.
#[derive(Debug, Clone)]
pub struct VouchAsk {
    /// The client.
    pub agent: AgentName,
    /// The credential that authenticated it.
    pub credential: Thumbprint,
    /// What shows that the user allowed it.
    pub held: HeldBy,
    /// The issuer of the server that the assertion is for, byte for byte.
    pub audience: String,
    /// The resource there; `None` is the one that is listed.
    pub resource: Option<String>,
    /// The scopes there; `None` is all that are listed.
    pub scopes: Option<BTreeSet<Scope>>,
    /// What was proved beside who the client is. The assertion is bound to it if it is a key.
    pub confirmation: Option<Confirmation>,
    /// The client's and the proof's identifiers.
    pub spent: Vec<Spent>,
}

/// An assertion, ready for the response.
#[derive(Debug)]
pub struct VouchedFor {
    /// The compact JWT.
    pub assertion: Secret<String>,
    /// Seconds until it ends.
    pub expires_in_s: u64,
    /// What it allows at most.
    pub scopes: BTreeSet<Scope>,
}

/// Vouches, recorded before the assertion leaves.
pub async fn vouch(broker: &Broker, ask: VouchAsk) -> Result<VouchedFor, TokenRefusal> {
    let VouchAsk { agent, credential, held, audience, resource, scopes, confirmation, spent } = ask;
    standing_client(broker, &agent)?;
    let (live, now) = (broker.live(), broker.now());
    let grant = grant_of(broker, &live, &agent, held, confirmation).await?;
    let user = user_of(&live, &grant, &agent, now)?;
    let listed = live.policy.as_deref().and_then(|policy| policy.issuers().target(&audience, &agent));
    let target = listed.filter(|_| audience != broker.settings().issuer).ok_or_else(|| {
        let message =
            "nobody is vouched for to this server by this client\nhint: an operator lists it as `[[id_jag_target]]`";
        TokenRefusal::Target(message.to_owned())
    })?;
    let (resource, scopes) = narrowed(target, resource, scopes)?;
    let until = now.checked_add(SignedDuration::from_secs(ID_JAG_TTL_S_MAX)).unwrap_or(now).min(grant.expires_at);
    let vouching = Vouching {
        issuer: broker.settings().issuer.clone(),
        id: new_id!(TokenId, now, broker.entropy()),
        subject: user,
        audience,
        client: target.client.clone(),
        resource,
        scopes,
        confirmation: confirmation.and_then(Confirmation::key),
        authentication: grant.authentication.clone(),
        issued_at: now,
        expires_at: until,
    };
    let signer = broker.token_signer();
    let key = signer.current();
    let input = vouching.signing_input(&key);
    let unsigned = |error: bailiwick_ports::signer::SignError| TokenRefusal::Unavailable(error.to_string());
    let signature = signer.sign_as(&key.kid, input.as_bytes()).map_err(unsigned)?;
    let entry = evidence(broker, &agent, credential, &vouching, &grant);
    broker.ports.store.append(entry, spent).await.map_err(not_written)?;
    broker.note_use(credential, now);
    let left = until.as_second().saturating_sub(now.as_second());
    Ok(VouchedFor {
        assertion: Secret::new(input.assemble(&signature)),
        expires_in_s: u64::try_from(left).unwrap_or(0),
        scopes: vouching.scopes,
    })
}

/// The client's own grant that what it holds was issued from, if that holds.
async fn grant_of(
    broker: &Broker,
    live: &Live,
    agent: &AgentName,
    held: HeldBy,
    proved: Option<Confirmation>,
) -> Result<Arc<Grant>, TokenRefusal> {
    let now = broker.now();
    let (id, bound_to) = match held {
        HeldBy::Access(claims) => {
            let settings = broker.settings();
            // It may be for any resource of ours: what counts is whom it is of.
            let audience = claims.audience.as_str();
            let expected =
                AccessTokenExpectation { issuer: &settings.issuer, audience, environment: settings.environment };
            claims.check(&expected, now).map_err(|error| refused(&error.to_string()))?;
            if claims.client != *agent || claims.may_act.is_some() || !live.token_stands(claims.id, claims.grant, now) {
                return Err(refused("it is not one of this client's own, or it was revoked"));
            }
            if claims.details.is_some() {
                return Err(refused("it is for some tools alone, which the other domain does not know"));
            }
            (claims.grant.ok_or_else(|| refused("no user allowed it: it comes from no grant"))?, claims.confirmation)
        }
        HeldBy::Refresh(token) => {
            let row = refresh::find(broker, &token).await;
            let row = row.map_err(|error| TokenRefusal::Unavailable(error.to_string()))?;
            let row = row.filter(|row| row.used_at.is_none() && now < row.expires_at);
            let row = row.ok_or_else(|| refused("it is none of this client's, or it was used or has ended"))?;
            (row.grant, row.confirmation)
        }
    };
    if bound_to.is_some() && bound_to != proved {
        return Err(refused("it is bound to a key, and the proof is not of that key"));
    }
    let grant = live.grants.get(&id).filter(|grant| grant.client() == Some(agent) && live.grant_stands(Some(id), now));
    grant.cloned().ok_or_else(|| refused("it is none of this client's, or it was used or has ended"))
}

/// The user of a grant, who gave it to this very agent. What reached the agent through others is not passed on: the other
/// domain could not tell who they are.
fn user_of(live: &Live, grant: &Grant, agent: &AgentName, now: Timestamp) -> Result<String, TokenRefusal> {
    let [Principal::User(user), Principal::Agent(actor)] = grant.chain.principals() else {
        return Err(refused("only what a user allowed this very client is vouched for"));
    };
    if actor != agent || grant.vouched.is_some() || grant.details.is_some() {
        return Err(refused("only what a user allowed this very client here is vouched for"));
    }
    for principal in grant.chain.principals() {
        live.party(principal, now).map_err(|inactive| refused(&format!("`{principal}` may not act: {inactive}")))?;
    }
    Ok(user.to_string())
}

fn narrowed(
    target: &Target,
    resource: Option<String>,
    scopes: Option<BTreeSet<Scope>>,
) -> Result<(String, BTreeSet<Scope>), TokenRefusal> {
    let unlisted = |message: &str| TokenRefusal::Target(message.to_owned());
    let resource = match resource {
        Some(resource) if target.resources.contains(&resource) => resource,
        Some(_) => return Err(unlisted("no such resource for this client")),
        None => match target.resources.first().filter(|_| target.resources.len() == 1) {
            Some(only) => only.clone(),
            None => return Err(unlisted("`resource` is missing\nhint: name one of those that are listed")),
        },
    };
    let scopes = scopes.unwrap_or_else(|| target.scopes.clone());
    match scopes.iter().find(|scope| !target.scopes.contains(*scope)) {
        Some(scope) => Err(TokenRefusal::Scope(format!("scope `{scope}` is not available to this client there"))),
        None => Ok((resource, scopes)),
    }
}

/// Found by the assertion's id, which the other side records too.
fn evidence(
    broker: &Broker,
    agent: &AgentName,
    credential: Thumbprint,
    vouching: &Vouching,
    grant: &Grant,
) -> bailiwick_ports::entry::Entry {
    Draft::with_id(EventKind::TokenIssued, vouching.id.to_string())
        .field("agent", agent.as_str())
        .field("token", vouching.id.to_string())
        .field("audience", vouching.audience.as_str())
        .field("grant", "id_jag")
        .field("grant_id", grant.id.to_string())
        .field("client_there", vouching.client.as_str())
        .field("resource", vouching.resource.as_str())
        .field("scope", vouching.scopes.iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("chain", grant.chain.principals().iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("credential", credential.to_string())
        .field_if("confirmation", vouching.confirmation.map(|key| key.to_string()))
        .field_if("bundle", broker.live().policy.as_deref().map(|policy| policy.revision().to_string()))
        .field("expires_at", vouching.expires_at.to_string())
        .public(broker)
}

/// RFC 8693 §2.2.2: what is wrong with a subject token is an `invalid_request`.
fn refused(why: &str) -> TokenRefusal {
    TokenRefusal::Subject(why.to_owned())
}
