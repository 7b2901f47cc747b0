//! Kinds of tasks from tasks that were seen: the same tools, and what differed from task to task but not within one is
//! what whoever makes the next one states. A template that would have stopped one of its own tasks is not proposed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use bailiwick_model::{
    bundle::BundleFiles,
    evaluation::{Evaluation, TaskContext},
    name::{ActionName, ParameterName, TemplateName},
};
use serde_json::Value;

use super::{
    NoSuggestion, Question, Seen, SuggestedTemplate, VALUES_MAX,
    clauses::common_folder,
    compile,
    replay::{Judged, allows, decide},
    with,
};
use crate::{
    normalise::{self, Normaliser},
    propose::render::{key, one_line, string},
    snapshot::Snapshot,
    templates::Stated,
};

/// Templates of one suggestion.
const TEMPLATES_MAX: usize = 16;
/// Bytes of a text that is written into a template.
const TEXT_BYTES_MAX: usize = 200;

/// Tasks with the same tools.
struct Kind<'a> {
    actions: BTreeSet<ActionName>,
    tasks: Vec<Vec<&'a Seen>>,
}

/// What one argument becomes.
enum Pinned {
    OneOf(Vec<Value>),
    Under(String),
    AtMost(i64),
    /// Per task, what was stated.
    Stated(Vec<Value>),
}

/// The bundle with templates of the tasks that were seen, as far as they stand their own replay.
pub(super) fn with_templates(
    question: &Question<'_>,
    mut files: BundleFiles,
    judged: &Judged<'_>,
) -> Result<(BundleFiles, Vec<SuggestedTemplate>), NoSuggestion> {
    let mut suggested = Vec::new();
    for kind in kinds(&judged.good) {
        if suggested.len() >= TEMPLATES_MAX {
            break;
        }
        let Ok(before) = compile(&files) else { break };
        let Some(name) = free_name(question, &before) else { break };
        let Some((text, stated)) = written(question, &before, &kind) else { continue };
        let file = format!("templates/{name}.toml");
        let candidate = with(&files, [(file.clone(), text)])?;
        let Ok(after) = compile(&candidate) else { continue };
        if !stands(&after, &name, &kind, &stated) {
            continue;
        }
        files = candidate;
        let calls = kind.tasks.iter().map(Vec::len).sum();
        suggested.push(SuggestedTemplate { file, tasks: kind.tasks.len(), calls });
    }
    Ok((files, suggested))
}

/// Tasks by their set of tools; a kind that was seen once is none.
fn kinds<'a>(good: &[&'a Seen]) -> Vec<Kind<'a>> {
    let mut tasks: BTreeMap<_, Vec<&'a Seen>> = BTreeMap::new();
    for call in good {
        if let Some(id) = call.evaluation.task.id {
            tasks.entry(id).or_default().push(call);
        }
    }
    let mut kinds: BTreeMap<BTreeSet<ActionName>, Vec<Vec<&'a Seen>>> = BTreeMap::new();
    for calls in tasks.into_values() {
        let actions = calls.iter().filter_map(|call| call.action().cloned()).collect();
        kinds.entry(actions).or_default().push(calls);
    }
    let repeated = kinds.into_iter().filter(|(_, tasks)| tasks.len() > 1);
    repeated.map(|(actions, tasks)| Kind { actions, tasks }).collect()
}

fn free_name(question: &Question<'_>, snapshot: &Snapshot) -> Option<TemplateName> {
    let mut names = (1..=10_000).filter_map(|n| format!("{}-task-{n}", question.role).parse::<TemplateName>().ok());
    names.find(|name| snapshot.template(name).is_none())
}

/// The file, and per task what its parameters were.
fn written(question: &Question<'_>, snapshot: &Snapshot, kind: &Kind<'_>) -> Option<(String, Vec<Stated>)> {
    let mut parameters: Vec<(ParameterName, String, Vec<Value>)> = Vec::new();
    let mut tools = String::new();
    for action in &kind.actions {
        let _ = writeln!(tools, "\n[[tools]]\naction = {}", string(action.as_str()));
        for (argument, pinned) in pins(snapshot, kind, action) {
            let pin = match pinned {
                Pinned::OneOf(values) => {
                    format!("one_of = [{}]", values.iter().filter_map(toml_value).collect::<Vec<_>>().join(", "))
                }
                Pinned::Under(folder) => format!("under = {}", string(&folder)),
                Pinned::AtMost(most) => format!("at_most = {most}"),
                Pinned::Stated(values) => {
                    format!("one_of = \"${}\"", parameter(&mut parameters, action, &argument, values)?)
                }
            };
            let _ = writeln!(tools, "pins.{} = {{ {pin} }}", key(&argument));
        }
    }
    let calls: usize = kind.tasks.iter().map(Vec::len).sum();
    let mut text = format!(
        "# Made from {} tasks with {calls} calls. An argument without a pin is free: read each before you publish this.\n\
         purpose = \"Say here what these tasks are for\"\nroles = [{}]\n",
        kind.tasks.len(),
        string(question.role.as_str()),
    );
    if !parameters.is_empty() {
        text.push_str("\n[parameters]\n");
    }
    for (name, about, _) in &parameters {
        let _ = writeln!(text, "{name} = {}", string(about));
    }
    text.push_str(&tools);
    let stated = (0..kind.tasks.len()).map(|task| {
        let of = |(name, _, values): &(ParameterName, String, Vec<Value>)| {
            Some((name.to_string(), vec![values.get(task)?.clone()]))
        };
        parameters.iter().filter_map(of).collect()
    });
    Some((text, stated.collect()))
}

