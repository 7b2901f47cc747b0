//! `bailiwick deregister`: an agent ends itself by what it proves itself by, as the last step of a pipeline.

use serde_json::{Value, json};

use crate::{
    agent::{
        identity::Identity,
        tokens::{TOKEN_TIME_MAX, issuer_of, unreachable},
    },
    arguments::Deregister,
    exit::{Exit, Failure},
    output::Output,
};

/// Retires the agent with its grants and keys.
pub(crate) async fn run(ask: &Deregister, output: &Output) -> Result<Exit, Failure> {
    let issuer = issuer_of(&ask.url)?;
    let agent = ask.agent.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?;
    let identity = Identity::read(&ask.key, ask.certificate.as_deref())?;
    let url = format!("{}/oauth/deregister", identity.origin(&issuer).await?);
    let form = identity.authentication(&issuer, &agent)?;
    let sent = identity.http.post(url).timeout(TOKEN_TIME_MAX).form(&form).send().await;
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
