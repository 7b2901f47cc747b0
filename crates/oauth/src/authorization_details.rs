//! `authorization_details` (RFC 9396): tools and the arguments that they may be called with, and a task to be made. Reads
//! and writes the JSON; whether such tools exist, and who may have them, is decided elsewhere.
//!
//! Two types, each with a strict schema. The words for arguments are those of a task's pins, and mean the same:
//!
//! ```json
//! [{"type": "bailiwick_tool", "locations": ["https://b.example/mcp/crm"], "actions": ["crm.read_contact"],
//!   "arguments": {"id": {"eq": "42"}}},
//!  {"type": "bailiwick_task", "purpose": "answer ticket 42", "expires_in": 600}]
//! ```

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    limits::{DETAIL_TOOLS_MAX, DETAILS_BYTES_MAX, PIN_VALUES_MAX, TEXT_BYTES_MAX},
    name::ActionName,
    task::{Pin, ToolGrant},
};
use serde_json::{Map, Value, json};

use crate::{
    error::{ErrorCode, OAuthError},
    form::RESOURCE_BYTES_MAX,
    json::parse_array,
};

/// The types that there are (RFC 9396 §10).
pub const TYPES: [&str; 2] = [TOOL, TASK];
/// Tools, and what their arguments may be.
pub const TOOL: &str = "bailiwick_tool";
/// A task that is made together with the token; the tools beside it are all that it may call.
pub const TASK: &str = "bailiwick_task";
/// Bytes of one argument's name.
const ARGUMENT_BYTES_MAX: usize = 128;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationDetails {
    /// Tools; a call has to fit one of them.
    pub tools: Vec<ToolDetail>,
    /// A task to be made.
    pub task: Option<TaskDetail>,
}

/// Some tools, all with the same arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolDetail {
    /// The resources that they are at; empty is the one that the token is for.
    pub locations: BTreeSet<String>,
    /// Which; at least one.
    pub actions: BTreeSet<ActionName>,
    /// What their arguments are pinned to.
    pub pins: BTreeMap<String, Pin>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDetail {
    /// What it is for.
    pub purpose: String,
    /// Seconds until it ends by itself; `None` is as long as the token.
    pub expires_in_s: Option<u64>,
}

impl AuthorizationDetails {
    /// Reads the parameter's JSON text.
    pub fn parse(text: &str) -> Result<Self, OAuthError> {
        if text.len() > DETAILS_BYTES_MAX {
            return Err(unfit(&format!("`authorization_details` has more than {DETAILS_BYTES_MAX} bytes")));
        }
        let elements = parse_array(text.as_bytes()).map_err(|error| unfit(&error.to_string()))?;
        if elements.is_empty() {
            return Err(unfit("`authorization_details` names nothing\nhint: leave it out"));
        }
        let mut details = Self { tools: Vec::new(), task: None };
        for element in elements {
            let Value::Object(mut members) = element else { return Err(unfit("each detail is a JSON object")) };
            match members.remove("type").as_ref().and_then(Value::as_str) {
                Some(TOOL) => details.tools.push(ToolDetail::read(members)?),
                Some(TASK) if details.task.is_none() => details.task = Some(TaskDetail::read(members)?),
                Some(TASK) => return Err(unfit("one token has one task")),
                _ => return Err(unfit(&format!("there is no such type\nhint: there is `{}`", TYPES.join("`, `")))),
            }
        }
        if details.tools.iter().map(|tool| tool.actions.len()).sum::<usize>() > DETAIL_TOOLS_MAX {
            return Err(unfit(&format!(
                "more than {DETAIL_TOOLS_MAX} actions\nhint: name a system's class of actions in `scope` instead"
            )));
        }
        Ok(details)
    }

    /// What asks for exactly these tools.
    pub fn of(tools: &[ToolGrant]) -> Self {
        let detail = |ToolGrant { action, pins }: &ToolGrant| ToolDetail {
            locations: BTreeSet::new(),
            actions: BTreeSet::from([action.clone()]),
            pins: pins.clone(),
        };
        Self { tools: tools.iter().map(detail).collect(), task: None }
    }

    /// The same where no task can be made.
    pub fn without_task(self) -> Result<Self, OAuthError> {
        match self.task {
            None => Ok(self),
            Some(_) => Err(unfit("a task is made by `client_credentials` alone")),
        }
    }
}

