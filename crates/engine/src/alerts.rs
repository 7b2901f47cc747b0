//! Things to look at: unregistered callers, agents at an operator's door. Each
//! is evidence; repeats are held back so that an attacker cannot fill the log.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use bailiwick_audit_log::{
    event::{Canonical, EventKind},
    leaf,
};
use bailiwick_model::{decision::ReasonCode, name::AgentName, principal::Principal};
use bailiwick_ports::store::{EntryFilter, StoreError};
use jiff::Timestamp;

use crate::{broker::Broker, caller::Caller, evidence::Draft, refusal::Refusal};

/// Seconds for which the same alert is held back.
pub const REPEAT_S: i64 = 60;
/// Alerts that are recorded within [`REPEAT_S`] at most; what goes beyond is held back.
pub const ALERTS_PER_MINUTE_MAX: usize = 120;
/// Alerts that are read when sightings are listed.
const SIGHTINGS_MAX: usize = 1_000;

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// Somebody who is not registered asked for a token or presented one.
    UnregisteredCaller,
    /// Somebody presented a token or a proof that the broker did not make or that was altered.
    ForgedCredential,
    /// Somebody knocked at the administrative interface over the network.
    OperatorDoor,
    /// A refresh token came a second time: somebody holds a copy.
    RefreshReuse,
    /// A credential was used from several addresses at the same time.
    SharedCredential,
    /// One address failed as many clients.
    Spraying,
}

impl AlertKind {
    /// As recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnregisteredCaller => "unregistered_caller",
            Self::ForgedCredential => "forged_credential",
            Self::OperatorDoor => "operator_door",
            Self::RefreshReuse => "refresh_reuse",
            Self::SharedCredential => "shared_credential",
            Self::Spraying => "spraying",
        }
    }
}

/// One thing to look at.
#[derive(Debug, Clone)]
pub struct Alert {
    /// What.
    pub kind: AlertKind,
    /// Who it claims or is proved to be; only in the form that a name has.
    pub agent: Option<AgentName>,
    /// From where; sealed, since an address can name a person.
    pub address: Option<IpAddr>,
    /// Where it knocked: one of our own constant phrases.
    pub at: &'static str,
}

/// Holds repeats back.
#[derive(Debug, Default)]
pub struct Alerts(Mutex<HashMap<Same, Timestamp>>);

/// What makes two alerts the same.
type Same = (AlertKind, Option<AgentName>, Option<IpAddr>);

impl Alerts {
    /// Records an alert, unless the same one was recorded within [`REPEAT_S`]. Never fails its caller: what cannot be
    /// recorded is in the operator's log.
    pub async fn raise(&self, broker: &Broker, alert: Alert) {
        let kind = alert.kind.as_str();
        if !self.is_new(&alert, broker.now()) {
            // Not even the log may be filled by whoever knocks often.
            tracing::debug!(alert.kind = kind, "alert held back");
            return;
        }
        tracing::warn!(alert.kind = kind, agent.id = alert.agent.as_ref().map(AgentName::as_str), "alert");
        let zone = (broker.settings().zone_of)(alert.address);
        let mut draft = Draft::event(broker, EventKind::Alert)
            .field("what", kind)
            .field("at", alert.at)
            .field("zone", zone)
            .field_if("agent", alert.agent.as_ref().map(ToString::to_string));
        if let Some(address) = alert.address {
            draft = draft.sealed("address", address.to_string());
        }
        let subject = match &alert.agent {
            Some(agent) if broker.agent(agent).is_some() => Ok(Principal::Agent(agent.clone())),
            _ => "unregistered".parse().map(Principal::Workload),
        };
        let Ok(subject) = subject else { return };
        match draft.finish(broker, &subject).await {
            Ok(entry) => {
                if let Err(error) = broker.store().append(entry, Vec::new()).await {
                    tracing::error!(%error, "an alert could not be recorded");
                }
            }
            Err(error) => tracing::error!(%error, "an alert could not be sealed"),
        }
    }

