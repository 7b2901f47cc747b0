//! The code: for one minute and one use, for the client, redirect URI, challenge, key and resource that it was asked with
//! (RFC 6749 §4.1.2, RFC 7636 §4.6, RFC 9449 §10). Whoever presents it uses it up, and a second presentation ends what came
//! of the first: somebody else has it too.

use std::collections::BTreeSet;

use bailiwick_model::{
    agent::Agent,
    confirmation::Confirmation,
    grant::{Authentication, Grant, GrantKind, GrantStatus},
    id::GrantId,
    jwk::Thumbprint,
    name::{AgentName, UserId},
    principal::Principal,
    secret::Secret,
};
use bailiwick_oauth::{
    authorization_details::AuthorizationDetails, authorization_request::AuthorizationRequest, pkce::CodeVerifier,
};
use bailiwick_ports::{new_id, store::Spent};
use jiff::{SignedDuration, Timestamp};

use super::{Visitor, Wanted, chain};
use crate::{
    broker::Broker,
    grants, refresh,
    refusal::Refusal,
    tokens::{self, Audience, Issued, TokenAsk, TokenRefusal},
};

/// Seconds that a code lives (RFC 6749 §4.1.2: ten minutes at most).
pub const CODE_LIVES_S: u32 = 60;
/// How long a used code is known as such.
pub(super) const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

/// What a user consented to, waiting for its client.
#[derive(Debug, Clone)]
pub(super) struct Consented {
    request: AuthorizationRequest,
    user: UserId,
    authentication: Authentication,
    wanted: Wanted,
    expires_at: Timestamp,
    /// What was allowed before and is used again; ends all that comes of it.
    standing: Option<GrantId>,
    /// The grant that it becomes.
    grant: GrantId,
}

/// A code.
#[derive(Debug)]
pub(super) struct Code {
    consented: Consented,
    live_until: Timestamp,
    used: Used,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Used {
    Not,
    Once,
    Again,
}

/// A code as its client presents it.
#[derive(Debug)]
pub struct Presented {
    /// The code.
    pub code: Secret<String>,
    /// Where it was sent to.
    pub redirect_uri: String,
    /// What meets the challenge.
    pub verifier: CodeVerifier,
    /// The resource, if it is named again.
    pub resource: Option<String>,
    /// The tools and arguments that the token is to be for, at most those that were consented to.
    pub details: Option<AuthorizationDetails>,
    /// The credential that authenticated the client.
    pub credential: Thumbprint,
    /// The key that the token is to be bound to.
    pub confirmation: Option<Confirmation>,
    /// The assertion's and the proof's identifiers.
    pub spent: Vec<Spent>,
}

impl Code {
    /// Whether it is for this client.
    pub(super) fn is_of(&self, client: &AgentName) -> bool {
        self.consented.request.client == *client
    }
}

impl Consented {
    pub(super) fn new(
        broker: &Broker,
        request: &AuthorizationRequest,
        visitor: &Visitor,
        wanted: Wanted,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            request: request.clone(),
            user: visitor.user.clone(),
            authentication: visitor.authentication.clone(),
            wanted,
            expires_at,
            standing: None,
            grant: new_id!(GrantId, broker.now(), broker.entropy()),
        }
    }

    /// As part of what was allowed before.
    pub(super) fn under(mut self, standing: &Grant) -> Self {
        self.standing = Some(standing.id);
        self
    }

    /// Whether it is for this client and what it presents; says what is not.
    fn check(&self, agent: &Agent, presented: &Presented) -> Result<(), TokenRefusal> {
        let refused = |why: &str| Err(TokenRefusal::Grant(why.to_owned()));
        let request = &self.request;
        if request.client != agent.name {
            return Err(does_not_hold());
        }
        if request.redirect_uri != presented.redirect_uri {
            return refused("`redirect_uri` is not the one that the code was sent to");
        }
        if !request.challenge.is_met_by(&presented.verifier) {
            return refused("`code_verifier` does not meet the challenge of the request");
        }
        let proved = presented.confirmation.and_then(Confirmation::key);
        if request.confirmation.is_some() && request.confirmation != proved {
            return refused("the proof is not by the key that the request named");
        }
        if presented.resource.as_ref().is_some_and(|resource| *resource != request.resource) {
            return Err(TokenRefusal::Target("the code is not for this resource".to_owned()));
        }
        Ok(())
    }

