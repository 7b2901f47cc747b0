//! Which call an action and a resource mean, in our words and in those of MCP's COAZ binding. A decision is about one
//! thing: where the two name different ones, there is no call.

use bailiwick_model::{
    decision::Reason,
    name::SystemName,
    operation::{Operation, Resource},
};
use serde_json::Value;

use super::{Entity, Evaluation, Members};
use crate::{
    catalogue::{ArgumentPath, Catalogue, Tool},
    mapping::{self, Call},
};

/// Types of resources that name the call itself and no record.
const CALL_TYPES: [&str; 5] = ["tool", "system", "mcp_server", "resource", "prompt"];
const UNKNOWN: &str = "the action is not `<system>.<tool>`, `<system>:<mcp method>` or an mcp method";

/// The call that a question means.
#[derive(Debug, Clone, PartialEq)]
pub struct Meant {
    /// Its system.
    pub system: SystemName,
    /// Its MCP method.
    pub method: String,
    /// Tool name, prompt name, resource URI or log level.
    pub name: Option<String>,
    /// Its arguments.
    pub arguments: Members,
}

/// A call without its arguments.
struct Target {
    system: SystemName,
    method: String,
    name: Option<String>,
}

impl Meant {
    /// Finds the call that is meant, or says in one constant phrase why there is none.
    pub fn of(catalogue: &Catalogue, issuer: &str, asked: &Evaluation) -> Result<Self, &'static str> {
        let meant = Self::by_name(catalogue, issuer, asked)?;
        if meant.is_about_record(asked) {
            let operations = mapping::map(catalogue, &meant.call());
            meant.is_of(catalogue, asked, &operations)?;
        }
        Ok(meant)
    }

    /// The same with the operations that the call stands for, or why it stands for none.
    pub(crate) fn mapped(
        catalogue: &Catalogue,
        issuer: &str,
        asked: &Evaluation,
    ) -> Result<(Self, Result<Vec<Operation>, Reason>), &'static str> {
        let meant = Self::by_name(catalogue, issuer, asked)?;
        let operations = mapping::map(catalogue, &meant.call());
        if meant.is_about_record(asked) {
            meant.is_of(catalogue, asked, &operations)?;
        }
        Ok((meant, operations))
    }

    /// The call that is named, whatever record is.
    fn by_name(catalogue: &Catalogue, issuer: &str, asked: &Evaluation) -> Result<Self, &'static str> {
        let target = Target::of(issuer, asked)?;
        let arguments = match asked.context.get("arguments") {
            None => implied_arguments(catalogue, &target, asked),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(_) => return Err("`context.arguments` is not an object"),
        };
        let Target { system, method, name } = target;
        Ok(Self { system, method, name, arguments })
    }

    fn is_about_record(&self, asked: &Evaluation) -> bool {
        self.method == "tools/call" && is_record(&asked.resource)
    }

    /// A decision is about what the call does, so the record that is asked about must be the one that the arguments name:
    /// else an allow for one record would be read as an allow for another.
    fn is_of(
        &self,
        catalogue: &Catalogue,
        asked: &Evaluation,
        operations: &Result<Vec<Operation>, Reason>,
    ) -> Result<(), &'static str> {
        // What cannot be mapped is denied by the decision itself, with a better reason than any from here.
        let Ok(operations) = operations else { return Ok(()) };
        let resource = &asked.resource;
        let namespace = catalogue.system(&self.system).map(|system| system.namespace.as_str());
        let names = |operation: &Operation| match &operation.resource {
            Resource::Record { type_name, id, .. } => {
                let full = namespace.map(|namespace| format!("{namespace}::{type_name}"));
                *id == resource.id && (resource.kind == *type_name || full.as_deref() == Some(&resource.kind))
            }
            Resource::Tool { .. } | Resource::System { .. } => false,
        };
        if operations.iter().all(names) {
            Ok(())
        } else {
            Err("the resource is not the record that the arguments name")
        }
    }

    /// The same, to be mapped.
    pub fn call(&self) -> Call<'_> {
        Call { system: &self.system, method: &self.method, name: self.name.as_deref(), arguments: &self.arguments }
    }
}

fn is_record(resource: &Entity) -> bool {
    !CALL_TYPES.iter().any(|kind| resource.kind.eq_ignore_ascii_case(kind))
}

