//! Starting: the live state is built from the store, and what a crash left open is closed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::name::SystemName;
use bailiwick_oauth::verifying_key::VerifyingKey;
use bailiwick_pdp::snapshot::Snapshot;
use bailiwick_ports::{
    signer::TokenSigner,
    store::{Conclusion, PublishedBundle, Quarantine, State},
};

use crate::{
    broker::{Broker, Ports, Settings},
    evidence::Draft,
    facts::Facts,
    live::{Live, Seen},
    refusal::Refusal,
};

/// Builds the broker from its store, without serving calls: enough for one command.
pub async fn build(ports: Ports, settings: Settings) -> Result<Arc<Broker>, Refusal> {
    let state = ports.store.load().await?;
    let facts = Facts::default();
    facts.add(state.facts.clone());
    let live = live(ports.token_signer.as_ref(), state)?;
    Ok(Arc::new(Broker::new(ports, settings, live, facts)))
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
        broker.ports.store.conclude(Conclusion { entry, facts: Vec::new() }).await?;
    }
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

fn live(signer: &dyn TokenSigner, state: State) -> Result<Live, Refusal> {
    let policy = match &state.bundle {
        None => None,
        Some(bundle) => {
            check_boundary(signer, bundle)?;
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
        agents: Arc::new(state.agents.into_iter().map(|agent| (agent.name.clone(), Arc::new(agent))).collect()),
        tasks: Arc::new(state.tasks.into_iter().map(|task| (task.id, Arc::new(task))).collect()),
        safe_modes: Arc::new(
            state.safe_modes.into_iter().map(|row| (row.scope.clone(), row)).collect::<BTreeMap<_, _>>(),
        ),
        policy,
        definitions: Arc::new(definitions),
    })
}

/// Refuses a bundle whose files are not the ones that were published, or whose boundary nobody signed.
pub(crate) fn check_boundary(signer: &dyn TokenSigner, bundle: &PublishedBundle) -> Result<(), Refusal> {
    let altered = |what: &str| {
        Refusal::Unavailable(format!(
            "{what} of bundle {} is not what was published; restore a backup",
            bundle.revision
        ))
    };
    if bundle.files.revision() != bundle.revision {
        return Err(altered("a file"));
    }
    if bundle.files.boundary_digest() != bundle.boundary {
        return Err(altered("the boundary"));
    }
    let statement = crate::bundles::boundary_statement(&bundle.files);
    let signed = signer.published().iter().any(|key| {
        VerifyingKey::of(key).is_ok_and(|key| key.verify(statement.as_bytes(), &bundle.boundary_signature).is_ok())
    });
    if signed { Ok(()) } else { Err(altered("the boundary's signature")) }
}

/// The systems whose pinned definitions are the same in both bundles.
pub(crate) fn same_definitions(old: &Snapshot, new: &Snapshot) -> BTreeSet<SystemName> {
    new.catalogue()
        .systems()
        .filter(|system| {
            old.catalogue().system(&system.name).is_some_and(|before| {
                before.tools.len() == system.tools.len()
                    && before.upstream == system.upstream
                    && system
                        .tools
                        .iter()
                        .all(|(name, tool)| before.tools.get(name).is_some_and(|earlier| earlier.digest == tool.digest))
            })
        })
        .map(|system| system.name.clone())
        .collect()
}
