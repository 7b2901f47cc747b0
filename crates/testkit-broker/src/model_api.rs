//! A model of nobody's: answers the streaming Messages API on loopback and asks for the tools of a script, one after
//! the other, then says that it is done. Keeps what each tool gave back.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A running fake; dropping it ends it.
#[derive(Debug)]
pub struct ModelApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    script: Vec<(String, Value)>,
    results: Mutex<Vec<Value>>,
    tools: Mutex<Vec<String>>,
}

impl ModelApi {
    /// Starts one that asks for these tools with these arguments.
    pub async fn start(script: &[(&str, Value)]) -> Self {
        let script = script.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect();
        let shared = Arc::new(Shared { script, results: Mutex::default(), tools: Mutex::default() });
        let router = Router::new().route("/v1/messages", post(messages)).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let server = tokio::spawn(async move {
            drop(axum::serve(listener, router).await);
        });
        Self { address, shared, server }
    }

    /// For `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What each tool of the script gave back, as text, and whether it was an error.
    pub fn results(&self) -> Vec<(String, bool)> {
        let results = self.shared.results.lock().expect("nobody panicked with it");
        results
            .iter()
            .map(|result| {
                let content = &result["content"];
                let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
                (text, result["is_error"] == true)
            })
            .collect()
    }

    /// The id under which the tool of a step was asked for.
    pub fn call_id(step: usize) -> String {
        format!("toolu_test{step:04}")
    }

    /// The tools that the client offered with its first message.
    pub fn offered(&self) -> Vec<String> {
        self.shared.tools.lock().expect("nobody panicked with it").clone()
    }
}

impl Drop for ModelApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn messages(State(shared): State<Arc<Shared>>, Json(asked): Json<Value>) -> Response {
    let is_result = |part: &&Value| part.get("type").is_some_and(|kind| kind == "tool_result");
    let parts = array(&asked, "messages").flat_map(|message| array(message, "content").filter(is_result));
    let results: Vec<Value> = parts.cloned().collect();
    let tools: Vec<String> =
        array(&asked, "tools").filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())).collect();
    let model = asked.get("model").unwrap_or(&Value::Null);
    // Clients also ask for titles and summaries, without tools: these get no script.
    let next = shared.script.get(results.len()).filter(|_| !tools.is_empty());
    if !tools.is_empty() {
        let mut first = shared.tools.lock().expect("nobody panicked with it");
        if first.is_empty() {
            *first = tools;
        }
        let mut kept = shared.results.lock().expect("nobody panicked with it");
        if results.len() > kept.len() {
            kept.clone_from(&results);
        }
    }
    let body = match next {
        Some((name, input)) => tool_use(model, &ModelApi::call_id(results.len()), name, input),
        None => done(model),
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// The elements of a member that is an array.
fn array<'a>(of: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    of.get(member).and_then(Value::as_array).into_iter().flatten()
}

fn tool_use(model: &Value, id: &str, name: &str, input: &Value) -> String {
    let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    stream(model, &block, &json!({"type": "input_json_delta", "partial_json": input.to_string()}), "tool_use")
}

fn done(model: &Value) -> String {
    stream(model, &json!({"type": "text", "text": ""}), &json!({"type": "text_delta", "text": "done"}), "end_turn")
}

fn stream(model: &Value, block: &Value, delta: &Value, stop: &str) -> String {
    let usage = json!({"input_tokens": 1, "output_tokens": 1});
    let message = json!({
        "id": "msg_test", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    let events = [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": usage}),
        json!({"type": "message_stop"}),
    ];
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect()
}
