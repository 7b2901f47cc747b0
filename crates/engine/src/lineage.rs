//! From one recorded call back to whoever started it: each hop of its chain with the token and the grant that it came
//! by, read from the evidence alone. Decides nothing, and believes no live state.

use bailiwick_audit_log::{
    event::{AuditEvent, Canonical, EventKind},
    leaf,
};
use bailiwick_model::limits::CHAIN_DEPTH_MAX;
use jiff::Timestamp;

use crate::{broker::Broker, history, refusal::Refusal};

/// A recorded call or question with everybody on whose authority it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Its evaluation.
    pub id: String,
    /// What was attempted.
    pub action: String,
    /// What was decided.
    pub decision: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The bundle that decided.
    pub bundle: Option<String>,
    /// Who made the call first, who started it all last.
    pub hops: Vec<Hop>,
}

/// One principal of a chain: by what it acted, and by what the next one acted for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hop {
    /// Who.
    pub principal: String,
    /// For whom; `None` is for itself.
    pub on_behalf_of: Option<String>,
    /// The token: the one that the call was made with, or the one that handed the work over.
    pub token: Option<Token>,
    /// The grant that the token was issued from; `None` is an agent acting for itself.
    pub grant: Option<Given>,
}

/// A token as the evidence of its issue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// When it was issued; `None` is no evidence of it.
    pub issued_at: Option<Timestamp>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// The task that it is bound to.
    pub task: Option<String>,
    /// Whom it handed the work over to, if it did.
    pub handed_to: Option<String>,
}

/// A grant as the evidence of its giving has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its id.
    pub id: String,
    /// How it came to be; `None` is no evidence of it.
    pub kind: Option<String>,
    /// When it was given.
    pub at: Option<Timestamp>,
    /// What of policy let the work be handed over, as of then.
    pub delegated_by: Option<String>,
    /// In which bundle.
    pub bundle: Option<String>,
}

/// The lineage of a recorded call or question.
pub async fn of(broker: &Broker, evaluation: &str) -> Result<Lineage, Refusal> {
    let events = events(broker, evaluation).await?;
    let acted = events.iter().rev().find(|event| event.body.contains_key("chain") && event.body.contains_key("token"));
    let Some(call) = acted.filter(|event| event.kind != EventKind::TokenIssued) else {
        return Err(Refusal::Missing(format!("a call called `{evaluation}`")));
    };
    let mut principals = texts(call, "chain");
    let mut token = text(call, "token");
    let mut hops = Vec::new();
    for _ in 0..CHAIN_DEPTH_MAX {
        let Some(principal) = principals.pop() else { break };
        let on_behalf_of = principals.last().cloned();
        let (issued, grant) = match token.take() {
            None => (None, None),
            Some(id) => issue(broker, id).await?,
        };
        let (given, subject) = match grant {
            None => (None, None),
            Some(id) => given(broker, id).await?,
        };
        token = subject;
        hops.push(Hop { principal, on_behalf_of, token: issued, grant: given });
    }
    Ok(Lineage {
        id: evaluation.to_owned(),
        action: text(call, "action").unwrap_or_default(),
        decision: text(call, "decision"),
        at: call.at,
        bundle: text(call, "bundle"),
        hops,
    })
}

/// A token and the grant that it was issued from.
async fn issue(broker: &Broker, id: String) -> Result<(Option<Token>, Option<String>), Refusal> {
    let event = one(broker, &id, EventKind::TokenIssued).await?;
    let grant = event.as_ref().and_then(|event| text(event, "grant_id"));
    let token = Token {
        issued_at: event.as_ref().map(|event| event.at),
        scopes: event.as_ref().map(|event| texts(event, "scope")).unwrap_or_default(),
        task: event.as_ref().and_then(|event| text(event, "task")),
        handed_to: event.as_ref().and_then(|event| text(event, "may_act")),
        id,
    };
    Ok((Some(token), grant))
}

/// A grant and the token that it was exchanged for.
async fn given(broker: &Broker, id: String) -> Result<(Option<Given>, Option<String>), Refusal> {
    let event = one(broker, &id, EventKind::GrantChanged).await?;
    let field = |name: &str| event.as_ref().and_then(|event| text(event, name));
    let given = Given {
        kind: field("kind"),
        at: event.as_ref().map(|event| event.at),
        delegated_by: field("delegated_by"),
        bundle: field("bundle"),
        id,
    };
    Ok((Some(given), field("subject_token")))
}

/// The one event of a kind that has this id; tokens and grants from before they were found by it have none.
async fn one(broker: &Broker, id: &str, kind: EventKind) -> Result<Option<AuditEvent>, Refusal> {
    match events(broker, id).await {
        Ok(events) => Ok(events.into_iter().find(|event| event.kind == kind)),
        Err(Refusal::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn events(broker: &Broker, id: &str) -> Result<Vec<AuditEvent>, Refusal> {
    let entries = history::of(broker, id).await?;
    let read = |bytes: &[u8]| leaf::decode(bytes).map(|leaf| leaf.event);
    let events: Result<Vec<_>, _> = entries.iter().map(|entry| read(&entry.leaf)).collect();
    events.map_err(|_| Refusal::Unavailable(format!("the evidence of `{id}` cannot be read")))
}

fn text(event: &AuditEvent, name: &str) -> Option<String> {
    match event.body.get(name) {
        Some(Canonical::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn texts(event: &AuditEvent, name: &str) -> Vec<String> {
    let Some(Canonical::Array(items)) = event.body.get(name) else { return Vec::new() };
    let text = |item: &Canonical| match item {
        Canonical::Text(text) => Some(text.clone()),
        _ => None,
    };
    items.iter().filter_map(text).collect()
}
