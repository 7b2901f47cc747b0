//! From a client's request for a user's consent to the code that it redeems (RFC 6749 §4.1). The pages and endpoints of
//! the outer rooms read and write HTTP; what may happen is decided here.
//!
//! Nothing of it is stored until the code is redeemed: then the consent becomes a grant, with its evidence. What is under
//! way lives in memory for seconds to minutes, bounded; after a restart its users ask again.

pub mod apart;
mod code;
mod given;
pub(crate) mod held;
mod question;

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::Agent,
    authentication::PHISHING_RESISTANT,
    grant::{Authentication, Grant, GrantKind},
    name::{Acr, AgentName, Scope, UserId},
    principal::{DelegationChain, Principal},
    secret::Secret,
    task::ToolGrant,
};
use bailiwick_oauth::{
    authorization_details::AuthorizationDetails,
    authorization_request::{AuthorizationRequest, REQUEST_URI_PREFIX},
    authorization_response::AuthorizationResponse,
    error::{ErrorCode, OAuthError},
};
use bailiwick_pdp::narrowing::tools_within;
use bailiwick_ports::store::Spent;
use jiff::{SignedDuration, Timestamp};

pub use self::{
    code::{CODE_LIVES_S, Presented, redeem},
    given::{Given, given, withdraw},
    question::{ActionWords, Question, SystemWords},
};
use self::{
    code::{Code, Consented},
    held::{Bounds, Full, Held},
};
use crate::{
    broker::Broker,
    details,
    evidence::Draft,
    refusal::Refusal,
    tokens::{Audience, Reach},
};

/// Seconds that a pushed request waits for its user's browser (RFC 9126 §2.2).
pub const PUSHED_LIVES_S: u32 = 90;
/// How long a user may take to sign in and decide.
const QUESTION_LIVES: SignedDuration = SignedDuration::from_mins(10);
/// A proof of who somebody is that is no older than this when the request comes is new: they were just sent to sign in.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// Requests under way together, of each kind.
const UNDER_WAY_MAX: usize = 4_096;
/// Of them, those of one client or one user.
const UNDER_WAY_OF_ONE_MAX: usize = 64;

/// Everything that is under way.
pub(crate) struct Authorizations {
    pushed: Held<AuthorizationRequest>,
    questions: Held<Asking>,
    codes: Held<Code>,
    polls: apart::Polls,
}

impl Default for Authorizations {
    fn default() -> Self {
        let bounds = |kept_for| Bounds { entries_max: UNDER_WAY_MAX, per_owner_max: UNDER_WAY_OF_ONE_MAX, kept_for };
        Self {
            pushed: Held::new(bounds(SignedDuration::from_secs(i64::from(PUSHED_LIVES_S)))),
            questions: Held::new(bounds(QUESTION_LIVES)),
            codes: Held::new(bounds(code::REMEMBERED)),
            polls: apart::Polls::default(),
        }
    }
}

impl Authorizations {
    /// Drops what waits for an agent that has ended.
    pub(crate) fn forget(&self, client: &AgentName) {
        self.pushed.drop_those(|request| request.client == *client);
        self.questions.drop_those(|asking| asking.request.client == *client);
        self.codes.drop_those(|code| code.is_of(client));
    }
}

/// A request whose user is being asked.
#[derive(Debug, Clone)]
struct Asking {
    request: AuthorizationRequest,
    /// Whom it is shown to; `None` until somebody signed in.
    user: Option<UserId>,
    /// When it came.
    since: Timestamp,
}

/// Whoever is signed in in the browser that came.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Who.
    pub user: UserId,
    /// When and how they proved it.
    pub authentication: Authentication,
    /// When the session ends whatever happens.
    pub session_ends_at: Timestamp,
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// In the query: whoever reads it can send it again.
    Plain,
    /// Pushed before, and taken out with this.
    Pushed,
}

