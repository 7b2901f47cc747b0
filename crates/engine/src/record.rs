//! The evidence of decisions: what an intent and a denial say.

use bailiwick_audit_log::event::{Canonical, EventKind};
use bailiwick_model::{
    bundle::BundleRevision,
    decision::{Decision, Evaluated, Reason, ReasonCode},
    evaluation::Evaluation,
    id::EvaluationId,
    observation::Observed,
    operation::Resource,
    principal::Principal,
};
use bailiwick_ports::{
    entry::Entry,
    store::{Spent, StoreError},
    vault::VaultError,
};

use crate::{
    broker::Broker,
    caller::{Caller, RawCall},
    decide::{Decided, reason},
    evidence::Draft,
    refusal::Denied,
};

/// Characters of a client's own declaration that are kept.
const DECLARED_CHARS_MAX: usize = 4_096;

pub(crate) async fn record_intent(
    broker: &Broker,
    caller: &Caller,
    call: &RawCall<'_>,
    decided: &Decided,
) -> Result<Entry, VaultError> {
    draft(EventKind::Intent, caller, call, decided).finish(broker, caller.chain.initiating()).await
}

/// Records a denial; a denial that cannot be recorded is still a denial.
///
/// A proof that was used before learns nothing but that, and its use is recorded all the same: a denial that leaves no
/// trace could be asked for without end.
pub(crate) async fn record_denial(
    broker: &Broker,
    caller: &Caller,
    call: &RawCall<'_>,
    decided: Decided,
) -> Box<Denied> {
    match append_denial(broker, caller, call, &decided, caller.spent.clone()).await {
        Ok(()) => denied(decided),
        Err(Unwritten::Replayed) => record_replay(broker, caller, call, decided).await,
        Err(Unwritten::Unavailable(why)) => unrecorded(&decided, &why),
    }
}

/// Records the denial of a call whose proof was used before, and uses nothing up by it.
pub(crate) async fn record_replay(
    broker: &Broker,
    caller: &Caller,
    call: &RawCall<'_>,
    decided: Decided,
) -> Box<Denied> {
    let decided = overruled(decided, replayed());
    match append_denial(broker, caller, call, &decided, Vec::new()).await {
        Ok(()) => denied(decided),
        Err(Unwritten::Replayed) => unrecorded(&decided, "a record that uses nothing up was taken for a replay"),
        Err(Unwritten::Unavailable(why)) => unrecorded(&decided, &why),
    }
}

/// The same question, denied for a reason that came up after its decision.
pub(crate) fn overruled(decided: Decided, reason: Reason) -> Decided {
    let Decided { evaluation, evaluated: Evaluated { id, bundle, .. }, relied_on, .. } = decided;
    let denied = Decided::denied(id, None, reason);
    Decided { evaluation, evaluated: Evaluated { bundle, ..denied.evaluated }, relied_on, ..denied }
}

/// What whoever uses a proof again is told.
pub(crate) fn replayed() -> Reason {
    let message = "this proof of possession was used before";
    reason(ReasonCode::Replayed, message, Some("sign a new proof for each call"))
}

/// What a question about a call and its answer say, whoever asked: it counts nothing.
pub(crate) fn answered(by: &str, agent: &str, call: &RawCall<'_>, decided: &Decided) -> Draft {
    let evaluated = &decided.evaluated;
    let mut draft = Draft::with_id(EventKind::Evaluated, evaluated.id.to_string())
        .field("by", by)
        .field("agent", agent)
        .field("system", call.system.as_str())
        .sealed("arguments", serde_json::Value::Object(call.arguments.clone()).to_string());
    draft = with_decision(draft, evaluated);
    match decided.evaluation.as_ref().and_then(|question| serde_json::to_string(question).ok()) {
        Some(json) => draft.sealed("evaluation", json),
        None => draft,
    }
}

enum Unwritten {
    Replayed,
    Unavailable(String),
}

async fn append_denial(
    broker: &Broker,
    caller: &Caller,
    call: &RawCall<'_>,
    decided: &Decided,
    spent: Vec<Spent>,
) -> Result<(), Unwritten> {
    let draft = draft(EventKind::Denial, caller, call, decided);
    let entry = draft.finish(broker, caller.chain.initiating()).await;
    let entry = entry.map_err(|error| Unwritten::Unavailable(error.to_string()))?;
    match broker.ports.store.append(entry, spent).await {
        Ok(_) => Ok(()),
        Err(StoreError::Replayed) => Err(Unwritten::Replayed),
        Err(error) => Err(Unwritten::Unavailable(error.to_string())),
    }
}

fn denied(decided: Decided) -> Box<Denied> {
    Box::new(Denied {
        evaluated: decided.evaluated,
        recorded: true,
        scopes_needed: decided.scopes_needed,
        step_up: decided.step_up,
    })
}

