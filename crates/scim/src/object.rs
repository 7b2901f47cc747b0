//! An object whose attribute names have no case (RFC 7643 §2.1): each may stand in it once.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::error::ScimError;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    pub(crate) fn of(value: &'a Value) -> Result<Self, ScimError> {
        let map = value.as_object().ok_or_else(|| ScimError::syntax("an object was expected"))?;
        let names: BTreeSet<String> = map.keys().map(|name| name.to_ascii_lowercase()).collect();
        if names.len() < map.len() {
            return Err(ScimError::syntax("an attribute stands twice"));
        }
        Ok(Self(map))
    }

    /// An attribute; `null` is none (RFC 7643 §2.5).
    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        (!value.is_null()).then_some(value)
    }

    /// All of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn text(self, name: &str) -> Result<Option<String>, ScimError> {
        self.get(name).map(|value| text(name, value)).transpose()
    }

    /// Refuses a message that does not say that it is of a schema.
    pub(crate) fn of_schema(self, schema: &str) -> Result<(), ScimError> {
        let named = self.get("schemas").and_then(Value::as_array);
        let is = |value: &Value| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(schema));
        if named.is_some_and(|all| all.iter().any(is)) {
            return Ok(());
        }
        Err(ScimError::syntax(format!("`schemas` does not name `{schema}`")))
    }
}

/// One line of text, as it is kept.
pub(crate) fn text(name: &str, value: &Value) -> Result<String, ScimError> {
    let wrong = || ScimError::value(format!("`{name}` is not one line of text"));
    let text = value.as_str().ok_or_else(wrong)?.trim();
    if text.is_empty() || text.len() > bailiwick_model::limits::TEXT_BYTES_MAX || text.contains(char::is_control) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

/// A truth value; some directories send it as text.
pub(crate) fn flag(name: &str, value: &Value) -> Result<bool, ScimError> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(ScimError::value(format!("`{name}` is neither true nor false"))),
    }
}
