//! Watches the live state while something stays open: what may not act any more
//! is cut off, and what changed for a caller is announced. Polls nothing.

use std::collections::BTreeMap;

use bailiwick_engine::{broker::Broker, permitted::Permitted, refusal::Refusal};
use bailiwick_model::{
    bundle::BundleRevision,
    id::{GrantId, TokenId},
    name::{SystemName, ToolName},
    observation::ObservationScope,
    principal::{DelegationChain, Principal},
    safe_mode::SafeModeScope,
};

/// Ends when the permission for a call that runs is taken back. `epochs` was subscribed to before the last recheck.
pub(crate) async fn taken_back(
    broker: &Broker,
    permit: &Permitted,
    mut epochs: tokio::sync::watch::Receiver<u64>,
) -> Refusal {
    loop {
        if epochs.changed().await.is_err() {
            return Refusal::Unavailable("the broker is shutting down".to_owned());
        }
        if let Err(refusal) = permit.recheck(broker) {
            return refusal;
        }
    }
}

/// All that what a caller is shown depends on, besides time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    bundle: Option<BundleRevision>,
    agents: Vec<Option<u64>>,
    safe_modes: std::collections::BTreeSet<SafeModeScope>,
    observed: std::collections::BTreeSet<ObservationScope>,
    quarantined: BTreeMap<SystemName, Vec<ToolName>>,
}

impl View {
    /// As it is now.
    pub(crate) fn of(broker: &Broker, chain: &DelegationChain, system: Option<&SystemName>) -> Self {
        let live = broker.live();
        let agents = chain.principals().iter().map(|principal| match principal {
            Principal::Agent(name) => live.agents.get(name).map(|agent| agent.version),
            Principal::User(_) | Principal::Workload(_) | Principal::Operator(_) => None,
        });
        let seen = live.definitions.iter().filter(|(name, _)| system.is_none_or(|system| system == *name));
        let quarantined = seen.map(|(name, seen)| (name.clone(), seen.quarantined.keys().cloned().collect()));
        Self {
            bundle: live.policy.as_ref().map(|policy| policy.revision()),
            agents: agents.collect(),
            safe_modes: live.safe_mode_scopes(),
            observed: live.observations.keys().cloned().collect(),
            quarantined: quarantined.collect(),
        }
    }
}

/// Whether the token that opened something stands: it was not revoked, and what it was issued from has not ended.
pub(crate) fn token_stands(broker: &Broker, (token, grant): (TokenId, Option<GrantId>)) -> bool {
    broker.live().token_stands(token, grant, broker.now())
}

/// Whether everybody in the chain may act now.
pub(crate) fn all_active(broker: &Broker, chain: &DelegationChain) -> Result<(), bailiwick_model::agent::Inactive> {
    let live = broker.live();
    let now = broker.now();
    chain.principals().iter().try_for_each(|principal| live.party(principal, now).map(|_| ()))
}
