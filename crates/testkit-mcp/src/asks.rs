//! What a client of 2025-11-25 is asked while a call runs, on the call's own stream.
#![expect(deprecated, reason = "sampling is deprecated, and the suite still checks it")]

use rmcp::{ErrorData, RoleServer, model::JsonObject, service::RequestContext};
use serde_json::{Value, json};

use crate::content;

/// Asks what a tool asks, and gives the line that it answers with; `None` if it asks nothing.
pub(crate) async fn ask(
    name: &str,
    arguments: &JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<Option<String>, ErrorData> {
    let argument = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let line = match name {
        "test_sampling" => {
            let message = json!({ "role": "user", "content": content::text(argument("prompt")) });
            let asked = json!({ "messages": [message], "maxTokens": 100 });
            let answer = context.peer.create_message(content::typed(asked)?).await.map_err(unasked)?;
            format!("LLM response: {}", serde_json::to_value(&answer.message.content).unwrap_or_default())
        }
        "test_elicitation" => {
            let answer = elicit(argument("message"), person(), context).await?;
            format!("User response: {answer}")
        }
        "test_elicitation_sep1034_defaults" => {
            format!("Elicitation completed: {}", elicit("Check these", defaults(), context).await?)
        }
        "test_elicitation_sep1330_enums" => {
            format!("Elicitation completed: {}", elicit("Choose", choices(), context).await?)
        }
        _ => return Ok(None),
    };
    Ok(Some(line))
}

async fn elicit(message: &str, schema: Value, context: &RequestContext<RoleServer>) -> Result<String, ErrorData> {
    let asked = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    let answer = context.peer.create_elicitation(content::typed(asked)?).await.map_err(unasked)?;
    let answer = serde_json::to_value(answer).unwrap_or_default();
    let part = |name: &str| answer.get(name).cloned().unwrap_or_default();
    Ok(format!("action={}, content={}", part("action"), part("content")))
}

fn unasked(error: rmcp::ServiceError) -> ErrorData {
    ErrorData::internal_error(format!("the client could not be asked: {error}"), None)
}

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    })
}

fn defaults() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
            "verified": { "type": "boolean", "default": true },
        },
    })
}

fn choices() -> Value {
    let titled = json!([
        { "const": "value1", "title": "First" }, { "const": "value2", "title": "Second" },
        { "const": "value3", "title": "Third" },
    ]);
    let plain = json!(["option1", "option2", "option3"]);
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": plain },
            "titledSingle": { "type": "string", "oneOf": titled },
            "legacyEnum": {
                "type": "string", "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
            "titledMulti": { "type": "array", "items": { "anyOf": titled } },
        },
    })
}

#[cfg(test)]
mod tests {
    use rmcp::model::ElicitRequestParams;

    use super::*;

    #[test]
    fn the_forms_survive_the_sdk() {
        for schema in [person(), defaults(), choices()] {
            let asked = json!({ "mode": "form", "message": "m", "requestedSchema": schema });
            let typed: ElicitRequestParams = content::typed(asked).unwrap();
            let told = serde_json::to_value(&typed).unwrap();
            assert_eq!(told["requestedSchema"]["properties"], schema["properties"]);
        }
    }
}
