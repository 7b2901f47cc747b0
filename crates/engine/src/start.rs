//! Starting: the live state is built from the store, and what a crash left open is closed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{agent::Environment, name::SystemName};
use bailiwick_pdp::snapshot::Snapshot;
use bailiwick_ports::{
    signer::TokenSigner,
    store::{Conclusion, Quarantine, State},
};
use jiff::Timestamp;

use crate::{
    boundary,
    broker::{Broker, Ports, Settings},
    evidence::Draft,
    facts::Facts,
    lifecycle,
    live::{Live, Seen},
    observation::{self, LatestTime, Watch},
    refusal::Refusal,
};

/// Builds the broker from its store, without serving calls: enough for one command.
pub async fn build(ports: Ports, settings: Settings) -> Result<Arc<Broker>, Refusal> {
    let state = ports.store.load().await?;
    let facts = Facts::default();
    facts.add(state.facts.clone());
    let latest = LatestTime::new(state.latest);
    let now = state.latest.map_or(ports.clock.now(), |latest| latest.max(ports.clock.now()));
    let live = live(ports.token_signer.as_ref(), settings.environment, now, state)?;
    Ok(Arc::new(Broker::new(ports, settings, live, (facts, latest))))
}

/// Builds the broker and begins to serve. Records that this replica started, and closes the intents of earlier boots
/// that have no outcome as `outcome_unknown`: they are never run again.
pub async fn start(ports: Ports, settings: Settings) -> Result<Arc<Broker>, Refusal> {
    let broker = build(ports, settings).await?;
    begin(&broker).await?;
    Ok(broker)
}

/// What [`start`] records.
pub async fn begin(broker: &Arc<Broker>) -> Result<(), Refusal> {
    let open = broker.ports.store.open_intents().await?;
    let entry = Draft::event(broker, EventKind::Replica)
        .field("change", "started")
        .field("version", env!("CARGO_PKG_VERSION"))
        .field("open_intents", i64::try_from(open.len()).unwrap_or(i64::MAX))
        .public(broker);
    broker.ports.store.append(entry, Vec::new()).await?;
    for id in open {
        let entry = Draft::event(broker, EventKind::Outcome)
            .concludes(id)
            .field("status", "outcome_unknown")
            .field("detail", "the broker stopped between forward and answer; the call is not run again")
            .public(broker);
        broker.ports.store.conclude(Conclusion { entry, facts: Vec::new(), at_once: true }).await?;
    }
    observation::end_overdue(broker).await?;
    lifecycle::advance(broker).await?;
    observation::now(broker).iter().for_each(observation::warn);
    Ok(())
}

/// Records an orderly end.
pub async fn stop(broker: &Broker) {
    broker.drained().await;
    let entry = Draft::event(broker, EventKind::Replica).field("change", "stopped").public(broker);
    if let Err(error) = broker.ports.store.append(entry, Vec::new()).await {
        tracing::warn!(%error, "the end of this replica could not be recorded");
    }
}

fn live(
    signer: &dyn TokenSigner,
    environment: Option<Environment>,
    now: Timestamp,
    state: State,
) -> Result<Live, Refusal> {
    let policy = match &state.bundle {
        None => None,
        Some(bundle) => {
            boundary::check(signer, bundle)?;
            let snapshot = Snapshot::compile(&bundle.files).map_err(|findings| {
                let first = findings.first().map(ToString::to_string).unwrap_or_default();
                Refusal::Unavailable(format!("the active bundle {} does not compile: {first}", bundle.revision))
            })?;
            Some(Arc::new(snapshot))
        }
    };
    let mut definitions: HashMap<SystemName, Seen> = HashMap::new();
    for row in state.quarantined {
        let Quarantine { system, tool, .. } = &row;
        definitions.entry(system.clone()).or_default().quarantined.insert(tool.clone(), row);
    }
    Ok(Live {
        epoch: state.epoch,
        environment,
        agents: state.agents.into_iter().map(|agent| (agent.name.clone(), Arc::new(agent))).collect(),
        tasks: state.tasks.into_iter().map(|task| (task.id, Arc::new(task))).collect(),
        users: state.users.into_iter().map(|user| (user.id.clone(), Arc::new(user))).collect(),
        directory_groups: state.directory_groups.into_iter().map(|one| (one.id, Arc::new(one))).collect(),
        grants: state.grants.into_iter().map(|grant| (grant.id, Arc::new(grant))).collect(),
        revoked: state.revoked.into_iter().collect(),
        safe_modes: Arc::new(
            state.safe_modes.into_iter().map(|row| (row.scope.clone(), row)).collect::<BTreeMap<_, _>>(),
        ),
        observations: Arc::new(
            state
                .observations
                .into_iter()
                .map(|row| (row.observation.scope.clone(), Watch::new(row, now)))
                .collect::<BTreeMap<_, _>>(),
        ),
        policy,
        definitions: Arc::new(definitions),
    })
}
