//! Changes one entry of a JSON document and no other byte: comments, order and indentation stay. A document that is
//! not what it should be is refused, never repaired.

use jsonc_parser::{
    ParseOptions,
    cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode},
};
use serde_json::Value;

use super::client::{is_our_hook, is_our_server};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// JSON (RFC 8259).
    Json,
    /// JSON with comments and trailing commas, as Visual Studio Code reads it.
    Commented,
}

/// What is ours in a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Edit {
    /// A server: `{<member>: {<name>: <entry>}}`.
    Server {
        /// The member that holds the servers.
        member: &'static str,
        /// The server's name.
        name: String,
        /// The server.
        entry: Value,
    },
    /// A hook before tools: an element of `hooks.PreToolUse`.
    Hook {
        /// The element.
        entry: Value,
    },
}

/// Why a document is left alone.
pub(crate) type Refused = String;

/// The document with our entry in it, as it should be; the same text if it is already.
pub(crate) fn connect(text: &str, dialect: Dialect, edit: &Edit) -> Result<String, Refused> {
    if find(text, dialect, edit)?.is_some_and(|found| found == *entry(edit)) {
        return Ok(text.to_owned());
    }
    // An empty file is a document that somebody has not begun yet.
    let begun = if text.trim().is_empty() { "{}\n" } else { text };
    let root = parse(begun, dialect)?;
    let top = root.object_value().ok_or(NO_OBJECT)?;
    match edit {
        Edit::Server { member, name, entry } => {
            let servers = object_or_new(&top, member)?;
            match property(&servers, name)? {
                Some(property) => property.set_value(input(entry)),
                None => drop(servers.append(name, input(entry))),
            }
            servers.ensure_multiline();
        }
        Edit::Hook { entry } => {
            let hooks = object_or_new(&top, "hooks")?;
            let list = match array(&hooks)? {
                Some(list) => list,
                None => hooks.array_value_or_set(PRE_TOOL_USE),
            };
            for old in list.elements() {
                if is_our_hook(&value(&old, dialect)?) {
                    old.remove();
                }
            }
            list.append(input(entry));
            list.ensure_multiline();
        }
    }
    top.ensure_multiline();
    Ok(root.to_string())
}

/// The document without our entry; the same text where there is none.
pub(crate) fn disconnect(text: &str, dialect: Dialect, edit: &Edit) -> Result<String, Refused> {
    if find(text, dialect, edit)?.is_none() {
        return Ok(text.to_owned());
    }
    let root = parse(text, dialect)?;
    let top = root.object_value().ok_or(NO_OBJECT)?;
    match edit {
        Edit::Server { member, name, .. } => {
            let Some(servers) = object(&top, member)? else { return Ok(text.to_owned()) };
            if let Some(property) = property(&servers, name)? {
                property.remove();
            }
            remove_if_empty(&top, member);
        }
        Edit::Hook { .. } => {
            let Some(hooks) = object(&top, "hooks")? else { return Ok(text.to_owned()) };
            for old in array(&hooks)?.iter().flat_map(CstArray::elements) {
                if is_our_hook(&value(&old, dialect)?) {
                    old.remove();
                }
            }
            if array(&hooks)?.is_some_and(|list| list.elements().is_empty()) {
                remove_if_empty_array(&hooks);
            }
            remove_if_empty(&top, "hooks");
        }
    }
    Ok(root.to_string())
}

/// Our entry as it stands in the document, whatever it says.
pub(crate) fn find(text: &str, dialect: Dialect, edit: &Edit) -> Result<Option<Value>, Refused> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let root = parse(text, dialect)?;
    let top = root.object_value().ok_or(NO_OBJECT)?;
    match edit {
        Edit::Server { member, name, .. } => {
            let Some(servers) = object(&top, member)? else { return Ok(None) };
            let Some(property) = property(&servers, name)? else { return Ok(None) };
            property.value().map(|node| value(&node, dialect)).transpose()
        }
        Edit::Hook { .. } => {
            let Some(hooks) = object(&top, "hooks")? else { return Ok(None) };
            for element in array(&hooks)?.iter().flat_map(CstArray::elements) {
                let found = value(&element, dialect)?;
                if is_our_hook(&found) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
    }
}

/// One member of the document, whatever it is.
pub(crate) fn member(text: &str, dialect: Dialect, name: &str) -> Result<Option<Value>, Refused> {
    let top = parse(text, dialect)?.object_value().ok_or(NO_OBJECT)?;
    let Some(property) = property(&top, name)? else { return Ok(None) };
    property.value().map(|node| value(&node, dialect)).transpose()
}

/// The bridges in the document, by name.
pub(crate) fn our_servers(text: &str, dialect: Dialect, name: &str) -> Result<Vec<String>, Refused> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let servers = member(text, dialect, name)?;
    let names = servers.as_ref().and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys);
    Ok(names.filter(|name| is_our_server(name)).cloned().collect())
}

