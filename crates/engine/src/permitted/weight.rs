//! How much memory a question takes that somebody keeps. A caller chooses what
//! it holds, so this counts values and not their text: thirty bytes of memory
//! hang on two of JSON. An estimate, and rather too high than too low.

use std::collections::BTreeMap;

use bailiwick_model::{
    evaluation::Evaluation,
    operation::{Operation, Resource},
    value::Value,
};
use serde_json::Value as Json;

/// What an entry of a map costs besides its key's text and its value: the key itself, and room that a tree leaves free.
const ENTRY_BYTES: usize = 2 * size_of::<String>();

/// All that the arguments of a call decide. What the registry adds is bounded by itself.
pub(super) fn of(evaluation: &Evaluation) -> usize {
    let arguments: usize = entries(&evaluation.arguments, json);
    let operations: usize = evaluation.operations.iter().map(operation).sum();
    size_of::<Evaluation>() + arguments + operations
}

fn operation(operation: &Operation) -> usize {
    let resource = match &operation.resource {
        Resource::Tool { .. } | Resource::System { .. } => 0,
        Resource::Record { system: _, type_name, id, attributes } => {
            type_name.len() + id.len() + entries(attributes, value)
        }
    };
    let arguments = operation.arguments.as_ref().map_or(0, |arguments| entries(arguments, json));
    size_of::<Operation>() + resource + entries(&operation.input, value) + arguments
}

fn json(one: &Json) -> usize {
    let within = match one {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(json).sum(),
        Json::Object(members) => members.iter().map(|(key, one)| ENTRY_BYTES + key.len() + json(one)).sum(),
    };
    size_of::<Json>() + within
}

fn value(one: &Value) -> usize {
    let within = match one {
        Value::Bool(_) | Value::Long(_) | Value::Decimal(_) => 0,
        Value::String(text) => text.len(),
        Value::Set(items) => items.iter().map(value).sum(),
        Value::Record(record) => entries(record, value),
    };
    size_of::<Value>() + within
}

fn entries<T>(map: &BTreeMap<String, T>, weigh: fn(&T) -> usize) -> usize {
    map.iter().map(|(key, one)| ENTRY_BYTES + key.len() + weigh(one)).sum()
}
