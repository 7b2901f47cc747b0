//! Records what came of a permitted call.

use std::sync::Arc;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::decision::Obligation;
use bailiwick_ports::store::{Conclusion, FactRow};

use crate::{broker::Broker, evidence::Draft, facts, permitted::Permitted, refusal::Refusal};

/// What came of it, as the upstream said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeStatus {
    /// A result.
    Succeeded,
    /// An answer, but not the end: the system asks for more input, or works on and gave a handle.
    Unfinished,
    /// The tool ran and reported an error (`isError`, or a JSON-RPC error).
    ToolError,
    /// The upstream could not be reached, broke the protocol or went away.
    UpstreamFailed,
    /// The caller went away or cancelled.
    Cancelled,
    /// The upstream took too long.
    TimedOut,
    /// A result came but was not given to the caller.
    Withheld,
    /// It was left to the client, whose own tool it is: what came of it is not seen from here.
    LeftToClient,
    /// Between intent and forward something took the permission back; nothing was sent.
    NotForwarded,
}

impl OutcomeStatus {
    /// The word in the evidence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Unfinished => "unfinished",
            Self::ToolError => "tool_error",
            Self::UpstreamFailed => "upstream_failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Withheld => "withheld",
            Self::LeftToClient => "left_to_client",
            Self::NotForwarded => "not_forwarded",
        }
    }
}

/// An outcome to record.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What came of it.
    pub status: OutcomeStatus,
    /// A constant phrase for people, never upstream text.
    pub detail: Option<&'static str>,
    /// The result's bytes as the caller got them, committed to and kept only where an obligation asks.
    pub result: Option<Vec<u8>>,
    /// Milliseconds that the upstream took.
    pub upstream_ms: u64,
}

/// Records an outcome. Waits for the disk only where a later call may rely on it (a fact that rules wait for);
/// otherwise it is written right behind, in order, and none is dropped.
pub async fn conclude(broker: &Arc<Broker>, permit: Permitted, outcome: Outcome) -> Result<(), Refusal> {
    let facts = if outcome.status == OutcomeStatus::Succeeded {
        facts::rows(broker, &permit.evaluation, |operation| &operation.facts_completed)
    } else {
        Vec::new()
    };
    let must_wait = !facts.is_empty();
    let Ok(slot) = broker.outcomes.clone().acquire_owned().await else {
        return Err(Refusal::Unavailable("the broker is shutting down".to_owned()));
    };
    let worker = Arc::clone(broker);
    let writing = async move {
        let result = write(&worker, &permit, outcome, facts).await;
        if let Err(error) = &result {
            tracing::error!(evaluation.id = %permit.evaluated.id, %error, "outcome not recorded; it will be closed as unknown");
        }
        drop(slot);
        result
    };
    if must_wait {
        return writing.await;
    }
    tokio::spawn(writing);
    Ok(())
}

async fn write(broker: &Broker, permit: &Permitted, outcome: Outcome, facts: Vec<FactRow>) -> Result<(), Refusal> {
    let id = permit.evaluated.id.to_string();
    let capture = permit.obligations.contains(&Obligation::CapturePayload);
    let mut draft = Draft::event(broker, EventKind::Outcome)
        .concludes(id)
        .field("agent", permit.chain.current().id())
        .field("system", permit.system.as_str())
        .field("status", outcome.status.as_str())
        .field("upstream_ms", i64::try_from(outcome.upstream_ms).unwrap_or(i64::MAX))
        .field_if("detail", outcome.detail);
    if let Some(operation) = permit.evaluation.operations.first() {
        draft = draft.field("action", operation.action.as_str());
    }
    if let Some(result) = outcome.result {
        draft = draft.field("result_bytes", i64::try_from(result.len()).unwrap_or(i64::MAX));
        let text = String::from_utf8_lossy(&result).into_owned();
        draft = if capture { draft.sealed("result", text) } else { draft.committed("result", text) };
    }
    let entry = draft.finish(broker, permit.chain.initiating()).await?;
    broker.ports.store.conclude(Conclusion { entry, facts: facts.clone(), at_once: !facts.is_empty() }).await?;
    broker.facts.add(facts);
    Ok(())
}
