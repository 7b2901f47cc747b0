//! The sample system of the demo: a small help desk with real data in SQLite, as an MCP server on stdio
//! (revision 2025-11-25). It knows nothing of the broker and checks nothing itself.

mod data;
mod tools;

use std::{
    io::{BufRead as _, Write as _},
    path::Path,
};

use serde_json::{Value, json};

use crate::exit::{Exit, Failure};

const REVISION: &str = "2025-11-25";

/// Serves until standard input ends.
pub(crate) fn serve(database: &Path) -> Result<Exit, Failure> {
    let connection = data::open(database).map_err(|error| Failure::file(database, &error))?;
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::new(format!("standard input: {error}")))?;
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(id) = message.get("id").filter(|id| !id.is_null()) else { continue };
        let answer = match answer(&connection, &message) {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, text)) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}}),
        };
        writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).map_err(|error| Failure::new(error.to_string()))?;
    }
    Ok(Exit::Done)
}

fn answer(connection: &rusqlite::Connection, message: &Value) -> Result<Value, (i64, String)> {
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/method") {
        "initialize" => Ok(json!({
            "protocolVersion": REVISION,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "bailiwick-sample-helpdesk", "version": env!("CARGO_PKG_VERSION")},
        })),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": tools::definitions()})),
        "tools/call" => {
            let arguments = message.pointer("/params/arguments").cloned().unwrap_or_else(|| json!({}));
            match tools::call(connection, text("/params/name"), &arguments) {
                Ok(value) => Ok(json!({
                    "content": [{"type": "text", "text": value.to_string()}],
                    "structuredContent": value,
                    "isError": false,
                })),
                Err(tools::ToolError::Unknown) => Err((-32602, "unknown tool".to_owned())),
                Err(tools::ToolError::Failed(text)) => {
                    Ok(json!({"content": [{"type": "text", "text": text}], "isError": true}))
                }
            }
        }
        _ => Err((-32601, "unknown method".to_owned())),
    }
}
