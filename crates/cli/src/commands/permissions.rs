//! `bailiwick permissions`: what an agent may do, asked with its own key. Needs no installation.

use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    agent::{
        connection::Connection,
        identity::Identity,
        tokens::{Target, Tokens, issuer_of},
    },
    arguments::Permissions,
    exit::{Exit, Failure},
    output::{Output, table, text},
};

/// Asks and prints.
pub(crate) async fn run(ask: &Permissions, output: &Output) -> Result<Exit, Failure> {
    let url = ask.url.trim_end_matches('/');
    let below = ask.system.as_ref().map_or_else(String::new, |system| format!("/{system}"));
    let resource = format!("{url}/mcp{below}");
    let usage = |text: String| Failure::new(text).exit(Exit::Usage);
    let target = Target {
        issuer: issuer_of(&resource)?,
        resource,
        agent: ask.credential.agent.parse().map_err(|error| usage(format!("{error}")))?,
        task: ask.credential.task.clone(),
        scope: None,
        bearer: false,
    };
    if let Some(system) = &ask.system {
        system.parse::<bailiwick_model::name::SystemName>().map_err(|error| usage(format!("{error}")))?;
    }
    let tokens = Tokens::new(Identity::of(&ask.credential)?, target);
    // Nothing is streamed to whoever only reads a document.
    let (answers, _) = mpsc::channel(1);
    let called = tokens.called(&format!("{url}/permissions/v1{below}")).await?;
    let connection = Connection::new(tokens.http(), called, tokens.into(), answers);
    let document = connection.document().await?;
    output.document(&document, page);
    Ok(Exit::Done)
}

/// One line an action, and below the table what the arguments decide.
fn page(document: &Value) -> String {
    let actions = || {
        let systems = document.get("systems").and_then(Value::as_array).into_iter().flatten();
        systems.flat_map(|system| system.get("actions").and_then(Value::as_array).into_iter().flatten())
    };
    let mut page = table(
        ["action", "class", "decision", "why"],
        actions()
            .map(|action| [text(action, "/action"), text(action, "/class"), text(action, "/decision"), why(action)]),
    );
    for action in actions() {
        let rules = action.get("rules").and_then(Value::as_array).cloned().unwrap_or_default();
        if rules.is_empty() {
            continue;
        }
        page.push_str(&format!("\n\n{}", text(action, "/action")));
        for one in rules {
            page.push_str(&rule(&one));
        }
        if let Some(more) = action.get("more_rules").and_then(Value::as_u64) {
            page.push_str(&format!("\n  and {more} more"));
        }
    }
    if document.get("delegates_to").is_some() {
        page.push_str(&format!("\n\ndelegates to agents of: {}", text(document, "/delegates_to")));
    }
    page
}

fn why(action: &Value) -> String {
    if action.get("reason").is_some_and(Value::is_object) {
        return format!("{}: {}", text(action, "/reason/code"), text(action, "/reason/message"));
    }
    let mut parts = Vec::new();
    if text(action, "/decision") == "depends" {
        let may = action.get("may").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let words = may.map(|outcome| match outcome {
            "allow" => "allowed",
            "ask" => "to be asked for",
            _ => "denied",
        });
        parts.push(format!("up to the arguments: {}", words.collect::<Vec<_>>().join(" or ")));
    }
    if action.get("task_pins").and_then(Value::as_bool) == Some(true) {
        parts.push(String::from("the task pins arguments"));
    }
    parts.join("; ")
}

fn rule(rule: &Value) -> String {
    let list = |name: &str| {
        let all = rule.get(name).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(crate::output::clean).collect::<Vec<_>>()
    };
    let verb = match (text(rule, "/effect").as_str(), list("approvers").is_empty()) {
        ("permit", _) => String::from("permitted"),
        (_, true) => String::from("denied"),
        (_, false) => format!("to be approved by {}", list("approvers").join(", ")),
    };
    let mut line = format!("\n  {verb} by `{}`", text(rule, "/policy"));
    for (word, texts) in [("when", list("when")), ("unless", list("unless"))] {
        for text in texts {
            line.push_str(&format!("\n    {word} {text}"));
        }
    }
    line
}
