//! `bailiwick tasks`: one piece of work, with just the tools and values that it needs.

use std::{collections::BTreeMap, path::Path};

use bailiwick_model::id::TaskId;
use serde_json::{Map, Value, json};

use super::{agents::minute, door};
use crate::{
    arguments::{Arguments, CreateTask, Tasks},
    exit::{Exit, Failure},
    output::{Output, fields, table, text},
};

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Tasks, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        Tasks::Create(create) => {
            let task = door.change("/api/v1/tasks", &body(create)?).await?;
            output.document(&task, one);
            output.note("\nwork in it: give its id as `--task` of `bailiwick bridge` or `bailiwick token`");
        }
        Tasks::List => {
            let listed = door.read("/api/v1/tasks").await?;
            output.document(&listed, |listed| {
                let rows = listed.get("tasks").and_then(Value::as_array).cloned().unwrap_or_default();
                table(
                    ["id", "agent", "state", "purpose", "ends"],
                    rows.iter().map(|task| {
                        [
                            text(task, "/id"),
                            text(task, "/agent"),
                            text(task, "/state"),
                            text(task, "/purpose"),
                            minute(&text(task, "/expires_at")),
                        ]
                    }),
                )
            });
            if listed.get("tasks").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                output.hint("no task is open: `bailiwick tasks create --help`");
            }
        }
        Tasks::Templates => {
            let listed = door.read("/api/v1/templates").await?;
            output.document(&listed, |listed| {
                let rows = listed.get("templates").and_then(Value::as_array).cloned().unwrap_or_default();
                rows.iter().map(template).collect::<Vec<_>>().join("\n\n")
            });
            if listed.get("templates").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                output.hint("there is none: write `templates/<name>.toml`, as docs/tasks.md shows, and publish it");
            }
        }
        Tasks::Show { id } => {
            let task = door.read(&format!("/api/v1/tasks/{}", task_id(id)?)).await?;
            output.document(&task, one);
        }
        Tasks::End { id, reason } => {
            let task = door.change(&format!("/api/v1/tasks/{}/end", task_id(id)?), &json!({"reason": reason})).await?;
            output.document(&task, one);
        }
    }
    Ok(Exit::Done)
}

fn task_id(id: &str) -> Result<TaskId, Failure> {
    id.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}

fn body(ask: &CreateTask) -> Result<Value, Failure> {
    let mut pins: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for pin in &ask.pins {
        let (action, argument, rule) = read_pin(pin)?;
        if !ask.tools.iter().any(|tool| tool == action) {
            return Err(Failure::new(format!("`{pin}` pins an argument of `{action}`, which no `--tool` names"))
                .exit(Exit::Usage));
        }
        add_pin(pins.entry(action).or_default(), argument, rule, pin)?;
    }
    let tools: Vec<Value> = ask
        .tools
        .iter()
        .map(|tool| json!({"action": tool, "pins": pins.remove(tool.as_str()).unwrap_or_default()}))
        .collect();
    let prompt = ask.prompt.as_deref().map(read_prompt).transpose()?;
    Ok(json!({
        "agent": ask.agent, "purpose": ask.purpose, "prompt": prompt, "tools": tools,
        "template": ask.template, "parameters": stated(&ask.set)?,
        "lifetime_s": ask.minutes.map(|minutes| minutes.saturating_mul(60)),
    }))
}

/// What `--set` states, values of one parameter together.
fn stated(set: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut all: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for one in set {
        let (name, value) = one.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Failure::new(format!("`{one}` states no parameter")).hint("write `--set ticket=4711`").exit(Exit::Usage)
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        match value {
            Value::Array(values) => all.entry(name).or_default().extend(values),
            value => all.entry(name).or_default().push(value),
        }
    }
    Ok(all.into_iter().map(|(name, values)| (name.to_owned(), Value::Array(values))).collect())
}

/// What `--pin` says of one argument.
#[derive(Debug, PartialEq)]
enum PinRule {
    Value(Value),
    Under(String),
    AtMost(i64),
}

/// `<action>:<argument>=<rule>`; the action of a tool has no colon.
fn read_pin(pin: &str) -> Result<(&str, &str, PinRule), Failure> {
    let usage = || {
        Failure::new(format!("`{pin}` is not a pin"))
            .hint("write `files.read_text_file:path=under:/srv/docs`, `mail.send:to=\"ada@example.org\"` or `bank.pay:amount=at-most:100`")
            .exit(Exit::Usage)
    };
    let (before, rule) = pin.split_once('=').ok_or_else(usage)?;
    let (action, argument) = before.rsplit_once(':').ok_or_else(usage)?;
    let rule = if let Some(folder) = rule.strip_prefix("under:") {
        PinRule::Under(folder.to_owned())
    } else if let Some(number) = rule.strip_prefix("at-most:") {
        PinRule::AtMost(number.parse().map_err(|_| usage())?)
    } else {
        PinRule::Value(serde_json::from_str(rule).unwrap_or_else(|_| Value::String(rule.to_owned())))
    };
    Ok((action, argument, rule))
}

