//! What somebody should look at in the registrations: credentials and agents that nobody uses, agents whom nobody answers
//! for or reviews, credentials in more places than one. Reads, and decides nothing.

use bailiwick_audit_log::{
    event::{Canonical, EventKind},
    leaf,
};
use bailiwick_model::{
    agent::{Agent, AgentStatus},
    name::AgentName,
};
use bailiwick_ports::store::EntryFilter;
use jiff::{SignedDuration, Timestamp};

use crate::{alerts::AlertKind, broker::Broker, refusal::Refusal};

/// Days without use after which a credential or an agent is worth a question, unless asked otherwise.
pub const UNUSED_DAYS: u32 = 30;
/// Days ahead of a missed review that it is one.
const REVIEW_AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How far back alerts are findings.
const ALERTS_BACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Alerts that are read at most.
const ALERTS_MAX: usize = 1_000;

/// What is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// A credential was used from several addresses at the same time: somebody else has it too, or should have their own.
    SharedCredential,
    /// A refresh token came a second time.
    RefreshReuse,
    /// One address tried many clients.
    Spraying,
    /// Its owner left, and nobody took it over yet.
    Ownerless,
    /// Nobody reviewed it, and the time is nearly over, or is.
    ReviewDue,
    /// An agent that did not ask for a token for long, by none of its credentials.
    UnusedAgent,
    /// A credential that was not used for long, of an agent that uses others.
    DormantCredential,
}

impl FindingKind {
    /// As written in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SharedCredential => "shared_credential",
            Self::RefreshReuse => "refresh_reuse",
            Self::Spraying => "spraying",
            Self::Ownerless => "ownerless",
            Self::ReviewDue => "review_due",
            Self::UnusedAgent => "unused_agent",
            Self::DormantCredential => "dormant_credential",
        }
    }
}

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Whom it concerns; `None` is nobody in particular.
    pub agent: Option<AgentName>,
    /// Which of its keys.
    pub credential: Option<String>,
    /// Since when: the last use, the alert, the time that somebody should have come.
    pub since: Timestamp,
    /// The entry of evidence, where there is one.
    pub event: Option<String>,
}

/// All findings, the most urgent kind first; `unused_days` is what counts as long.
pub async fn list(broker: &Broker, unused_days: u32) -> Result<Vec<Finding>, Refusal> {
    let now = broker.now();
    let before = now.checked_sub(SignedDuration::from_hours(24 * i64::from(unused_days))).unwrap_or(Timestamp::MIN);
    let mut found = alerts(broker, now).await?;
    for agent in broker.live().agents.values() {
        if !matches!(agent.status, AgentStatus::Retired { .. }) {
            neglected(agent, now, &mut found);
            unused(broker, agent, before, &mut found);
        }
    }
    found.sort_by(|one, other| (one.kind, one.since, &one.agent).cmp(&(other.kind, other.since, &other.agent)));
    Ok(found)
}

fn neglected(agent: &Agent, now: Timestamp, found: &mut Vec<Finding>) {
    let finding = |kind, since| Finding { kind, agent: Some(agent.name.clone()), credential: None, since, event: None };
    if let Some(by) = agent.successor_by {
        found.push(finding(FindingKind::Ownerless, by));
    }
    let due = agent.review_by < agent.expires_at || now >= agent.review_by;
    if due && now.checked_add(REVIEW_AHEAD).is_ok_and(|ahead| agent.review_by <= ahead) {
        found.push(finding(FindingKind::ReviewDue, agent.review_by));
    }
}

/// Whoever was registered lately was not unused for long.
fn unused(broker: &Broker, agent: &Agent, before: Timestamp, found: &mut Vec<Finding>) {
    let since = |credential| broker.last_used(credential).unwrap_or(credential.created_at);
    let finding =
        |kind, credential, since| Finding { kind, agent: Some(agent.name.clone()), credential, since, event: None };
    let newest = agent.credentials.iter().map(since).max().unwrap_or(agent.created_at);
    if newest < before {
        found.push(finding(FindingKind::UnusedAgent, None, newest));
        return;
    }
    let dormant = agent.credentials.iter().filter(|credential| since(credential) < before);
    found.extend(dormant.map(|credential| {
        finding(FindingKind::DormantCredential, Some(credential.authenticator.name()), since(credential))
    }));
}

/// Alerts of late, each agent's and kind's newest.
async fn alerts(broker: &Broker, now: Timestamp) -> Result<Vec<Finding>, Refusal> {
    let filter = EntryFilter {
        kind: Some(EventKind::Alert.as_str().to_owned()),
        since: now.checked_sub(ALERTS_BACK).ok(),
        newest_first: true,
        limit: ALERTS_MAX,
        ..EntryFilter::default()
    };
    let mut found: Vec<Finding> = Vec::new();
    for stored in broker.store().entries(filter).await? {
        let Ok(leaf) = leaf::decode(&stored.leaf) else { continue };
        let text = |name: &str| match leaf.event.body.get(name) {
            Some(Canonical::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let what = text("what").unwrap_or_default();
        let kinds = [
            (AlertKind::SharedCredential, FindingKind::SharedCredential),
            (AlertKind::RefreshReuse, FindingKind::RefreshReuse),
            (AlertKind::Spraying, FindingKind::Spraying),
        ];
        let Some((_, kind)) = kinds.into_iter().find(|(alert, _)| alert.as_str() == what) else { continue };
        let agent: Option<AgentName> = text("agent").and_then(|name| name.parse().ok());
        if !found.iter().any(|one| one.kind == kind && one.agent == agent) {
            let (since, event) = (leaf.event.at, Some(leaf.event.id.clone()));
            found.push(Finding { kind, agent, credential: None, since, event });
        }
    }
    Ok(found)
}
