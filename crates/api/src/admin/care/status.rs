//! `GET /api/v1/status`: facts that `bailiwick doctor` judges.

use axum::{Json, extract::State};
use bailiwick_engine::{definitions::freshness, observation};
use bailiwick_model::agent::AgentStatus;
use bailiwick_ports::store::ObservationRow;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::observations::connections::{self, ConnectionCounts},
    Facts, Shared,
};
use crate::openapi::Refusals;

/// How the broker is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Status")]
pub(crate) struct Status {
    /// What the server knows about itself.
    server: Facts,
    /// The issuer, as in every token.
    issuer: String,
    /// Now, by the broker's clock.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
    /// What is wrong with the store; absent if it answers.
    store_error: Option<String>,
    /// The active bundle; absent if none is, and then nothing is allowed.
    policy_revision: Option<String>,
    /// What somebody should look at in it.
    policy_warnings: usize,
    /// The state's epoch.
    epoch: u64,
    /// Systems and whether their definitions were seen recently enough.
    systems: Vec<SystemStatus>,
    /// Agents by state.
    agents: AgentCounts,
    /// Open tasks.
    open_tasks: usize,
    /// Safe modes that are on.
    safe_modes: Vec<String>,
    /// Observations that are on: what rules of the organisation would stop goes through there.
    observations: Vec<ObservedStatus>,
    /// For how many agents and systems policy is enforced, observed, or nobody can say.
    connections: ConnectionCounts,
    /// Keys of agents that expire within seven days.
    keys_expiring: Vec<ExpiringKey>,
}

/// One system.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "SystemStatus")]
pub(crate) struct SystemStatus {
    name: String,
    /// When its definitions were last compared with the pinned ones.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_at: Option<Timestamp>,
    /// Whether calls pass that check now.
    fresh: bool,
    /// Tools in quarantine.
    quarantined: usize,
    /// Tools that nobody classified.
    unclassified: usize,
}

/// One observation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ObservedStatus")]
pub(crate) struct ObservedStatus {
    /// `agent:<name>` or `system:<name>`.
    scope: String,
    /// Whether it covers production too.
    production: bool,
    /// From when on everything is enforced again.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
}

/// Agents by state.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(title = "AgentCounts")]
pub(crate) struct AgentCounts {
    active: usize,
    suspended: usize,
    retired: usize,
    expired: usize,
    /// Active ones that are still read-only.
    not_promoted: usize,
}

/// A key or registration that ends soon.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ExpiringKey")]
pub(crate) struct ExpiringKey {
    agent: String,
    kid: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Seconds ahead of its end that a key is listed.
const EXPIRY_NOTICE_S: i64 = 7 * 24 * 60 * 60;

/// Shows how the broker is.
#[utoipa::path(get, path = "/api/v1/status", tag = "broker", responses((status = 200, body = Status), Refusals))]
pub(super) async fn status(State(admin): State<Shared>) -> Json<Status> {
    let now = admin.broker.now();
    let live = admin.broker.live();
    let policy = live.policy.as_deref();
    Json(Status {
        server: admin.facts.clone(),
        issuer: admin.broker.settings().issuer.clone(),
        now,
        store_error: admin.broker.store().ping().await.err().map(|error| error.to_string()),
        policy_revision: policy.map(|policy| policy.revision().to_string()),
        policy_warnings: policy.map_or(0, |policy| policy.warnings().len()),
        epoch: live.epoch,
        systems: systems(&live, now),
        agents: agents(&live, now),
        open_tasks: live.tasks.values().filter(|task| task.is_open(now)).count(),
        safe_modes: live.safe_modes.keys().map(ToString::to_string).collect(),
        observations: observations(&admin),
        connections: connections::counts(&admin),
        keys_expiring: expiring(&live, now),
    })
}

fn systems(live: &bailiwick_engine::live::Live, now: Timestamp) -> Vec<SystemStatus> {
    let all = live.policy.as_deref().map(|policy| policy.catalogue().systems()).into_iter().flatten();
    all.map(|system| {
        let seen = live.definitions.get(&system.name);
        SystemStatus {
            name: system.name.to_string(),
            verified_at: seen.and_then(|seen| seen.verified_at),
            fresh: freshness(live, system, now).is_ok(),
            quarantined: seen.map_or(0, |seen| seen.quarantined.len()),
            unclassified: system.tools.values().filter(|tool| !tool.classified).count(),
        }
    })
    .collect()
}

fn observations(admin: &Shared) -> Vec<ObservedStatus> {
    let view = |row: ObservationRow| ObservedStatus {
        scope: row.observation.scope.to_string(),
        production: row.observation.production,
        until: row.until,
    };
    observation::now(&admin.broker).into_iter().map(view).collect()
}

fn agents(live: &bailiwick_engine::live::Live, now: Timestamp) -> AgentCounts {
    let mut counts = AgentCounts::default();
    for agent in live.agents.values() {
        match &agent.status {
            AgentStatus::Active if now >= agent.expires_at => counts.expired += 1,
            AgentStatus::Active if agent.overdue(now).is_some() => counts.suspended += 1,
            AgentStatus::Active => {
                counts.active += 1;
                counts.not_promoted += usize::from(!agent.promoted);
            }
            AgentStatus::Suspended { .. } => counts.suspended += 1,
            AgentStatus::Retired { .. } => counts.retired += 1,
        }
    }
    counts
}

fn expiring(live: &bailiwick_engine::live::Live, now: Timestamp) -> Vec<ExpiringKey> {
    let active = live.agents.values().filter(|agent| agent.status == AgentStatus::Active);
    let mut soon: Vec<ExpiringKey> = active
        .flat_map(|agent| {
            agent.credentials.iter().map(|credential| ExpiringKey {
                agent: agent.name.to_string(),
                kid: credential.authenticator.name(),
                expires_at: credential.expires_at.min(agent.expires_at),
            })
        })
        .filter(|key| key.expires_at.as_second().saturating_sub(now.as_second()) <= EXPIRY_NOTICE_S)
        .collect();
    soon.sort_by(|a, b| (a.expires_at, &a.agent).cmp(&(b.expires_at, &b.agent)));
    soon
}