impl Target {
    /// An action of ours is `<system>.<tool>` or `<system>:<mcp method>`. In COAZ's words it is the MCP method, and the
    /// system is in `context.mcp_server` or before the dot of the tool's id.
    fn of(issuer: &str, asked: &Evaluation) -> Result<Self, &'static str> {
        let (action, resource) = (asked.action.name.as_str(), &asked.resource);
        match action.find(['.', ':', '/']).and_then(|at| action.split_at_checked(at)) {
            Some((_, rest)) if rest.starts_with('/') => coaz(issuer, asked),
            Some((_, rest)) if rest.starts_with('.') => {
                // A tool is asked for as itself, or with the record that it is used on.
                if !is(resource, "tool") && !is_record(resource) {
                    return Err("a tool is not used on a resource of this type");
                }
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
fn tool(text: &str) -> Result<Target, &'static str> {
    let (system, tool) = text.split_once('.').ok_or(UNKNOWN)?;
    let system = system.parse().map_err(|_| UNKNOWN)?;
    Ok(Target { system, method: "tools/call".to_owned(), name: Some(tool.to_owned()) })
}

fn coaz(issuer: &str, asked: &Evaluation) -> Result<Target, &'static str> {
    let (action, resource) = (asked.action.name.as_str(), &asked.resource);
    let named = match asked.context.get("mcp_server") {
        None => None,
        Some(Value::String(server)) => Some(system(issuer, server)?),
        Some(_) => return Err("`context.mcp_server` is not a string"),
    };
    match (action, named) {
        ("tools/call", _) if !is(resource, "tool") => Err("`tools/call` needs a resource of the type `tool`"),
        ("tools/call", None) => tool(&resource.id),
        ("tools/call", Some(system)) => {
            Ok(Target { system, method: action.to_owned(), name: Some(resource.id.clone()) })
        }
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
fn method(issuer: &str, of: SystemName, method: &str, asked: &Evaluation) -> Result<Target, &'static str> {
    let resource = &asked.resource;
    let about: &[&str] = match method {
        "resources/read" | "resources/subscribe" => &["resource"],
        "prompts/get" => &["prompt"],
        "completion/complete" => &["prompt", "resource"],
        "logging/setLevel" => &["mcp_server", "system"],
        // Denied by the decision itself, with a better reason than any from here.
        _ => return Ok(Target { system: of, method: method.to_owned(), name: Some(resource.id.clone()) }),
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
    Ok(Target { system: of, method: method.to_owned(), name })
}

/// Without arguments, the properties of the action are the arguments, and the record that is asked about stands for the
/// ones that name and describe it. Nothing that the tool does not take becomes an argument, and nothing is overwritten.
fn implied_arguments(catalogue: &Catalogue, call: &Target, asked: &Evaluation) -> Members {
    let Evaluation { action, resource, .. } = asked;
    let name = call.name.as_deref().and_then(|name| name.parse().ok());
    let tool = name.and_then(|name| catalogue.tool(&call.system, &name));
    let Some(tool) = tool.filter(|_| call.method == "tools/call") else { return Members::new() };
    let taken = |(name, _): &(&String, &Value)| tool.input.attributes.contains_key(*name);
    let properties = action.properties.iter().filter(taken);
    let mut arguments: Members = properties.map(|(name, value)| (name.clone(), value.clone())).collect();
    if is_record(resource) {
        for (argument, value) in of_record(tool, resource) {
            arguments.entry(argument).or_insert(value);
        }
    }
    arguments
}

/// The arguments that name and describe a record.
fn of_record(tool: &Tool, resource: &Entity) -> Vec<(String, Value)> {
    let Some(mapping) = tool.records.as_ref().filter(|mapping| mapping.each.is_empty()) else { return Vec::new() };
    let [id] = mapping.ids.as_slice() else { return Vec::new() };
    let named = std::iter::once((id, Value::String(resource.id.clone())));
    let described = mapping.attributes.iter();
    let described = described.filter_map(|(name, path)| Some((path, resource.properties.get(name)?.clone())));
    let whole =
        |(path, value): (&ArgumentPath, Value)| (path.steps().len() == 1).then(|| (path.argument().to_owned(), value));
    named.chain(described).filter_map(whole).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authzen::Action;

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
        let found = Target::of("https://broker.test", &asked);
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
        for other in ["resource", "prompt", "system", "mcp_server"] {
            check("files.read_file", other, "file:///b", &none, None);
        }
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
