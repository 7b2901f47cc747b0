//! Decisions without a forward: what would be decided for an agent, a tool and these arguments.
//!
//! Used by AuthZEN callers and by `bailiwick check`. A question of a caller is evidence like any other decision; an
//! allow from here is not a permit.

use std::collections::BTreeSet;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    decision::{Evaluated, ReasonCode},
    id::{EvaluationId, TaskId, TokenId},
    name::{AgentName, Scope, SystemName},
    operation::ActionClass,
    principal::{DelegationChain, Principal},
};
use bailiwick_ports::{
    entry::Entry,
    new_id,
    store::{Spent, StoreError},
};

use crate::{
    broker::Broker,
    caller::{Caller, RawCall},
    decide::{Decided, Purpose, decide, reason},
    evidence::Draft,
    record::{answered, overruled, replayed, unrecorded},
    refusal::Denied,
};

/// A question about a call that somebody else would make.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who would call.
    pub agent: AgentName,
    /// Which system.
    pub system: SystemName,
    /// The MCP method, `tools/call` for tools.
    pub method: String,
    /// The tool's or prompt's name, or the MCP resource's uri.
    pub name: Option<String>,
    /// With which arguments.
    pub arguments: serde_json::Map<String, serde_json::Value>,
    /// In which task.
    pub task: Option<TaskId>,
    /// With which scopes; `None` is every scope that the agent could have on that system.
    pub scopes: Option<BTreeSet<Scope>>,
    /// From where.
    pub address: Option<std::net::IpAddr>,
}

/// Answers, and records who asked and what was answered.
pub async fn check(
    broker: &Broker,
    asked_by: &Principal,
    question: Question,
    spent: Vec<Spent>,
) -> Result<Evaluated, Box<Denied>> {
    let id = new_id!(EvaluationId, broker.now(), broker.entropy());
    let decided = decided(broker, id, &question);
    let call = raw(&question);
    let draft = answered(&asked_by.to_string(), question.agent.as_str(), &call, &decided);
    let entry = match draft.finish(broker, &Principal::Agent(question.agent.clone())).await {
        Ok(entry) => entry,
        Err(error) => return Err(unrecorded(&decided, &error.to_string())),
    };
    settle(broker, entry, spent, decided).await
}

/// Decides a question as `check` does, and records nothing.
pub(crate) fn decided(broker: &Broker, id: EvaluationId, question: &Question) -> Decided {
    let scopes = question.scopes.clone().unwrap_or_else(|| all_scopes(&question.system));
    let caller = Caller {
        chain: DelegationChain::of(Principal::Agent(question.agent.clone())),
        token: TokenId::from_bytes([0; 16]),
        grant: None,
        scopes,
        details: None,
        audience: String::new(),
        task: question.task,
        confirmation: None,
        address: question.address,
        spent: Vec::new(),
    };
    decide(broker, &caller, &raw(question), id, Purpose::Question)
}

/// The call that is asked about.
fn raw(question: &Question) -> RawCall<'_> {
    RawCall {
        system: &question.system,
        method: &question.method,
        name: question.name.as_deref(),
        arguments: &question.arguments,
        declared: None,
        client_call: None,
    }
}

/// Denies a question that names no call at all, and records that it was asked. `why` is one of our own constant phrases.
pub async fn unanswerable(
    broker: &Broker,
    asked_by: &Principal,
    why: &'static str,
    spent: Vec<Spent>,
) -> Result<Evaluated, Box<Denied>> {
    let id = new_id!(EvaluationId, broker.now(), broker.entropy());
    let mut denial = reason(ReasonCode::UnknownTool, why, Some("ask about an agent and a call of the catalogue"));
    denial.principal = Some(asked_by.clone());
    let decided = Decided::denied(id, broker.live().policy.as_deref(), denial);
    let entry = Draft::with_id(EventKind::Evaluated, id.to_string())
        .field("by", asked_by.to_string())
        .field("decision", decided.evaluated.decision.as_str())
        .field("why", why)
        .field("bundle", decided.evaluated.bundle.to_string())
        .public(broker);
    settle(broker, entry, spent, decided).await
}

/// The answer, once it is recorded and its proof used up.
pub(crate) async fn settle(
    broker: &Broker,
    entry: Entry,
    spent: Vec<Spent>,
    decided: Decided,
) -> Result<Evaluated, Box<Denied>> {
    match broker.ports.store.append(entry.clone(), spent).await {
        Ok(_) => Ok(decided.evaluated),
        Err(StoreError::Replayed) => {
            // Nobody gets this answer, but that it was asked for is evidence.
            let mut entry = entry;
            entry.event.body.insert("refused".to_owned(), ReasonCode::Replayed.as_str().into());
            if let Err(error) = broker.ports.store.append(entry, Vec::new()).await {
                return Err(unrecorded(&decided, &error.to_string()));
            }
            let Decided { evaluated, .. } = overruled(decided, replayed());
            Err(Box::new(Denied { evaluated, recorded: true, scopes_needed: Vec::new(), step_up: None }))
        }
        Err(error) => Err(unrecorded(&decided, &error.to_string())),
    }
}

fn all_scopes(system: &SystemName) -> BTreeSet<Scope> {
    ActionClass::ALL.iter().filter_map(|class| format!("{system}:{}", class.as_str()).parse().ok()).collect()
}
