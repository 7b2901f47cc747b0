//! From AuthZEN's words to a question for the engine, and back. Unknown members
//! are tolerated and ignored (AuthZEN 1.0 §5); unknown subjects, actions and
//! resources are denials, never errors; properties are never believed.

use axum::body::{Body, Bytes};
use bailiwick_engine::{
    broker::Broker,
    caller::Caller,
    check::{self, Question},
};
use bailiwick_model::{
    decision::{Decision, Evaluated, Gate, Obligation, Reason},
    id::TaskId,
    name::{AgentName, SystemName},
    operation::{Operation, Resource},
};
use bailiwick_ports::store::Spent;
use bailiwick_web::{json::is_json, limits::body_too_large, problem::Problem};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AUTHZEN_BODY_BYTES_MAX;

/// One evaluation as asked, or the defaults of several.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Asked {
    subject: Option<Entity>,
    action: Option<Action>,
    resource: Option<Entity>,
    context: Option<Map<String, Value>>,
}

#[derive(Clone, Deserialize)]
struct Entity {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

#[derive(Clone, Deserialize)]
struct Action {
    name: String,
}

/// One evaluation with everything that the standard requires.
pub(super) struct Complete {
    subject: Entity,
    action: Action,
    resource: Entity,
    context: Map<String, Value>,
}

impl Asked {
    /// Takes what is missing from `defaults`; what then is missing is a 400.
    pub(super) fn complete(self, defaults: Option<&Self>) -> Result<Complete, Problem> {
        let Self { subject, action, resource, context } = self;
        let missing = |what: &str| {
            Problem::new(StatusCode::BAD_REQUEST, "member_missing", format!("`{what}` is missing"))
                .with_hint("an evaluation has `subject`, `action` and `resource`")
        };
        let subject = subject.or_else(|| defaults?.subject.clone()).ok_or_else(|| missing("subject"))?;
        let action = action.or_else(|| defaults?.action.clone()).ok_or_else(|| missing("action"))?;
        let resource = resource.or_else(|| defaults?.resource.clone()).ok_or_else(|| missing("resource"))?;
        let context = context.or_else(|| defaults?.context.clone()).unwrap_or_default();
        Ok(Complete { subject, action, resource, context })
    }
}

/// The bytes of a JSON body.
pub(super) async fn body(parts: &Parts, body: Body) -> Result<Bytes, Problem> {
    if !is_json(&parts.headers) {
        let detail = "the body must be sent as `application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail));
    }
    axum::body::to_bytes(body, AUTHZEN_BODY_BYTES_MAX).await.map_err(|_| body_too_large(AUTHZEN_BODY_BYTES_MAX))
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
        };
        Self { decision, context }
    }
}

/// Asks the engine; what cannot be asked is denied and recorded all the same.
pub(super) async fn answer(
    broker: &Broker,
    caller: &Caller,
    asked: Complete,
    spent: Vec<Spent>,
) -> Result<Answer, Problem> {
    let by = caller.chain.current();
    let record = asked.resource.clone();
    let evaluated = match question(broker, asked).and_then(|question| same_record(broker, &record, question)) {
        Ok(question) => check::check(broker, by, question, spent).await,
        Err(why) => check::unanswerable(broker, by, why, spent).await,
    };
    evaluated.map(Answer::from).map_err(|denied| Problem::from(denied.as_ref()))
}

/// Finds the call that is meant, or says in one constant phrase why there is none.
fn question(broker: &Broker, asked: Complete) -> Result<Question, &'static str> {
    let Complete { subject, action, resource, context } = asked;
    if !subject.kind.eq_ignore_ascii_case("agent") {
        return Err("the subject's type is not `agent`");
    }
    let agent: AgentName = subject.id.parse().map_err(|_| "the subject's id is no agent's name")?;
    let call = call(&action.name, &resource)?;
    let arguments = match context.get("arguments") {
        None => implied_arguments(broker, &call, &resource),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err("`context.arguments` is not an object"),
    };
    let task: Option<TaskId> = match context.get("task") {
        None => None,
        Some(Value::String(id)) => Some(id.parse().map_err(|_| "`context.task` is not a task's id")?),
        Some(_) => return Err("`context.task` is not a task's id"),
    };
    let Call { system, method, name } = call;
    // We see the enforcement point's address only. Where the subject calls from nobody proved, so its zone is unknown.
    Ok(Question { agent, system, method, name, arguments, task, scopes: None, address: None })
}

struct Call {
    system: SystemName,
    method: String,
    name: Option<String>,
}

/// Types of resources that name the call itself and no record.
const CALL_TYPES: [&str; 4] = ["tool", "system", "resource", "prompt"];

fn is_record(resource: &Entity) -> bool {
    !CALL_TYPES.iter().any(|kind| resource.kind.eq_ignore_ascii_case(kind))
}