impl ToolDetail {
    fn read(mut members: Map<String, Value>) -> Result<Self, OAuthError> {
        let locations = texts(members.remove("locations"), "locations")?.unwrap_or_default();
        if locations.iter().any(|location| location.len() > RESOURCE_BYTES_MAX) {
            return Err(unfit(&format!("a location has more than {RESOURCE_BYTES_MAX} bytes")));
        }
        let actions = texts(members.remove("actions"), "actions")?.unwrap_or_default();
        let actions: BTreeSet<ActionName> = actions
            .iter()
            .map(|action| action.parse().map_err(|_| unfit("an action is `<system>.<tool>`")))
            .collect::<Result<_, _>>()?;
        if actions.is_empty() {
            return Err(unfit("`actions` names none\nhint: name each as `<system>.<tool>`"));
        }
        let pins = match members.remove("arguments") {
            None => BTreeMap::new(),
            Some(Value::Object(arguments)) => {
                arguments.into_iter().map(|(argument, is)| pin(argument, is)).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(unfit("`arguments` is a JSON object: a constraint for each argument")),
        };
        no_more(&members, "`locations`, `actions`, `arguments`")?;
        Ok(Self { locations, actions, pins })
    }

    /// One grant for each tool.
    pub fn grants(&self) -> impl Iterator<Item = ToolGrant> {
        self.actions.iter().map(|action| ToolGrant { action: action.clone(), pins: self.pins.clone() })
    }
}

impl TaskDetail {
    fn read(mut members: Map<String, Value>) -> Result<Self, OAuthError> {
        let purpose = match members.remove("purpose") {
            Some(Value::String(text)) if (1..=TEXT_BYTES_MAX).contains(&text.len()) => text,
            _ => return Err(unfit("`purpose` is a text that says in one sentence what the task is for")),
        };
        let expires_in_s = match members.remove("expires_in") {
            None => None,
            Some(Value::Number(seconds)) if seconds.as_u64().is_some_and(|seconds| seconds > 0) => seconds.as_u64(),
            Some(_) => return Err(unfit("`expires_in` is a number of seconds")),
        };
        no_more(&members, "`purpose`, `expires_in`")?;
        Ok(Self { purpose, expires_in_s })
    }
}

/// Tools as a token and its answer name them: what a client could have asked for itself.
pub fn to_value(issuer: &str, tools: &[ToolGrant]) -> Value {
    let mut elements: Vec<(&str, Vec<&str>, &BTreeMap<String, Pin>)> = Vec::new();
    for ToolGrant { action, pins } in tools {
        match elements.last_mut() {
            // In their order, as that is how they are read.
            Some((system, actions, same))
                if *system == action.system()
                    && *same == pins
                    && actions.last().is_some_and(|last| *last < action.as_str()) =>
            {
                actions.push(action.as_str());
            }
            _ => elements.push((action.system(), vec![action.as_str()], pins)),
        }
    }
    let elements = elements.into_iter().map(|(system, actions, pins)| {
        let mut element = json!({ "type": TOOL, "locations": [format!("{issuer}/mcp/{system}")], "actions": actions });
        let arguments: Map<String, Value> = pins.iter().map(|(name, pin)| (name.clone(), constraint(pin))).collect();
        if let (false, Some(members)) = (arguments.is_empty(), element.as_object_mut()) {
            members.insert("arguments".to_owned(), arguments.into());
        }
        element
    });
    elements.collect()
}

/// Reads what [`to_value`] wrote.
pub fn from_value(value: &Value) -> Option<Vec<ToolGrant>> {
    let tools = value.as_array()?.iter().map(|element| {
        let mut members = element.as_object()?.clone();
        let known = members.remove("type").as_ref().and_then(Value::as_str) == Some(TOOL);
        ToolDetail::read(members).ok().filter(|_| known)
    });
    let tools = tools.collect::<Option<Vec<_>>>()?;
    Some(tools.iter().flat_map(ToolDetail::grants).collect())
}

/// The constraint of one argument: exactly one of the words that there are.
fn pin(argument: String, is: Value) -> Result<(String, Pin), OAuthError> {
    if !(1..=ARGUMENT_BYTES_MAX).contains(&argument.len()) {
        return Err(unfit(&format!("an argument's name has 1 to {ARGUMENT_BYTES_MAX} bytes")));
    }
    let malformed = || {
        unfit(
            "an argument is held by one of `eq`, `one_of` (1 to 256 values), `under` (a folder), `at_most` (an integer)\n\
             hint: a value is no object, and an array holds texts, numbers, `true`, `false`, `null` alone",
        )
    };
    let Value::Object(words) = is else { return Err(malformed()) };
    let mut words = words.into_iter();
    let (Some((word, value)), None) = (words.next(), words.next()) else { return Err(malformed()) };
    let pin = match (word.as_str(), value) {
        ("eq", value) if is_flat(&value) => Pin::OneOf(vec![value]),
        ("one_of", Value::Array(values))
            if (1..=PIN_VALUES_MAX).contains(&values.len()) && values.iter().all(is_flat) =>
        {
            Pin::OneOf(values)
        }
        ("under", Value::String(folder)) if folder.starts_with('/') => Pin::Under(folder),
        ("at_most", Value::Number(most)) => Pin::AtMost(most.as_i64().ok_or_else(malformed)?),
        _ => return Err(malformed()),
    };
    Ok((argument, pin))
}

/// A scalar, or an array of them: what nests takes far more memory than text, and is kept by whoever keeps the token.
fn is_flat(value: &Value) -> bool {
    let scalar = |one: &Value| !one.is_array() && !one.is_object();
    match value {
        Value::Array(elements) => elements.iter().all(scalar),
        one => scalar(one),
    }
}

fn constraint(pin: &Pin) -> Value {
    match pin {
        Pin::OneOf(values) => match values.as_slice() {
            [value] => json!({ "eq": value }),
            values => json!({ "one_of": values }),
        },
        Pin::Under(folder) => json!({ "under": folder }),
        Pin::AtMost(most) => json!({ "at_most": most }),
    }
}

/// An array of different texts.
fn texts(value: Option<Value>, name: &str) -> Result<Option<BTreeSet<String>>, OAuthError> {
    let malformed = || unfit(&format!("`{name}` is an array of different texts, at least one"));
    let elements = match value {
        None => return Ok(None),
        Some(Value::Array(elements)) if !elements.is_empty() => elements,
        Some(_) => return Err(malformed()),
    };
    let count = elements.len();
    let texts: BTreeSet<String> =
        elements.into_iter().filter_map(|element| element.as_str().map(str::to_owned)).collect();
    if texts.len() == count { Ok(Some(texts)) } else { Err(malformed()) }
}

/// A member that nobody reads could be one that narrows.
fn no_more(members: &Map<String, Value>, known: &str) -> Result<(), OAuthError> {
    if members.is_empty() {
        Ok(())
    } else {
        Err(unfit(&format!("a detail has a member that it may not have\nhint: there is {known}")))
    }
}

fn unfit(description: &str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidAuthorizationDetails, description)
}

#[cfg(test)]
mod tests;
