//! Schemas as real servers write them, and schemas that try to confuse.

use serde_json::{Value, json};

use super::*;

/// What policy sees of an input, one line: `a: Long, b?: Set<String>, c?: null|{…}`; `…` ends an open record.
fn shown(record: &RecordType) -> String {
    let mut parts: Vec<String> = record
        .attributes
        .iter()
        .filter_map(|(name, attribute)| match attribute {
            Attribute::Opaque => None,
            Attribute::Typed { kind, required, nullable } => {
                let (mark, null) = (if *required { "" } else { "?" }, if *nullable { "null|" } else { "" });
                Some(format!("{name}{mark}: {null}{}", shown_type(kind)))
            }
        })
        .collect();
    if record.open {
        parts.push(String::from("…"));
    }
    parts.join(", ")
}

fn shown_type(kind: &Type) -> String {
    match kind {
        Type::Bool => String::from("Bool"),
        Type::Long => String::from("Long"),
        Type::Decimal => String::from("decimal"),
        Type::String => String::from("String"),
        Type::Set(element) => format!("Set<{}>", shown_type(element)),
        Type::Record(record) => format!("{{{}}}", shown(record)),
    }
}

/// Open records must be flagged; `opaque` lists the rest.
#[track_caller]
fn check(schema: Value, expected: &str, opaque: &[&str]) {
    let shape = read(&schema, &Default::default());
    assert_eq!(shown(&shape.input), expected);
    let (open, others): (Vec<_>, Vec<_>) =
        shape.opaque.iter().map(String::as_str).partition(|path| path.ends_with('*'));
    assert_eq!(others, opaque);
    assert_eq!(open.len(), expected.matches('…').count(), "{open:?}");
    assert_eq!(open.contains(&"*"), shape.input.open);
}

/// The same for one property `x`.
#[track_caller]
fn check_property(property: Value, expected: &str) {
    let shape = read(
        &json!({"type": "object", "properties": {"x": property}, "additionalProperties": false}),
        &Default::default(),
    );
    assert_eq!(shown(&shape.input), expected);
    assert_eq!(shape.opaque.contains(&String::from("x")), expected.is_empty());
}

#[test]
fn plain_types() {
    check(
        json!({"type": "object", "properties": {
            "path": {"type": "string"}, "head": {"type": "integer", "minimum": 0}, "dryRun": {"type": "boolean", "default": false},
            "paths": {"type": "array", "items": {"type": "string"}, "minItems": 1}, "score": {"type": "number"}
        }, "required": ["path", "paths"], "additionalProperties": false, "$schema": "http://json-schema.org/draft-07/schema#"}),
        "dryRun?: Bool, head?: Long, path: String, paths: Set<String>",
        &["score"],
    );
}

#[test]
fn what_has_one_type_is_typed() {
    check_property(json!({"type": ["string", "null"]}), "x?: null|String");
    check_property(json!({"anyOf": [{"type": "string"}, {"type": "null"}], "default": null}), "x?: null|String");
    check_property(json!({"oneOf": [{"type": "integer"}, {"const": null}]}), "x?: null|Long");
    check_property(json!({"anyOf": [{"const": "a"}, {"const": "b"}]}), "x?: String");
    check_property(json!({"enum": ["a", "b"]}), "x?: String");
    check_property(json!({"enum": [1, 2, null]}), "x?: null|Long");
    check_property(json!({"const": true}), "x?: Bool");
    check_property(json!({"type": "string", "enum": ["a"], "anyOf": [{"pattern": "a"}]}), "x?: String");
    check_property(json!({"allOf": [{"type": "string"}], "description": "x"}), "x?: String");
    check_property(json!({"type": "object", "additionalProperties": false}), "x?: {}");
    check_property(json!({"properties": {"y": {"type": "integer"}}}), "x?: {y?: Long, …}");
}

#[test]
fn what_cedar_cannot_express_is_opaque() {
    for schema in [
        json!({}),
        json!(true),
        json!(false),
        json!("string"),
        json!({"type": "number"}),
        json!({"type": "null"}),
        json!({"type": "text"}),
        json!({"type": 1}),
        json!({"type": ["string", "integer"]}),
        json!({"type": []}),
        json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"anyOf": []}),
        json!({"enum": ["a", 1]}),
        json!({"enum": []}),
        json!({"enum": [1.5]}),
        json!({"type": "object"}),
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
        json!({"type": "array"}),
        json!({"type": "array", "items": {}}),
        json!({"type": "array", "items": true}),
        json!({"type": "array", "items": [{"type": "string"}]}),
        json!({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}}),
        json!({"type": "array", "items": {"type": ["string", "null"]}}),
        json!({"type": "array", "items": {"type": "number"}}),
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"$ref": "other.json#/definitions/X"}),
        json!({"$ref": "#/definitions/Missing"}),
        json!({"$ref": "#anchor"}),
        json!({"$dynamicRef": "#node"}),
        json!({"$id": "https://example.com/x", "type": "string"}),
        json!({"not": {"type": "string"}}),
    ] {
        check_property(schema, "");
    }
}

