//! `bailiwick explain`: why something was decided, or would be; and which permits came nearest.

use serde_json::{Value, json};

use super::{
    agents::percent,
    check::{asked, decision, outcome},
    door,
};
use crate::{
    arguments::{Arguments, Explain},
    exit::{Exit, Failure},
    output::{Output, clean, fields, text},
};

/// Explains a recorded decision, or with `--agent` one about a call that nobody makes.
pub(crate) async fn explain(arguments: &Arguments, ask: &Explain, output: &Output) -> Result<Exit, Failure> {
    let Some(agent) = &ask.agent else { return recorded(arguments, &ask.what, output).await };
    let answer = asked(arguments, agent, &ask.what, &ask.call, output).await?;
    output.document(&answer, |answer| {
        let evaluated = answer.get("evaluated").unwrap_or(&Value::Null);
        format!("{}{}", decision(evaluated), examined(evaluated.get("examined")))
    });
    Ok(outcome(&answer))
}

/// A recorded decision, and the same question asked again under its bundle and the active one.
async fn recorded(arguments: &Arguments, evaluation: &str, output: &Output) -> Result<Exit, Failure> {
    if !evaluation.starts_with("eval_") && evaluation.contains(['.', ':']) {
        return Err(Failure::new(format!("`{evaluation}` is a call, not the id of a decision"))
            .hint(format!("say who would make it: `bailiwick explain --agent NAME {evaluation}`"))
            .exit(Exit::Usage));
    }
    let answer = door(arguments).await?.change(&format!("/api/v1/explain/{}", percent(evaluation)), &json!({})).await?;
    output.document(&answer, |answer| {
        let mut page = decision(answer.get("evaluated").unwrap_or(&Value::Null));
        page.push_str(&examined(answer.get("examined")));
        if let Some(question) = answer.get("question").filter(|question| !question.is_null()) {
            page.push_str("\n\n");
            page.push_str(&context(question));
        }
        page.push_str("\n\n");
        page.push_str(&again(answer));
        page
    });
    Ok(match answer.get("reproduced").and_then(Value::as_bool) {
        Some(false) => Exit::IntegrityFailed,
        _ => Exit::Done,
    })
}

/// What the same question comes to under the cited bundle, and under the active one.
fn again(answer: &Value) -> String {
    let overruled = answer.get("overruled_by").and_then(Value::as_str);
    let mut page = match (answer.get("reproduced").and_then(Value::as_bool), overruled) {
        (Some(true), _) => "reproduced: the same question under the cited bundle gives the same decision".to_owned(),
        (Some(false), _) => "NOT reproduced: the cited bundle decides otherwise now".to_owned(),
        (None, Some(code)) => format!(
            "not reproduced: `{}` denied it after policy had decided, for what is no part of the question",
            clean(code)
        ),
        (None, None) => "not reproduced: the call was denied before there was a question".to_owned(),
    };
    if answer.get("active_bundle").is_some_and(Value::is_string) {
        page.push_str(&format!(
            "\nanother bundle is active now, {}: it would say {}",
            text(answer, "/active_bundle"),
            text(answer, "/active_decision")
        ));
    }
    page
}

/// The policies that came nearest or stood in the way, with the conditions that decided and what they saw.
fn examined(examined: Option<&Value>) -> String {
    let all = examined.and_then(Value::as_array).cloned().unwrap_or_default();
    let (permits, forbids): (Vec<_>, Vec<_>) = all.iter().partition(|one| text(one, "/effect") == "permit");
    let mut page = String::new();
    for (title, policies) in [("stood in the way", forbids), ("nearest permits", permits)] {
        if policies.is_empty() {
            continue;
        }
        page.push_str(&format!("\n\n{title}"));
        for one in policies {
            page.push_str(&format!(
                "\n  `{}` at {}:{}, asked for {}",
                text(one, "/policy"),
                text(one, "/file"),
                text(one, "/line"),
                text(one, "/principal/id")
            ));
            let conditions = one.get("conditions").and_then(Value::as_array);
            page.push_str(match one.get("part").and_then(Value::as_str) {
                _ if conditions.is_none_or(Vec::is_empty) => ": it has no conditions",
                Some("principal") => ": it is for somebody else",
                Some("resource") => ": it is about something else",
                _ => "",
            });
            for condition in conditions.into_iter().flatten() {
                page.push_str(&self::condition(condition, text(one, "/effect") == "permit"));
            }
        }
    }
    page
}