fn add_pin(pins: &mut Map<String, Value>, argument: &str, rule: PinRule, pin: &str) -> Result<(), Failure> {
    let twice = || Failure::new(format!("`{pin}` pins an argument that is pinned otherwise already")).exit(Exit::Usage);
    let value = match rule {
        PinRule::Under(folder) => json!({"under": folder}),
        PinRule::AtMost(number) => json!({"at_most": number}),
        PinRule::Value(value) => {
            match pins.entry(argument.to_owned()).or_insert_with(|| json!({"one_of": []})).get_mut("one_of") {
                Some(Value::Array(values)) => values.push(value),
                _ => return Err(twice()),
            }
            return Ok(());
        }
    };
    if pins.insert(argument.to_owned(), value).is_some() { Err(twice()) } else { Ok(()) }
}

fn read_prompt(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        return std::io::read_to_string(std::io::stdin())
            .map_err(|error| Failure::new(format!("standard input: {error}")));
    }
    std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))
}

/// One pin in words.
fn said(argument: &str, pin: &Value) -> String {
    let values = pin.get("one_of").and_then(Value::as_array);
    let stated = ["one_of", "under", "at_most"].iter().find_map(|rule| {
        let named = pin.get(rule).and_then(Value::as_str).filter(|text| text.starts_with('$'))?;
        Some(format!("`{argument}` {} what `{}` states", rule.replace('_', " "), named.trim_start_matches('$')))
    });
    if let Some(stated) = stated {
        stated
    } else if let Some(folder) = pin.get("under").and_then(Value::as_str) {
        format!("`{argument}` under {folder}")
    } else if let Some(most) = pin.get("at_most").filter(|most| most.is_number()) {
        format!("`{argument}` at most {most}")
    } else if let Some(values) = values {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        format!("`{argument}` = {}", values.join(" or "))
    } else {
        format!("`{argument}` {pin}")
    }
}

/// Tools with their pins, a line each.
fn tools(of: &Value) -> String {
    let tools = of.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
    let tools = tools.iter().map(|tool| {
        let pins = tool.get("pins").and_then(Value::as_object).cloned().unwrap_or_default();
        let pins: Vec<String> = pins.iter().map(|(argument, pin)| said(argument, pin)).collect();
        let pins = if pins.is_empty() { "any arguments".to_owned() } else { pins.join("; ") };
        format!("{}: {}", text(tool, "/action"), crate::output::clean(&pins))
    });
    tools.collect::<Vec<_>>().join("\n")
}

fn template(template: &Value) -> String {
    let parameters = template.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameters = parameters.iter().map(|(name, about)| {
        let about = about.as_str().unwrap_or_default();
        format!("--set {name}=…: {}", crate::output::clean(about))
    });
    fields(&[
        ("template", text(template, "/name")),
        ("purpose", text(template, "/purpose")),
        ("roles", text(template, "/roles")),
        ("minutes", text(template, "/minutes")),
        ("parameters", parameters.collect::<Vec<_>>().join("\n")),
        ("tools", tools(template)),
    ])
}

fn one(task: &Value) -> String {
    fields(&[
        ("id", text(task, "/id")),
        ("agent", text(task, "/agent")),
        ("state", text(task, "/state")),
        ("purpose", text(task, "/purpose")),
        ("ends", minute(&text(task, "/expires_at"))),
        ("tools", tools(task)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_said_in_words() {
        let check = |pin: Value, expected: &str| assert_eq!(said("a", &pin), expected);
        check(json!({"under": "/srv"}), "`a` under /srv");
        check(json!({"at_most": 5}), "`a` at most 5");
        check(json!({"one_of": ["x", 3]}), "`a` = \"x\" or 3");
    }

    #[test]
    fn pins_are_read_as_they_are_written() {
        let check =
            |pin: &str, expected: Option<(&str, &str, PinRule)>| assert_eq!(read_pin(pin).ok(), expected, "{pin}");
        check("f.read:path=under:/srv", Some(("f.read", "path", PinRule::Under("/srv".to_owned()))));
        check("m.send:to=a@b", Some(("m.send", "to", PinRule::Value(json!("a@b")))));
        check("m.send:count=3", Some(("m.send", "count", PinRule::Value(json!(3)))));
        check("b.pay:amount=at-most:100", Some(("b.pay", "amount", PinRule::AtMost(100))));
        check("b.pay:amount=at-most:lots", None);
        check("no pin", None);
    }
}
