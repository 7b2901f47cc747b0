//! One JSON-RPC message, parsed once: what kind it is, its id, its method, and
//! its parameters as the very bytes that came. Whoever decides and whoever
//! forwards look at the same bytes, so everything that two parsers could read
//! differently is refused here. Knows nothing of MCP methods or of transports.

mod exact;
mod id;
mod strict;

use std::borrow::Cow;

use bailiwick_model::limits::{ARGUMENT_VALUES_MAX, BODY_BYTES_MAX, JSON_DEPTH_MAX};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::id::Id;

/// Bytes of one message id.
pub const ID_BYTES_MAX: usize = 256;
/// Bytes of one method name.
pub const METHOD_BYTES_MAX: usize = 128;

/// A JSON-RPC 2.0 message. Raw members are slices of the parsed text, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Wants an answer (a JSON-RPC request).
    Call {
        /// Chosen by the sender.
        id: Id,
        /// What is called.
        method: Cow<'a, str>,
        /// The raw object, if there is one.
        params: Option<&'a str>,
    },
    /// Wants no answer.
    Notification {
        /// What happened.
        method: Cow<'a, str>,
        /// The raw object, if there is one.
        params: Option<&'a str>,
    },
    /// A successful answer.
    Result {
        /// Whose.
        id: Id,
        /// The raw value.
        result: &'a str,
    },
    /// An answer that says what went wrong.
    Error {
        /// Whose; `None` when the sender could not tell.
        id: Option<Id>,
        /// The raw object.
        error: &'a str,
    },
}

/// A message that is refused, with its id where that much could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct EnvelopeError {
    /// The id to answer under.
    pub id: Option<Id>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Longer than allowed.
    #[error("the message is longer than {0} bytes")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("the message is not UTF-8")]
    Encoding,
    /// Not JSON.
    #[error("the message is not JSON: {0}")]
    Syntax(String),
    /// JSON that two parsers could read differently, or that is too deep.
    #[error("{0}")]
    Ambiguous(String),
    /// JSON, but no JSON-RPC 2.0 message.
    #[error("the message is not JSON-RPC 2.0: {0}")]
    Shape(&'static str),
}

impl Fault {
    /// The JSON-RPC error code (JSON-RPC 2.0 §5.1).
    pub const fn code(&self) -> i32 {
        match self {
            Self::Encoding | Self::Syntax(_) => -32700,
            Self::TooLong(_) | Self::Ambiguous(_) | Self::Shape(_) => -32600,
        }
    }
}

/// The members of a message as they stand.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from absent.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    /// Parses a message of at most [`BODY_BYTES_MAX`] bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        Self::parse_within(bytes, BODY_BYTES_MAX)
    }

    /// Parses a message of at most `bytes_max` bytes.
    pub fn parse_within(bytes: &'a [u8], bytes_max: usize) -> Result<Self, EnvelopeError> {
        let nameless = |fault| EnvelopeError { id: None, fault };
        if bytes.len() > bytes_max {
            return Err(nameless(Fault::TooLong(bytes_max)));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| nameless(Fault::Encoding))?;
        if text.trim_ascii_start().starts_with('[') {
            return Err(nameless(Fault::Shape("batches are not accepted")));
        }
        let outer: Outer<'a> = serde_json::from_str(text).map_err(|error| {
            nameless(match error.classify() {
                serde_json::error::Category::Data => Fault::Ambiguous(strict::plain(&error)),
                _ => Fault::Syntax(strict::plain(&error)),
            })
        })?;
        let id = match outer.id.map(RawValue::get) {
            None | Some("null") => None,
            Some(raw) => Some(Id::parse(raw).ok_or_else(|| nameless(Fault::Shape("an id is a string or an integer")))?),
        };
        let refuse = |fault| EnvelopeError { id: id.clone(), fault };
        strict::check(text, JSON_DEPTH_MAX).map_err(&refuse)?;
        outer.classify(id.clone()).map_err(|what| refuse(Fault::Shape(what)))
    }
}

