//! Turns a call into the operations that it stands for: typed input, records,
//! effect, facts. Total; what does not fit is a reason to deny, never a guess.
//! Messages name arguments and never repeat their values.

mod fit;

use std::collections::BTreeMap;

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    limits::OPERATIONS_PER_CALL_MAX,
    name::{ActionName, SystemName, ToolName},
    operation::{ActionClass, DeclaredEffect, Operation, Resource},
    value::{Record, Value},
};
use serde_json::Map;

use crate::{
    catalogue::{ArgumentPath, Catalogue, RecordCount, RecordMapping, System, Tool, records},
    definition::visible,
    normalise,
};

/// Bytes that the operations of one call may hold together, those that its tool's mapping asks for included: each has the
/// whole input, and the evidence keeps them all. A few times the longest message, so that no short one becomes a long
/// record.
pub const FAN_OUT_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// A call as its binding read it, arguments unchecked.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The system that it goes to.
    pub system: &'a SystemName,
    /// The MCP method.
    pub method: &'a str,
    /// Tool name, prompt name, resource URI or log level.
    pub name: Option<&'a str>,
    /// `params.arguments`.
    pub arguments: &'a Map<String, serde_json::Value>,
}

/// An MCP method other than `tools/call` that is an action, on the whole system and of class `read`.
#[derive(Debug, Clone, Copy)]
pub struct MappedMethod {
    /// The method.
    pub method: &'static str,
    /// The attribute of `context.input` that holds the call's name.
    pub attribute: &'static str,
}

/// All of them.
pub const MAPPED_METHODS: &[MappedMethod] = &[
    MappedMethod { method: "resources/read", attribute: "uri" },
    MappedMethod { method: "resources/subscribe", attribute: "uri" },
    MappedMethod { method: "prompts/get", attribute: "name" },
    MappedMethod { method: "completion/complete", attribute: "name" },
    MappedMethod { method: "logging/setLevel", attribute: "level" },
];

/// The operations that a call stands for: at least one, all with the whole call's effect.
pub fn map(catalogue: &Catalogue, call: &Call<'_>) -> Result<Vec<Operation>, Reason> {
    let system = catalogue
        .system(call.system)
        .ok_or_else(|| refuse(ReasonCode::UnknownTool, format!("system `{}` is not in the catalogue", call.system)))?;
    if call.method == "tools/call" {
        return map_tool(system, call);
    }
    let method = MAPPED_METHODS.iter().find(|mapped| mapped.method == call.method).ok_or_else(|| {
        refuse(
            ReasonCode::UnknownMethod,
            format!("method `{}` is not one that is decided here", shortened(call.method)),
        )
    })?;
    map_method(system, method, call)
}

/// Bytes that an operation holds.
pub(crate) fn bytes(operation: &Operation) -> usize {
    let arguments =
        operation.arguments.iter().flatten().map(|(name, value)| fit::member_bytes(name, fit::json_bytes(value)));
    fit::record_bytes(&operation.input) + arguments.sum::<usize>()
}

fn map_method(system: &System, mapped: &MappedMethod, call: &Call<'_>) -> Result<Vec<Operation>, Reason> {
    let invalid = |message: String| refuse(ReasonCode::ArgumentInvalid, message);
    let name = call.name.ok_or_else(|| invalid(format!("`{}` is missing", mapped.attribute)))?;
    let one_spelling = match mapped.attribute {
        "uri" => normalise::url(name),
        _ => normalise::plain(name).map(|()| name.to_owned()),
    };
    let name = one_spelling.map_err(|refused| invalid(format!("`{}` {refused}", mapped.attribute)))?;
    let action = ActionName::of_method(&system.name, mapped.method);
    Ok(vec![Operation {
        action: action.map_err(|error| refuse(ReasonCode::UnknownMethod, error.to_string()))?,
        class: ActionClass::Read,
        tags: Vec::new(),
        resource: Resource::System { system: system.name.clone() },
        input: BTreeMap::from([(mapped.attribute.to_owned(), Value::String(name))]),
        effect: DeclaredEffect::UNKNOWN,
        facts_touched: Vec::new(),
        facts_completed: Vec::new(),
        arguments: None,
    }])
}

fn map_tool(system: &System, call: &Call<'_>) -> Result<Vec<Operation>, Reason> {
    let unknown = || {
        let name = shortened(call.name.unwrap_or_default());
        refuse(ReasonCode::UnknownTool, format!("tool `{name}` is not in the catalogue of system `{}`", system.name))
    };
    let name: ToolName = call.name.and_then(|name| name.parse().ok()).ok_or_else(unknown)?;
    let tool = system.tools.get(&name).ok_or_else(unknown)?;
    let mut input = fit::record(&tool.input, call.arguments).map_err(|misfit| misfit.reason())?;
    for (path, normaliser) in &tool.normalise {
        fit::normalise(&mut input, path, *normaliser).map_err(|misfit| misfit.reason())?;
    }
    let resources = match &tool.records {
        None => vec![Resource::Tool { system: system.name.clone(), tool: name }],
        Some(mapping) => records_of(system, mapping, &input)?,
    };
    if resources.len().saturating_mul(fit::record_bytes(&input)) > FAN_OUT_BYTES_MAX {
        let message = format!("{} records with this much input are too much for one call", resources.len());
        return Err(refuse_with(ReasonCode::OperationCount, message, "split the call"));
    }
    let effect = effect_of(tool, &input, call.arguments);
    let operation = |resource| Operation {
        action: tool.action.clone(),
        class: tool.class,
        tags: tool.tags.iter().copied().collect(),
        resource,
        input: input.clone(),
        effect,
        facts_touched: tool.facts_touched.clone(),
        facts_completed: tool.facts_completed.clone(),
        arguments: None,
    };
    Ok(resources.into_iter().map(operation).collect())
}

