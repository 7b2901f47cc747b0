//! Whether a denial is one of this installation's broker: anybody can answer at an address and call it a denial, but only
//! the broker has it in its evidence. It also knows what an agent is never told: whether its calls are observed.

use std::{collections::BTreeSet, time::Duration};

use bailiwick_model::id::EvaluationId;
use bailiwick_server::{config::Config, wiring::issuer_of};
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Denials, Enforcement, NO_TOOL, REPORT_IT, Trouble};
use crate::{
    commands::agents::{minute, percent},
    door::Door,
    output::text,
};

/// How often a decision is looked for: a record may come shortly behind its answer.
const LOOKS_MAX: u32 = 50;
/// How long to wait between two looks: five seconds in all.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const START_IT: &str = "start this installation's broker with `bailiwick serve`, and probe as its operator";

/// The installation that the command is of, if there is one.
pub(super) struct Installation {
    door: Option<Door>,
    /// What its broker calls itself, and what its configuration calls it.
    issuers: Vec<String>,
}

impl Installation {
    /// Asks its running broker, where one runs, who it is.
    pub(super) async fn of(config: Option<&Config>) -> Self {
        let Some(config) = config else { return Self { door: None, issuers: Vec::new() } };
        let door = Door::Socket(config.socket.clone());
        let status = door.read("/api/v1/status").await.ok();
        let running = status.as_ref().and_then(|status| status.get("issuer")?.as_str()).map(str::to_owned);
        let door = running.is_some().then_some(door);
        Self { door, issuers: running.into_iter().chain([issuer_of(config)]).collect() }
    }

    /// What is proven by denials, and by whom.
    pub(super) async fn vouched(&self, denials: Result<Denials, Trouble>) -> Result<(Enforcement, String), Trouble> {
        let Denials { issuer, told, evaluations } = denials?;
        if !self.issuers.contains(&issuer) {
            let why = format!(
                "{told}, by the broker at `{issuer}`; it is not of this installation, so its evidence and its \
                 observations are not known here"
            );
            return Ok((Enforcement::Enforced, why));
        }
        let Some(door) = &self.door else {
            let why = format!("`{issuer}` answers, but not as this installation's broker, which is not running here");
            return Err(Trouble::new(why, START_IT));
        };
        let mut observed = BTreeSet::new();
        for id in evaluations {
            let body = recorded(door, &issuer, id).await?;
            observed.extend(observations(door, &body).await?);
        }
        let told = format!("{told}, by the broker at `{issuer}`, in whose evidence it is");
        if observed.is_empty() {
            return Ok((Enforcement::Enforced, told));
        }
        Ok((Enforcement::Observed, format!("{told}; but rules only watch {}", Vec::from_iter(observed).join(", "))))
    }
}

/// The body of the record of a decision about our question.
async fn recorded(door: &Door, issuer: &str, id: EvaluationId) -> Result<Value, Trouble> {
    let unread = |failure: crate::exit::Failure| Trouble::new(failure.message, START_IT);
    for _ in 0..LOOKS_MAX {
        let answer = door.send(Method::GET, &format!("/api/v1/audit/entries/{id}"), None).await.map_err(unread)?;
        match answer.status {
            StatusCode::NOT_FOUND => tokio::time::sleep(LOOK_EVERY).await,
            StatusCode::OK => {
                let body = answer.json().map_err(unread)?.pointer("/entries/0/entry/body").cloned();
                return body.filter(is_of_the_probe).ok_or_else(|| elsewhere(issuer, id));
            }
            _ => return Err(unread(crate::door::refusal(&answer))),
        }
    }
    Err(elsewhere(issuer, id))
}

fn is_of_the_probe(body: &Value) -> bool {
    let action = body.get("action").and_then(Value::as_str);
    action.is_some_and(|action| action.ends_with(NO_TOOL)) && body.get("decision").is_some_and(|ruled| ruled != "allow")
}

fn elsewhere(issuer: &str, id: EvaluationId) -> Trouble {
    let why = format!("what answers at `{issuer}` cites `{id}`, which the broker's evidence does not have");
    Trouble::new(why, REPORT_IT)
}

/// The observations that cover the agent and the system of a record.
async fn observations(door: &Door, body: &Value) -> Result<Vec<String>, Trouble> {
    let of = |name: &str| body.get(name).and_then(Value::as_str).map(|value| format!("{name}={}", percent(value)));
    let query: Vec<String> = ["agent", "system"].into_iter().filter_map(of).collect();
    let listed = door.read(&format!("/api/v1/connections?{}", query.join("&"))).await;
    let listed = listed.map_err(|failure| Trouble::new(failure.message, START_IT))?;
    let mut observed = Vec::new();
    for one in listed.get("connections").and_then(Value::as_array).into_iter().flatten() {
        let (agent, system) = (text(one, "/agent"), text(one, "/system"));
        match one.get("state").and_then(Value::as_str) {
            Some("enforced") => {}
            Some("observed") => {
                let until = minute(&text(one, "/until"));
                observed.push(format!("`{agent}` in `{system}` until {until} UTC"));
            }
            _ => {
                let why = format!("the definitions of `{system}` were not verified lately, so its calls are denied");
                return Err(Trouble::new(why, "`bailiwick systems discover SYSTEM --dry-run` shows why"));
            }
        }
    }
    Ok(observed)
}