impl<'a> Outer<'a> {
    fn classify(self, id: Option<Id>) -> Result<Envelope<'a>, &'static str> {
        let Self { jsonrpc, id: raw_id, method, params, result, error } = self;
        if jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
            return Err("`jsonrpc` is \"2.0\"");
        }
        match (method, result, error) {
            (Some(method), None, None) => {
                let method = method_name(method.get())?;
                let params = params.map(RawValue::get);
                if params.is_some_and(|raw| !raw.starts_with('{')) {
                    return Err("`params` is an object");
                }
                match (id, raw_id) {
                    (Some(id), _) => Ok(Envelope::Call { id, method, params }),
                    (None, None) => Ok(Envelope::Notification { method, params }),
                    (None, Some(_)) => Err("an id is a string or an integer"),
                }
            }
            (None, Some(result), None) => {
                Ok(Envelope::Result { id: id.ok_or("a result carries the id of its call")?, result: result.get() })
            }
            (None, None, Some(error)) if error.get().starts_with('{') => Ok(Envelope::Error { id, error: error.get() }),
            (None, None, Some(_)) => Err("`error` is an object"),
            _ => Err("a message has exactly one of `method`, `result` and `error`"),
        }
    }
}

fn method_name(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let Text(name) = serde_json::from_str(raw).map_err(|_| "`method` is a string")?;
    let graphic = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if name.is_empty() || name.len() > METHOD_BYTES_MAX || !graphic {
        return Err("`method` is a name of 1 to 128 printable characters");
    }
    Ok(name)
}

/// Arguments of a call, as policy will see them: duplicate keys, values too deep
/// or too many, and numbers that would lose digits are refused. No arguments are none.
pub fn parse_arguments(raw: Option<&str>) -> Result<serde_json::Map<String, serde_json::Value>, Fault> {
    let Some(raw) = raw else { return Ok(serde_json::Map::new()) };
    exact::check(raw)?;
    object(raw, ARGUMENT_VALUES_MAX)
}

/// An object that an upstream sent, without the rule on exact numbers; `values_max` bounds it.
pub fn parse_object(raw: &str, values_max: usize) -> Result<serde_json::Map<String, serde_json::Value>, Fault> {
    object(raw, values_max)
}

fn object(raw: &str, values_max: usize) -> Result<serde_json::Map<String, serde_json::Value>, Fault> {
    match strict::build(raw, JSON_DEPTH_MAX, values_max)? {
        serde_json::Value::Object(map) => Ok(map),
        _ => Err(Fault::Shape("an object is expected")),
    }
}

/// The raw value of one member of a raw object.
pub fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    strict::member(object, key)
}

/// The text of one member that is a string.
pub fn text_member(object: &str, key: &str) -> Option<String> {
    member(object, key).and_then(|raw| serde_json::from_str(raw).ok())
}

/// `text` with its slice `part` (as [`member`] gave it) replaced.
pub fn splice(text: &str, part: &str, with: &str) -> Option<String> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    Some([text.get(..start)?, with, text.get(end..)?].concat())
}

/// The message of a call; `params` go in byte for byte.
pub fn call(id: &str, method: &str, params: Option<&str>) -> Bytes {
    compose(Some(id), method, params)
}

/// The message of a notification; `params` go in byte for byte.
pub fn notification(method: &str, params: Option<&str>) -> Bytes {
    compose(None, method, params)
}

fn compose(id: Option<&str>, method: &str, params: Option<&str>) -> Bytes {
    let mut text = String::with_capacity(64 + method.len() + params.map_or(0, str::len));
    text.push_str("{\"jsonrpc\":\"2.0\",");
    if let Some(id) = id {
        text.push_str("\"id\":");
        text.push_str(id);
        text.push(',');
    }
    text.push_str("\"method\":");
    text.push_str(&serde_json::Value::from(method).to_string());
    if let Some(params) = params {
        text.push_str(",\"params\":");
        text.push_str(params);
    }
    text.push('}');
    text.into()
}

/// The message of a successful answer; `id` and `result` go in byte for byte.
pub fn result(id: &str, result: &str) -> Bytes {
    ["{\"jsonrpc\":\"2.0\",\"id\":", id, ",\"result\":", result, "}"].concat().into()
}

/// The message of a failed answer; `id` (`null` if unknown) and `error` go in byte for byte.
pub fn error(id: &str, error: &str) -> Bytes {
    ["{\"jsonrpc\":\"2.0\",\"id\":", id, ",\"error\":", error, "}"].concat().into()
}

/// An error object.
pub fn error_object(code: i32, message: &str) -> String {
    format!("{{\"code\":{code},\"message\":{}}}", serde_json::Value::from(message))
}

/// The same JSON on one line: in valid JSON a line break stands only between tokens.
pub fn one_line(message: Bytes) -> Bytes {
    if !message.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return message;
    }
    message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests;
