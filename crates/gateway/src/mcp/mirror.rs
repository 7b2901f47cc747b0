//! Arguments that a tool's definition mirrors into headers (`x-mcp-header`,
//! 2026-07-28, "Custom Headers from Tool Parameters"). A definition that does it
//! wrongly is one that a client must not use.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::{mcp::headers::PARAM_PREFIX, upstream::header_text};

/// How deep annotations may lie.
const DEPTH_MAX: usize = 32;

/// Why a tool cannot be used: its definition asks for headers that cannot be. Says nothing that the definition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("its definition mirrors an argument into a header without a proper name")]
    Name,
    #[error("its definition mirrors something else than a string, an integer or a boolean into a header")]
    Kind,
    #[error("its definition mirrors two arguments into one header")]
    Twice,
    #[error("its definition mirrors an argument that lies too deep")]
    Deep,
}

/// One argument that is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirrored {
    /// The whole header's name.
    pub(crate) header: HeaderName,
    /// What this call gives it; `None` sends no header.
    pub(crate) value: Option<String>,
}

impl Mirrored {
    /// As it is sent.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let value = HeaderValue::from_str(&header_text(self.value.as_deref()?)).ok()?;
        Some((self.header.clone(), value))
    }
}

/// The arguments that a definition mirrors, with the values of one call. Annotations stand only on the chain of
/// `properties` from the schema's root.
pub(crate) fn mirrored(definition: &Value, arguments: &Map<String, Value>) -> Result<Vec<Mirrored>, Unfit> {
    let mut found = Vec::new();
    if let Some(schema) = definition.get("inputSchema") {
        collect(schema, Some(arguments), 0, &mut found)?;
    }
    let mut names = BTreeSet::new();
    if found.iter().all(|Mirrored { header, .. }| names.insert(header.as_str())) {
        Ok(found)
    } else {
        Err(Unfit::Twice)
    }
}

/// Whether a definition can be used at all.
pub(crate) fn check(definition: &Value) -> Result<(), Unfit> {
    mirrored(definition, &Map::new()).map(|_| ())
}

fn collect(
    schema: &Value,
    values: Option<&Map<String, Value>>,
    depth: usize,
    found: &mut Vec<Mirrored>,
) -> Result<(), Unfit> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    for (name, schema) in properties {
        let value = values.and_then(|values| values.get(name));
        if let Some(annotation) = schema.get("x-mcp-header") {
            if depth >= DEPTH_MAX {
                return Err(Unfit::Deep);
            }
            let header = annotation.as_str().filter(|name| !name.is_empty()).ok_or(Unfit::Name)?;
            let header = HeaderName::try_from(format!("{PARAM_PREFIX}{}", header.to_ascii_lowercase()));
            let header = header.map_err(|_| Unfit::Name)?;
            if !may_be_mirrored(schema) {
                return Err(Unfit::Kind);
            }
            let value = match value {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Bool(flag)) => Some(flag.to_string()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            };
            found.push(Mirrored { header, value });
        }
        if depth < DEPTH_MAX {
            collect(schema, value.and_then(Value::as_object), depth + 1, found)?;
        }
    }
    Ok(())
}

/// Strings, integers and booleans, which have one spelling each.
fn may_be_mirrored(schema: &Value) -> bool {
    let fits = |kind: &Value| matches!(kind.as_str(), Some("string" | "integer" | "boolean"));
    match schema.get("type") {
        Some(Value::Array(kinds)) => {
            kinds.iter().any(fits) && kinds.iter().all(|kind| fits(kind) || kind.as_str() == Some("null"))
        }
        Some(kind) => fits(kind),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(properties: Value, arguments: Value) -> Result<Vec<(String, String)>, Unfit> {
        let definition = json!({ "inputSchema": { "type": "object", "properties": properties } });
        let mirrored = mirrored(&definition, arguments.as_object().unwrap())?;
        let sent = mirrored.iter().filter_map(Mirrored::header);
        Ok(sent.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect())
    }

    #[test]
    fn what_is_annotated_is_sent_encoded_and_nothing_else() {
        let check = |kind: &str, value: Value, expected: Option<&str>| {
            let properties = json!({ "a": { "type": kind, "x-mcp-header": "Some" }, "b": { "type": "string" } });
            let sent = of(properties, json!({ "a": value, "b": "plain" })).unwrap();
            let expected: Vec<_> =
                expected.iter().map(|text| ("mcp-param-some".to_owned(), (*text).to_owned())).collect();
            assert_eq!(sent, expected, "{value}");
        };
        check("string", json!("us-west1"), Some("us-west1"));
        check("string", json!("us west 1"), Some("us west 1"));
        check("string", json!(" padded "), Some("=?base64?IHBhZGRlZCA=?="));
        check("string", json!("line1\r\nline2"), Some("=?base64?bGluZTENCmxpbmUy?="));
        check("string", json!("\tindented"), Some("=?base64?CWluZGVudGVk?="));
        check("string", json!(""), Some("=?base64??="));
        check("integer", json!(42), Some("42"));
        check("boolean", json!(false), Some("false"));
        check("boolean", Value::Null, None);
        let deep =
            json!({ "a": { "type": "object", "properties": { "b": { "type": "integer", "x-mcp-header": "B" } } } });
        assert_eq!(of(deep.clone(), json!({ "a": { "b": 7 } })), Ok(vec![("mcp-param-b".to_owned(), "7".to_owned())]));
        assert_eq!(of(deep, json!({})), Ok(vec![]));
    }

    #[test]
    fn a_definition_that_cannot_be_followed_is_not() {
        let check = |properties: Value, expected: Option<Unfit>| {
            let definition = json!({ "inputSchema": { "properties": properties } });
            assert_eq!(super::check(&definition).err(), expected, "{properties}");
        };
        let named = |name: Value| json!({ "a": { "type": "string", "x-mcp-header": name } });
        check(named(json!("Region")), None);
        for name in
            [json!(""), json!("My Region"), json!("Region:Primary"), json!("Région"), json!("Region\t1"), json!(7)]
        {
            check(named(name), Some(Unfit::Name));
        }
        let typed = |kind: Value| json!({ "a": { "type": kind, "x-mcp-header": "A" } });
        check(typed(json!(["string", "null"])), None);
        for kind in [json!("object"), json!("array"), json!("null"), json!("number"), json!(["null"]), Value::Null] {
            check(typed(kind), Some(Unfit::Kind));
        }
        let twice = |other: &str| {
            json!({
                "a": { "type": "string", "x-mcp-header": "Field" }, "b": { "type": "string", "x-mcp-header": other },
            })
        };
        check(twice("Field"), Some(Unfit::Twice));
        check(twice("field"), Some(Unfit::Twice));
        check(twice("Other"), None);
        let mut deep = named(json!("Deep"));
        for _ in 0..DEPTH_MAX {
            deep = json!({ "a": { "type": "object", "properties": deep } });
        }
        check(deep, Some(Unfit::Deep));
    }
}
