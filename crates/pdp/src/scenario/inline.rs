//! Makes a bundle of what a scenario file carries. Tools may write their input
//! in short; the definition is then made and pinned from that.

use std::collections::BTreeMap;

use bailiwick_model::bundle::BundleFiles;
use serde_json::json;
use toml::{Table, Value};

use super::file::ScenarioFile;
use crate::{calendar::CALENDAR_FILE, definition, finding::Finding};

/// The bundle of a scenario file.
pub(super) fn bundle(path: &str, file: &ScenarioFile) -> Result<BundleFiles, Finding> {
    let refused = |message: String| Finding::error("scenario-bundle", path, message);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (folder, text) in &file.policies {
        files.insert(format!("policies/{folder}/scenario.cedar"), text.clone().into_bytes());
    }
    for (role, table) in &file.roles {
        files.insert(format!("roles/{role}.toml"), text(table).map_err(refused)?);
    }
    for (template, table) in &file.templates {
        files.insert(format!("templates/{template}.toml"), text(table).map_err(refused)?);
    }
    if let Some(table) = &file.calendar {
        files.insert(CALENDAR_FILE.to_owned(), text(table).map_err(refused)?);
    }
    for (system, table) in &file.systems {
        let mut table = table.clone();
        let lock = pin(&mut table).map_err(|message| refused(format!("system `{system}`: {message}")))?;
        files.insert(format!("systems/{system}.toml"), text(&table).map_err(refused)?);
        files.insert(format!("systems/{system}.tools.json"), lock.to_string().into_bytes());
    }
    BundleFiles::new(files).map_err(|error| refused(error.to_string()))
}

fn text(table: &Table) -> Result<Vec<u8>, String> {
    toml::to_string(table).map(String::into_bytes).map_err(|error| error.to_string())
}

/// Fills in what a scenario leaves out, and makes the definitions of the tools.
fn pin(table: &mut Table) -> Result<serde_json::Value, String> {
    table.entry("environment").or_insert_with(|| "production".into());
    let upstream =
        || Value::Table(Table::from_iter([(String::from("url"), Value::from("https://upstream.example/mcp"))]));
    table.entry("upstream").or_insert_with(upstream);
    let mut definitions = Vec::new();
    let mut unclassified = Vec::new();
    if let Some(Value::Table(tools)) = table.get_mut("tools") {
        for (name, tool) in tools.iter_mut() {
            let Value::Table(tool) = tool else { return Err(format!("tool `{name}` is not a table")) };
            let schema = input_schema(tool.remove("input"))?;
            let tool_definition = json!({ "name": name, "inputSchema": schema });
            if tool.get("class").is_some() {
                tool.insert("definition".into(), definition::digest(&tool_definition).to_string().into());
            } else {
                unclassified.push(name.clone());
            }
            definitions.push(tool_definition);
        }
        for name in unclassified {
            tools.remove(&name);
        }
    }
    Ok(json!({ "protocol_version": "2025-11-25", "server_info": {}, "tools": definitions, "prompts": [] }))
}

/// `{ id = "string", notes = "string?" }` as JSON Schema; a table `schema` alone is taken as it is.
fn input_schema(input: Option<Value>) -> Result<serde_json::Value, String> {
    let Some(input) = input else { return Ok(json!({ "type": "object" })) };
    let Value::Table(input) = input else { return Err(String::from("`input` is not a table")) };
    if let (1, Some(schema @ Value::Table(_))) = (input.len(), input.get("schema")) {
        return serde_json::to_value(schema).map_err(|error| error.to_string());
    }
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for (name, kind) in &input {
        let Value::String(kind) = kind else { return Err(format!("the type of input `{name}` is not text")) };
        let plain = kind.strip_suffix('?').unwrap_or(kind);
        if plain == kind {
            required.push(name.clone());
        }
        let schema = match plain.strip_suffix("[]") {
            Some(element) => json!({ "type": "array", "items": { "type": element } }),
            None => json!({ "type": plain }),
        };
        properties.insert(name.clone(), schema);
    }
    Ok(json!({ "type": "object", "properties": properties, "required": required }))
}
