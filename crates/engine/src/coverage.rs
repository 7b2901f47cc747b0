//! What is enforced where: for each agent and system whether its calls are held to policy, only watched, or whether
//! nobody can say. Knows of calls that come through this broker, and of no other way to a system.

use bailiwick_model::{
    evaluation::Authority,
    name::{AgentName, SystemName},
    principal::Principal,
};
use jiff::Timestamp;

use crate::{broker::Broker, definitions::freshness, observation, refusal::Refusal};

/// Connections that one answer lists at most; the counts are over all of them.
pub const CONNECTIONS_LISTED_MAX: usize = 10_000;

/// Whether policy holds for the calls of one agent to one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coverage {
    /// Every call is decided by policy, and nothing that it denies is forwarded.
    Enforced,
    /// What rules of the organisation would stop is forwarded and recorded, until the observation ends.
    Observed,
    /// Nobody compared the system's definitions lately, so nobody knows what is behind it; its calls are denied.
    Unknown,
}

impl Coverage {
    /// The word in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Observed => "observed",
            Self::Unknown => "unknown",
        }
    }
}

/// One agent and one system that it may ask tokens for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The agent.
    pub agent: AgentName,
    /// The system.
    pub system: SystemName,
    /// Whether policy holds for its calls.
    pub coverage: Coverage,
    /// When the last observation that covers it ends.
    pub until: Option<Timestamp>,
}

/// All connections, counted, and the first of those that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connections {
    /// Enforced ones.
    pub enforced: usize,
    /// Observed ones.
    pub observed: usize,
    /// Those that nobody can speak for.
    pub unknown: usize,
    /// By agent and system, at most [`CONNECTIONS_LISTED_MAX`].
    pub listed: Vec<Connection>,
}

/// The connections of one agent, or to one system, both of which must be known.
pub fn connections_of(
    broker: &Broker,
    agent: Option<&AgentName>,
    system: Option<&SystemName>,
) -> Result<Connections, Refusal> {
    if let Some(unknown) = agent.filter(|name| broker.agent(name).is_none()) {
        return Err(Refusal::Missing(format!("agent `{unknown}`")));
    }
    if let Some(system) = system {
        broker.live().knows(system)?;
    }
    Ok(connections(broker, agent, system))
}

/// The connections of agents that may act now. `agent` and `system` narrow what is looked at.
pub fn connections(broker: &Broker, agent: Option<&AgentName>, system: Option<&SystemName>) -> Connections {
    let live = broker.live();
    let now = broker.now();
    let mut all = Connections::default();
    let Some(policy) = live.policy.as_deref() else { return all };
    let observations = observation::on(broker, &live);
    let authority = Authority {
        scopes: Default::default(),
        details: None,
        safe_modes: live.safe_mode_scopes(),
        observations,
        authentication: None,
    };
    let mut names: Vec<&AgentName> =
        live.agents.keys().filter(|name| agent.is_none_or(|wanted| wanted == *name)).collect();
    names.sort();
    for name in names {
        let Some(registered) = live.agents.get(name) else { continue };
        let Ok(party) = live.party(&Principal::Agent(name.clone()), now) else { continue };
        let parties = [party];
        for entry in policy.catalogue().systems() {
            let reaches = registered.systems.is_empty() || registered.systems.contains(&entry.name);
            if !reaches || system.is_some_and(|wanted| *wanted != entry.name) {
                continue;
            }
            let by = policy.observed_by(&entry.name, &parties, &authority);
            let until = by.iter().filter_map(|scope| live.observations.get(scope)).map(|watch| watch.row.until).max();
            let coverage = match freshness(&live, entry, now) {
                Err(_) => Coverage::Unknown,
                Ok(()) if by.is_empty() => Coverage::Enforced,
                Ok(()) => Coverage::Observed,
            };
            all.count(Connection { agent: name.clone(), system: entry.name.clone(), coverage, until });
        }
    }
    all
}

impl Connections {
    fn count(&mut self, connection: Connection) {
        match connection.coverage {
            Coverage::Enforced => self.enforced += 1,
            Coverage::Observed => self.observed += 1,
            Coverage::Unknown => self.unknown += 1,
        }
        if self.listed.len() < CONNECTIONS_LISTED_MAX {
            self.listed.push(connection);
        }
    }
}
