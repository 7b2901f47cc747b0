//! Decides one call and makes its intent durable. Nobody else makes a [`Permitted`].
//!
//! Order of steps as in the life of a call: inform, map, decide, record. Whatever fails denies.

use std::collections::BTreeMap;

use bailiwick_model::{
    decision::{Decision, ReasonCode},
    id::EvaluationId,
    observation::{ObservationScope, WouldBe},
};
use bailiwick_ports::{
    new_id,
    store::{FactRow, Intent, StoreError},
};

use crate::{
    broker::Broker,
    caller::{Caller, RawCall},
    decide::{Decided, Purpose, decide, reason},
    facts,
    permitted::Permitted,
    record::{overruled, record_denial, record_intent, record_replay, unrecorded, unrecorded_plain},
    refusal::Denied,
};

/// How often a lost race is decided again before it is a denial.
const DECISIONS_PER_CALL_MAX: u32 = 5;
/// How long a fact of another call may take from its commit into memory; waited for once, twice, thrice …
const SETTLE: std::time::Duration = std::time::Duration::from_millis(1);

/// Decides a call; when allowed, its intent is durable before this returns.
pub async fn authorize(broker: &Broker, caller: &Caller, call: RawCall<'_>) -> Result<Permitted, Box<Denied>> {
    // A call that its client's hook asked about before goes on under the id of that question: one call, one id.
    let id = broker.joins.take(&call, caller, broker.now());
    let id = id.unwrap_or_else(|| new_id!(EvaluationId, broker.now(), broker.entropy()));
    authorize_as(broker, caller, call, (id, Purpose::Call)).await
}

/// The same for a call that has its id already.
pub(crate) async fn authorize_as(
    broker: &Broker,
    caller: &Caller,
    call: RawCall<'_>,
    (id, purpose): (EvaluationId, Purpose),
) -> Result<Permitted, Box<Denied>> {
    for attempt in 1..=DECISIONS_PER_CALL_MAX {
        let decided = decide(broker, caller, &call, id, purpose);
        let Decision::Allow { obligations } = &decided.evaluated.decision else {
            return Err(record_denial(broker, caller, &call, decided).await);
        };
        // A hook sees no result, so it can neither mask nor keep one. What it cannot do, it must not allow.
        if purpose == Purpose::OwnTool && !obligations.is_empty() {
            let message = "a rule asks for something to be done with the result, and a hook sees none";
            let reason = reason(ReasonCode::ObligationUnfulfillable, message, None);
            return Err(record_denial(broker, caller, &call, overruled(decided, reason)).await);
        }
        let obligations = obligations.clone();
        let entry = match record_intent(broker, caller, &call, &decided).await {
            Ok(entry) => entry,
            Err(error) => return Err(unrecorded(&decided, &error.to_string())),
        };
        let facts = touched(broker, &decided);
        let intent = Intent {
            entry,
            spent: caller.spent.clone(),
            budgets: decided.evaluated.budgets.clone(),
            facts: facts.clone(),
            observed: counted(&decided),
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
                let (token, grant, evaluation) = (caller.token, caller.grant, evaluation.into());
                return Ok(Permitted { system, chain, token, grant, evaluation, evaluated, obligations, receipt });
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

async fn refused_by_store(
    broker: &Broker,
    caller: &Caller,
    call: &RawCall<'_>,
    decided: Decided,
    error: &StoreError,
) -> Box<Denied> {
    match error {
        StoreError::Replayed => record_replay(broker, caller, call, decided).await,
        StoreError::BudgetUsedUp { budget, until_s } => {
            let wait = u64::try_from(until_s.saturating_sub(broker.now().as_second())).unwrap_or(0).max(1);
            let mut reason = reason(
                ReasonCode::LimitReached,
                &format!("budget `{budget}` is used up"),
                Some("wait for its window to end, or ask the role's owner for a larger one"),
            );
            reason.retry_after_s = Some(wait);
            record_denial(broker, caller, call, overruled(decided, reason)).await
        }
        _ => unrecorded(&decided, &error.to_string()),
    }
}

/// The observations that cover the call: each counts it, and must still be on in the moment of the commit.
fn counted(decided: &Decided) -> BTreeMap<ObservationScope, WouldBe> {
    let observed = decided.evaluated.observed.iter();
    observed.flat_map(|one| one.by.iter().map(|scope| (scope.clone(), one.would_be()))).collect()
}

/// The facts that restrict: they settle with the intent.
fn touched(broker: &Broker, decided: &Decided) -> Vec<FactRow> {
    let evaluation = decided.evaluation.as_ref();
    evaluation
        .map(|evaluation| facts::rows(broker, evaluation, |operation| &operation.facts_touched))
        .unwrap_or_default()
}