#[test]
fn local_references_of_both_drafts() {
    check(
        json!({"type": "object", "$defs": {"Edit": {"type": "object", "properties": {"old": {"type": "string"}}, "required": ["old"]}},
        "definitions": {"Mode": {"enum": ["fast", "slow"]}, "a/b~c": {"type": "integer"}},
        "properties": {
            "edits": {"type": "array", "items": {"$ref": "#/$defs/Edit"}},
            "mode": {"allOf": [{"$ref": "#/definitions/Mode"}], "default": "fast"},
            "other": {"$ref": "#/properties/mode"},
            "odd": {"$ref": "#/definitions/a~1b~0c"},
        }}),
        "edits?: Set<{old: String, …}>, mode?: String, odd?: Long, other?: String, …",
        &[],
    );
    check(
        json!({"$ref": "#/definitions/Input", "definitions": {"Input": {"type": "object", "properties": {"a": {"type": "string"}}}}}),
        "a?: String, …",
        &[],
    );
}

#[test]
fn circles_end() {
    check(
        json!({"type": "object", "properties": {"filter": {"$ref": "#/$defs/F"}, "self": {"$ref": "#/properties/self"}},
            "$defs": {"F": {"type": "object", "properties": {"name": {"type": "string"}, "and": {"type": "array", "items": {"$ref": "#/$defs/F"}}}}}}),
        "filter?: {name?: String, …}, …",
        &["filter.and", "self"],
    );
    check(json!({"$ref": "#"}), "…", &[]);
    check(json!({"type": "object", "properties": {"x": {"$ref": "#"}}}), "x?: {…}, …", &["x.x"]);
}

#[test]
fn references_that_multiply_stay_cheap() {
    let mut definitions = serde_json::Map::new();
    for level in 0..30 {
        let next = json!({"$ref": format!("#/$defs/L{}", level + 1)});
        definitions.insert(
            format!("L{level}"),
            json!({"anyOf": [next, next, next], "type": "object", "properties": {"a": next, "b": next, "c": next}}),
        );
        definitions
            .insert(format!("U{level}"), json!({"anyOf": vec![json!({"$ref": format!("#/$defs/U{}", level + 1)}); 4]}));
    }
    let shape = read(
        &json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/L0"}, "y": {"$ref": "#/$defs/U0"}}, "$defs": definitions}),
        &Default::default(),
    );
    assert!(shape.opaque.contains(&String::from("y")));
}

#[test]
fn depth_and_breadth_are_bounded() {
    let mut schema = json!({"type": "string"});
    for _ in 0..20 {
        schema = json!({"type": "object", "properties": {"x": schema}, "additionalProperties": false});
    }
    let shape = read(&schema, &Default::default());
    assert_eq!(shape.opaque, [["x"; TYPE_DEPTH_MAX + 1].join(".")]);

    let many: serde_json::Map<String, Value> =
        (0..TYPE_ATTRIBUTES_MAX + 5).map(|n| (format!("a{n:05}"), json!({"type": "string"}))).collect();
    let shape = read(&json!({"type": "object", "properties": many}), &Default::default());
    assert_eq!(shape.opaque.len(), 5 + 1);
}

#[test]
fn open_objects_say_so() {
    check(json!({"type": "object", "properties": {}, "additionalProperties": true}), "…", &[]);
    check(json!({"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": false}), "…", &[]);
    check(json!({"type": "object"}), "…", &[]);
    check(json!({"type": "object", "additionalProperties": false}), "", &[]);
    check(
        json!({"type": "object", "unevaluatedProperties": false, "properties": {"a": {"type": "integer"}}}),
        "a?: Long",
        &[],
    );
    check(json!(true), "…", &[]);
    check(json!(null), "…", &[]);
    check(json!({"type": "string"}), "…", &[]);
    check(
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"properties": {"b": {}}}, {"required": ["a"]}]}),
        "a?: String, …",
        &[],
    );
}

#[test]
fn parts_of_an_intersection_count_together() {
    check(
        json!({"type": "object", "allOf": [{"$ref": "#/$defs/Base"}, {"properties": {"b": {"type": "integer"}, "c": {"type": "string"}}, "required": ["b"]}],
            "properties": {"c": {"type": "integer"}}, "$defs": {"Base": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}}),
        "a: String, b: Long, …",
        &["c"],
    );
}

#[test]
fn names_that_cedar_or_a_reader_could_mistake_are_opaque() {
    let shape = read(
        &json!({"type": "object", "additionalProperties": false, "properties": {
            "__entity": {"type": "string"}, "": {"type": "string"}, "a\u{202e}b": {"type": "string"}, "in": {"type": "string"}, "a b": {"type": "string"}}}),
        &Default::default(),
    );
    assert_eq!(shown(&shape.input), "a b?: String, in?: String");
}

#[test]
fn declared_decimals_are_typed() {
    let path = |text: &str| text.parse::<crate::catalogue::ArgumentPath>().unwrap();
    let shape = read(
        &json!({"type": "object", "additionalProperties": false, "properties": {
            "amount": {"type": "number"}, "count": {"type": "integer"}, "name": {"type": "string"},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}, "additionalProperties": false}}}}),
        &["amount", "lines.price", "name", "missing"].map(path).into(),
    );
    assert_eq!(shown(&shape.input), "amount?: decimal, count?: Long, lines?: Set<{price?: decimal}>, name?: String");
    assert_eq!(shape.not_numbers, ["missing", "name"].map(path));
}
