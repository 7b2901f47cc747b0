//! The help desk's tools. Each call is counted in the table `call`, so that anybody can see what arrived.

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value, json};

/// Why a tool gave no result.
#[derive(Debug)]
pub(super) enum ToolError {
    /// There is no such tool.
    Unknown,
    /// It failed, with a text for the model.
    Failed(String),
}

impl From<rusqlite::Error> for ToolError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn tool(name: &str, description: &str, properties: &Value, required: &[&str]) -> Value {
    json!({
        "name": name,
        "description": description,
        "inputSchema": {
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        },
    })
}

/// All tools, as `tools/list` gives them. `export_customers` claims to be harmless, as careless servers do.
pub(super) fn definitions() -> Vec<Value> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut export = tool("export_customers", "Export all customers with their mail addresses", &json!({}), &[]);
    if let Some(object) = export.as_object_mut() {
        object.insert("annotations".to_owned(), json!({"readOnlyHint": true}));
    }
    vec![
        tool("search_tickets", "Find tickets by a word", &json!({"query": text("a word")}), &["query"]),
        tool("read_ticket", "Read one ticket", &json!({"id": text("ticket id")}), &["id"]),
        tool(
            "add_note",
            "Add an internal note to a ticket",
            &json!({"id": text("ticket id"), "text": text("the note")}),
            &["id", "text"],
        ),
        tool(
            "send_mail",
            "Send a mail to a customer",
            &json!({"to": text("address"), "subject": text("subject"), "body": text("body")}),
            &["to", "subject", "body"],
        ),
        tool(
            "close_tickets",
            "Close tickets",
            &json!({"ids": {"type": "array", "items": {"type": "string"}}}),
            &["ids"],
        ),
        tool("delete_ticket", "Delete a ticket for good", &json!({"id": text("ticket id")}), &["id"]),
        export,
    ]
}

/// Runs one tool.
pub(super) fn call(connection: &Connection, name: &str, arguments: &Value) -> Result<Value, ToolError> {
    let text = |argument: &str| arguments.get(argument).and_then(Value::as_str).unwrap_or_default();
    let known = definitions().iter().any(|tool| tool.get("name").and_then(Value::as_str) == Some(name));
    if !known {
        return Err(ToolError::Unknown);
    }
    connection.execute("INSERT INTO call VALUES ($1)", [name])?;
    match name {
        "search_tickets" => {
            let mut statement = connection.prepare(
                "SELECT id, subject, status FROM ticket WHERE status = 'open' AND (subject LIKE $1 OR body LIKE $1) LIMIT 50",
            )?;
            let rows = statement.query_map([format!("%{}%", text("query"))], |row| {
                Ok(json!({
                    "id": row.get::<_, String>(0)?, "subject": row.get::<_, String>(1)?,
                    "status": row.get::<_, String>(2)?,
                }))
            })?;
            Ok(json!({"tickets": rows.collect::<Result<Vec<_>, _>>()?}))
        }
        "read_ticket" => read(connection, text("id")),
        "add_note" => {
            connection.execute("INSERT INTO note VALUES ($1, $2)", [text("id"), text("text")])?;
            Ok(json!({"noted": text("id")}))
        }
        "send_mail" => {
            connection.execute("INSERT INTO mail VALUES ($1, $2, $3)", [text("to"), text("subject"), text("body")])?;
            Ok(json!({"sent": text("to")}))
        }
        "close_tickets" => {
            let ids = arguments.get("ids").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut closed = 0;
            for id in ids.iter().filter_map(Value::as_str) {
                closed += connection.execute("UPDATE ticket SET status = 'closed' WHERE id = $1", [id])?;
            }
            Ok(json!({"closed": closed}))
        }
        "delete_ticket" => {
            connection.execute("DELETE FROM note WHERE ticket = $1", [text("id")])?;
            Ok(json!({"deleted": connection.execute("DELETE FROM ticket WHERE id = $1", [text("id")])?}))
        }
        _ => {
            let mut statement = connection.prepare("SELECT id, name, email FROM customer")?;
            let rows = statement.query_map([], |row| {
                Ok(json!({
                    "id": row.get::<_, String>(0)?, "name": row.get::<_, String>(1)?,
                    "email": row.get::<_, String>(2)?,
                }))
            })?;
            Ok(json!({"customers": rows.collect::<Result<Vec<_>, _>>()?}))
        }
    }
}

fn read(connection: &Connection, id: &str) -> Result<Value, ToolError> {
    let found = connection
        .query_row(
            "SELECT t.id, t.subject, t.body, t.status, c.name, c.email FROM ticket t JOIN customer c ON c.id = t.customer \
             WHERE t.id = $1",
            [id],
            |row| {
                Ok(json!({
                    "id": row.get::<_, String>(0)?, "subject": row.get::<_, String>(1)?,
                    "body": row.get::<_, String>(2)?, "status": row.get::<_, String>(3)?,
                    "customer": {"name": row.get::<_, String>(4)?, "email": row.get::<_, String>(5)?},
                }))
            },
        )
        .optional()?;
    found.ok_or_else(|| ToolError::Failed(format!("there is no ticket {id}")))
}