/// What happens next in a browser.
#[derive(Debug)]
pub enum Next {
    /// It is sent back to the client, to this URL.
    Answer(String),
    /// Its user is asked, under this handle.
    Ask(Secret<String>),
    /// Somebody signs in first, and then is asked under the handle; without one the same URL is opened again.
    SignIn(Option<Secret<String>>),
}

/// What a question comes to when its page is opened.
#[derive(Debug)]
pub enum Opened {
    /// It is answered already.
    Answer(String),
    /// It is to be put.
    Question(Box<Question>),
    /// Its user proves anew who they are first.
    SignIn,
}

/// How long a consent holds, always at most as long as its agent's registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// Until this session ends.
    Session,
    /// A day.
    Day,
    /// Thirty days.
    Month,
}

impl Lasting {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Session, Self::Day, Self::Month];

    /// When a consent of `visitor` to `agent` ends that is given now.
    pub fn until(self, visitor: &Visitor, agent: &Agent, now: Timestamp) -> Timestamp {
        let later = |days: i64| now.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(now);
        let until = match self {
            Self::Session => visitor.session_ends_at,
            Self::Day => later(1),
            Self::Month => later(30),
        };
        until.min(agent.expires_at)
    }
}

/// The client that may be answered at `redirect_uri`. An error must be shown and never sent there.
pub fn client(broker: &Broker, client: &AgentName, redirect_uri: &str) -> Result<Arc<Agent>, Refusal> {
    let unknown = || {
        Refusal::invalid(
            "no such client is registered here with this redirect URI",
            "compare `client_id` and `redirect_uri` with `bailiwick agents show`",
        )
    };
    let agent = broker.agent(client).ok_or_else(unknown)?;
    if !agent.redirect_uris.iter().any(|known| known.admits(redirect_uri)) {
        return Err(unknown());
    }
    let now = broker.now();
    broker
        .live()
        .party(&Principal::Agent(client.clone()), now)
        .map_err(|inactive| Refusal::Conflict(format!("the client may not act: {inactive}")))?;
    Ok(agent)
}

/// What a client can be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Scopes.
    pub scopes: BTreeSet<Scope>,
    /// Tools and arguments; `None` is all that the scopes open.
    pub details: Option<Vec<ToolGrant>>,
}

/// The authentication context classes that somebody who signs in here can have.
pub fn classes(broker: &Broker) -> BTreeSet<Acr> {
    PHISHING_RESISTANT.parse().into_iter().chain(broker.settings().sign_in_classes.iter().cloned()).collect()
}

/// What a client can be allowed of what it asks for.
pub fn wanted(broker: &Broker, agent: &Agent, request: &AuthorizationRequest) -> Result<Wanted, OAuthError> {
    attainable(broker, &request.acr_values)?;
    wanted_at(broker, agent, &request.resource, &request.scopes, request.details.as_ref())
}

/// Refuses classes none of which anybody who signs in here can have.
fn attainable(broker: &Broker, acr_values: &BTreeSet<Acr>) -> Result<(), OAuthError> {
    if acr_values.is_empty() || !acr_values.is_disjoint(&classes(broker)) {
        return Ok(());
    }
    let description = "no way to sign in here is of a class that was asked for\nhint: leave out `acr_values`";
    Err(OAuthError::new(ErrorCode::UnmetAuthenticationRequirements, description))
}

