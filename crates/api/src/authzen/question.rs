//! From AuthZEN's words to a question for the engine, and back. Unknown subjects,
//! actions and resources are denials, never errors.

use axum::body::{Body, Bytes};
use bailiwick_engine::{
    broker::Broker,
    caller::Caller,
    check::{self, Question},
};
use bailiwick_model::{
    decision::{Decision, Evaluated, Gate, Obligation, Reason},
    id::TaskId,
    name::AgentName,
};
use bailiwick_pdp::authzen::{Evaluation, Meant};
use bailiwick_ports::store::Spent;
use bailiwick_web::{json::is_json, limits::body_too_large, problem::Problem};
use http::{StatusCode, request::Parts};
use serde::Serialize;
use serde_json::Value;

/// The bytes of a JSON body that says that it is one.
pub(super) async fn body(parts: &Parts, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    if !is_json(&parts.headers) {
        let detail = "the body must be sent as `application/json`";
        // Not 415: the certification scenario of AuthZEN 1.0 wants a 400 for every message that cannot be read.
        return Err(Problem::new(StatusCode::BAD_REQUEST, "not_json", detail));
    }
    unlabelled_body(body, bytes_max).await
}

/// The bytes of a body, whatever it says that it is.
pub(super) async fn unlabelled_body(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, bytes_max).await.map_err(|_| body_too_large(bytes_max))
}

/// A decision on the wire.
#[derive(Serialize)]
pub(super) struct Answer {
    decision: bool,
    context: AnswerContext,
}

impl Answer {
    pub(super) const fn is_allowed(&self) -> bool {
        self.decision
    }

    /// For whoever cannot be told of obligations: one that is not known must deny.
    pub(super) const fn is_allowed_without_more(&self) -> bool {
        self.decision && self.context.obligations.is_empty()
    }

    /// What to ask `bailiwick explain` about.
    pub(super) fn id(&self) -> &str {
        &self.context.evaluation_id
    }
}

#[derive(Serialize)]
struct AnswerContext {
    evaluation_id: String,
    bundle: String,
    /// The stable words of all reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<AnswerReason>,
    /// What an enforcement point must do. One that does not know an obligation must deny.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    obligations: Vec<Obligation>,
    /// Rules that people can lift for this one call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requestable: Vec<Gate>,
    /// What policy alone decides, where an operator has the call observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<&'static str>,
    /// Why this one of several evaluations could not be read (AuthZEN 1.0 §7.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<AnswerError>,
}

#[derive(Serialize)]
struct AnswerError {
    status: u16,
    message: String,
}

#[derive(Serialize)]
struct AnswerReason {
    code: &'static str,
    message: String,
    rule: Option<String>,
    help: Option<String>,
    retryable: bool,
}

impl From<&Reason> for AnswerReason {
    fn from(Reason { code, rule, principal: _, message, help, retry_after_s: _ }: &Reason) -> Self {
        Self {
            code: code.as_str(),
            message: message.clone(),
            rule: rule.as_ref().map(ToString::to_string),
            help: help.clone(),
            retryable: code.retryable(),
        }
    }
}

impl From<Evaluated> for Answer {
    fn from(evaluated: Evaluated) -> Self {
        let reasons = evaluated.decision.reasons().iter().map(AnswerReason::from).collect();
        let observed = evaluated.observed.as_ref().map(|observed| observed.would_be().as_str());
        let (decision, obligations, requestable) = match evaluated.decision {
            Decision::Allow { obligations } => (true, obligations, Vec::new()),
            Decision::RequestableDenial { gates, .. } => (false, Vec::new(), gates),
            Decision::Deny { .. } => (false, Vec::new(), Vec::new()),
        };
        let context = AnswerContext {
            evaluation_id: evaluated.id.to_string(),
            bundle: evaluated.bundle.to_string(),
            reasons,
            obligations,
            requestable,
            error: None,
            observed,
        };
        Self { decision, context }
    }
}

/// Asks the engine; what cannot be asked is denied and recorded all the same.
pub(super) async fn answer(
    broker: &Broker,
    caller: &Caller,
    asked: &Evaluation,
    spent: Vec<Spent>,
) -> Result<Answer, Problem> {
    let by = caller.chain.current();
    let evaluated = match question(broker, asked) {
        Ok(question) => check::check(broker, by, question, spent).await,
        Err(why) => check::unanswerable(broker, by, why, spent).await,
    };
    evaluated.map(Answer::from).map_err(|denied| Problem::from(denied.as_ref()))
}

/// The answer to one of several that cannot be read: denied, recorded, and said why.
pub(super) async fn unreadable(
    broker: &Broker,
    caller: &Caller,
    detail: String,
    spent: Vec<Spent>,
) -> Result<Answer, Problem> {
    let why = "the evaluation cannot be read";
    let evaluated = check::unanswerable(broker, caller.chain.current(), why, spent).await;
    let mut answer = evaluated.map(Answer::from).map_err(|denied| Problem::from(denied.as_ref()))?;
    answer.context.error = Some(AnswerError { status: StatusCode::BAD_REQUEST.as_u16(), message: detail });
    Ok(answer)
}

/// Types of subjects that name an agent: ours, and COAZ's word for whoever the token names.
const SUBJECT_TYPES: [&str; 2] = ["agent", "identity"];

/// Whether subjects of a type are agents.
pub(super) fn is_agent(kind: &str) -> bool {
    SUBJECT_TYPES.iter().any(|known| kind.eq_ignore_ascii_case(known))
}

/// Finds the call that is meant, or says in one constant phrase why there is none.
pub(super) fn question(broker: &Broker, asked: &Evaluation) -> Result<Question, &'static str> {
    let Evaluation { subject, context, .. } = asked;
    if !is_agent(&subject.kind) {
        return Err("the subject's type is not `agent`");
    }
    let agent: AgentName = subject.id.parse().map_err(|_| "the subject's id is no agent's name")?;
    let live = broker.live();
    let policy = live.policy.as_deref().ok_or("no policy bundle is active")?;
    let meant = Meant::of(policy.catalogue(), &broker.settings().issuer, asked)?;
    let task: Option<TaskId> = match context.get("task") {
        None => None,
        Some(Value::String(id)) => Some(id.parse().map_err(|_| "`context.task` is not a task's id")?),
        Some(_) => return Err("`context.task` is not a task's id"),
    };
    let Meant { system, method, name, arguments } = meant;
    // We see the enforcement point's address only. Where the subject calls from nobody proved, so its zone is unknown.
    Ok(Question { agent, system, method, name, arguments, task, scopes: None, address: None })
}
