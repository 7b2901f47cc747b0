//! Answers that are always the same: blocks of content, prompts, MCP resources.

use rmcp::ErrorData;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// A picture of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/// A sound of no length.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
const TEMPLATE: (&str, &str) = ("test://template/", "/data");

/// The SDK's type for something written as JSON here.
pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// The same for a result, with the kind that 2026-07-28 wants; the SDK takes it out for older clients.
pub(crate) fn result<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    if let Some(members) = value.as_object_mut() {
        members.insert("resultType".to_owned(), "complete".into());
    }
    typed(value)
}

pub(crate) fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn image() -> Value {
    json!({ "type": "image", "data": PNG, "mimeType": "image/png" })
}

fn embedded(uri: &str, mime_type: &str, text: &str) -> Value {
    json!({ "type": "resource", "resource": { "uri": uri, "mimeType": mime_type, "text": text } })
}

/// What a tool answers with that only answers; `None` for any other tool.
pub(crate) fn of_tool(name: &str) -> Option<Value> {
    let content = match name {
        "test_simple_text" => json!([text("This is a simple text response for testing.")]),
        "test_image_content" => json!([image()]),
        "test_audio_content" => json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }]),
        "test_embedded_resource" => {
            json!([embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")])
        }
        "test_multiple_content_types" => json!([
            text("Multiple content types test:"),
            image(),
            embedded("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ]),
        "json_schema_2020_12_tool"
        | "test_custom_headers"
        | "test_trigger_tool_change"
        | "test_trigger_prompt_change"
        | "test_logging_tool"
        | "test_reconnection" => json!([text("done")]),
        "test_error_handling" => {
            let why = text("This tool intentionally returns an error for testing");
            return Some(json!({ "content": [why], "isError": true }));
        }
        _ => return None,
    };
    Some(json!({ "content": content }))
}

/// The messages of a prompt that needs no more input; `None` for any other prompt.
pub(crate) fn of_prompt(name: &str, arguments: &Map<String, Value>) -> Option<Value> {
    let argument = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let contents = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            let line = format!("Prompt with arguments: arg1='{}', arg2='{}'", argument("arg1"), argument("arg2"));
            vec![text(&line)]
        }
        "test_prompt_with_embedded_resource" => vec![
            embedded(argument("resourceUri"), "text/plain", "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image" => vec![image(), text("Please analyze the image above.")],
        _ => return None,
    };
    Some(messages(contents))
}

/// A prompt of these blocks, all of them the user's.
pub(crate) fn messages(contents: Vec<Value>) -> Value {
    let messages: Vec<Value> =
        contents.into_iter().map(|content| json!({ "role": "user", "content": content })).collect();
    json!({ "messages": messages })
}

/// What stands at a uri; `None` if nothing does.
pub(crate) fn of_uri(uri: &str) -> Option<Value> {
    let text = |mime_type: &str, text: &str| json!({ "uri": uri, "mimeType": mime_type, "text": text });
    let content = match uri {
        "test://static-text" => text("text/plain", "This is the content of the static text resource."),
        "test://watched-resource" => text("text/plain", "Nothing happened yet."),
        "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": PNG }),
        _ => {
            let id = uri.strip_prefix(TEMPLATE.0)?.strip_suffix(TEMPLATE.1)?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            text("application/json", &data.to_string())
        }
    };
    Some(json!({ "contents": [content] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_takes_its_id_from_the_uri() {
        let told = of_uri("test://template/123/data").unwrap();
        let text = told["contents"][0]["text"].as_str().unwrap();
        let expected = serde_json::json!({ "data": "Data for ID: 123", "id": "123", "templateTest": true });
        assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap(), expected);
        assert_eq!(of_uri("test://template/123"), None);
    }
}
