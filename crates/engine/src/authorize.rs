//! Decides one call and makes its intent durable. Nobody else makes a [`Permitted`].
//!
//! Order of steps as in the life of a call: inform, map, decide, record. Whatever fails denies.

use std::collections::BTreeMap;

use bailiwick_model::{
    bundle::BundleRevision,
    decision::{Decision, Evaluated, Reason, ReasonCode},
    digest::Digest,
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::EvaluationId,
    name::AgentName,
    operation::Operation,
    principal::Principal,
};
use bailiwick_pdp::{mapping::Call, snapshot::Snapshot};
use bailiwick_ports::{
    new_id,
    store::{FactRow, Intent, ReliedOn, StoreError},
};

use crate::{
    broker::Broker,
    caller::{Caller, RawCall},
    live::Live,
    permitted::Permitted,
    record::{record_denial, record_intent},
    refusal::{Denied, Refusal},
};

/// How often a lost race is decided again before it is a denial.
const DECISIONS_PER_CALL_MAX: u32 = 5;
/// How long a fact of another call may take from its commit into memory; waited for once, twice, thrice …
const SETTLE: std::time::Duration = std::time::Duration::from_millis(1);

/// Decides a call; when allowed, its intent is durable before this returns.
pub async fn authorize(broker: &Broker, caller: &Caller, call: RawCall<'_>) -> Result<Permitted, Box<Denied>> {
    let id = new_id!(EvaluationId, broker.now(), broker.entropy());
    for attempt in 1..=DECISIONS_PER_CALL_MAX {
        let decided = decide(broker, caller, &call, id, Purpose::Call);
        let Decision::Allow { obligations } = &decided.evaluated.decision else {
            return Err(record_denial(broker, caller, &call, decided).await);
        };
        let obligations = obligations.clone();
        let entry = match record_intent(broker, caller, &call, &decided).await {
            Ok(entry) => entry,
            Err(error) => return Err(unrecorded(&decided, &error.to_string())),
        };
        let facts = fact_rows(broker, &decided, |operation| &operation.facts_touched);
        let intent = Intent {
            entry,
            spent: caller.spent.clone(),
            budgets: decided.evaluated.budgets.clone(),
            facts: facts.clone(),
            relied_on: decided.relied_on.clone(),
        };
        match broker.ports.store.commit_intent(intent).await {
            Ok(receipt) => {
                broker.facts.add(facts);
                let Some(evaluation) = decided.evaluation else {
                    return Err(unrecorded_plain(id, decided.evaluated.bundle));
                };
                let evaluated = decided.evaluated;
                let system = call.system.clone();
                let chain = caller.chain.clone();
                return Ok(Permitted { system, chain, evaluation, evaluated, obligations, receipt });
            }
            // Somebody's change or fact overtook this decision: let it take effect and decide on the new state.
            Err(StoreError::Conflict(_)) => {
                broker.settled().await;
                tokio::time::sleep(SETTLE * attempt).await;
            }
            Err(error) => return Err(refused_by_store(broker, caller, &call, decided, &error).await),
        }
    }
    let reason = reason(ReasonCode::Conflict, "what this decision relied on kept changing", Some("call again"));
    let decided = Decided::denied(id, broker.live().policy.as_deref(), reason);
    Err(record_denial(broker, caller, &call, decided).await)
}

/// What a decision is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A call that goes upstream when it is allowed.
    Call,
    /// An answer alone: whether the system is up and was verified lately does not matter yet.
    Question,
}

/// What was decided and on what.
pub(crate) struct Decided {
    pub(crate) evaluation: Option<Evaluation>,
    pub(crate) evaluated: Evaluated,
    pub(crate) relied_on: ReliedOn,
    pub(crate) scopes_needed: Vec<bailiwick_model::name::Scope>,
}

impl Decided {
    pub(crate) fn denied(id: EvaluationId, policy: Option<&Snapshot>, reason: Reason) -> Self {
        Self {
            evaluation: None,
            evaluated: Evaluated {
                id,
                bundle: policy.map_or(Digest::from_bytes([0; 32]), Snapshot::revision),
                decision: Decision::deny(reason),
                determining: Vec::new(),
                errors: BTreeMap::new(),
                budgets: Vec::new(),
            },
            relied_on: ReliedOn::default(),
            scopes_needed: Vec::new(),
        }
    }
}

