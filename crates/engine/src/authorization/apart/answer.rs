//! The user's side of consent apart from the client: a code typed in, a request opened, answered, and taken back.

use bailiwick_model::{
    consent_request::{ConsentKey, ConsentRequest, ConsentStatus},
    id::ConsentRequestId,
    name::{AgentName, UserId},
    principal::Principal,
};
use bailiwick_ports::store::StoreError;
use jiff::Timestamp;

use super::{
    super::{Lasting, Question, Visitor, Wanted, gone, question},
    CODE_LENGTH, CODE_LETTERS, code_digest, draft, may_ask,
};
use crate::{broker::Broker, refusal::Refusal};

/// A request as its user sees it.
#[derive(Debug)]
pub struct Seen {
    /// The request.
    pub request: ConsentRequest,
    /// What it asks.
    pub question: Question,
}

/// The requests that wait for a user.
pub async fn waiting(broker: &Broker, user: &UserId) -> Result<Vec<ConsentRequest>, Refusal> {
    those(broker, user, |status| *status == ConsentStatus::Waiting).await
}

/// The requests that a user allowed and whose client has not come for what it may have.
pub async fn unfetched(broker: &Broker, user: &UserId) -> Result<Vec<ConsentRequest>, Refusal> {
    those(broker, user, |status| matches!(status, ConsentStatus::Allowed { .. })).await
}

async fn those(
    broker: &Broker,
    user: &UserId,
    are: impl Fn(&ConsentStatus) -> bool,
) -> Result<Vec<ConsentRequest>, Refusal> {
    let now = broker.now();
    let mut requests = broker.store().consent_requests(user).await?;
    requests.retain(|request| are(&request.status) && now < request.expires_at);
    Ok(requests)
}

/// Takes back what a user allowed, before its client came for it. Once it did, there is a grant to withdraw.
pub async fn withdraw(broker: &Broker, user: &UserId, id: ConsentRequestId) -> Result<(), Refusal> {
    let mut open = unfetched(broker, user).await?;
    open.retain(|request| request.id == id);
    let request = open.first().ok_or_else(gone)?;
    let entry = draft(broker, &Principal::User(user.clone()), request, "withdrawn").public(broker);
    match broker.store().answer_consent(id, user.clone(), ConsentStatus::Refused, entry).await {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict(_)) => Err(gone()),
        Err(error) => Err(error.into()),
    }
}

/// Finds the request whose code somebody typed in; from then on it is theirs alone.
pub async fn by_code(broker: &Broker, visitor: &Visitor, typed: &str) -> Result<ConsentRequestId, Refusal> {
    let unknown = || Refusal::Missing("a request with this code".to_owned());
    let code = canonical(typed).ok_or_else(unknown)?;
    let found = broker.store().consent_request(ConsentKey::UserCode(code_digest(&code))).await?;
    let request = found.filter(|request| is_open_to(request, visitor, broker.now())).ok_or_else(unknown)?;
    if request.user.is_none() {
        let by = Principal::User(visitor.user.clone());
        let entry = draft(broker, &by, &request, "opened").public(broker);
        let opened = broker.store().answer_consent(request.id, visitor.user.clone(), ConsentStatus::Waiting, entry);
        opened.await.map_err(|_| unknown())?;
    }
    Ok(request.id)
}

/// A request that waits for this user; `None` is for whoever has to prove anew who they are.
pub async fn open(broker: &Broker, visitor: &Visitor, id: ConsentRequestId) -> Result<Option<Seen>, Refusal> {
    let request = theirs(broker, visitor, id).await?;
    if !is_proved(&request, visitor) {
        return Ok(None);
    }
    let agent = broker.agent(&request.client).ok_or_else(gone)?;
    let wanted = Wanted { scopes: request.asked.scopes.clone(), details: request.asked.details.clone() };
    let question = question::put(broker, &agent, None, &wanted, visitor)?;
    Ok(Some(Seen { request, question }))
}

/// The user answers: yes for so long, or no.
pub async fn answer(
    broker: &Broker,
    visitor: &Visitor,
    id: ConsentRequestId,
    lasting: Option<Lasting>,
) -> Result<AgentName, Refusal> {
    let request = theirs(broker, visitor, id).await?;
    // Whoever is surely here may say no, however they proved it.
    let proved = if lasting.is_some() { is_proved(&request, visitor) } else { is_fresh(&request, visitor) };
    if !proved {
        return Err(Refusal::Conflict("the request wants a new proof of who you are".to_owned()));
    }
    let agent = broker.agent(&request.client).ok_or_else(gone)?;
    let now = broker.now();
    let (status, change) = match lasting {
        Some(lasting) => {
            let inactive = |inactive| Refusal::Conflict(format!("the agent may not act: {inactive}"));
            broker.live().party(&Principal::Agent(agent.name.clone()), now).map_err(inactive)?;
            if !may_ask(&agent) {
                return Err(Refusal::Conflict("the agent may not ask users any more".to_owned()));
            }
            let until = lasting.until(visitor, &agent, now);
            (ConsentStatus::Allowed { authentication: visitor.authentication.clone(), until }, "allowed")
        }
        None => (ConsentStatus::Refused, "refused"),
    };
    let by = Principal::User(visitor.user.clone());
    let entry = draft(broker, &by, &request, change).public(broker);
    match broker.store().answer_consent(id, visitor.user.clone(), status, entry).await {
        Ok(_) => Ok(request.client),
        Err(StoreError::Conflict(_)) => Err(gone()),
        Err(error) => Err(error.into()),
    }
}

async fn theirs(broker: &Broker, visitor: &Visitor, id: ConsentRequestId) -> Result<ConsentRequest, Refusal> {
    let found = broker.store().consent_request(ConsentKey::Id(id)).await?;
    let own = |request: &ConsentRequest| {
        request.user.as_ref() == Some(&visitor.user) && is_open_to(request, visitor, broker.now())
    };
    found.filter(own).ok_or_else(gone)
}

fn is_open_to(request: &ConsentRequest, visitor: &Visitor, now: Timestamp) -> bool {
    let of_visitor = request.user.as_ref().is_none_or(|user| *user == visitor.user);
    of_visitor && request.status == ConsentStatus::Waiting && now < request.expires_at
}

/// A session that was open when the request came may have been left so; its user proves that it is them.
fn is_fresh(request: &ConsentRequest, visitor: &Visitor) -> bool {
    visitor.authentication.at >= request.created_at
}

/// The same, and as well as was asked for.
fn is_proved(request: &ConsentRequest, visitor: &Visitor) -> bool {
    let classes = &request.asked.acr_values;
    is_fresh(request, visitor) && (classes.is_empty() || visitor.authentication.is_of(classes))
}

/// What somebody typed, as we wrote it: hyphens and spaces are no matter, nor is the case.
fn canonical(typed: &str) -> Option<String> {
    let letters = typed.chars().filter(|letter| !matches!(letter, '-' | ' ')).map(|letter| letter.to_ascii_uppercase());
    let code: String = letters.take(CODE_LENGTH + 1).collect();
    (code.len() == CODE_LENGTH && code.bytes().all(|letter| CODE_LETTERS.contains(&letter))).then_some(code)
}
