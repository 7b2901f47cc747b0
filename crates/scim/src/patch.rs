//! `PATCH` (RFC 7644 §3.5.2), as Okta and Entra send it: operations in any case, truth values as text, several attributes in
//! one value without a path, paths as the names of attributes, members taken out by a filter or by a list.

use serde_json::Value;

use crate::{
    error::ScimError,
    filter::Filter,
    group::{self, GroupAttributes},
    object::Object,
    path::Path,
    user::UserAttributes,
};

/// The schema of the message.
const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Operations of one message.
pub const OPERATIONS_MAX: usize = 1_000;

/// What is changed, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch(Vec<Operation>);

#[derive(Debug, Clone, PartialEq)]
struct Operation {
    verb: Verb,
    path: Option<Path>,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

impl Patch {
    /// Reads a message.
    pub fn read(value: &Value) -> Result<Self, ScimError> {
        let object = Object::of(value)?;
        object.of_schema(SCHEMA)?;
        let operations = object.get("operations").and_then(Value::as_array);
        let operations = operations.ok_or_else(|| ScimError::syntax("`Operations` is missing"))?;
        if operations.is_empty() || operations.len() > OPERATIONS_MAX {
            return Err(ScimError::syntax(format!("a message has 1 to {OPERATIONS_MAX} operations")));
        }
        operations.iter().map(Operation::read).collect::<Result<_, _>>().map(Self)
    }

    /// Changes a user.
    pub fn apply_to_user(&self, user: &mut UserAttributes) -> Result<(), ScimError> {
        self.0.iter().try_for_each(|operation| operation.apply_to_user(user))
    }

    /// Changes a group.
    pub fn apply_to_group(&self, group: &mut GroupAttributes) -> Result<(), ScimError> {
        self.0.iter().try_for_each(|operation| operation.apply_to_group(group))
    }
}

impl Operation {
    fn read(value: &Value) -> Result<Self, ScimError> {
        let object = Object::of(value)?;
        let verb = match object.get("op").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
            Some("add") => Verb::Add,
            Some("replace") => Verb::Replace,
            Some("remove") => Verb::Remove,
            _ => return Err(ScimError::syntax("`op` is `add`, `replace` or `remove`")),
        };
        let path = match object.get("path") {
            None => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(Path::parse(text)?),
            Some(_) => return Err(ScimError::path("`path` is text")),
        };
        let value = object.get("value").cloned().unwrap_or(Value::Null);
        match (verb, &path, &value) {
            (Verb::Remove, None, _) => Err(ScimError::target("`remove` needs a `path`")),
            (Verb::Add | Verb::Replace, None, value) if !value.is_object() => {
                Err(ScimError::value("without a `path`, `value` is an object of attributes"))
            }
            _ => Ok(Self { verb, path, value }),
        }
    }

    /// Each attribute that is changed: its path and the new value; `None` takes it away.
    fn changes(&self) -> Result<Vec<(Path, Option<&Value>)>, ScimError> {
        if let Some(path) = &self.path {
            let taken = self.verb == Verb::Remove || (self.verb == Verb::Replace && self.value.is_null());
            if self.verb == Verb::Add && self.value.is_null() {
                return Err(ScimError::value("`value` is missing"));
            }
            return Ok(vec![(path.clone(), (!taken).then_some(&self.value))]);
        }
        let changed =
            |(name, value): (&str, _)| Ok((Path::parse(name)?, Some(value).filter(|value: &&Value| !value.is_null())));
        Object::of(&self.value)?.iter().map(changed).collect()
    }

    fn apply_to_user(&self, user: &mut UserAttributes) -> Result<(), ScimError> {
        for (Path { attribute, which }, value) in self.changes()? {
            if attribute.foreign {
                continue;
            }
            let (name, sub) = (attribute.name.as_str(), attribute.sub.as_deref());
            // Of several addresses we keep one, so which of them a filter means can only be that one.
            if which.is_some() && name != "emails" {
                match crate::user::UserAttributes::default().unset(name, sub) {
                    Ok(()) => continue,
                    Err(error) => return Err(error),
                }
            }
            match value {
                Some(value) => user.set(name, sub, value)?,
                None => user.unset(name, sub)?,
            }
        }
        Ok(())
    }

    fn apply_to_group(&self, group: &mut GroupAttributes) -> Result<(), ScimError> {
        for (Path { attribute, which }, value) in self.changes()? {
            if attribute.foreign {
                continue;
            }
            match (attribute.name.as_str(), which, value) {
                ("members", Some(which), None) => remove_where(group, &which),
                ("members", Some(_), Some(_)) => {
                    return Err(ScimError::mutability("a member can be added or removed, and not changed"));
                }
                // Entra names whom it takes out in the value.
                ("members", None, None) if !self.value.is_null() => {
                    let gone = group::members(&self.value)?;
                    group.members.retain(|id| !gone.contains(id));
                }
                ("members", None, None) => group.members.clear(),
                ("members", None, Some(value)) if self.verb == Verb::Add => {
                    group.members.extend(group::members(value)?)
                }
                ("externalid", None, None) => group.external_id = None,
                (name, None, Some(value)) => group.set(name, value)?,
                (name, _, _) => return Err(ScimError::mutability(format!("`{name}` cannot be changed in this way"))),
            }
        }
        if group.members.len() > group::MEMBERS_MAX {
            return Err(ScimError::value(format!("a group has at most {} members", group::MEMBERS_MAX)));
        }
        Ok(())
    }
}

fn remove_where(group: &mut GroupAttributes, which: &Filter) {
    group.members.retain(|id| !which.fits(&serde_json::json!({ "value": id, "type": "User" })));
}

#[cfg(test)]
mod tests;
