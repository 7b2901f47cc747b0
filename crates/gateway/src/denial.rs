//! A denial as an interface: the same reasons for the model, for the program
//! that drives it and for the person who searches the evidence. It only
//! renders; what is denied was decided and recorded before.

use std::fmt::Write as _;

use bailiwick_engine::refusal::Denied;
use bailiwick_model::{
    authentication::StepUp,
    decision::{Decision, Gate, Reason, ReasonCode},
    name::Scope,
};
use serde_json::{Map, Value, json};

/// JSON-RPC error code of a denial of anything but a tool call; outside the range that JSON-RPC and MCP reserve.
pub(crate) const DENIED_CODE: i64 = -31_403;
/// JSON-RPC code of an unknown tool (MCP 2026-07-28, server/tools).
const INVALID_PARAMS: i64 = -32_602;
/// Where the structured denial stands in a result's `_meta`.
pub(crate) const DENIAL_META: &str = "bailiwick/denial";

/// How a denial is carried back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rendered {
    /// As the `result` of a tool call, with `isError`.
    ToolResult(Value),
    /// As a JSON-RPC `error` object.
    RpcError(Value),
    /// As HTTP 403 `insufficient_scope`, naming all scopes that the call needs, with the error object as body.
    Scope {
        /// The full set.
        scopes: Vec<String>,
        /// The JSON-RPC `error` object.
        error: Value,
    },
    /// As HTTP 401 `insufficient_user_authentication` (RFC 9470 §3).
    StepUp {
        /// What the user has to prove.
        wanted: StepUp,
        /// The full set of scopes, where one of them is missing too.
        scopes: Vec<String>,
        /// The JSON-RPC `error` object.
        error: Value,
    },
    /// As HTTP 401: the proof of possession cannot be used again.
    Proof(Value),
}

/// Renders a denial of a call of `method`. `structured`: whether the tool's definition leaves structured content
/// free; where it declares an output schema, a denial must not pretend to fit it.
pub(crate) fn render(denied: &Denied, method: &str, structured: bool) -> Rendered {
    let data = object(denied);
    let text = text(denied);
    let error = |code: i64| json!({ "code": code, "message": text, "data": { (DENIAL_META): data } });
    let has = |code: ReasonCode| denied.reasons().iter().any(|reason| reason.code == code);
    if has(ReasonCode::Replayed) {
        return Rendered::Proof(error(DENIED_CODE));
    }
    // One new token can bring both, a better proof and more scopes.
    if let Some(wanted) = denied.step_up.as_ref().filter(|_| only(denied, &[STEP_UP, SCOPE])) {
        let scopes =
            if has(SCOPE) { denied.scopes_needed.iter().map(ToString::to_string).collect() } else { Vec::new() };
        return Rendered::StepUp { wanted: wanted.clone(), scopes, error: error(DENIED_CODE) };
    }
    // A new token helps only where a scope is all that is missing.
    if lacks_scope_alone(denied) && !denied.scopes_needed.is_empty() {
        let scopes = denied.scopes_needed.iter().map(ToString::to_string).collect();
        return Rendered::Scope { scopes, error: error(DENIED_CODE) };
    }
    if method != "tools/call" {
        return Rendered::RpcError(error(DENIED_CODE));
    }
    if has(ReasonCode::UnknownTool) {
        return Rendered::RpcError(error(INVALID_PARAMS));
    }
    let mut result = json!({
        "content": [{ "type": "text", "text": text }],
        "isError": true,
        "_meta": { (DENIAL_META): data },
    });
    if structured && let Some(result) = result.as_object_mut() {
        result.insert("structuredContent".to_owned(), json!({ "denial": data }));
    }
    Rendered::ToolResult(result)
}

/// Tells that a result was withheld, in the same form as a denial.
pub(crate) fn withheld(evaluation: &str, withheld: crate::result::Withheld) -> (String, Value) {
    let text = format!(
        "Withheld: {}.\nWhat would help: {}.\nMaking the same call again will not help.",
        withheld.message(),
        withheld.help()
    );
    let object = json!({
        "decision": "withheld",
        "evaluation_id": evaluation,
        "reasons": [{ "code": withheld.code(), "rule": null, "message": withheld.message(), "help": withheld.help() }],
        "retryable": false,
        "retry_after_s": null,
        "gates": [],
    });
    (text, object)
}

const SCOPE: ReasonCode = ReasonCode::InsufficientScope;
const STEP_UP: ReasonCode = ReasonCode::InsufficientUserAuthentication;

