//! `bailiwick observe`: what rules would stop goes through for a while, and is counted.

use bailiwick_model::observation::ObservationScope;
use serde_json::{Value, json};

use super::{
    agents::{minute, percent},
    door,
};
use crate::{
    arguments::{Arguments, Observe, ObserveStart},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, table, text},
};

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Observe, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        Observe::Start(ask) => start(&door, ask, output).await?,
        Observe::Stop { scope, reason } => {
            let body = json!({"scope": parsed(scope)?, "reason": reason});
            let answer = door.change("/api/v1/observations/stop", &body).await?;
            output.document(&answer, |_| format!("`{scope}` is enforced again"));
        }
        Observe::List => {
            let listed = door.read("/api/v1/observations").await?;
            output.document(&listed, observations);
            if rows(&listed, "observations").is_empty() {
                output.hint("nothing is observed: everything is enforced");
            } else {
                output.hint(
                    "`bailiwick audit tail --kind intent` shows the calls; would_deny and would_ask went through",
                );
            }
        }
        Observe::Connections { agent, system } => {
            connections(&door, agent.as_deref(), system.as_deref(), output).await?
        }
    }
    Ok(Exit::Done)
}

async fn start(door: &Door, ask: &ObserveStart, output: &Output) -> Result<(), Failure> {
    let scope = parsed(&ask.scope)?;
    let body = json!({
        "scope": scope, "lifetime_s": ask.lifetime_s, "reason": ask.reason, "production": ask.danger_production,
    });
    let answer = door.change("/api/v1/observations/start", &body).await?;
    output.document(&answer, observations);
    output.note(&format!(
        "\n`{scope}` is NOT ENFORCED until then: what its rules would deny goes through and is recorded;\n\
         the boundary, tasks, scopes, budgets and pinned definitions hold as ever"
    ));
    Ok(())
}

async fn connections(door: &Door, agent: Option<&str>, system: Option<&str>, output: &Output) -> Result<(), Failure> {
    let filters = [("agent", agent), ("system", system)];
    let query: Vec<String> =
        filters.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={}", percent(value)))).collect();
    let listed = door.read(&format!("/api/v1/connections?{}", query.join("&"))).await?;
    output.document(&listed, |listed| {
        table(
            ["agent", "system", "state", "until"],
            rows(listed, "connections").iter().map(|row| {
                [text(row, "/agent"), text(row, "/system"), text(row, "/state"), minute(&text(row, "/until"))]
            }),
        )
    });
    if rows(&listed, "connections").is_empty() {
        output.hint("no agent that may act reaches a system of the active bundle");
    }
    Ok(())
}

/// Says beside a page about an agent or a system that its calls are observed; silent where they are not.
pub(crate) async fn notice(door: &Door, scope: &str, output: &Output) {
    let Ok(listed) = door.read("/api/v1/observations").await else { return };
    if let Some(row) = rows(&listed, "observations").iter().find(|row| text(row, "/scope") == scope) {
        output.note(&format!(
            "\nNOT ENFORCED: `{scope}` is observed until {} UTC; `bailiwick observe stop {scope} --reason …` ends it",
            minute(&text(row, "/until"))
        ));
    }
}

fn observations(listed: &Value) -> String {
    table(
        ["scope", "until (UTC)", "would allow", "would ask", "would deny", "reason"],
        rows(listed, "observations").iter().map(|row| {
            [
                text(row, "/scope"),
                minute(&text(row, "/until")),
                text(row, "/would_allow"),
                text(row, "/would_ask"),
                text(row, "/would_deny"),
                text(row, "/reason"),
            ]
        }),
    )
}

fn rows(listed: &Value, name: &str) -> Vec<Value> {
    listed.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn parsed(scope: &str) -> Result<ObservationScope, Failure> {
    scope.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}