/// Decides without recording anything: also for questions that forward nothing.
pub(crate) fn decide(
    broker: &Broker,
    caller: &Caller,
    call: &RawCall<'_>,
    id: EvaluationId,
    purpose: Purpose,
) -> Decided {
    let live = broker.live();
    let policy = live.policy.as_deref();
    let Some(snapshot) = policy else {
        return Decided::denied(id, None, no_bundle());
    };
    match question(broker, &live, snapshot, caller, call, (id, purpose)) {
        Ok((evaluation, relied_on)) => {
            let scopes_needed = snapshot.required_scopes(&evaluation.operations);
            let evaluated = snapshot.evaluate(&evaluation);
            Decided { evaluation: Some(evaluation), evaluated, relied_on, scopes_needed }
        }
        Err(reason) => Decided::denied(id, policy, *reason),
    }
}

fn question(
    broker: &Broker,
    live: &Live,
    snapshot: &Snapshot,
    caller: &Caller,
    call: &RawCall<'_>,
    (id, purpose): (EvaluationId, Purpose),
) -> Result<(Evaluation, ReliedOn), Box<Reason>> {
    let now = broker.now();
    let parties = parties(live, caller, now)?;
    match purpose {
        Purpose::Call => crate::definitions::fit_to_call(live, snapshot, call, now)?,
        Purpose::Question => crate::definitions::fit_to_question(live, snapshot, call)?,
    }
    let operations = snapshot
        .map(&Call { system: call.system, method: call.method, name: call.name, arguments: call.arguments })
        .map_err(Box::new)?;
    let (task, relied_on) = task_context(broker, live, caller, now)?;
    let evaluation = Evaluation {
        id,
        now,
        parties,
        operations,
        arguments: call.arguments.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        network_zone: (broker.settings().zone_of)(caller.address),
        task,
        approvals: std::collections::BTreeSet::new(),
        authority: Authority { scopes: caller.scopes.clone(), safe_modes: live.safe_mode_scopes() },
    };
    Ok((evaluation, relied_on))
}

/// Every principal of the chain, active now.
pub(crate) fn parties(live: &Live, caller: &Caller, now: jiff::Timestamp) -> Result<Vec<Party>, Box<Reason>> {
    caller
        .chain
        .principals()
        .iter()
        .map(|principal| {
            live.party(principal, now).map_err(|inactive| {
                let mut reason = reason(
                    ReasonCode::PrincipalInactive,
                    &format!("`{principal}` may not act: {inactive}"),
                    Some("ask its owner or an operator; `bailiwick agents show` tells them why"),
                );
                reason.principal = Some(principal.clone());
                Box::new(reason)
            })
        })
        .collect()
}

pub(crate) fn task_context(
    broker: &Broker,
    live: &Live,
    caller: &Caller,
    now: jiff::Timestamp,
) -> Result<(TaskContext, ReliedOn), Box<Reason>> {
    let initiating = caller.chain.initiating();
    let facts = broker.facts.of(initiating, now);
    let mut relied_on = ReliedOn {
        agents: BTreeMap::new(),
        task: caller.task,
        facts: Some((initiating.clone(), facts.len() as u64)),
        epoch: live.epoch,
    };
    for principal in caller.chain.principals() {
        if let Principal::Agent(name) = principal
            && let Some(agent) = live.agents.get(name)
        {
            relied_on.agents.insert(name.clone(), agent.version);
        }
    }
    let Some(id) = caller.task else {
        return Ok((TaskContext { id: None, tools: None, facts }, relied_on));
    };
    let task = live.tasks.get(&id).filter(|task| task.is_open(now));
    let of_caller = |agent: &AgentName| {
        caller.chain.principals().iter().any(|principal| matches!(principal, Principal::Agent(name) if name == agent))
    };
    match task {
        Some(task) if of_caller(&task.agent) => {
            Ok((TaskContext { id: Some(id), tools: Some(task.tools.clone()), facts }, relied_on))
        }
        _ => Err(Box::new(reason(
            ReasonCode::TaskEnded,
            &format!("task `{id}` has ended, and its tokens with it"),
            Some("make a new task and ask for a token that is bound to it"),
        ))),
    }
}

