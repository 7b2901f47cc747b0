//! Which fields of a tool's result sound personal or secret, from its output
//! schema. A hint only: a tool without an output schema has none.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::catalogue::words::words;

/// Nesting of an output schema that is looked at.
const DEPTH_MAX: usize = 6;
/// Fields that are proposed for one tool.
const FIELDS_MAX: usize = 64;

const PERSONAL: &[&str] = &[
    "email",
    "emails",
    "phone",
    "phones",
    "mobile",
    "address",
    "birthday",
    "birthdate",
    "dob",
    "ssn",
    "passport",
    "iban",
    "salary",
    "firstname",
    "lastname",
    "surname",
    "gender",
    "nationality",
];
const SECRET: &[&str] =
    &["password", "passwd", "secret", "secrets", "token", "tokens", "apikey", "credential", "credentials"];

/// Per field class, dotted paths into the result.
pub(super) fn classes(definition: &Value) -> BTreeMap<&'static str, Vec<String>> {
    let mut classes = BTreeMap::new();
    if let Some(schema) = definition.get("outputSchema") {
        walk(schema, "", 0, &mut classes);
    }
    classes
}

fn walk(schema: &Value, place: &str, depth: usize, classes: &mut BTreeMap<&'static str, Vec<String>>) {
    if depth > DEPTH_MAX || classes.values().map(Vec::len).sum::<usize>() >= FIELDS_MAX {
        return;
    }
    if let Some(items) = schema.get("items") {
        return walk(items, &joined(place, "*"), depth + 1, classes);
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, member) in properties {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            continue;
        }
        let path = joined(place, name);
        let says = |known: &[&str]| words(name).iter().any(|word| known.contains(&word.as_str()));
        let nested = member.get("properties").is_some()
            || member.get("items").is_some_and(|items| items.get("properties").is_some());
        if nested {
            walk(member, &path, depth + 1, classes);
        } else if says(SECRET) {
            classes.entry("secret").or_default().push(path);
        } else if says(PERSONAL) {
            classes.entry("pii").or_default().push(path);
        }
    }
}

fn joined(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}
