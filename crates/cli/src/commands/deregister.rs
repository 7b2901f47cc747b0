//! `bailiwick deregister`: an agent ends itself by its own key, as the last step of a pipeline.

use serde_json::{Value, json};

use crate::{
    agent::tokens::{TOKEN_TIME_MAX, fresh_id, http_client, issuer_of, now, read_key, unreachable},
    arguments::Deregister,
    exit::{Exit, Failure},
    output::Output,
};

/// Retires the agent with its grants and keys.
pub(crate) async fn run(ask: &Deregister, output: &Output) -> Result<Exit, Failure> {
    let issuer = issuer_of(&ask.url)?;
    let agent = ask.agent.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?;
    let key = read_key(&ask.key)?;
    let assertion = key
        .sign_client_assertion(&issuer, &agent, now(), &fresh_id())
        .map_err(|error| Failure::new(error.to_string()))?;
    let form = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.as_str()),
    ];
    let url = format!("{issuer}/oauth/deregister");
    let sent = http_client()?.post(url).timeout(TOKEN_TIME_MAX).form(&form).send().await;
    let answer = sent.map_err(|error| unreachable(&issuer, &error))?;
    let status = answer.status();
    if status.is_success() {
        output.document(&json!({"agent": agent, "state": "retired"}), |_| format!("`{agent}` is retired"));
        return Ok(Exit::Done);
    }
    let body: Value = answer.json().await.unwrap_or_default();
    let why = body.get("error_description").and_then(Value::as_str).unwrap_or("no reason was given");
    let failure = Failure::new(format!("`{agent}` is not retired: {}", crate::output::clean(why)));
    Err(failure.hint(format!("`bailiwick agents show {agent}` tells an operator more")).exit(Exit::Denied))
}
