//! The reader itself. Keywords beside a `type` only narrow it and are left to
//! the upstream; only what decides the type is read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Attribute, RecordType, TYPE_ATTRIBUTES_MAX, TYPE_DEPTH_MAX, Type};
use crate::{catalogue::ArgumentPath, normalise::is_hidden};

/// Schema nodes that are read for one tool; what comes after is opaque. Bounds
/// schemas whose references multiply.
const NODES_MAX: usize = 20_000;
/// Bytes of one argument name that policy can see.
const ATTRIBUTE_BYTES_MAX: usize = 256;

/// A tool's input, as far as it can be typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The arguments.
    pub input: RecordType,
    /// Dotted paths of what policy cannot see; `*` stands for members that nobody declared, where they are let through.
    pub opaque: Vec<String>,
    /// Paths that were declared `decimal` and are no numbers.
    pub not_numbers: Vec<ArgumentPath>,
}

/// Reads the schema of a tool's whole input. Numbers at `decimals` become Cedar decimals.
pub fn read(schema: &Value, decimals: &BTreeSet<ArgumentPath>) -> Shape {
    let mut reader = Reader {
        root: schema,
        decimals,
        decimals_seen: BTreeSet::new(),
        opaque: Vec::new(),
        place: Vec::new(),
        references: Vec::new(),
        attributes: 0,
        nodes: 0,
    };
    let input = match reader.node(schema) {
        Some(Typed { kind: Type::Record(record), .. }) => record,
        _ => {
            reader.opaque.push(String::from("*"));
            RecordType { attributes: BTreeMap::new(), open: true }
        }
    };
    let not_numbers = decimals.difference(&reader.decimals_seen).cloned().collect();
    Shape { input, opaque: reader.opaque, not_numbers }
}

/// A node that Cedar can express.
#[derive(PartialEq)]
struct Typed {
    kind: Type,
    nullable: bool,
}

struct Reader<'a> {
    root: &'a Value,
    decimals: &'a BTreeSet<ArgumentPath>,
    decimals_seen: BTreeSet<ArgumentPath>,
    opaque: Vec<String>,
    /// Names of the members that lead here.
    place: Vec<String>,
    /// References that lead here, to notice circles.
    references: Vec<&'a str>,
    attributes: usize,
    nodes: usize,
}

impl<'a> Reader<'a> {
    /// `None` is opaque.
    fn node(&mut self, schema: &'a Value) -> Option<Typed> {
        self.nodes += 1;
        let members = schema.as_object()?;
        let embedded = members.contains_key("$id") && !std::ptr::eq(schema, self.root);
        if self.nodes > NODES_MAX || self.place.len() > TYPE_DEPTH_MAX || embedded {
            return None;
        }
        if let Some(reference) = members.get("$ref") {
            let reference = reference.as_str()?;
            return self.refer(reference, Self::node);
        }
        match members.get("type") {
            Some(Value::String(name)) => self.named(name, members).map(|kind| Typed { kind, nullable: false }),
            Some(Value::Array(names)) => self.one_named(names, members),
            Some(_) => None,
            None => self.untyped(members),
        }
    }