/// What a client can be allowed of these, however it asks.
fn wanted_at(
    broker: &Broker,
    agent: &Agent,
    resource: &str,
    scopes: &BTreeSet<Scope>,
    details: Option<&AuthorizationDetails>,
) -> Result<Wanted, OAuthError> {
    let no_target = || OAuthError::new(ErrorCode::InvalidTarget, "no such resource for this client and a user");
    let audience = Audience::of_resource(&broker.settings().issuer, resource)
        .filter(|audience| matches!(audience, Audience::System(_) | Audience::Aggregate))
        .ok_or_else(no_target)?;
    let live = broker.live();
    let policy = live.policy.as_deref().ok_or_else(no_target)?;
    let reach = Reach::of(policy, agent, &audience).map_err(|_| no_target())?;
    let details = details.map(|asked| details::tools(broker, &audience, asked)).transpose();
    let details =
        details.map_err(|refusal| OAuthError::new(ErrorCode::InvalidAuthorizationDetails, &refusal.to_string()))?;
    let scopes = match (&details, scopes.is_empty()) {
        (None, true) => return Ok(Wanted { scopes: reach.into_available(), details }),
        (Some(tools), true) => details::scopes(tools),
        (_, false) => scopes.clone(),
    };
    match scopes.iter().find(|scope| !reach.admits(policy, scope)) {
        None => Ok(Wanted { scopes, details }),
        Some(scope) => {
            let description = format!("scope `{scope}` is not available to this client here");
            Err(OAuthError::new(ErrorCode::InvalidScope, &description))
        }
    }
}

/// Keeps a request that its authenticated client pushed, using up what authenticated it; tells its `request_uri`.
pub async fn push(broker: &Broker, request: AuthorizationRequest, spent: Vec<Spent>) -> Result<String, Refusal> {
    let entry = Draft::event(broker, EventKind::GrantChanged)
        .field("by", Principal::Agent(request.client.clone()).to_string())
        .field("change", "asked")
        .field("agent", request.client.as_str())
        .field("resources", vec![request.resource.clone()])
        .public(broker);
    broker.ports.store.append(entry, spent).await?;
    let owner = request.client.to_string();
    let handle = broker.authorizations.pushed.put(&owner, request, broker.now(), broker.entropy()).map_err(full)?;
    Ok(format!("{REQUEST_URI_PREFIX}{}", handle.expose()))
}

/// Takes out a request that `client` pushed, once.
pub fn pushed(broker: &Broker, client: &AgentName, request_uri: &str) -> Option<AuthorizationRequest> {
    let handle = request_uri.strip_prefix(REQUEST_URI_PREFIX)?;
    broker.authorizations.pushed.take(client.as_str(), handle, broker.now())
}

/// A request whose client was checked has come by a browser.
pub async fn arrive(
    broker: &Broker,
    request: AuthorizationRequest,
    came: Came,
    visitor: Option<&Visitor>,
) -> Result<Next, Refusal> {
    let asking = Asking { user: visitor.map(|visitor| visitor.user.clone()), request, since: broker.now() };
    let Some(visitor) = visitor else {
        if asking.request.prompt.none {
            let nobody = OAuthError::new(ErrorCode::LoginRequired, "nobody is signed in");
            return Ok(Next::Answer(error(broker, &asking.request, nobody)?));
        }
        // Whoever pushed it has proved who they are; what anybody can send is not kept for them.
        return Ok(Next::SignIn(match came {
            Came::Plain => None,
            Came::Pushed => Some(keep(broker, asking.request.client.as_str().to_owned(), asking)?),
        }));
    };
    let needs_sign_in = !proved(&asking, visitor);
    if asking.request.prompt.none {
        return unasked(broker, &asking.request, visitor, needs_sign_in).map(Next::Answer);
    }
    if !needs_sign_in && let Some(location) = by_standing(broker, &asking.request, visitor)? {
        return Ok(Next::Answer(location));
    }
    let handle = keep(broker, format!("user:{}", visitor.user), asking)?;
    Ok(if needs_sign_in { Next::SignIn(Some(handle)) } else { Next::Ask(handle) })
}

