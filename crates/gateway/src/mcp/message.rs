//! A call from a client as the gateway understands it: its method's kind, the
//! name that it goes by, its arguments, and the raw bytes to forward. Reads
//! each part once; what cannot be read is a refusal with its JSON-RPC code.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    envelope::{self, Id},
    mcp::method::{self, Kind},
    upstream::Era,
};

/// A refusal before any decision: nothing was understood that could be decided on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    /// The HTTP status. An error that tells of the call's outcome is told with 200, one of the message itself is not.
    pub(crate) status: StatusCode,
    /// The JSON-RPC code.
    pub(crate) code: i64,
    /// A lower-case fragment.
    pub(crate) message: String,
    /// For programs.
    pub(crate) data: Option<Value>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None }
    }

    /// A parameter that is missing or of the wrong kind.
    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, -32_602, message)
    }

    /// Metadata that the stateless revision wants with every message, missing or of the wrong kind.
    pub(crate) fn meta(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32_602, message)
    }

    /// A method that is not served.
    pub(crate) fn method(name: &str) -> Self {
        let name: String = name.chars().take(80).collect();
        Self::new(StatusCode::NOT_FOUND, -32_601, format!("method `{name}` is not served"))
    }

    /// The JSON-RPC `error` object.
    pub(crate) fn object(&self) -> Value {
        let mut object = serde_json::json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(object)) = (&self.data, object.as_object_mut()) {
            object.insert("data".to_owned(), data.clone());
        }
        object
    }
}

impl From<envelope::Fault> for Fault {
    fn from(fault: envelope::Fault) -> Self {
        let status = match fault {
            envelope::Fault::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, i64::from(fault.code()), fault.to_string())
    }
}

/// One call, read.
#[derive(Debug, Clone)]
pub(crate) struct Incoming<'a> {
    /// Its id.
    pub(crate) id: Id,
    /// Its method.
    pub(crate) method: &'a str,
    /// What the method is.
    pub(crate) kind: Kind,
    /// Its raw parameters.
    pub(crate) params: Option<&'a str>,
    /// Tool name, prompt name or MCP resource uri.
    pub(crate) name: Option<String>,
}

/// The members of `params` that the gateway itself reads.
pub(crate) const META: &str = "_meta";

impl<'a> Incoming<'a> {
    /// Reads a call of `method`.
    pub(crate) fn read(id: Id, method: &'a str, params: Option<&'a str>, era: Era) -> Result<Self, Fault> {
        let kind = method::kind(method, era).ok_or_else(|| Fault::method(method))?;
        let name = name(method, params)?;
        Ok(Self { id, method, kind, params, name })
    }

    /// The arguments that policy sees: `params.arguments` of tools and prompts, all parameters but `_meta` of the
    /// other methods.
    pub(crate) fn arguments(&self) -> Result<Map<String, Value>, Fault> {
        match self.method {
            "tools/call" | "prompts/get" => {
                let raw = self.params.and_then(|params| envelope::member(params, "arguments"));
                Ok(envelope::parse_arguments(raw.filter(|raw| *raw != "null"))?)
            }
            _ => {
                let mut all = envelope::parse_arguments(self.params)?;
                all.remove(META);
                Ok(all)
            }
        }
    }

    /// What the client declared about the prompt or its own call id: `_meta`, as text.
    pub(crate) fn declared(&self) -> Option<&'a str> {
        self.params.and_then(|params| envelope::member(params, META)).filter(|raw| *raw != "null")
    }
}

impl Incoming<'_> {
    /// The id under which Claude Code's hook asked about this call, if that is who calls. A claim, good for joining
    /// records and for nothing else.
    pub(crate) fn client_call(&self) -> Option<String> {
        envelope::text_member(self.declared()?, "claudecode/toolUseId")
    }

    /// All that goes upstream beside name and arguments, for the evidence: `_meta` alone as it is, or, where there is
    /// more (answers to a server's questions, the state that it gave), an object of everything.
    pub(crate) fn beside(&self) -> Option<String> {
        let meta = self.declared().map(str::to_owned);
        if !matches!(self.method, "tools/call" | "prompts/get") {
            return meta;
        }
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(self.params?).ok()?;
        members.retain(|name, _| !matches!(name.as_str(), "name" | "arguments"));
        if members.keys().all(|name| name == META) { meta } else { serde_json::to_string(&members).ok() }
    }
}