    fn is_new(&self, alert: &Alert, now: Timestamp) -> bool {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, at| now.as_second().saturating_sub(at.as_second()) < REPEAT_S);
        let key = (alert.kind, alert.agent.clone(), alert.address);
        if recent.contains_key(&key) || recent.len() >= ALERTS_PER_MINUTE_MAX {
            return false;
        }
        recent.insert(key, now);
        true
    }
}

/// Records that an agent which may not act knocked, and uses up its proof.
pub async fn turned_away(broker: &Broker, caller: &Caller) {
    let entry = Draft::event(broker, EventKind::Denial)
        .field("agent", caller.chain.current().id())
        .field("chain", caller.chain.principals().iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("token", caller.token.to_string())
        .field("audience", caller.audience.as_str())
        .field("decision", "deny")
        .field("reasons", vec![ReasonCode::PrincipalInactive.as_str().to_owned()])
        .public(broker);
    let written = match broker.store().append(entry.clone(), caller.spent.clone()).await {
        // Whoever knocks again with the same proof knocks all the same.
        Err(StoreError::Replayed) => broker.store().append(entry, Vec::new()).await,
        written => written,
    };
    if let Err(error) = written {
        tracing::warn!(%error, agent.id = caller.chain.current().id(), "a refusal could not be recorded");
    }
}

/// An unregistered caller that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The name that it claimed, if it claimed one.
    pub agent: Option<AgentName>,
    /// The network zone that it called from.
    pub zone: String,
    /// Where it knocked.
    pub at: String,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// The newest entry of evidence.
    pub event: String,
}

/// Callers that were seen and are not registered, from the newest evidence, the newest first.
pub async fn unregistered(broker: &Broker) -> Result<Vec<Sighting>, Refusal> {
    let kind = Some(EventKind::Alert.as_str().to_owned());
    let filter = EntryFilter { kind, newest_first: true, limit: SIGHTINGS_MAX, ..EntryFilter::default() };
    let mut found: BTreeMap<(Option<AgentName>, String, String), Sighting> = BTreeMap::new();
    for stored in broker.store().entries(filter).await? {
        let Ok(leaf) = leaf::decode(&stored.leaf) else { continue };
        let text = |name: &str| match leaf.event.body.get(name) {
            Some(Canonical::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let callers = [AlertKind::UnregisteredCaller, AlertKind::ForgedCredential].map(AlertKind::as_str);
        if !text("what").is_some_and(|what| callers.contains(&what.as_str())) {
            continue;
        }
        let agent = text("agent").and_then(|name| name.parse::<AgentName>().ok());
        if agent.as_ref().is_some_and(|name| broker.agent(name).is_some()) {
            continue;
        }
        let (zone, at) = (text("zone").unwrap_or_default(), text("at").unwrap_or_default());
        let key = (agent.clone(), zone.clone(), at.clone());
        let when = leaf.event.at;
        let new = || Sighting { agent, zone, at, first_seen: when, last_seen: when, event: leaf.event.id.clone() };
        let sighting = found.entry(key).or_insert_with(new);
        sighting.first_seen = sighting.first_seen.min(when);
    }
    let mut sightings: Vec<Sighting> = found.into_values().collect();
    sightings.sort_by_key(|sighting| std::cmp::Reverse(sighting.last_seen));
    Ok(sightings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_floods_are_held_back() {
        let alerts = Alerts::default();
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
        let alert = |name: &str| Alert {
            kind: AlertKind::UnregisteredCaller,
            agent: Some(name.parse().unwrap()),
            address: None,
            at: "token endpoint",
        };
        assert!(alerts.is_new(&alert("a"), at(0)));
        assert!(!alerts.is_new(&alert("a"), at(REPEAT_S - 1)));
        assert!(alerts.is_new(&alert("b"), at(1)));
        assert!(alerts.is_new(&alert("a"), at(REPEAT_S)));
        let recorded = (0..1_000).filter(|i| alerts.is_new(&alert(&format!("x{i}")), at(REPEAT_S))).count();
        assert_eq!(recorded, ALERTS_PER_MINUTE_MAX - 2);
    }
}