/// Opens a question for whoever is signed in: from then on it is theirs.
pub async fn open(broker: &Broker, handle: &str, visitor: &Visitor) -> Result<Opened, Refusal> {
    let asking = theirs(broker, handle, visitor)?;
    if !proved(&asking, visitor) {
        return Ok(Opened::SignIn);
    }
    let agent = client(broker, &asking.request.client, &asking.request.redirect_uri)?;
    let wanted = match wanted(broker, &agent, &asking.request) {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(Opened::Answer(error(broker, &asking.request, refused)?)),
    };
    if let Some(location) = by_standing(broker, &asking.request, visitor)? {
        return Ok(Opened::Answer(location));
    }
    Ok(Opened::Question(Box::new(question::put(
        broker,
        &agent,
        Some(asking.request.redirect_uri.clone()),
        &wanted,
        visitor,
    )?)))
}

/// The user says yes: where their browser goes, with a code.
pub async fn allow(broker: &Broker, handle: &str, visitor: &Visitor, lasting: Lasting) -> Result<String, Refusal> {
    let Asking { request, .. } = taken(broker, handle, visitor)?;
    let agent = client(broker, &request.client, &request.redirect_uri)?;
    let wanted = match wanted(broker, &agent, &request) {
        Ok(wanted) => wanted,
        Err(refused) => return error(broker, &request, refused),
    };
    let expires_at = lasting.until(visitor, &agent, broker.now());
    answer_with_code(broker, &request, visitor, Consented::new(broker, &request, visitor, wanted, expires_at))
}

/// The user says no: where their browser goes.
pub async fn refuse(broker: &Broker, handle: &str, visitor: &Visitor) -> Result<String, Refusal> {
    let Asking { request, .. } = taken(broker, handle, visitor)?;
    let agent = client(broker, &request.client, &request.redirect_uri)?;
    let entry = Draft::event(broker, EventKind::GrantChanged)
        .field("by", Principal::User(visitor.user.clone()).to_string())
        .field("change", "refused")
        .field("agent", agent.name.as_str())
        .field("resources", vec![request.resource.clone()])
        .public(broker);
    broker.ports.store.append(entry, Vec::new()).await?;
    error(broker, &request, OAuthError::new(ErrorCode::AccessDenied, "the user refused"))
}

/// Where a browser goes with an error.
pub fn error(broker: &Broker, request: &AuthorizationRequest, error: OAuthError) -> Result<String, Refusal> {
    answer(broker, &request.redirect_uri, request.state.as_deref(), &AuthorizationResponse::Error(error))
}

/// Where a browser goes with an answer to a checked redirect URI.
pub fn answer(
    broker: &Broker,
    redirect_uri: &str,
    state: Option<&str>,
    answer: &AuthorizationResponse,
) -> Result<String, Refusal> {
    answer
        .location(redirect_uri, state, &broker.settings().issuer)
        .ok_or_else(|| Refusal::Unavailable("the redirect URI cannot be answered".to_owned()))
}

/// The answer that needs nobody, where the user allowed as much before and need not be asked again.
fn by_standing(broker: &Broker, request: &AuthorizationRequest, visitor: &Visitor) -> Result<Option<String>, Refusal> {
    if request.prompt.consent {
        return Ok(None);
    }
    let agent = client(broker, &request.client, &request.redirect_uri)?;
    let Ok(wanted) = wanted(broker, &agent, request) else { return Ok(None) };
    let Some(standing) = standing(broker, &agent, request, &wanted, &visitor.user) else { return Ok(None) };
    let consented = Consented::new(broker, request, visitor, wanted, standing.expires_at).under(&standing);
    answer_with_code(broker, request, visitor, consented).map(Some)
}

/// The answer to a request for which nobody may be asked anything.
fn unasked(
    broker: &Broker,
    request: &AuthorizationRequest,
    visitor: &Visitor,
    needs_sign_in: bool,
) -> Result<String, Refusal> {
    if needs_sign_in {
        return error(
            broker,
            request,
            OAuthError::new(ErrorCode::LoginRequired, "the user would have to sign in anew"),
        );
    }
    match by_standing(broker, request, visitor)? {
        Some(location) => Ok(location),
        None => error(broker, request, OAuthError::new(ErrorCode::ConsentRequired, "the user would have to be asked")),
    }
}

