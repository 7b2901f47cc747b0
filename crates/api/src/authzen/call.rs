//! Which call an action and a resource mean, in our words and in those of MCP's COAZ binding. A decision is about one
//! thing: where the two name different ones, there is no call.

use bailiwick_model::name::SystemName;
use serde_json::Value;

use super::message::{Entity, Evaluation};

/// A call without its arguments.
pub(super) struct Call {
    pub(super) system: SystemName,
    pub(super) method: String,
    pub(super) name: Option<String>,
}

/// Types of resources that name the call itself and no record.
const CALL_TYPES: [&str; 5] = ["tool", "system", "mcp_server", "resource", "prompt"];
const UNKNOWN: &str = "the action is not `<system>.<tool>`, `<system>:<mcp method>` or an mcp method";

pub(super) fn is_record(resource: &Entity) -> bool {
    !CALL_TYPES.iter().any(|kind| resource.kind.eq_ignore_ascii_case(kind))
}

impl Call {
    /// An action of ours is `<system>.<tool>` or `<system>:<mcp method>`. In COAZ's words it is the MCP method, and the
    /// system is in `context.mcp_server` or before the dot of the tool's id.
    pub(super) fn meant(issuer: &str, asked: &Evaluation) -> Result<Self, &'static str> {
        let (action, resource) = (asked.action.name.as_str(), &asked.resource);
        match action.find(['.', ':', '/']).and_then(|at| action.split_at_checked(at)) {
            Some((_, rest)) if rest.starts_with('/') => coaz(issuer, asked),
            Some((_, rest)) if rest.starts_with('.') => {
                // A tool is asked for as itself, or with the record that it is used on.
                if is(resource, "tool") && resource.id != action && format!(".{}", resource.id) != rest {
                    return Err("action and resource name different tools");
                }
                tool(action)
            }
            Some((system, rest)) => {
                let system = system.parse().map_err(|_| UNKNOWN)?;
                method(issuer, system, rest.trim_start_matches(':'), asked)
            }
            None => Err(UNKNOWN),
        }
    }
}

fn is(resource: &Entity, kind: &str) -> bool {
    resource.kind.eq_ignore_ascii_case(kind)
}

/// `<system>.<tool>`.
fn tool(text: &str) -> Result<Call, &'static str> {
    let (system, tool) = text.split_once('.').ok_or(UNKNOWN)?;
    let system = system.parse().map_err(|_| UNKNOWN)?;
    Ok(Call { system, method: "tools/call".to_owned(), name: Some(tool.to_owned()) })
}

fn coaz(issuer: &str, asked: &Evaluation) -> Result<Call, &'static str> {
    let (action, resource) = (asked.action.name.as_str(), &asked.resource);
    let named = match asked.context.get("mcp_server") {
        None => None,
        Some(Value::String(server)) => Some(system(issuer, server)?),
        Some(_) => return Err("`context.mcp_server` is not a string"),
    };
    match (action, named) {
        ("tools/call", _) if !is(resource, "tool") => Err("`tools/call` needs a resource of the type `tool`"),
        ("tools/call", None) => tool(&resource.id),
        ("tools/call", Some(system)) => Ok(Call { system, method: action.to_owned(), name: Some(resource.id.clone()) }),
        (_, None) if is(resource, "mcp_server") => method(issuer, system(issuer, &resource.id)?, action, asked),
        (_, None) => Err("`context.mcp_server` must say which server it is"),
        (_, Some(system)) => method(issuer, system, action, asked),
    }
}

/// A server is named by its system or by the URL that agents reach it at.
fn system(issuer: &str, server: &str) -> Result<SystemName, &'static str> {
    let name = server.strip_prefix(issuer).and_then(|path| path.strip_prefix("/mcp/")).unwrap_or(server);
    name.parse().map_err(|_| "the server is no system of this broker")
}

