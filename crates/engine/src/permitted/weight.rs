//! How much memory a question takes that somebody keeps. A caller chooses what
//! it holds, so this counts what values take and not their text: on `{"a":0}`
//! hangs fifty times as much. What maps and arrays take is a bound that follows
//! from how the libraries lay them out, measured in the test below.

use std::collections::BTreeMap;

use bailiwick_model::{
    evaluation::Evaluation,
    operation::{Operation, Resource},
    value::Value,
};
use serde_json::Value as Json;

/// Entries that one node of a tree has room for, whether or not they are there.
const NODE_ENTRIES: usize = 11;
/// Entries that each node has at least, but for the root.
const NODE_ENTRIES_MIN: usize = 5;
/// What a node holds besides: its parent, its place there, its length.
const NODE_BYTES: usize = 16;
/// What a node holds that has nodes below it.
const EDGES_BYTES: usize = (NODE_ENTRIES + 1) * size_of::<usize>();
/// What an allocator spends on the smallest thing.
const ALLOCATION_BYTES_MIN: usize = 16;
/// Elements for which an array has room at least.
const ARRAY_MIN: usize = 4;
/// Slots that a table of hashes has at least; of eight, one stays free.
const SLOTS_MIN: usize = 4;
/// A slot: a place, and a byte that tells whether it is taken.
const SLOT_BYTES: usize = size_of::<usize>() + 1;
/// What a table has behind its slots, to be searched sixteen at once.
const GROUP_BYTES: usize = 16;

/// All that the arguments of a call decide. What the registry adds is bounded by itself.
pub(super) fn of(evaluation: &Evaluation) -> usize {
    let operations: usize = evaluation.operations.iter().map(operation).sum();
    size_of::<Evaluation>()
        + entries(&evaluation.arguments, json)
        + array::<Operation>(evaluation.operations.len())
        + operations
}

// What each of these gives hangs on a value. The value itself lies in what holds it, and counts there.

fn operation(operation: &Operation) -> usize {
    let resource = match &operation.resource {
        Resource::Tool { .. } | Resource::System { .. } => 0,
        Resource::Record { system: _, type_name, id, attributes } => {
            text(type_name) + text(id) + entries(attributes, value)
        }
    };
    let arguments = operation.arguments.as_ref().map_or(0, |arguments| entries(arguments, json));
    resource + entries(&operation.input, value) + arguments
}

fn json(one: &Json) -> usize {
    match one {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(one) => text(one),
        Json::Array(items) => array::<Json>(items.len()) + items.iter().map(json).sum::<usize>(),
        Json::Object(members) => {
            table(members.len()) + members.iter().map(|(key, one)| text(key) + json(one)).sum::<usize>()
        }
    }
}

fn value(one: &Value) -> usize {
    match one {
        Value::Bool(_) | Value::Long(_) | Value::Decimal(_) => 0,
        Value::String(one) => text(one),
        Value::Set(items) => array::<Value>(items.len()) + items.iter().map(value).sum::<usize>(),
        Value::Record(record) => entries(record, value),
    }
}

fn entries<T>(map: &BTreeMap<String, T>, hanging: fn(&T) -> usize) -> usize {
    tree::<T>(map.len()) + map.iter().map(|(key, one)| text(key) + hanging(one)).sum::<usize>()
}

fn text(text: &str) -> usize {
    text.len().max(ALLOCATION_BYTES_MIN)
}

fn array<T>(length: usize) -> usize {
    if length == 0 { 0 } else { length.next_power_of_two().max(ARRAY_MIN) * size_of::<T>() }
}

/// An object keeps the order of its members: they lie in an array, and a table of hashes has their places.
fn table(length: usize) -> usize {
    if length == 0 {
        return 0;
    }
    let slots = (length * 8).div_ceil(7).next_power_of_two().max(SLOTS_MIN);
    let members = slots - slots.div_ceil(8);
    members * size_of::<(usize, String, Json)>() + slots * SLOT_BYTES + GROUP_BYTES
}

fn tree<T>(length: usize) -> usize {
    let node = NODE_ENTRIES * (size_of::<String>() + size_of::<T>()) + NODE_BYTES;
    match length {
        0 => 0,
        1..=NODE_ENTRIES => node,
        _ => {
            let nodes = length.div_ceil(NODE_ENTRIES_MIN);
            // One node in six has others below it, at most.
            nodes * node + nodes.div_ceil(NODE_ENTRIES_MIN + 1) * EDGES_BYTES
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is expected was measured with an allocator that counts, of values that were parsed from text. Other sizes
    /// mean that an object is laid out in another way, and is to be measured again.
    #[test]
    fn what_is_short_as_text_is_counted_as_large_as_it_is() {
        assert_eq!((size_of::<Json>(), size_of::<String>()), (72, 24));
        let check = |one: &Json, measured: usize| {
            let weight = json(one);
            assert!((measured..=measured + measured / 8).contains(&weight), "{weight} for {measured}");
        };
        let many = 10_000;
        check(&Json::Array(vec![json!({"a": 0}); many]), 4_829_648);
        check(&Json::Array(vec![json!({}); many]), 1_179_648);
        check(&Json::Array(vec![json!([0]); many]), 4_059_648);
        check(&json!("x".repeat(many)), many);
        let object = |length: usize| (0..length).map(|key| (format!("{key:016}"), json!(0))).collect();
        for (length, measured) in
            [(1, 380), (3, 412), (4, 880), (7, 928), (8, 1_744), (14, 1_840), (15, 3_456), (many, 1_798_416)]
        {
            check(&Json::Object(object(length)), measured);
        }
        assert_eq!((json(&json!([])), json(&json!({})), json(&json!(7))), (0, 0, 0));
    }

    /// Nodes of a tree, with 5 of 11 entries where they are fewest.
    #[test]
    fn a_map_counts_for_its_nodes() {
        let node = NODE_ENTRIES * (size_of::<String>() + size_of::<Value>()) + NODE_BYTES;
        for (length, nodes, inner) in [(0, 0, 0), (1, 1, 0), (11, 1, 0), (12, 3, 1), (30, 6, 1), (31, 7, 2)] {
            assert_eq!(tree::<Value>(length), nodes * node + inner * EDGES_BYTES, "{length}");
        }
    }
}