/// What a user allowed a client before, and what covers what it asks for now.
fn standing(
    broker: &Broker,
    agent: &Agent,
    request: &AuthorizationRequest,
    wanted: &Wanted,
    user: &UserId,
) -> Option<Arc<Grant>> {
    let now = broker.now();
    let chain = chain(user, &agent.name)?;
    let covers = |grant: &&Arc<Grant>| {
        grant.kind == GrantKind::AuthorizationCode
            && grant.parent.is_none()
            && grant.chain == chain
            && grant.is_active(now)
            && grant.resources.contains(&request.resource)
            && grant.scopes.is_superset(&wanted.scopes)
            && tools_within(wanted.details.as_deref(), grant.details.as_deref())
    };
    broker.live().grants.values().filter(covers).max_by_key(|grant| grant.expires_at).cloned()
}

/// The user who allows, and the agent that acts.
fn chain(user: &UserId, agent: &AgentName) -> Option<DelegationChain> {
    DelegationChain::new(vec![Principal::User(user.clone()), Principal::Agent(agent.clone())]).ok()
}

fn answer_with_code(
    broker: &Broker,
    request: &AuthorizationRequest,
    visitor: &Visitor,
    consented: Consented,
) -> Result<String, Refusal> {
    let owner = format!("user:{}", visitor.user);
    let code = Code::new(consented, broker.now());
    let code = broker.authorizations.codes.put(&owner, code, broker.now(), broker.entropy()).map_err(full)?;
    let code = AuthorizationResponse::Code(code.expose().clone());
    answer(broker, &request.redirect_uri, request.state.as_deref(), &code)
}

/// Whether the user proved who they are as well and as lately as the request wants, seen from when it came.
fn proved(asking: &Asking, visitor: &Visitor) -> bool {
    let classes = &asking.request.acr_values;
    if !classes.is_empty() && !visitor.authentication.is_of(classes) {
        return false;
    }
    let wanted = match (asking.request.prompt.login, asking.request.max_age_s) {
        (true, _) => FRESH,
        (false, Some(seconds)) => SignedDuration::from_secs(i64::from(seconds)).max(FRESH),
        (false, None) => return true,
    };
    asking.since.duration_since(visitor.authentication.at) <= wanted
}

fn keep(broker: &Broker, owner: String, asking: Asking) -> Result<Secret<String>, Refusal> {
    broker.authorizations.questions.put(&owner, asking, broker.now(), broker.entropy()).map_err(full)
}

/// A question, which is the first user's who opened it.
fn theirs(broker: &Broker, handle: &str, visitor: &Visitor) -> Result<Asking, Refusal> {
    let open = |owner: &mut String, asking: &mut Asking| match &asking.user {
        Some(user) if *user != visitor.user => None,
        Some(_) => Some(asking.clone()),
        None => {
            asking.user = Some(visitor.user.clone());
            *owner = format!("user:{}", visitor.user);
            Some(asking.clone())
        }
    };
    broker.authorizations.questions.look(handle, broker.now(), open).flatten().ok_or_else(gone)
}

/// Takes out a question that the user has seen; a second answer finds none.
fn taken(broker: &Broker, handle: &str, visitor: &Visitor) -> Result<Asking, Refusal> {
    let asking = theirs(broker, handle, visitor)?;
    if !proved(&asking, visitor) {
        return Err(Refusal::Conflict("the request wants a new proof of who you are".to_owned()));
    }
    let owner = format!("user:{}", visitor.user);
    broker.authorizations.questions.take(&owner, handle, broker.now()).ok_or_else(gone)
}

fn gone() -> Refusal {
    Refusal::Missing("this request, or it was answered, or its time is over: the request".to_owned())
}

fn full(_: Full) -> Refusal {
    Refusal::Unavailable("too many requests for consent are under way".to_owned())
}