/// One condition. What decided against a permit does not hold, and what decided for a forbid holds; one that came out the
/// other way stands after `unless`, or is negated.
fn condition(condition: &Value, of_permit: bool) -> String {
    let holds = condition.get("holds").and_then(Value::as_bool) == Some(true);
    let held = if holds { "holds" } else { "does not hold" };
    let line = condition.get("line").and_then(Value::as_u64).map_or_else(String::new, |line| format!(" (line {line})"));
    let words = text(condition, "/text");
    let mut page = if holds == of_permit {
        format!("\n    unless {words}{line}, which {held}")
    } else {
        format!("\n    {held}: {words}{line}")
    };
    for saw in condition.get("saw").and_then(Value::as_array).into_iter().flatten() {
        page.push_str(&format!("\n      saw {} = {}", text(saw, "/what"), text(saw, "/value")));
    }
    page
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

/// What an operation can do: its class and tags, how many records it touches, whether it can be undone.
fn risk(operation: &Value) -> String {
    let records = match operation.pointer("/effect/records").and_then(Value::as_i64) {
        Some(i64::MAX) | None => String::from("an unknown number of records"),
        Some(1) => String::from("1 record"),
        Some(count) => format!("{count} records"),
    };
    let reversible = operation.pointer("/effect/reversible").and_then(Value::as_bool) == Some(true);
    let undone = if reversible { "can be undone" } else { "cannot be undone" };
    let tags = text(operation, "/tags");
    let tags = if tags == "-" { String::new() } else { format!(" ({tags})") };
    format!("{}{tags}, {records}, {undone}", text(operation, "/class"))
}

/// The observations that were on.
fn observations(question: &Value) -> String {
    let on = question.pointer("/authority/observations").and_then(Value::as_array).cloned().unwrap_or_default();
    let scopes: Vec<String> = on.iter().map(|one| text(one, "/scope")).collect();
    if scopes.is_empty() { "-".to_owned() } else { scopes.join(", ") }
}

fn context(question: &Value) -> String {
    let parties = question.get("parties").and_then(Value::as_array).cloned().unwrap_or_default();
    let parties: Vec<String> = parties
        .iter()
        .map(|party| {
            let promoted = party.get("promoted").and_then(Value::as_bool) == Some(true);
            format!(
                "{} (role {}, {}, owner {}{})",
                text(party, "/principal/id"),
                text(party, "/role"),
                text(party, "/environment"),
                text(party, "/owner"),
                if promoted { "" } else { ", not promoted" }
            )
        })
        .collect();
    let operations = question.get("operations").and_then(Value::as_array).cloned().unwrap_or_default();
    let told: Vec<String> = operations
        .iter()
        .map(|operation| {
            format!("{} on {}", text(operation, "/action"), resource(operation.get("resource").unwrap_or(&Value::Null)))
        })
        .collect();
    let mut risks: Vec<String> = operations.iter().map(risk).collect();
    risks.dedup();
    fields(&[
        ("asked", text(question, "/now")),
        ("principals", parties.join(", ")),
        ("operations", told.join("\n")),
        ("risk", risks.join("\n")),
        ("arguments", clean(&question.get("arguments").map(Value::to_string).unwrap_or_default())),
        ("zone", text(question, "/network_zone")),
        ("task", text(question, "/task/id")),
        ("facts", text(question, "/task/facts")),
        ("scopes", text(question, "/authority/scopes")),
        ("safe modes", text(question, "/authority/safe_modes")),
        ("observed", observations(question)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_after_unless_is_told_so() {
        let check = |effect: &str, holds: bool, expected: &str| {
            let one = json!([{"effect": effect, "policy": "p", "file": "f", "line": 1, "principal": {"id": "a"},
                "part": "conditions", "conditions": [{"text": "x", "line": 2, "holds": holds, "saw": []}]}]);
            let page = examined(Some(&one));
            assert_eq!(page.lines().last(), Some(expected), "{page}");
        };
        check("forbid", true, "    holds: x (line 2)");
        check("forbid", false, "    unless x (line 2), which does not hold");
        check("permit", false, "    does not hold: x (line 2)");
        check("permit", true, "    unless x (line 2), which holds");
    }
}