/// The parameter that had these values: one that there is already, whatever argument it came from, or a new one.
fn parameter(
    parameters: &mut Vec<(ParameterName, String, Vec<Value>)>,
    action: &ActionName,
    argument: &str,
    values: Vec<Value>,
) -> Option<ParameterName> {
    let texts = |values: &[Value]| values.iter().map(plain).collect::<Vec<_>>();
    if let Some((name, ..)) = parameters.iter().find(|(_, _, known)| texts(known) == texts(&values)) {
        return Some(name.clone());
    }
    let slug: String =
        argument.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let slug = slug.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let slug = if slug.is_empty() { "value" } else { slug };
    let mut names = std::iter::once(slug.to_owned()).chain((2..1_000).map(|n| format!("{slug}_{n}")));
    let name: ParameterName =
        names.find(|name| !parameters.iter().any(|(known, ..)| known.as_str() == name))?.parse().ok()?;
    parameters.push((name.clone(), one_line(&format!("`{argument}` of {action}")), values));
    Some(name)
}

fn pins(snapshot: &Snapshot, kind: &Kind<'_>, action: &ActionName) -> Vec<(String, Pinned)> {
    let Some(tool) = snapshot.catalogue().tool_of(action) else { return Vec::new() };
    let declared = tool.definition.pointer("/inputSchema/properties").and_then(Value::as_object);
    let names = declared.into_iter().flat_map(|properties| properties.keys());
    let pin = |name: &String| {
        let normaliser = tool.normalise.iter().find(|(path, _)| path.steps() == [name.clone()]).map(|(_, by)| *by);
        Some((name.clone(), pinned(kind, action, name, normaliser)?))
    };
    names.filter_map(pin).collect()
}

/// What an argument becomes; `None` leaves it free. An argument that was ever absent stays free: a pin demands it.
fn pinned(kind: &Kind<'_>, action: &ActionName, name: &str, normaliser: Option<Normaliser>) -> Option<Pinned> {
    let mut per_task: Vec<Vec<Value>> = Vec::new();
    for task in &kind.tasks {
        let mut values: Vec<Value> = Vec::new();
        for call in task.iter().filter(|call| call.action() == Some(action)) {
            for value in scalars(call.evaluation.arguments.get(name)?)? {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        per_task.push(values);
    }
    let mut all: Vec<Value> = Vec::new();
    for value in per_task.iter().flatten() {
        if !all.contains(value) {
            all.push(value.clone());
        }
    }
    if all.is_empty() {
        return None;
    }
    let short = all.iter().all(|value| plain(value).len() <= TEXT_BYTES_MAX);
    if short && all.len() > 1 && per_task.iter().all(|values| values.len() == 1) {
        return Some(Pinned::Stated(per_task.into_iter().flatten().collect()));
    }
    if short && all.len() <= VALUES_MAX {
        return Some(Pinned::OneOf(all));
    }
    if normaliser == Some(Normaliser::Path) {
        let paths: Option<Vec<String>> = all.iter().map(|value| normalise::path(value.as_str()?).ok()).collect();
        let paths = paths?;
        return common_folder(&paths.iter().map(String::as_str).collect::<Vec<_>>()).map(Pinned::Under);
    }
    let numbers: Option<Vec<i64>> = all.iter().map(Value::as_i64).collect();
    numbers.and_then(|numbers| numbers.into_iter().max()).map(Pinned::AtMost)
}

/// A scalar, or the scalars of a list; `None` for whatever a pin could not be read for.
fn scalars(value: &Value) -> Option<Vec<Value>> {
    let scalar = |value: &Value| match value {
        Value::String(_) | Value::Bool(_) => Some(value.clone()),
        Value::Number(number) if number.is_i64() => Some(value.clone()),
        _ => None,
    };
    match value {
        Value::Array(elements) => elements.iter().map(scalar).collect(),
        one => Some(vec![scalar(one)?]),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn toml_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(string(text)),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether every task of the kind would have come through if it had been made from the template.
fn stands(snapshot: &Snapshot, name: &TemplateName, kind: &Kind<'_>, stated: &[Stated]) -> bool {
    let Some(template) = snapshot.template(name) else { return false };
    kind.tasks.iter().zip(stated).all(|(calls, stated)| {
        let Ok(tools) = template.expand(stated) else { return false };
        calls.iter().all(|call| {
            let task = TaskContext { tools: Some(tools.clone()), ..call.evaluation.task.clone() };
            allows(&decide(snapshot, &Evaluation { task, ..call.evaluation.clone() }))
        })
    })
}