/// Without arguments, the record that is asked about stands for the one argument that names it.
fn implied_arguments(broker: &Broker, call: &Call, resource: &Entity) -> Map<String, Value> {
    let live = broker.live();
    let tool = call.name.as_deref().and_then(|name| name.parse().ok());
    let mapping = tool
        .and_then(|tool| live.policy.as_deref()?.catalogue().tool(&call.system, &tool))
        .and_then(|tool| tool.records.as_ref())
        .filter(|mapping| is_record(resource) && mapping.each.is_empty());
    match mapping.map(|mapping| mapping.ids.as_slice()) {
        Some([path]) if path.steps().len() == 1 => {
            Map::from_iter([(path.argument().to_owned(), Value::String(resource.id.clone()))])
        }
        _ => Map::new(),
    }
}

/// A decision is about what the call does, so the record that is asked about must be the one that the arguments name:
/// else an allow for one record would be read as an allow for another.
fn same_record(broker: &Broker, resource: &Entity, question: Question) -> Result<Question, &'static str> {
    if question.method != "tools/call" || !is_record(resource) {
        return Ok(question);
    }
    let live = broker.live();
    let policy = live.policy.as_deref().ok_or("no policy bundle is active")?;
    let call = bailiwick_pdp::Call {
        system: &question.system,
        method: &question.method,
        name: question.name.as_deref(),
        arguments: &question.arguments,
    };
    // What cannot be mapped is denied by the decision itself, with a better reason than any from here.
    let Ok(operations) = policy.map(&call) else { return Ok(question) };
    let namespace = policy.catalogue().system(&question.system).map(|system| system.namespace.as_str());
    let names = |operation: &Operation| match &operation.resource {
        Resource::Record { type_name, id, .. } => {
            let full = namespace.map(|namespace| format!("{namespace}::{type_name}"));
            *id == resource.id && (resource.kind == *type_name || full.as_deref() == Some(&resource.kind))
        }
        Resource::Tool { .. } | Resource::System { .. } => false,
    };
    if operations.iter().all(names) {
        Ok(question)
    } else {
        Err("the resource is not the record that the arguments name")
    }
}

/// An action of ours is `<system>.<tool>` or `<system>:<mcp method>`; `tools/call` on a resource of the type `tool` with
/// the id `<system>.<tool>` is the same call in MCP's words.
fn call(action: &str, resource: &Entity) -> Result<Call, &'static str> {
    let unknown = "the action is not `<system>.<tool>` or `<system>:<mcp method>`";
    let tool = |text: &str| {
        let (system, tool) = text.split_once('.').ok_or(unknown)?;
        let system = system.parse().map_err(|_| unknown)?;
        Ok(Call { system, method: "tools/call".to_owned(), name: Some(tool.to_owned()) })
    };
    let is_tool = resource.kind.eq_ignore_ascii_case("tool");
    if action == "tools/call" {
        return if is_tool { tool(&resource.id) } else { Err("`tools/call` needs a resource of the type `tool`") };
    }
    match action.find(['.', ':']).and_then(|at| action.split_at_checked(at)) {
        Some((_, rest)) if rest.starts_with('.') => {
            // A tool is asked for as itself, or with the record that it is used on; naming another tool is a contradiction.
            if is_tool && resource.id != action && format!(".{}", resource.id) != rest {
                return Err("action and resource name different tools");
            }
            tool(action)
        }
        Some((system, rest)) => {
            let system = system.parse().map_err(|_| unknown)?;
            let method = rest.trim_start_matches(':').to_owned();
            Ok(Call { system, method, name: Some(resource.id.clone()) })
        }
        None => Err(unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(action: &str, kind: &str, id: &str, expected: Result<(&str, &str, &str), ()>) {
        let resource = Entity { kind: kind.to_owned(), id: id.to_owned() };
        let found = call(action, &resource);
        let found =
            found.as_ref().map(|call| (call.system.as_str(), call.method.as_str(), call.name.as_deref().unwrap()));
        assert_eq!(found.map_err(|_| ()), expected, "{action} on {kind} {id}");
    }

    #[test]
    fn actions_and_resources_name_one_call() {
        check("files.read_file", "tool", "files.read_file", Ok(("files", "tools/call", "read_file")));
        check("files.read_file", "tool", "read_file", Ok(("files", "tools/call", "read_file")));
        check("files.read.deep", "File", "/a", Ok(("files", "tools/call", "read.deep")));
        check("tools/call", "tool", "files.read_file", Ok(("files", "tools/call", "read_file")));
        check("files:resources/read", "resource", "file:///a", Ok(("files", "resources/read", "file:///a")));
        check("files.read_file", "tool", "files.write_file", Err(()));
        check("tools/call", "File", "files.read_file", Err(()));
        check("read", "tool", "files.read_file", Err(()));
        check("", "tool", "", Err(()));
        check("FILES.read", "tool", "FILES.read", Err(()));
    }
}
