//! `bailiwick bridge`: an MCP server on stdio for clients that know no OAuth. Holds the agent's key, so the client
//! needs none.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    sync::{Mutex, mpsc},
    task::{AbortHandle, JoinSet},
};

use crate::{
    agent::{
        connection::Connection,
        identity::Identity,
        tokens::{Target, Tokens, issuer_of},
    },
    arguments::Bridge,
    exit::{Exit, Failure},
    output::Output,
};

/// Messages that wait to be written to the client.
const ANSWERS_MAX: usize = 64;
/// Messages of the client that are under way at once.
const UNDER_WAY_MAX: usize = 64;
/// Bytes of one line of the client.
const LINE_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Runs until the client closes its end.
pub(crate) async fn run(ask: &Bridge, output: &Output) -> Result<Exit, Failure> {
    let issuer = issuer_of(&ask.url)?;
    let resource = match &ask.system {
        Some(system) => {
            let system: bailiwick_model::name::SystemName =
                system.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?;
            format!("{issuer}/mcp/{system}")
        }
        None => format!("{issuer}/mcp"),
    };
    let target = Target {
        issuer,
        resource: resource.clone(),
        agent: ask.credential.agent.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?,
        task: ask.credential.task.clone(),
        scope: None,
        bearer: false,
    };
    let tokens = Arc::new(Tokens::new(Identity::of(&ask.credential)?, target));
    // A wrong key or a broker that is down shows at once, not at the first call.
    tokens.current().await?;
    output.note(&format!("bridge to {resource} as {}", ask.credential.agent));
    let (sender, answers) = mpsc::channel(ANSWERS_MAX);
    let writing = tokio::spawn(write(answers));
    let url = tokens.called(&resource).await?;
    let connection = Arc::new(Connection::new(tokens.http(), url, tokens, sender.clone()));
    let result = read(&connection, &sender).await;
    connection.close().await;
    drop(sender);
    drop(connection);
    let _ = writing.await;
    result.map(|()| Exit::Done)
}

async fn write(mut answers: mpsc::Receiver<Bytes>) {
    let mut stdout = tokio::io::stdout();
    while let Some(message) = answers.recv().await {
        // One message, one line: line breaks inside JSON are white space only.
        let line: Vec<u8> = message.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
        let written = async {
            stdout.write_all(&line).await?;
            stdout.write_all(b"\n").await?;
            stdout.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}

async fn read(connection: &Arc<Connection>, answers: &mpsc::Sender<Bytes>) -> Result<(), Failure> {
    let mut lines = BufReader::with_capacity(64 * 1_024, tokio::io::stdin());
    let mut tasks = JoinSet::new();
    let under_way: Arc<Mutex<BTreeMap<String, AbortHandle>>> = Arc::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut lines).take(LINE_BYTES_MAX as u64 + 1);
        let read = bounded.read_until(b'\n', &mut line).await;
        if read.map_err(|error| Failure::new(format!("standard input: {error}")))? == 0 {
            break;
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(Failure::new(format!("a message of the client is over {LINE_BYTES_MAX} bytes")));
        }
        while tasks.len() >= UNDER_WAY_MAX {
            tasks.join_next().await;
        }
        let message = Bytes::copy_from_slice(line.trim_ascii());
        if message.is_empty() {
            continue;
        }
        let parsed: Value = serde_json::from_slice(&message).unwrap_or(Value::Null);
        let method = parsed.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
        if method == "initialize" || method == "notifications/initialized" {
            // The handshake settles the session that everything after it needs.
            answer_failure(connection.send(message).await, &parsed, answers).await;
            if method == "notifications/initialized" {
                let listener = Arc::clone(connection);
                tasks.spawn(async move {
                    let _ = listener.listen().await;
                });
            }
            continue;
        }
        if method == "notifications/cancelled" {
            cancel(&parsed, &under_way).await;
        }
        spawn(connection, answers, &under_way, &mut tasks, (message, parsed)).await;
    }
    // Let answers under way arrive, but not the stream that only the server ends.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(300), async {
        while tasks.join_next().await.is_some() {}
    })
    .await;
    tasks.shutdown().await;
    Ok(())
}

async fn spawn(
    connection: &Arc<Connection>,
    answers: &mpsc::Sender<Bytes>,
    under_way: &Arc<Mutex<BTreeMap<String, AbortHandle>>>,
    tasks: &mut JoinSet<()>,
    (message, parsed): (Bytes, Value),
) {
    let id = parsed.get("id").filter(|_| parsed.get("method").is_some()).map(ToString::to_string);
    let (sender, answers, table) = (Arc::clone(connection), answers.clone(), Arc::clone(under_way));
    let key = id.clone();
    let handle = tasks.spawn(async move {
        answer_failure(sender.send(message).await, &parsed, &answers).await;
        if let Some(key) = key {
            table.lock().await.remove(&key);
        }
    });
    if let Some(id) = id {
        under_way.lock().await.insert(id, handle);
    }
}

/// Closing our connection is how the 2026-07-28 revision cancels; the notification itself is sent too, for the other.
async fn cancel(parsed: &Value, under_way: &Mutex<BTreeMap<String, AbortHandle>>) {
    if let Some(id) = parsed.pointer("/params/requestId")
        && let Some(handle) = under_way.lock().await.remove(&id.to_string())
    {
        handle.abort();
    }
}

/// A failure that the broker did not put into a message becomes one, so that the client is not left waiting.
async fn answer_failure(result: Result<(), Failure>, asked: &Value, answers: &mpsc::Sender<Bytes>) {
    let Err(failure) = result else { return };
    let Some(id) = asked.get("id").filter(|_| asked.get("method").is_some()) else { return };
    let mut text = failure.message;
    if let Some(hint) = failure.hint {
        text = format!("{text} (hint: {hint})");
    }
    let message = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": text}});
    let _ = answers.send(Bytes::from(message.to_string())).await;
}