/// Any method but `tools/call`, with what it is about.
fn method(issuer: &str, of: SystemName, method: &str, asked: &Evaluation) -> Result<Call, &'static str> {
    let resource = &asked.resource;
    let about: &[&str] = match method {
        "resources/read" | "resources/subscribe" => &["resource"],
        "prompts/get" => &["prompt"],
        "completion/complete" => &["prompt", "resource"],
        "logging/setLevel" => &["mcp_server", "system"],
        // Denied by the decision itself, with a better reason than any from here.
        _ => return Ok(Call { system: of, method: method.to_owned(), name: Some(resource.id.clone()) }),
    };
    if !about.iter().any(|kind| is(resource, kind)) {
        return Err("the method is not about a resource of this type");
    }
    let name = if method == "logging/setLevel" {
        if system(issuer, &resource.id)? != of {
            return Err("action and resource name different servers");
        }
        asked.context.get("level").and_then(Value::as_str).map(str::to_owned)
    } else {
        Some(resource.id.clone())
    };
    Ok(Call { system: of, method: method.to_owned(), name })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authzen::message::Action;

    fn check(action: &str, kind: &str, id: &str, context: &Value, expected: Option<(&str, &str, &str)>) {
        let entity = |kind: &str, id: &str| Entity {
            kind: kind.to_owned(),
            id: id.to_owned(),
            properties: serde_json::Map::new(),
        };
        let asked = Evaluation {
            subject: entity("agent", "reader"),
            action: Action { name: action.to_owned(), properties: serde_json::Map::new() },
            resource: entity(kind, id),
            context: context.as_object().unwrap().clone(),
        };
        let found = Call::meant("https://broker.test", &asked);
        let found = found
            .as_ref()
            .ok()
            .map(|call| (call.system.as_str(), call.method.as_str(), call.name.as_deref().unwrap_or_default()));
        assert_eq!(found, expected, "{action} on {kind} {id} with {context}");
    }

    #[test]
    fn actions_and_resources_name_one_call() {
        let none = json!({});
        check("files.read_file", "tool", "files.read_file", &none, Some(("files", "tools/call", "read_file")));
        check("files.read_file", "tool", "read_file", &none, Some(("files", "tools/call", "read_file")));
        check("files.read.deep", "File", "/a", &none, Some(("files", "tools/call", "read.deep")));
        check("tools/call", "tool", "files.read_file", &none, Some(("files", "tools/call", "read_file")));
        check("files:resources/read", "resource", "file:///a", &none, Some(("files", "resources/read", "file:///a")));
        check("files:prompts/get", "prompt", "p", &none, Some(("files", "prompts/get", "p")));
        check("files:levitate", "tool", "p", &none, Some(("files", "levitate", "p")));
        check("files.read_file", "tool", "files.write_file", &none, None);
        check("tools/call", "File", "files.read_file", &none, None);
        check("read", "tool", "files.read_file", &none, None);
        check("", "tool", "", &none, None);
        check("FILES.read", "tool", "FILES.read", &none, None);
        for other in ["tool", "File", "prompt", "system"] {
            check("files:resources/read", other, "file:///a", &none, None);
        }
    }

    #[test]
    fn coaz_words_name_the_server_beside() {
        let by_name = json!({"mcp_server": "files"});
        let by_url = json!({"mcp_server": "https://broker.test/mcp/files"});
        for context in [&by_name, &by_url] {
            check("tools/call", "tool", "read_file", context, Some(("files", "tools/call", "read_file")));
            check("resources/read", "resource", "file:///a", context, Some(("files", "resources/read", "file:///a")));
            check("prompts/get", "prompt", "p", context, Some(("files", "prompts/get", "p")));
            check("prompts/get", "tool", "p", context, None);
        }
        let level = json!({"level": "debug"});
        let server = "https://broker.test/mcp/files";
        check("logging/setLevel", "mcp_server", server, &level, Some(("files", "logging/setLevel", "debug")));
        check("files:logging/setLevel", "system", "files", &level, Some(("files", "logging/setLevel", "debug")));
        check("files:logging/setLevel", "system", "other", &level, None);
        check("resources/read", "resource", "file:///a", &json!({}), None);
        for elsewhere in
            ["https://evil.test/mcp/files", "https://broker.test.evil/mcp/files", "https://broker.test/mcp/", ""]
        {
            check("tools/call", "tool", "read_file", &json!({"mcp_server": elsewhere}), None);
        }
        check("tools/call", "tool", "read_file", &json!({"mcp_server": ["files"]}), None);
    }
}