fn draft(kind: EventKind, caller: &Caller, call: &RawCall<'_>, decided: &Decided) -> Draft {
    let evaluated = &decided.evaluated;
    let user = match caller.chain.initiating() {
        Principal::User(user) => Some(user.to_string()),
        _ => None,
    };
    let arguments = serde_json::Value::Object(call.arguments.clone()).to_string();
    let mut draft = Draft::with_id(kind, evaluated.id.to_string())
        .field_if("user", user)
        .field("agent", caller.chain.current().id())
        .field("chain", caller.chain.principals().iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("system", call.system.as_str())
        .field("action", action(call))
        .field("token", caller.token.to_string())
        .field_if("grant", caller.grant.map(|grant| grant.to_string()))
        .field_if("task", caller.task.map(|id| id.to_string()))
        .field("epoch", i64::try_from(decided.relied_on.epoch).unwrap_or(i64::MAX))
        .field("agents", agent_versions(decided))
        .sealed("arguments", arguments);
    if !evaluated.errors.is_empty() {
        draft = draft.field("errors", evaluated.errors.keys().map(ToString::to_string).collect::<Vec<_>>());
    }
    draft = with_decision(draft, evaluated);
    if let Decision::Allow { obligations } = &evaluated.decision {
        draft = draft.field("obligations", i64::try_from(obligations.len()).unwrap_or(i64::MAX));
    }
    if let Some(declared) = call.declared {
        draft = draft.sealed("declared", declared.chars().take(DECLARED_CHARS_MAX).collect::<String>());
        if declared.chars().nth(DECLARED_CHARS_MAX).is_some() {
            // What is cut off is committed to all the same: padding hides nothing from whoever holds the message.
            draft = draft.committed("declared_whole", declared);
        }
    }
    if let Some(evaluation) = &decided.evaluation {
        draft = with_evaluation(draft, evaluation);
    }
    draft
}

/// What was decided, by which policies and why.
fn with_decision(mut draft: Draft, evaluated: &Evaluated) -> Draft {
    draft = draft
        .field("bundle", evaluated.bundle.to_string())
        .field("decision", evaluated.decision.as_str())
        .field("policies", policies(evaluated));
    let codes: Vec<_> = evaluated.decision.reasons().iter().map(|reason| reason.code.as_str().to_owned()).collect();
    if !codes.is_empty() {
        draft = draft.field("reasons", codes);
    }
    if let Some(observed) = &evaluated.observed {
        draft = marked(draft, observed);
    }
    // The whole decision with its messages, which may quote what the caller sent.
    match serde_json::to_string(evaluated) {
        Ok(json) => draft.sealed("evaluated", json),
        Err(_) => draft,
    }
}

/// That the call was observed, by what, and what policy alone decides: the same words in intents, denials and questions.
fn marked(draft: Draft, observed: &Observed) -> Draft {
    let codes = observed.would_be.reasons().iter().map(|reason| reason.code.as_str().to_owned()).collect();
    draft
        .field("observed", observed.would_be().as_str())
        .field("observed_by", observed.by.iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("observed_reasons", distinct(codes))
}

/// The context that mattered, in public words, and the whole question, sealed: re-evaluating it under the cited
/// bundle reproduces the decision.
fn with_evaluation(draft: Draft, evaluation: &Evaluation) -> Draft {
    let resources: Vec<String> =
        evaluation.operations.iter().map(|operation| resource_type(&operation.resource)).collect();
    let mut draft = draft
        .field("resource", distinct(resources))
        .field("zone", evaluation.network_zone.as_str())
        .field("operations", i64::try_from(evaluation.operations.len()).unwrap_or(i64::MAX))
        .field("facts", evaluation.task.facts.iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("safe_modes", evaluation.authority.safe_modes.iter().map(ToString::to_string).collect::<Vec<_>>());
    if let Some(first) = evaluation.operations.first() {
        draft = draft.field("class", first.class.as_str()).field("records", first.effect.records);
    }
    match serde_json::to_string(evaluation) {
        Ok(json) => draft.sealed("evaluation", json),
        Err(_) => draft,
    }
}

fn resource_type(resource: &Resource) -> String {
    match resource {
        Resource::Tool { system, tool } => format!("Bailiwick::Tool::{system}.{tool}"),
        Resource::System { system } => format!("Bailiwick::System::{system}"),
        // A record's id may name a person: its type is public, its id is sealed with the evaluation.
        Resource::Record { system, type_name, .. } => format!("{system}::{type_name}"),
    }
}

fn distinct(mut items: Vec<String>) -> Vec<String> {
    items.sort();
    items.dedup();
    items
}

fn action(call: &RawCall<'_>) -> String {
    match (call.method, call.name) {
        ("tools/call", Some(tool)) => {
            // What a caller calls a tool is the caller's text: keep it only in the form that a tool name has.
            match tool.parse::<bailiwick_model::name::ToolName>() {
                Ok(tool) => format!("{}.{tool}", call.system),
                Err(_) => format!("{}.(invalid name)", call.system),
            }
        }
        (method, _) => format!("{}:{method}", call.system),
    }
}

fn policies(evaluated: &Evaluated) -> Vec<String> {
    distinct(evaluated.determining.iter().map(|one| one.policy.to_string()).collect())
}

fn agent_versions(decided: &Decided) -> Canonical {
    let versions = decided.relied_on.agents.iter();
    Canonical::Map(
        versions
            .map(|(name, version)| (name.to_string(), i64::try_from(*version).unwrap_or(i64::MAX).into()))
            .collect(),
    )
}

/// Nothing can be recorded, so nothing is forwarded.
pub(crate) fn unrecorded(decided: &Decided, why: &str) -> Box<Denied> {
    tracing::error!(evaluation.id = %decided.evaluated.id, error = why, "evidence unavailable, call refused");
    unrecorded_plain(decided.evaluated.id, decided.evaluated.bundle)
}

pub(crate) fn unrecorded_plain(id: EvaluationId, bundle: BundleRevision) -> Box<Denied> {
    let mut reason = reason(
        ReasonCode::EvidenceUnavailable,
        "the broker cannot record this call, so it was not made",
        Some("try again later; the operator sees the cause in the log"),
    );
    reason.retry_after_s = Some(5);
    let evaluated = Evaluated {
        id,
        bundle,
        decision: Decision::deny(reason),
        determining: Vec::new(),
        errors: std::collections::BTreeMap::new(),
        budgets: Vec::new(),
        examined: Vec::new(),
        observed: None,
    };
    Box::new(Denied { evaluated, recorded: false, scopes_needed: Vec::new(), step_up: None })
}
