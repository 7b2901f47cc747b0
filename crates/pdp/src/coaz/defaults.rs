//! The default mapping of each MCP method, as the MCP binding has them: what an enforcement point that knows nothing of
//! this broker asks it. `initialize` and the lists ask about the server, `ping` and notifications about nothing.

use serde_json::{Value, json};

use super::mapping::Mapping;

/// What the default mappings say of a method.
#[derive(Debug, Clone)]
pub enum DefaultMapping {
    /// It is mapped.
    Mapped(Box<Mapping>),
    /// It passes without a decision.
    PassThrough,
    /// Nobody knows it, so it is denied.
    Unknown,
}

/// The default mapping of a method.
pub fn of(method: &str) -> DefaultMapping {
    if method == "ping" || method.starts_with("notifications/") {
        return DefaultMapping::PassThrough;
    }
    let Some((resource, more)) = about(method) else { return DefaultMapping::Unknown };
    let mut context = json!({ "agent": "$token.?client_id" });
    if let (Some((name, value)), Value::Object(context)) = (more, &mut context) {
        context.insert(name.to_owned(), value.into());
    }
    let written = json!({"evaluation": {
        "subject": { "type": "identity", "id": "$token.sub" },
        "context": context,
        "action": { "name": method },
        "resource": resource,
    }});
    Mapping::compile(&written).map_or(DefaultMapping::Unknown, |mapping| DefaultMapping::Mapped(Box::new(mapping)))
}

/// The resource of a method, and what its context has besides the agent.
fn about(method: &str) -> Option<(Value, Option<(&'static str, &'static str)>)> {
    let server = || json!({ "type": "mcp_server", "id": "$token.aud" });
    let named = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    Some(match method {
        "initialize" => (server(), Some(("protocol_version", "$params.protocolVersion"))),
        "tools/list" | "resources/list" | "prompts/list" | "tasks/list" => (server(), None),
        "tools/call" => (named("tool", "$params.name"), None),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => (named("resource", "$params.uri"), None),
        "prompts/get" => (named("prompt", "$params.name"), None),
        "completion/complete" => {
            let kind = "$params.ref.type == 'ref/prompt' ? 'prompt' : 'resource'";
            (named(kind, "$params.ref.type == 'ref/prompt' ? params.ref.name : params.ref.uri"), None)
        }
        "logging/setLevel" => (server(), Some(("level", "$params.level"))),
        "tasks/get" | "tasks/result" | "tasks/cancel" => (named("task", "$params.taskId"), None),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coaz::expression::Inputs;

    #[track_caller]
    fn check(method: &str, params: &Value, kind: &str, id: &str, more: &Value) {
        let token = json!({"sub": "alice", "client_id": "reader", "aud": "https://broker.test/mcp/files"});
        let DefaultMapping::Mapped(mapping) = of(method) else { panic!("{method} is mapped") };
        let found = mapping.resolve(&Inputs::new(params, &token).unwrap(), "alice").unwrap();
        let [one] = found.as_slice() else { panic!("{method} asks for one decision") };
        assert_eq!((one.subject.kind.as_str(), one.subject.id.as_str()), ("identity", "alice"));
        assert_eq!(one.action.name, method);
        assert_eq!((one.resource.kind.as_str(), one.resource.id.as_str()), (kind, id), "{method}");
        let mut context = json!({"agent": "reader"});
        context.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(Value::Object(one.context.clone()), context, "{method}");
    }

    #[test]
    fn every_method_of_the_binding_has_its_mapping() {
        let server = "https://broker.test/mcp/files";
        let none = json!({});
        check(
            "initialize",
            &json!({"protocolVersion": "2025-11-25"}),
            "mcp_server",
            server,
            &json!({"protocol_version": "2025-11-25"}),
        );
        for list in ["tools/list", "resources/list", "prompts/list", "tasks/list"] {
            check(list, &none, "mcp_server", server, &none);
        }
        check("tools/call", &json!({"name": "read", "arguments": {}}), "tool", "read", &none);
        for method in ["resources/read", "resources/subscribe", "resources/unsubscribe"] {
            check(method, &json!({"uri": "file:///a"}), "resource", "file:///a", &none);
        }
        check("prompts/get", &json!({"name": "p"}), "prompt", "p", &none);
        check("completion/complete", &json!({"ref": {"type": "ref/prompt", "name": "p"}}), "prompt", "p", &none);
        check(
            "completion/complete",
            &json!({"ref": {"type": "ref/resource", "uri": "file:///a"}}),
            "resource",
            "file:///a",
            &none,
        );
        check("logging/setLevel", &json!({"level": "debug"}), "mcp_server", server, &json!({"level": "debug"}));
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            check(method, &json!({"taskId": "t"}), "task", "t", &none);
        }
    }

    #[test]
    fn what_passes_and_what_nobody_knows() {
        assert!(matches!(of("ping"), DefaultMapping::PassThrough));
        assert!(matches!(of("notifications/cancelled"), DefaultMapping::PassThrough));
        for method in ["", "tools", "tools/destroy", "sampling/createMessage", "pinging", "notifications"] {
            assert!(matches!(of(method), DefaultMapping::Unknown), "{method}");
        }
    }
}
