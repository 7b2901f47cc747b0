//! Which of many questions are allowed: the decisions behind AuthZEN's searches. Each is the decision that `check` would
//! make. Two records stand for all of them: that it was asked, which uses up the proof before anything is looked at, and
//! what was found, written before anybody gets the answer.

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    decision::{Decision, ReasonCode},
    digest::Digest,
    id::EvaluationId,
    principal::Principal,
};
use bailiwick_ports::{new_id, store::Spent};

use crate::{
    broker::Broker,
    check::{self, Question},
    decide::{Decided, reason},
    evidence::Draft,
    record::unrecorded,
    refusal::Denied,
};

/// Decisions of one search: some tens of milliseconds of one core; what is left comes with the next page.
pub const SEARCH_DECISIONS_MAX: usize = 500;
/// Candidates that one search looks at, those that are no question included: they cost less than decisions, not nothing.
pub const SEARCH_CANDIDATES_MAX: usize = 2_000;
/// Candidates between two chances for other tasks of the same thread.
pub const CANDIDATES_AT_A_STRETCH: usize = 4;

/// What is searched for.
pub struct Search<'a> {
    /// For the record: `subject`, `resource` or `action`.
    pub kind: &'static str,
    /// For the record, sealed: what was asked.
    pub asked: String,
    /// The first candidate.
    pub from: usize,
    /// Allowed candidates after which the search ends.
    pub results_max: usize,
    /// The question of each candidate; `None` behind the last, an error where there is nothing to decide.
    pub question_at: &'a mut (dyn FnMut(usize) -> Option<Result<Question, &'static str>> + Send),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The search, as recorded.
    pub id: EvaluationId,
    /// The bundle that decided.
    pub bundle: Digest,
    /// The allowed candidates.
    pub allowed: Vec<usize>,
    /// Where to go on; `None` is the end.
    pub next: Option<usize>,
}

/// Searches, and records who asked and how many were found.
pub async fn search(
    broker: &Broker,
    asked_by: &Principal,
    mut search: Search<'_>,
    spent: Vec<Spent>,
) -> Result<Found, Box<Denied>> {
    let id = new_id!(EvaluationId, broker.now(), broker.entropy());
    let before = nothing(broker, id);
    let asked = record(&before, asked_by, search.kind).sealed("asked", std::mem::take(&mut search.asked));
    let asked = match asked.finish(broker, asked_by).await {
        Ok(asked) => asked,
        Err(error) => return Err(unrecorded(&before, &error.to_string())),
    };
    check::settle(broker, asked, spent, before).await?;
    let (allowed, next, decisions) = sift(broker, id, &mut search).await;
    let after = nothing(broker, id);
    let found = record(&after, asked_by, search.kind)
        .field("decisions", as_number(decisions))
        .field("allowed", as_number(allowed.len()))
        .public(broker);
    let evaluated = check::settle(broker, found, Vec::new(), after).await?;
    Ok(Found { id, bundle: evaluated.bundle, allowed, next })
}

/// A search itself permits nothing: this is what is refused with if it cannot be recorded.
fn nothing(broker: &Broker, id: EvaluationId) -> Decided {
    let why = reason(ReasonCode::NoPermit, "a search permits nothing", None);
    Decided::denied(id, broker.live().policy.as_deref(), why)
}

/// What both records of a search say.
fn record(decided: &Decided, asked_by: &Principal, kind: &str) -> Draft {
    Draft::with_id(EventKind::Evaluated, decided.evaluated.id.to_string())
        .field("by", asked_by.to_string())
        .field("search", kind)
        .field("bundle", decided.evaluated.bundle.to_string())
}

/// The allowed candidates, where to go on, and how many decisions it took.
async fn sift(broker: &Broker, id: EvaluationId, search: &mut Search<'_>) -> (Vec<usize>, Option<usize>, usize) {
    let (mut allowed, mut decisions) = (Vec::new(), 0);
    let end = search.from.saturating_add(SEARCH_CANDIDATES_MAX);
    for (looked_at, at) in (search.from..end).enumerate() {
        // Those that are no question cost work too.
        if looked_at % CANDIDATES_AT_A_STRETCH == 0 {
            tokio::task::yield_now().await;
        }
        let Some(question) = (search.question_at)(at) else { return (allowed, None, decisions) };
        if allowed.len() >= search.results_max || decisions >= SEARCH_DECISIONS_MAX {
            return (allowed, Some(at), decisions);
        }
        let Ok(question) = question else { continue };
        decisions += 1;
        if matches!(check::decided(broker, id, &question).evaluated.decision, Decision::Allow { .. }) {
            allowed.push(at);
        }
    }
    (allowed, Some(end), decisions)
}

fn as_number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