/// The records that a call names, in the order of its arguments.
fn records_of(system: &System, mapping: &RecordMapping, input: &Record) -> Result<Vec<Resource>, Reason> {
    let subjects: Vec<Subject<'_>> = match mapping.each.as_slice() {
        [] => vec![Subject { input, each: &[], element: None }],
        each => each.iter().flat_map(|array| elements(input, each, array)).collect(),
    };
    let named = |subject: &Subject<'_>| mapping.ids.iter().filter(|path| subject.has(path)).count();
    let count = subjects.iter().map(named).sum::<usize>();
    if count == 0 || count > OPERATIONS_PER_CALL_MAX {
        let message = format!("the call names {count} records, but must name from 1 to {OPERATIONS_PER_CALL_MAX}");
        let help = if count == 0 { "name at least one" } else { "split the call" };
        return Err(refuse_with(ReasonCode::OperationCount, message, help));
    }
    let mut resources = Vec::with_capacity(count);
    for subject in &subjects {
        for path in mapping.ids.iter().filter(|path| subject.has(path)) {
            resources.push(subject.record(system, mapping, path)?);
        }
    }
    Ok(resources)
}

/// One subject per element of an array; none if the array is absent.
fn elements<'a>(input: &'a Record, each: &'a [String], array: &'a str) -> impl Iterator<Item = Subject<'a>> {
    let elements = match input.get(array) {
        Some(Value::Set(elements)) => elements.as_slice(),
        // Catalogue and types see to it that whatever is there is an array.
        _ => &[],
    };
    elements.iter().map(move |element| Subject { input, each, element: Some((array, element)) })
}

/// The arguments from which one record is named: all of them, or one element of a fanned-out array.
struct Subject<'a> {
    input: &'a Record,
    each: &'a [String],
    element: Option<(&'a str, &'a Value)>,
}

impl<'a> Subject<'a> {
    /// Whether a path leads from here, and not from an element of another array.
    fn has(&self, path: &ArgumentPath) -> bool {
        let here = self.element.is_some_and(|(array, _)| array == path.argument());
        here || !self.each.iter().any(|array| array == path.argument())
    }

    fn find(&self, path: &ArgumentPath) -> Option<&'a Value> {
        if !self.has(path) {
            return None;
        }
        let mut steps = path.steps().iter();
        let first = steps.next()?;
        let mut value = match self.element {
            Some((each, element)) if each == first => element,
            _ => self.input.get(first)?,
        };
        for step in steps {
            let Value::Record(record) = value else { return None };
            value = record.get(step)?;
        }
        Some(value)
    }

    fn record(&self, system: &System, mapping: &RecordMapping, path: &ArgumentPath) -> Result<Resource, Reason> {
        let invalid = |message: String| refuse(ReasonCode::ArgumentInvalid, message);
        let id = match self.find(path) {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Long(id)) => id.to_string(),
            _ => {
                let message = format!("`{path}` is missing, but names what the call is about");
                return Err(refuse_with(ReasonCode::ArgumentInvalid, message, "give it a value"));
            }
        };
        normalise::plain(&id).map_err(|refused| invalid(format!("`{path}` {refused}")))?;
        let mut attributes = Record::from([(records::ID.to_owned(), Value::String(id.clone()))]);
        for (name, path) in &mapping.attributes {
            attributes.extend(self.find(path).map(|value| (name.clone(), value.clone())));
        }
        Ok(Resource::Record { system: system.name.clone(), type_name: mapping.type_name.clone(), id, attributes })
    }
}

fn effect_of(tool: &Tool, input: &Record, arguments: &Map<String, serde_json::Value>) -> DeclaredEffect {
    let unknown = DeclaredEffect::UNKNOWN.records;
    let records = match &tool.effect.records {
        RecordCount::Unknown => unknown,
        RecordCount::Exactly(count) => *count,
        RecordCount::Length(path) => {
            let mut steps = path.steps().iter();
            let outermost = steps.next().and_then(|first| arguments.get(first));
            let array = steps.fold(outermost, |value, step| value?.get(step)).and_then(serde_json::Value::as_array);
            array.and_then(|array| i64::try_from(array.len()).ok()).unwrap_or(unknown)
        }
        RecordCount::Input(path) => match (Subject { input, each: &[], element: None }).find(path) {
            // A limit of zero or less means "no limit" to many tools.
            Some(Value::Long(count)) if *count > 0 => *count,
            _ => unknown,
        },
    };
    DeclaredEffect { records, reversible: tool.effect.reversible }
}

fn refuse(code: ReasonCode, message: String) -> Reason {
    Reason { code, rule: None, principal: None, message, help: None, retry_after_s: None }
}

fn refuse_with(code: ReasonCode, message: String, help: &str) -> Reason {
    Reason { help: Some(help.to_owned()), ..refuse(code, message) }
}

/// A name that the caller made up, made safe to repeat.
fn shortened(name: &str) -> String {
    visible(&name.chars().take(80).collect::<String>()).replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