    /// Reads what a local reference names. Others are never followed.
    fn refer<T>(&mut self, reference: &'a str, read: impl FnOnce(&mut Self, &'a Value) -> Option<T>) -> Option<T> {
        let pointer = reference.strip_prefix('#')?;
        if pointer.contains('%') || self.references.contains(&reference) || self.references.len() > TYPE_DEPTH_MAX {
            return None;
        }
        let target = self.root.pointer(pointer)?;
        self.references.push(reference);
        let result = read(self, target);
        self.references.pop();
        result
    }

    fn one_named(&mut self, names: &[Value], members: &'a Map<String, Value>) -> Option<Typed> {
        let nullable = names.iter().any(|name| name == "null");
        let mut others = names.iter().filter(|name| *name != "null");
        let (name, None) = (others.next()?.as_str()?, others.next()) else { return None };
        self.named(name, members).map(|kind| Typed { kind, nullable })
    }

    fn named(&mut self, name: &str, members: &'a Map<String, Value>) -> Option<Type> {
        match name {
            "string" => Some(Type::String),
            "boolean" => Some(Type::Bool),
            "integer" if self.is_decimal() => Some(Type::Decimal),
            "integer" => Some(Type::Long),
            "number" if self.is_decimal() => Some(Type::Decimal),
            "array" => self.array(members),
            "object" => self.object(members).map(Type::Record),
            _ => None,
        }
    }

    fn is_decimal(&mut self) -> bool {
        let here = self.decimals.iter().find(|path| path.steps() == self.place.as_slice());
        self.decimals_seen.extend(here.cloned());
        here.is_some()
    }

    fn array(&mut self, members: &'a Map<String, Value>) -> Option<Type> {
        if members.contains_key("prefixItems") {
            return None;
        }
        let before = self.opaque.len();
        // Cedar sets hold no `null`.
        match self.node(members.get("items")?) {
            Some(Typed { kind, nullable: false }) => Some(Type::Set(Box::new(kind))),
            _ => {
                self.opaque.truncate(before);
                None
            }
        }
    }

    /// No `type`: what the other keywords leave possible, if that is one type.
    fn untyped(&mut self, members: &'a Map<String, Value>) -> Option<Typed> {
        if members.contains_key("properties") {
            return self.object(members).map(|record| Typed { kind: Type::Record(record), nullable: false });
        }
        if let Some(values) = members.get("enum").and_then(Value::as_array) {
            return Self::of_values(values);
        }
        if let Some(value) = members.get("const") {
            return Self::of_values(std::slice::from_ref(value));
        }
        let (branches, any) = match (members.get("anyOf"), members.get("oneOf"), members.get("allOf")) {
            (Some(branches), None, None) | (None, Some(branches), None) => (branches.as_array()?, true),
            (None, None, Some(branches)) => (branches.as_array()?, false),
            _ => return None,
        };
        let before = self.opaque.len();
        let mut found: Option<Typed> = None;
        let mut null = false;
        for branch in branches {
            if any && is_null(branch) {
                null = true;
                continue;
            }
            self.opaque.truncate(before);
            let typed = self.node(branch)?;
            match &mut found {
                None => found = Some(typed),
                Some(found) if found.kind == typed.kind => found.nullable = any && (found.nullable || typed.nullable),
                Some(_) => return None,
            }
        }
        found.map(|typed| Typed { nullable: typed.nullable || null, ..typed })
    }

    fn of_values(values: &[Value]) -> Option<Typed> {
        let nullable = values.contains(&Value::Null);
        let mut kinds = values.iter().filter(|value| !value.is_null()).map(|value| match value {
            Value::String(_) => Some(Type::String),
            Value::Bool(_) => Some(Type::Bool),
            Value::Number(number) if number.is_i64() => Some(Type::Long),
            _ => None,
        });
        let kind = kinds.next()??;
        kinds.all(|other| other.as_ref() == Some(&kind)).then_some(Typed { kind, nullable })
    }

    /// An object with declared members; one without is a free map, unless it is closed.
    fn object(&mut self, members: &'a Map<String, Value>) -> Option<RecordType> {
        let mut parts = vec![members];
        for part in members.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            parts.extend(self.part(part));
        }
        let declared: Vec<_> = parts.iter().filter_map(|part| part.get("properties")?.as_object()).collect();
        let closed = parts.iter().any(|part| is_closed(part));
        if declared.is_empty() && !closed && !self.place.is_empty() {
            return None;
        }
        if !closed {
            self.note_opaque("*");
        }
        let required: BTreeSet<&str> = parts
            .iter()
            .filter_map(|part| part.get("required")?.as_array())
            .flat_map(|names| names.iter().filter_map(Value::as_str))
            .collect();
        let mut properties: BTreeMap<&'a str, Vec<&'a Value>> = BTreeMap::new();
        for (name, schema) in declared.into_iter().flatten() {
            properties.entry(name).or_default().push(schema);
        }
        let mut attributes = BTreeMap::new();
        for (name, schemas) in properties {
            let required = required.contains(name);
            attributes.insert(name.to_owned(), self.attribute(name, &schemas, required));
        }
        Some(RecordType { attributes, open: !closed })
    }

    /// One branch of an object's `allOf`, if its members can be seen at all.
    fn part(&mut self, branch: &'a Value) -> Option<&'a Map<String, Value>> {
        match branch.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.refer(reference, |_, target| target.as_object()),
            None => branch.as_object(),
        }
    }

    fn attribute(&mut self, name: &'a str, schemas: &[&'a Value], required: bool) -> Attribute {
        self.attributes += 1;
        let before = self.opaque.len();
        self.place.push(name.to_owned());
        let typed = match schemas {
            [schema] if self.attributes <= TYPE_ATTRIBUTES_MAX && can_be_named(name) => self.node(schema),
            _ => None,
        };
        self.place.pop();
        match typed {
            Some(Typed { kind, nullable }) => Attribute::Typed { kind, required, nullable },
            None => {
                self.opaque.truncate(before);
                self.note_opaque(name);
                Attribute::Opaque
            }
        }
    }

    fn note_opaque(&mut self, name: &str) {
        let mut path = self.place.join(".");
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        self.opaque.push(path);
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|name| name == "null")
        || schema.get("const").is_some_and(Value::is_null)
        || schema.get("enum").and_then(Value::as_array).is_some_and(|values| values.iter().all(Value::is_null))
}

fn is_closed(part: &Map<String, Value>) -> bool {
    let no = |keyword: &str| part.get(keyword) == Some(&Value::Bool(false));
    (no("additionalProperties") || no("unevaluatedProperties")) && !part.contains_key("patternProperties")
}

/// Names that a policy could not write plainly, or that Cedar's JSON form gives a meaning, stay opaque.
fn can_be_named(name: &str) -> bool {
    !name.is_empty() && name.len() <= ATTRIBUTE_BYTES_MAX && !name.starts_with("__") && !name.chars().any(is_hidden)
}
