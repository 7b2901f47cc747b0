//! Lets a verified caller in for what is not an operation: a handshake, a
//! filtered list, a ping. Every principal must be active, the proof is used up.

use std::sync::Arc;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    decision::{Reason, ReasonCode},
    evaluation::{Authority, Party, TaskContext},
    id::EvaluationId,
    name::{ActionName, SystemName},
};
use bailiwick_pdp::{
    snapshot::Snapshot,
    visibility::{Listing, Lookout, Visibility},
};
use bailiwick_ports::{new_id, store::StoreError};
use jiff::Timestamp;

use crate::{
    broker::Broker,
    caller::{Caller, RawCall},
    decide::{Decided, authority, no_bundle, parties, reason, task_context},
    record::{record_denial, record_replay, replayed, unrecorded},
    refusal::Denied,
};

/// A caller that was let in, with what filters its lists.
pub struct Admitted {
    /// The id under which it is recorded.
    pub id: EvaluationId,
    policy: Arc<Snapshot>,
    now: Timestamp,
    parties: Vec<Party>,
    network_zone: String,
    task: TaskContext,
    authority: Authority,
}

impl Admitted {
    /// Whether a list shows this action to this caller: unless it is proved that no call of it could be allowed or
    /// asked for.
    pub fn visibility(&self, action: &ActionName) -> Visibility {
        self.lookout().visibility(action)
    }

    /// The same about many actions: what they have in common is worked out once.
    pub fn lookout(&self) -> Lookout<'_> {
        let listing = Listing {
            now: self.now,
            parties: &self.parties,
            network_zone: &self.network_zone,
            task: &self.task,
            authority: &self.authority,
        };
        self.policy.lookout(listing)
    }

    /// The bundle that filters.
    pub fn policy(&self) -> &Snapshot {
        &self.policy
    }
}

/// Lets a caller in for `method` on `system` and records that it was there.
pub async fn admit(
    broker: &Broker,
    caller: &Caller,
    system: &SystemName,
    method: &str,
) -> Result<Admitted, Box<Denied>> {
    let id = new_id!(EvaluationId, broker.now(), broker.entropy());
    let arguments = serde_json::Map::new();
    let call = RawCall { system, method, name: None, arguments: &arguments, declared: None, client_call: None };
    let admitted = match look(broker, caller, system, id) {
        Ok(admitted) => admitted,
        Err(reason) => {
            let decided = Decided::denied(id, broker.live().policy.as_deref(), *reason);
            return Err(record_denial(broker, caller, &call, decided).await);
        }
    };
    let entry = crate::evidence::Draft::with_id(EventKind::Listed, id.to_string())
        .field("agent", caller.chain.current().id())
        .field("chain", caller.chain.principals().iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("system", system.as_str())
        .field("action", format!("{system}:{method}"))
        .field("token", caller.token.to_string())
        .field("bundle", admitted.policy.revision().to_string());
    let by = admitted.policy.observed_by(system, &admitted.parties, &admitted.authority);
    let by = (!by.is_empty()).then(|| by.iter().map(ToString::to_string).collect::<Vec<_>>());
    let entry = entry.field_if("observed_by", by).public(broker);
    match broker.ports.store.append(entry, caller.spent.clone()).await {
        Ok(_) => Ok(admitted),
        Err(StoreError::Replayed) => {
            let decided = Decided::denied(id, Some(&admitted.policy), replayed());
            Err(record_replay(broker, caller, &call, decided).await)
        }
        Err(error) => {
            let nothing = reason(ReasonCode::EvidenceUnavailable, "the broker cannot record this", None);
            Err(unrecorded(&Decided::denied(id, Some(&admitted.policy), nothing), &error.to_string()))
        }
    }
}

fn look(broker: &Broker, caller: &Caller, system: &SystemName, id: EvaluationId) -> Result<Admitted, Box<Reason>> {
    let live = broker.live();
    let now = broker.now();
    let parties = parties(&live, caller, now)?;
    let Some(policy) = live.policy.clone() else {
        return Err(Box::new(no_bundle()));
    };
    if policy.catalogue().system(system).is_none() {
        return Err(Box::new(reason(
            ReasonCode::UnknownTool,
            &format!("system `{system}` is not in the catalogue"),
            Some("check the name, or ask an operator to add it"),
        )));
    }
    let (task, _) = task_context(broker, &live, caller, now)?;
    let authority = authority(broker, &live, caller);
    let network_zone = (broker.settings().zone_of)(caller.address);
    Ok(Admitted { id, policy, now, parties, network_zone, task, authority })
}
