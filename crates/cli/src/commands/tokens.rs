//! `bailiwick tokens`: every access token that is out there.

use bailiwick_model::id::TokenId;
use serde_json::{Value, json};

use super::{
    agents::{agent_name, minute},
    door,
};
use crate::{
    arguments::{Arguments, Tokens},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, table, text},
};

/// Tokens that are asked for at a time.
const PAGE: usize = 1_000;

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Tokens, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        Tokens::List { agent, grant } => {
            let mut query = format!("limit={PAGE}");
            if let Some(agent) = agent {
                query.push_str(&format!("&client={}", agent_name(agent)?));
            }
            if let Some(grant) = grant {
                let id: Result<bailiwick_model::id::GrantId, _> = grant.parse();
                query.push_str(&format!("&grant={}", id.map_err(usage)?));
            }
            let tokens = all(&door, &query).await?;
            let none = tokens.is_empty();
            output.document(&json!({ "tokens": tokens }), |_| rows(&tokens));
            if none {
                output.note("no access token is unexpired");
            }
        }
        Tokens::Revoke { id } => {
            let id: TokenId = id.parse().map_err(usage)?;
            let token = door.change(&format!("/api/v1/tokens/{id}/revoke"), &json!({})).await?;
            output.document(&token, |token| rows(std::slice::from_ref(token)));
        }
    }
    Ok(Exit::Done)
}

/// All pages.
async fn all(door: &Door, query: &str) -> Result<Vec<Value>, Failure> {
    let mut tokens: Vec<Value> = Vec::new();
    loop {
        let after = tokens.last().map(|last| format!("&after={}", text(last, "/id"))).unwrap_or_default();
        let page = door.read(&format!("/api/v1/tokens?{query}{after}")).await?;
        let page = page.get("tokens").and_then(Value::as_array).cloned().unwrap_or_default();
        let whole = page.len() < PAGE;
        tokens.extend(page);
        if whole {
            return Ok(tokens);
        }
    }
}

fn rows(tokens: &[Value]) -> String {
    table(
        ["jti", "client", "reason", "audience", "task", "state", "issued", "ends"],
        tokens.iter().map(|token| {
            [
                text(token, "/id"),
                text(token, "/client"),
                text(token, "/reason"),
                text(token, "/audience"),
                text(token, "/task"),
                text(token, "/state"),
                minute(&text(token, "/issued_at")),
                minute(&text(token, "/expires_at")),
            ]
        }),
    )
}

fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string()).exit(Exit::Usage)
}