/// Fact rows of an allowed call, for the initiating principal and its window.
pub(crate) fn fact_rows(
    broker: &Broker,
    decided: &Decided,
    of: impl Fn(&Operation) -> &Vec<bailiwick_model::name::Fact>,
) -> Vec<FactRow> {
    let Some(evaluation) = &decided.evaluation else { return Vec::new() };
    crate::conclude::fact_rows(broker, evaluation, of)
}

async fn refused_by_store(
    broker: &Broker,
    caller: &Caller,
    call: &RawCall<'_>,
    decided: Decided,
    error: &StoreError,
) -> Box<Denied> {
    let denial = match error {
        StoreError::Replayed => reason(
            ReasonCode::Replayed,
            "this proof of possession was used before",
            Some("sign a new proof for each call"),
        ),
        StoreError::BudgetUsedUp { budget, until_s } => {
            let wait = u64::try_from(until_s.saturating_sub(broker.now().as_second())).unwrap_or(0).max(1);
            let mut reason = reason(
                ReasonCode::LimitReached,
                &format!("budget `{budget}` is used up"),
                Some("wait for its window to end, or ask the role's owner for a larger one"),
            );
            reason.retry_after_s = Some(wait);
            reason
        }
        _ => return unrecorded(&decided, &error.to_string()),
    };
    let policy = broker.live().policy.clone();
    let id = decided.evaluated.id;
    // The proof that was replayed must not be used up again by the record of its refusal.
    let caller = Caller { spent: Vec::new(), ..caller.clone() };
    let mut denied = Decided::denied(id, policy.as_deref(), denial);
    denied.evaluation = decided.evaluation;
    record_denial(broker, &caller, call, denied).await
}

/// Nothing can be recorded, so nothing is forwarded.
pub(crate) fn unrecorded(decided: &Decided, why: &str) -> Box<Denied> {
    tracing::error!(evaluation.id = %decided.evaluated.id, error = why, "evidence unavailable, call refused");
    unrecorded_plain(decided.evaluated.id, decided.evaluated.bundle)
}

fn unrecorded_plain(id: EvaluationId, bundle: BundleRevision) -> Box<Denied> {
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
        errors: BTreeMap::new(),
        budgets: Vec::new(),
    };
    Box::new(Denied { evaluated, recorded: false, scopes_needed: Vec::new() })
}

/// Looks once more, right before the forward.
pub(crate) fn recheck(broker: &Broker, permit: &Permitted) -> Result<(), Refusal> {
    let live = broker.live();
    let now = broker.now();
    for principal in permit.chain.principals() {
        live.party(principal, now)
            .map_err(|inactive| Refusal::Conflict(format!("`{principal}` may not act any more: {inactive}")))?;
    }
    if let Some(id) = permit.evaluation.task.id
        && !live.tasks.get(&id).is_some_and(|task| task.is_open(now))
    {
        return Err(Refusal::Conflict(format!("task `{id}` has ended")));
    }
    let safe_modes = live.safe_mode_scopes();
    if safe_modes == permit.evaluation.authority.safe_modes {
        return Ok(());
    }
    let Some(policy) = live.policy.as_deref() else {
        return Err(Refusal::Conflict("no policy bundle is active".to_owned()));
    };
    let mut again = permit.evaluation.clone();
    again.authority.safe_modes = safe_modes;
    match policy.evaluate(&again).decision {
        Decision::Allow { .. } => Ok(()),
        Decision::RequestableDenial { .. } | Decision::Deny { .. } => {
            Err(Refusal::Conflict("safe mode went on meanwhile".to_owned()))
        }
    }
}

pub(crate) fn no_bundle() -> Reason {
    reason(
        ReasonCode::NoPermit,
        "no policy bundle is active",
        Some("an operator publishes one with `bailiwick policy publish`"),
    )
}

pub(crate) fn reason(code: ReasonCode, message: &str, help: Option<&str>) -> Reason {
    Reason {
        code,
        rule: None,
        principal: None,
        message: message.to_owned(),
        help: help.map(str::to_owned),
        retry_after_s: None,
    }
}
