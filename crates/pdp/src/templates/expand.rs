//! From a template and what somebody stated to the grants of one ordinary task. Adds nothing that the template does not
//! say, and leaves nothing open that it pins.

use std::collections::BTreeMap;

use bailiwick_model::{
    limits::{PIN_VALUES_MAX, TEXT_BYTES_MAX},
    name::ParameterName,
    task::{Pin, ToolGrant},
};
use serde_json::Value;

use super::{Kind, Template, TemplatePin};
use crate::strict_toml::did_you_mean;

/// What was stated: values by parameter.
pub type Stated = BTreeMap<String, Vec<Value>>;

/// What was stated, from one value or a list of them per parameter.
pub fn stated(written: serde_json::Map<String, Value>) -> Stated {
    let values = |value| match value {
        Value::Array(values) => values,
        one => vec![one],
    };
    written.into_iter().map(|(name, value)| (name, values(value))).collect()
}

/// Why a template gives no task, with the next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpandError {
    /// A lower-case fragment without a full stop. Names parameters, never values.
    pub message: String,
    /// What to type.
    pub hint: String,
}

impl Template {
    /// The grants of a task of this kind, with everything that was stated in its place.
    pub fn expand(&self, stated: &Stated) -> Result<Vec<ToolGrant>, ExpandError> {
        self.all_and_only(stated)?;
        let grant = |tool: &super::TemplateTool| {
            let pins = tool.pins.iter().map(|(argument, pin)| Ok((argument.clone(), pinned(pin, stated)?)));
            Ok(ToolGrant { action: tool.action.clone(), pins: pins.collect::<Result<_, _>>()? })
        };
        self.tools.iter().map(grant).collect()
    }

    fn all_and_only(&self, stated: &Stated) -> Result<(), ExpandError> {
        let known = || self.parameters.keys().map(ParameterName::as_str);
        if let Some(unknown) = stated.keys().find(|name| !known().any(|known| known == *name)) {
            let shown: String = unknown.chars().take(80).collect();
            let hint = match did_you_mean(unknown, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.parameters.is_empty() => String::from("this template has no parameters"),
                None => format!("it has {}", known().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
            };
            return Err(ExpandError { message: format!("template `{}` has no parameter `{shown}`", self.name), hint });
        }
        for (name, about) in &self.parameters {
            let count = stated.get(name.as_str()).map_or(0, Vec::len);
            if !(1..=PIN_VALUES_MAX).contains(&count) {
                let message = match count {
                    0 => format!("template `{}` needs `{name}`: {about}", self.name),
                    _ => format!("`{name}` has {count} values, and a pin holds at most {PIN_VALUES_MAX}"),
                };
                return Err(ExpandError { message, hint: format!("state it: `--set {name}=VALUE`") });
            }
        }
        Ok(())
    }
}

fn pinned(pin: &TemplatePin, stated: &Stated) -> Result<Pin, ExpandError> {
    let values = |name: &ParameterName| stated.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
    match pin {
        TemplatePin::Fixed(pin) => Ok(pin.clone()),
        TemplatePin::OneOf(name, kind) => {
            let values = values(name).iter().map(|value| fit(name, *kind, value));
            Ok(Pin::OneOf(values.collect::<Result<_, _>>()?))
        }
        TemplatePin::Under(name) => match values(name) {
            [Value::String(folder)] if is_folder(folder) => Ok(Pin::Under(folder.clone())),
            _ => Err(refuse(name, "one absolute path of a folder, and not of the root")),
        },
        TemplatePin::AtMost(name) => match values(name) {
            [one] => whole(one).map(Pin::AtMost).ok_or_else(|| refuse(name, "one whole number")),
            _ => Err(refuse(name, "one whole number")),
        },
    }
}

/// A stated value as the argument has it: on a command line everything is text.
fn fit(name: &ParameterName, kind: Kind, value: &Value) -> Result<Value, ExpandError> {
    match (kind, value) {
        (Kind::Text, Value::String(text)) if text.is_empty() || text.len() > TEXT_BYTES_MAX => {
            Err(refuse(name, &format!("text of 1 to {TEXT_BYTES_MAX} bytes")))
        }
        (Kind::Text, Value::String(_)) => Ok(value.clone()),
        (Kind::Text, Value::Number(number)) => Ok(Value::String(number.to_string())),
        (Kind::Text, _) => Err(refuse(name, "text")),
        (Kind::Integer, value) => whole(value).map(Value::from).ok_or_else(|| refuse(name, "a whole number")),
        (Kind::Any, value) => Ok(value.clone()),
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether it names a folder below the root, whatever its spelling.
pub(super) fn is_folder(folder: &str) -> bool {
    crate::normalise::path(folder).is_ok_and(|path| path != "/")
}

fn refuse(name: &ParameterName, wanted: &str) -> ExpandError {
    ExpandError { message: format!("`{name}` is not {wanted}"), hint: format!("state it: `--set {name}=VALUE`") }
}