fn lacks_scope_alone(denied: &Denied) -> bool {
    only(denied, &[SCOPE])
}

/// Whether nothing but these stands in the way.
fn only(denied: &Denied, codes: &[ReasonCode]) -> bool {
    let reasons = denied.reasons();
    !reasons.is_empty() && reasons.iter().all(|reason| codes.contains(&reason.code))
}

/// Whether the same call can succeed later without anybody changing anything.
fn retryable(denied: &Denied) -> bool {
    let reasons = denied.reasons();
    !reasons.is_empty() && reasons.iter().all(|reason| reason.code.retryable())
}

/// The longest of the waits that the reasons name.
pub(crate) fn retry_after_s(denied: &Denied) -> Option<u64> {
    denied.reasons().iter().filter_map(|reason| reason.retry_after_s).max().filter(|_| retryable(denied))
}

/// The structured denial.
pub(crate) fn object(denied: &Denied) -> Value {
    let gates: &[Gate] = match denied.decision() {
        Decision::RequestableDenial { gates, .. } => gates,
        Decision::Allow { .. } | Decision::Deny { .. } => &[],
    };
    let scopes: &[Scope] = if lacks_scope_alone(denied) { &denied.scopes_needed } else { &[] };
    json!({
        "decision": if gates.is_empty() { "deny" } else { "approval_required" },
        "evaluation_id": denied.id().to_string(),
        "recorded": denied.recorded,
        "reasons": denied.reasons().iter().map(reason_object).collect::<Vec<_>>(),
        "retryable": retryable(denied),
        "retry_after_s": retry_after_s(denied),
        "gates": gates.iter().map(gate_object).collect::<Vec<_>>(),
        "step_up": denied.step_up.as_ref().map(|wanted| json!({
            "acr_values": wanted.acr, "max_age": wanted.max_age_s,
        })),
        "scopes_needed": scopes.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn reason_object(reason: &Reason) -> Value {
    let Reason { code, rule, principal, message, help, retry_after_s } = reason;
    let mut object = Map::new();
    object.insert("code".to_owned(), json!(code.as_str()));
    object.insert("rule".to_owned(), json!(rule.as_ref().map(ToString::to_string)));
    object.insert("message".to_owned(), json!(message));
    object.insert("help".to_owned(), json!(help));
    if let Some(principal) = principal {
        object.insert("principal".to_owned(), json!(principal.to_string()));
    }
    if let Some(wait) = retry_after_s {
        object.insert("retry_after_s".to_owned(), json!(wait));
    }
    Value::Object(object)
}

fn gate_object(gate: &Gate) -> Value {
    let Gate { rule, approvers, quorum, step_up, expires_s } = gate;
    json!({
        "rule": rule.to_string(),
        "approvers": approvers,
        "quorum": quorum,
        "step_up": step_up,
        "expires_s": expires_s,
    })
}

/// The denial for whoever reads text: first what, then what would help, then whether to try again.
pub(crate) fn text(denied: &Denied) -> String {
    let mut text = String::from("Denied: ");
    for (index, reason) in denied.reasons().iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        let _ = write!(text, "{separator}{} (reason {}", reason.message, reason.code);
        if let Some(rule) = &reason.rule {
            let _ = write!(text, ", rule {rule}");
        }
        text.push(')');
    }
    text.push_str(".\n");
    let mut helps: Vec<&str> = denied.reasons().iter().filter_map(|reason| reason.help.as_deref()).collect();
    helps.dedup();
    if !helps.is_empty() {
        let _ = writeln!(text, "What would help: {}.", helps.join("; "));
    }
    if let Decision::RequestableDenial { gates, .. } = denied.decision() {
        for gate in gates {
            let who = gate.approvers.join(" or ");
            let _ = writeln!(
                text,
                "Approval required: rule {} can be lifted for this one call by {who} ({} of them).",
                gate.rule, gate.quorum
            );
        }
    }
    match (retryable(denied), retry_after_s(denied)) {
        (true, Some(wait)) => {
            let _ = writeln!(text, "The same call can succeed after {wait} s.");
        }
        (true, None) => text.push_str("The same call can succeed when it is made again.\n"),
        (false, _) => {
            text.push_str("Making the same call again will not help: go on without it, or do what would help.\n")
        }
    }
    let _ = write!(text, "Decision id: {}", denied.id());
    text
}

#[cfg(test)]
mod tests;
