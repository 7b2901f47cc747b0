//! How much memory takes what somebody keeps: a question, the tools of a token or a task. A caller chooses what
//! it holds, so this counts what values take and not their text: on `{"a":0}`
//! hangs fifty times as much. What maps and arrays take is a bound that follows
//! from how the libraries lay them out, measured in the test below.

use std::collections::BTreeMap;

use bailiwick_model::{
    evaluation::Evaluation,
    operation::{Operation, Resource},
    task::{Pin, ToolGrant},
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

/// All that the arguments of a call decide, and what its token and its task were asked for with. What the registry adds is
/// bounded by itself.
pub(crate) fn of(evaluation: &Evaluation) -> usize {
    let operations: usize = evaluation.operations.iter().map(operation).sum();
    size_of::<Evaluation>()
        + entries(&evaluation.arguments, json)
        + array::<Operation>(evaluation.operations.len())
        + operations
        + evaluation.authority.details.as_deref().map_or(0, tools)
        + evaluation.task.tools.as_deref().map_or(0, tools)
}

/// Tools with what their arguments are pinned to.
pub fn tools(tools: &[ToolGrant]) -> usize {
    let each = |ToolGrant { action, pins: of_tool }: &ToolGrant| text(action.as_str()) + pins(of_tool);
    array::<ToolGrant>(tools.len()) + tools.iter().map(each).sum::<usize>()
}

/// The pins of one tool.
pub(crate) fn pins(pins: &BTreeMap<String, Pin>) -> usize {
    entries(pins, pin)
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

fn pin(one: &Pin) -> usize {
    match one {
        Pin::OneOf(values) => array::<Json>(values.len()) + values.iter().map(json).sum::<usize>(),
        Pin::Under(folder) => text(folder),
        Pin::AtMost(_) => 0,
    }
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
    use std::collections::BTreeSet;

    use bailiwick_model::{
        evaluation::{Authority, TaskContext},
        id::EvaluationId,
    };
    use jiff::Timestamp;
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

    /// A copy of the pins hangs on each tool.
    #[test]
    fn each_tool_counts_with_all_its_pins() {
        let pinned = |count: usize| {
            let pins = BTreeMap::from([("id".to_owned(), Pin::OneOf(vec![json!("x".repeat(1_000)); 2]))]);
            let tool = |number| ToolGrant { action: format!("crm.t{number}").parse().unwrap(), pins: pins.clone() };
            (0..count).map(tool).collect::<Vec<_>>()
        };
        assert_eq!(tools(&[]), 0);
        assert!((2_000..4_000).contains(&tools(&pinned(1))), "{}", tools(&pinned(1)));
        assert!(tools(&pinned(32)) > 32 * 2_000);
        let mut kept = Evaluation {
            id: EvaluationId::new(0, [0; 10]),
            now: Timestamp::UNIX_EPOCH,
            parties: Vec::new(),
            operations: Vec::new(),
            arguments: BTreeMap::new(),
            network_zone: String::new(),
            task: TaskContext { id: None, tools: None, self_made: false, facts: BTreeSet::new() },
            approvals: BTreeSet::new(),
            authority: Authority {
                scopes: BTreeSet::new(),
                details: None,
                safe_modes: BTreeSet::new(),
                observations: BTreeSet::new(),
                authentication: None,
            },
        };
        let bare = of(&kept);
        kept.authority.details = Some(pinned(3));
        kept.task.tools = Some(pinned(5));
        assert_eq!(of(&kept), bare + tools(&pinned(3)) + tools(&pinned(5)), "a kept question holds both");
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