/// Our hook as it stands in the document.
pub(crate) fn our_hook(text: &str, dialect: Dialect) -> Result<Option<Value>, Refused> {
    find(text, dialect, &Edit::Hook { entry: Value::Null })
}

/// Whether two documents say the same.
pub(crate) fn same(one: &str, other: &str, dialect: Dialect) -> bool {
    let read = |text: &str| parse(text, dialect).ok().and_then(|root| root.value()).map(|node| value(&node, dialect));
    matches!((read(one), read(other)), (Some(Ok(one)), Some(Ok(other))) if one == other)
}

/// Whether nothing is left in a document.
pub(crate) fn is_empty(text: &str, dialect: Dialect) -> bool {
    let top = parse(text, dialect).ok().and_then(|root| root.object_value());
    top.is_some_and(|top| top.children_exclude_trivia_and_tokens().is_empty())
        && !text.contains("//")
        && !text.contains("/*")
}

const NO_OBJECT: &str = "it is no JSON object";
const PRE_TOOL_USE: &str = "PreToolUse";

const fn entry(edit: &Edit) -> &Value {
    match edit {
        Edit::Server { entry, .. } | Edit::Hook { entry } => entry,
    }
}

fn parse(text: &str, dialect: Dialect) -> Result<CstRootNode, Refused> {
    let commented = dialect == Dialect::Commented;
    if !commented {
        // The parser below lets a comment behind the value pass.
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| format!("it cannot be read: {error}"))?;
    }
    let options = ParseOptions {
        allow_comments: commented,
        allow_loose_object_property_names: false,
        allow_trailing_commas: commented,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    CstRootNode::parse(text, &options).map_err(|error| format!("it cannot be read: {error}"))
}

/// A member; one that stands twice is refused, because its readers differ on which of them counts.
fn property(object: &CstObject, name: &str) -> Result<Option<jsonc_parser::cst::CstObjectProp>, Refused> {
    let mut found = object.properties().into_iter().filter(|one| one.decoded_name().as_deref() == Some(name));
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(format!("`{name}` stands twice in one object")),
    }
}

fn object(parent: &CstObject, name: &str) -> Result<Option<CstObject>, Refused> {
    match property(parent, name)? {
        None => Ok(None),
        Some(property) => property.object_value().map(Some).ok_or_else(|| format!("`{name}` is no object")),
    }
}

fn object_or_new(parent: &CstObject, name: &str) -> Result<CstObject, Refused> {
    Ok(match object(parent, name)? {
        Some(object) => object,
        None => parent.object_value_or_set(name),
    })
}

fn array(hooks: &CstObject) -> Result<Option<CstArray>, Refused> {
    match property(hooks, PRE_TOOL_USE)? {
        None => Ok(None),
        Some(property) => property.array_value().map(Some).ok_or_else(|| format!("`{PRE_TOOL_USE}` is no array")),
    }
}

fn remove_if_empty(parent: &CstObject, name: &str) {
    if let Some(object) = parent.object_value(name)
        && object.properties().is_empty()
        && let Some(property) = parent.get(name)
    {
        property.remove();
    }
}

fn remove_if_empty_array(hooks: &CstObject) {
    if let Some(property) = hooks.get(PRE_TOOL_USE) {
        property.remove();
    }
}

/// A node as a value. Its text may hold comments, so it goes through the same parser.
fn value(node: &CstNode, dialect: Dialect) -> Result<Value, Refused> {
    let unreadable = || "one of its values cannot be read".to_owned();
    if dialect == Dialect::Json {
        return serde_json::from_str(&node.to_string()).map_err(|error| error.to_string());
    }
    if let Some(object) = node.as_object() {
        let mut members = serde_json::Map::new();
        for property in object.properties() {
            let name = property.decoded_name().ok_or_else(unreadable)?;
            let held = value(&property.value().ok_or_else(unreadable)?, dialect)?;
            if members.insert(name.clone(), held).is_some() {
                return Err(format!("`{name}` stands twice in one object"));
            }
        }
        return Ok(Value::Object(members));
    }
    if let Some(array) = node.as_array() {
        return array
            .elements()
            .iter()
            .map(|element| value(element, dialect))
            .collect::<Result<_, _>>()
            .map(Value::Array);
    }
    serde_json::from_str(&node.to_string()).map_err(|_| unreadable())
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(flag) => CstInputValue::Bool(*flag),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(members) => {
            CstInputValue::Object(members.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests;
