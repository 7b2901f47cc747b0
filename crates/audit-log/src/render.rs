//! A leaf as JSON, for people and for lines of an export. For reading only:
//! what is proven is the leaf's bytes, never this.

use serde_json::{Map, Value, json};

use crate::{event::Canonical, leaf::Leaf};

/// The whole leaf. Byte strings are written `hex:…`, times in RFC 3339 with microseconds.
pub fn render(leaf: &Leaf) -> Value {
    let Leaf { position, event } = leaf;
    let commitments: Map<String, Value> =
        event.commitments.iter().map(|(field, bytes)| (field.clone(), bytes_text(bytes))).collect();
    json!({
        "replica": position.replica.to_string(),
        "boot": position.boot.to_string(),
        "sequence": position.sequence,
        "previous": hex::encode(position.previous),
        "kind": event.kind.as_str(),
        "id": event.id,
        "at": format!("{:.6}", event.at),
        "concludes": event.concludes,
        "body": object(event.body.iter()),
        "commitments": commitments,
    })
}

/// One public value.
pub fn render_value(value: &Canonical) -> Value {
    match value {
        Canonical::Bool(flag) => Value::Bool(*flag),
        Canonical::Int(number) => Value::from(*number),
        Canonical::Text(text) => Value::String(text.clone()),
        Canonical::Bytes(bytes) => bytes_text(bytes),
        Canonical::Array(items) => items.iter().map(render_value).collect(),
        Canonical::Map(map) => object(map.iter()),
    }
}

fn object<'a>(pairs: impl Iterator<Item = (&'a String, &'a Canonical)>) -> Value {
    Value::Object(pairs.map(|(key, value)| (key.clone(), render_value(value))).collect())
}

fn bytes_text(bytes: &[u8]) -> Value {
    Value::String(format!("hex:{}", hex::encode(bytes)))
}
