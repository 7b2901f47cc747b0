//! `bailiwick check` and `bailiwick explain`: decisions, asked for and looked back at.

use bailiwick_model::name::ActionName;
use serde_json::{Value, json};

use super::{agents::percent, door};
use crate::{
    arguments::{Arguments, Check},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, clean, fields, text},
};

/// What would be decided. Exit code 0 allow, 3 denied, 4 approval needed.
pub(crate) async fn check(arguments: &Arguments, ask: &Check, output: &Output) -> Result<Exit, Failure> {
    let usage = |text: String| Failure::new(text).exit(Exit::Usage);
    let action: ActionName = ask.action.parse().map_err(|error| usage(format!("{error}")))?;
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
        "agent": ask.agent, "system": action.system(), "method": method, "name": name, "arguments": call,
        "task": ask.task,
    });
    let door = door(arguments).await?;
    let answer = door.change("/api/v1/check", &body).await?;
    output.document(&answer, |answer| decision(answer.get("evaluated").unwrap_or(&Value::Null)));
    let unverified = answer.pointer("/evaluated/decision/reasons/0/code").and_then(Value::as_str);
    if matches!(door, Door::Here(_)) && unverified == Some("definition_unverified") {
        output.hint("no broker is running here, so nobody looks at its systems: start it with `bailiwick serve`");
    }
    Ok(match answer.get("decision").and_then(Value::as_str) {
        Some("allow") => Exit::Done,
        Some("ask") => Exit::ApprovalNeeded,
        _ => Exit::Denied,
    })
}

/// A recorded decision, and the same question asked again under its bundle.
pub(crate) async fn explain(arguments: &Arguments, evaluation: &str, output: &Output) -> Result<Exit, Failure> {
    let answer = door(arguments).await?.change(&format!("/api/v1/explain/{}", percent(evaluation)), &json!({})).await?;
    output.document(&answer, |answer| {
        let mut page = decision(answer.get("evaluated").unwrap_or(&Value::Null));
        if let Some(question) = answer.get("question").filter(|question| !question.is_null()) {
            page.push_str("\n\n");
            page.push_str(&context(question));
        }
        page.push_str(match answer.get("reproduced").and_then(Value::as_bool) {
            Some(true) => "\n\nreproduced: the same question under the cited bundle gives the same decision",
            Some(false) => "\n\nNOT reproduced: the cited bundle decides otherwise now",
            None => "\n\nnot reproduced: the call was denied before there was a question",
        });
        page
    });
    Ok(match answer.get("reproduced").and_then(Value::as_bool) {
        Some(false) => Exit::IntegrityFailed,
        _ => Exit::Done,
    })
}

fn decision(evaluated: &Value) -> String {
    let mut rows = vec![
        ("decision", text(evaluated, "/decision/outcome").replace('_', " ")),
        ("evaluation", text(evaluated, "/id")),
        ("bundle", text(evaluated, "/bundle")),
    ];
    let reasons = evaluated.pointer("/decision/reasons").and_then(Value::as_array).cloned().unwrap_or_default();
    let reasons: Vec<String> = reasons
        .iter()
        .map(|reason| {
            let mut line = format!("{}: {}", text(reason, "/code"), text(reason, "/message"));
            if reason.get("rule").is_some_and(Value::is_string) {
                line.push_str(&format!(" (rule `{}`)", text(reason, "/rule")));
            }
            if reason.get("help").is_some_and(Value::is_string) {
                line.push_str(&format!("\n              what would help: {}", text(reason, "/help")));
            }
            line
        })
        .collect();
    if !reasons.is_empty() {
        rows.push(("reasons", reasons.join("\n            ")));
    }
    let determining = evaluated.get("determining").and_then(Value::as_array).cloned().unwrap_or_default();
    let determining: Vec<String> = determining
        .iter()
        .map(|one| format!("{} `{}` for {}", text(one, "/effect"), text(one, "/policy"), text(one, "/principal/id")))
        .collect();
    if !determining.is_empty() {
        rows.push(("decided by", determining.join("\n            ")));
    }
    let errors = evaluated.get("errors").and_then(Value::as_object).cloned().unwrap_or_default();
    for (policy, error) in &errors {
        rows.push(("error", format!("{policy}: {}", clean(error.as_str().unwrap_or_default()))));
    }
    fields(&rows)
}

/// What an operation acts on: a record by its type and id, or the tool itself.
fn resource(resource: &Value) -> String {
    match resource.get("kind").and_then(Value::as_str) {
        Some("record") => {
            format!("{} {} of `{}`", text(resource, "/type_name"), text(resource, "/id"), text(resource, "/system"))
        }
        Some("tool") => "the tool itself".to_owned(),
        _ => clean(&resource.to_string()),
    }
}

fn context(question: &Value) -> String {
    let parties = question.get("parties").and_then(Value::as_array).cloned().unwrap_or_default();
    let parties: Vec<String> = parties
        .iter()
        .map(|party| format!("{} (role {})", text(party, "/principal/id"), text(party, "/role")))
        .collect();
    let operations = question.get("operations").and_then(Value::as_array).cloned().unwrap_or_default();
    let operations: Vec<String> = operations
        .iter()
        .map(|operation| {
            format!("{} on {}", text(operation, "/action"), resource(operation.get("resource").unwrap_or(&Value::Null)))
        })
        .collect();
    fields(&[
        ("asked", text(question, "/now")),
        ("principals", parties.join(", ")),
        ("operations", operations.join("\n            ")),
        ("arguments", clean(&question.get("arguments").map(Value::to_string).unwrap_or_default())),
        ("zone", text(question, "/network_zone")),
        ("task", text(question, "/task/id")),
        ("facts", text(question, "/task/facts")),
        ("scopes", text(question, "/authority/scopes")),
        ("safe modes", text(question, "/authority/safe_modes")),
    ])
}
