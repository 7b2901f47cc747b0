//! The definitions of all tools, prompts and MCP resources, kept as data.

use rmcp::{ErrorData, model::Tool};
use serde::de::DeserializeOwned;

const TOOLS: &str = include_str!("fixtures/tools.json");
const PROMPTS: &str = include_str!("fixtures/prompts.json");
const RESOURCES: &str = include_str!("fixtures/resources.json");

fn read<T: DeserializeOwned>(text: &str) -> Result<T, ErrorData> {
    serde_json::from_str(text).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// All tools.
pub(crate) fn tools() -> Result<Vec<Tool>, ErrorData> {
    read(TOOLS)
}

/// One tool.
pub(crate) fn tool(name: &str) -> Option<Tool> {
    tools().ok()?.into_iter().find(|tool| tool.name == name)
}

/// All prompts.
pub(crate) fn prompts<T: DeserializeOwned>() -> Result<Vec<T>, ErrorData> {
    read(PROMPTS)
}

/// All MCP resources that have no template.
pub(crate) fn resources<T: DeserializeOwned>() -> Result<Vec<T>, ErrorData> {
    read(RESOURCES)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_definitions_survive_the_sdk() {
        let told: Vec<Value> = read(TOOLS).unwrap();
        let kept = serde_json::to_value(tools().unwrap()).unwrap();
        assert_eq!(kept, Value::from(told));
        assert!(tool("test_simple_text").is_some());
        assert!(tool("no_such_tool").is_none());
        assert_eq!(prompts::<rmcp::model::Prompt>().unwrap().len(), 5);
        assert_eq!(resources::<rmcp::model::Resource>().unwrap().len(), 3);
    }
}