    fn grant(&self, now: Timestamp) -> Option<Grant> {
        Some(Grant {
            id: self.grant,
            kind: GrantKind::AuthorizationCode,
            chain: chain(&self.user, &self.request.client)?,
            parent: self.standing,
            subject: None,
            resources: BTreeSet::from([self.request.resource.clone()]),
            scopes: self.wanted.scopes.clone(),
            details: self.wanted.details.clone(),
            task: None,
            authentication: Some(self.authentication.clone()),
            vouched: None,
            status: GrantStatus::Active,
            created_at: now,
            expires_at: self.expires_at,
        })
    }
}

impl Code {
    pub(super) fn new(consented: Consented, now: Timestamp) -> Self {
        let live_until = now.checked_add(SignedDuration::from_secs(i64::from(CODE_LIVES_S))).unwrap_or(now);
        Self { consented, live_until, used: Used::Not }
    }
}

/// Redeems a code: its consent becomes a grant, from which an access token is issued and the refresh token that renews it.
pub async fn redeem(
    broker: &Broker,
    agent: &Agent,
    presented: Presented,
) -> Result<(Issued, Secret<String>), TokenRefusal> {
    let now = broker.now();
    let code = presented.code.expose().as_str();
    let consented = use_up(broker, code, now).await?;
    consented.check(agent, &presented)?;
    let live = broker.live();
    let grant = consented.grant(now).ok_or_else(does_not_hold)?;
    for principal in grant.chain.principals() {
        live.party(principal, now)
            .map_err(|inactive| TokenRefusal::Grant(format!("`{principal}` may not act: {inactive}")))?;
    }
    if grant.parent.is_some() && !live.grant_stands(grant.parent, now) {
        return Err(TokenRefusal::Grant("what the user allowed before has ended".to_owned()));
    }
    let audience = Audience::of_resource(&broker.settings().issuer, &consented.request.resource)
        .ok_or_else(|| TokenRefusal::Target("no such resource for this client".to_owned()))?;
    let by = Principal::User(consented.user.clone());
    let grant = grants::give(broker, &by, grant, presented.spent).await.map_err(of_giving)?;
    let ask = TokenAsk {
        agent: agent.name.clone(),
        credential: presented.credential,
        grant: Some(grant.id),
        audience,
        scopes: None,
        details: presented.details,
        task: None,
        confirmation: presented.confirmation,
        spent: Vec::new(),
    };
    let issued = match tokens::issue(broker, ask).await {
        Ok(issued) => refresh::first(broker, &grant, presented.confirmation).await.map(|renewing| (issued, renewing)),
        Err(refusal) => Err(refusal),
    };
    let again = broker.authorizations.codes.look(code, now, |_, code| code.used == Used::Again) == Some(true);
    match issued {
        Ok(issued) if !again => Ok(issued),
        Ok(_) => {
            end(broker, &consented, REUSED).await;
            Err(does_not_hold())
        }
        Err(refusal) => {
            end(broker, &consented, "no token could be issued from it").await;
            Err(refusal)
        }
    }
}

const REUSED: &str = "its code was presented twice";

/// The consent behind a code that was not presented before and has not expired.
async fn use_up(broker: &Broker, code: &str, now: Timestamp) -> Result<Consented, TokenRefusal> {
    let look = |_: &mut String, code: &mut Code| {
        let before = code.used;
        code.used = if before == Used::Not { Used::Once } else { Used::Again };
        (before, now < code.live_until, code.consented.clone())
    };
    match broker.authorizations.codes.look(code, now, look) {
        Some((Used::Not, true, consented)) => Ok(consented),
        Some((Used::Once | Used::Again, _, consented)) => {
            end(broker, &consented, REUSED).await;
            Err(does_not_hold())
        }
        Some((Used::Not, false, _)) | None => Err(does_not_hold()),
    }
}

/// Ends the grant that a consent became, if it did, in the name of its client.
async fn end(broker: &Broker, consented: &Consented, reason: &str) {
    let by = Principal::Agent(consented.request.client.clone());
    match grants::end(broker, &by, consented.grant, reason).await {
        Ok(_) | Err(Refusal::Missing(_) | Refusal::Conflict(_)) => {}
        Err(error) => tracing::error!(%error, "a grant could not be ended"),
    }
}

fn does_not_hold() -> TokenRefusal {
    TokenRefusal::Grant(
        "the code does not hold: it is for one use within a minute by the client that asked for it".to_owned(),
    )
}

fn of_giving(refusal: Refusal) -> TokenRefusal {
    match refusal {
        Refusal::Conflict(_) => TokenRefusal::Client("the assertion or the proof was used before".to_owned()),
        other => TokenRefusal::Unavailable(other.to_string()),
    }
}
