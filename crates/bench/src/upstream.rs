//! The MCP server behind everything that is measured: as many tools as asked for, and an answer at once.

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::post, serve::ListenerExt as _};
use serde_json::{Value, json};

const REVISION: &str = "2025-11-25";
/// What every call is answered with.
pub(crate) const DONE: &str = "done and dusted";

/// Serves on a free port of loopback, whose URL it prints first.
pub(crate) async fn serve(tools: usize) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("an address");
    let tools: Value = (0..tools).map(tool).collect();
    let router = Router::new().route("/mcp", post(move |body: Json<Value>| answer(body, tools.clone())));
    println!("http://{address}/mcp");
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await.expect("it serves until it is killed");
}

fn tool(number: usize) -> Value {
    json!({
        "name": format!("tool_{number}"),
        "description": format!("Does the thing of number {number} to the record that it is given."),
        "inputSchema": {
            "type": "object",
            "properties": { "id": { "type": "string" }, "note": { "type": "string" } },
            "required": ["id"],
        },
    })
}

async fn answer(Json(message): Json<Value>, tools: Value) -> axum::response::Response {
    let Some(id) = message.get("id") else { return StatusCode::ACCEPTED.into_response() };
    let result = match message.get("method").and_then(Value::as_str) {
        Some("initialize") => json!({
            "protocolVersion": REVISION, "capabilities": { "tools": {} }, "serverInfo": { "name": "depot", "version": "1" },
        }),
        Some("tools/list") => json!({ "tools": tools }),
        Some("tools/call") => json!({ "content": [{ "type": "text", "text": DONE }] }),
        Some("ping") => json!({}),
        _ => {
            let error = json!({ "code": -32601, "message": "method not found" });
            return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
}