/// The name that a call goes by. A method that has one must carry it, as a string.
fn name(method: &str, params: Option<&str>) -> Result<Option<String>, Fault> {
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        "logging/setLevel" => "level",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        "completion/complete" => return completion_name(params).map(Some),
        _ => return Ok(None),
    };
    let missing = || Fault::params(format!("`params.{key}` is a string"));
    params.and_then(|params| envelope::text_member(params, key)).ok_or_else(missing).map(Some)
}

/// What a completion is about: a prompt's name or a resource template's uri, as the reference's own type says. One that
/// carries both could be decided on by the one and answered by the other.
fn completion_name(params: Option<&str>) -> Result<String, Fault> {
    let reference = params.and_then(|params| envelope::member(params, "ref"));
    let member = |key| reference.and_then(|reference| envelope::member(reference, key));
    let (key, other) = match member("type") {
        Some("\"ref/prompt\"") => ("name", "uri"),
        Some("\"ref/resource\"") => ("uri", "name"),
        _ => return Err(Fault::params("`params.ref.type` is `ref/prompt` or `ref/resource`")),
    };
    if member(other).is_some() {
        return Err(Fault::params(format!("`params.ref` of this type has no `{other}`")));
    }
    let name = reference.and_then(|reference| envelope::text_member(reference, key));
    name.ok_or_else(|| Fault::params(format!("`params.ref.{key}` is a string")))
}

/// A JSON value as raw text that can be spliced into a message.
pub(crate) fn raw(value: &Value) -> Box<RawValue> {
    // A `Value` is always valid JSON; should that ever fail, `null` is refused by whoever reads it.
    RawValue::from_string(value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beside_the_arguments_is_told_whole() {
        let check = |params: &str, expected: Option<&str>| {
            let incoming = Incoming::read(Id::from(1), "tools/call", Some(params), Era::Handshake).unwrap();
            assert_eq!(incoming.beside().as_deref(), expected, "{params}");
        };
        check(r#"{"name":"t","arguments":{"a":1}}"#, None);
        check(r#"{"name":"t","_meta":{ "x":1}}"#, Some(r#"{ "x":1}"#));
        check(
            r#"{"name":"t","inputResponses":{"q":{"action":"accept"}},"requestState":"s","_meta":{"x":1}}"#,
            Some(r#"{"_meta":{"x":1},"inputResponses":{"q":{"action":"accept"}},"requestState":"s"}"#),
        );
        check(r#"{"name":"t","task":{"ttl":1}}"#, Some(r#"{"task":{"ttl":1}}"#));
    }

    #[test]
    fn a_completion_is_about_what_its_type_says() {
        let check = |reference: &str, expected: Option<&str>| {
            let params = format!(r#"{{"ref":{reference},"argument":{{"name":"a","value":"b"}}}}"#);
            let name = name("completion/complete", Some(&params)).ok().flatten();
            assert_eq!(name.as_deref(), expected, "{reference}");
        };
        check(r#"{"type":"ref/prompt","name":"summarise"}"#, Some("summarise"));
        check(r#"{"type":"ref/resource","uri":"note://{a}"}"#, Some("note://{a}"));
        // Decided on by its harmless name, answered by its uri.
        check(r#"{"type":"ref/resource","name":"harmless","uri":"note://secret/{a}"}"#, None);
        check(r#"{"type":"ref/prompt","name":"harmless","uri":"note://secret/{a}"}"#, None);
        check(r#"{"type":"ref/resource","name":"harmless"}"#, None);
        check(r#"{"name":"summarise"}"#, None);
        check(r#"{"type":"ref/tool","name":"summarise"}"#, None);
        check("null", None);
    }
}
