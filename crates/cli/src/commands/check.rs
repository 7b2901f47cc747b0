//! `bailiwick check`: what would be decided.

use bailiwick_model::name::ActionName;
use serde_json::{Value, json};

use super::door;
use crate::{
    arguments::{Arguments, Check, Hypothetical},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, clean, fields, text},
};

/// What would be decided. Exit code 0 allow, 3 denied, 4 approval needed.
pub(crate) async fn check(arguments: &Arguments, ask: &Check, output: &Output) -> Result<Exit, Failure> {
    let answer = asked(arguments, &ask.agent, &ask.action, &ask.call, output).await?;
    output.document(&answer, |answer| decision(answer.get("evaluated").unwrap_or(&Value::Null)));
    Ok(outcome(&answer))
}

/// How a question ends: 0 allow, 3 denied, 4 approval needed.
pub(super) fn outcome(answer: &Value) -> Exit {
    match answer.get("decision").and_then(Value::as_str) {
        Some("allow") => Exit::Done,
        Some("ask") => Exit::ApprovalNeeded,
        _ => Exit::Denied,
    }
}

/// Asks what would be decided on a call.
pub(super) async fn asked(
    arguments: &Arguments,
    agent: &str,
    action: &str,
    ask: &Hypothetical,
    output: &Output,
) -> Result<Value, Failure> {
    let usage = |text: String| Failure::new(text).exit(Exit::Usage);
    let action: ActionName = action.parse().map_err(|error| usage(format!("{error}")))?;
    let call: Value = serde_json::from_str(&ask.arguments)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| usage(format!("`{}` is not a JSON object", ask.arguments)))?;
    let rest = action.as_str().get(action.system().len()..).unwrap_or_default();
    let (method, name) = match rest.strip_prefix('.') {
        Some(tool) => ("tools/call", Some(tool)),
        None => (rest.trim_start_matches(':'), ask.name.as_deref()),
    };
    let body = json!({
        "agent": agent, "system": action.system(), "method": method, "name": name, "arguments": call,
        "task": ask.task,
    });
    let door = door(arguments).await?;
    let answer = door.change("/api/v1/check", &body).await?;
    let unverified = answer.pointer("/evaluated/decision/reasons/0/code").and_then(Value::as_str);
    if matches!(door, Door::Here(_)) && unverified == Some("definition_unverified") {
        output.hint("no broker is running here, so nobody looks at its systems: start it with `bailiwick serve`");
    }
    Ok(answer)
}

/// A decision with its reasons and policies.
pub(super) fn decision(evaluated: &Value) -> String {
    let mut rows = vec![
        ("decision", text(evaluated, "/decision/outcome").replace('_', " ")),
        ("evaluation", text(evaluated, "/id")),
        ("bundle", text(evaluated, "/bundle")),
    ];
    let observed = evaluated.get("observed").filter(|observed| observed.is_object());
    if let Some(observed) = observed {
        let would_be = match text(observed, "/would_be/outcome").as_str() {
            "allow" => "policy allows it too".to_owned(),
            "requestable_denial" => "policy would have somebody asked".to_owned(),
            _ => "policy would deny it".to_owned(),
        };
        rows.push(("observed", format!("by {}; {would_be}", text(observed, "/by"))));
    }
    let pointer = match observed {
        Some(_) if text(evaluated, "/decision/outcome") == "allow" => "/observed/would_be/reasons",
        _ => "/decision/reasons",
    };
    let reasons = evaluated.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let reasons: Vec<String> = reasons
        .iter()
        .map(|reason| {
            let mut line = format!("{}: {}", text(reason, "/code"), text(reason, "/message"));
            if reason.get("rule").is_some_and(Value::is_string) {
                line.push_str(&format!(" (rule `{}`)", text(reason, "/rule")));
            }
            if reason.get("help").is_some_and(Value::is_string) {
                line.push_str(&format!("\n  what would help: {}", text(reason, "/help")));
            }
            line
        })
        .collect();
    if !reasons.is_empty() {
        rows.push(("reasons", reasons.join("\n")));
    }
    let determining = evaluated.get("determining").and_then(Value::as_array).cloned().unwrap_or_default();
    let determining: Vec<String> = determining
        .iter()
        .map(|one| format!("{} `{}` for {}", text(one, "/effect"), text(one, "/policy"), text(one, "/principal/id")))
        .collect();
    if !determining.is_empty() {
        rows.push(("decided by", determining.join("\n")));
    }
    let errors = evaluated.get("errors").and_then(Value::as_object).cloned().unwrap_or_default();
    for (policy, error) in &errors {
        rows.push(("error", format!("{policy}: {}", clean(error.as_str().unwrap_or_default()))));
    }
    fields(&rows)
}
