//! Safe mode: on in one step, off with a recorded reason.

use std::{collections::BTreeMap, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{principal::Principal, safe_mode::SafeModeScope};
use bailiwick_ports::store::SafeModeRow;

use crate::{agents::text, broker::Broker, evidence::Draft, refusal::Refusal};

/// Turns safe mode on: from the next call on only reads pass.
pub async fn enter(broker: &Broker, by: &Principal, scope: SafeModeScope, reason: &str) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    let reason = text("reason", reason, "say why, for whoever lifts it")?;
    if broker.live().safe_modes.contains_key(&scope) {
        return Err(Refusal::Conflict(format!("`{scope}` is in safe mode already")));
    }
    known(broker, &scope)?;
    let row = SafeModeRow { scope: scope.clone(), reason: reason.clone(), since: broker.now() };
    let entry = draft(broker, by, &scope, "entered", reason).finish(broker, by).await?;
    let epoch = broker.ports.store.enter_safe_mode(row.clone(), entry).await?;
    broker.replace_live(epoch, |live| {
        let mut all = BTreeMap::clone(&live.safe_modes);
        all.insert(scope, row);
        live.safe_modes = Arc::new(all);
    });
    Ok(())
}

/// A safe mode for a name that nobody has would calm an operator and stop nothing.
fn known(broker: &Broker, scope: &SafeModeScope) -> Result<(), Refusal> {
    let live = broker.live();
    let missing = match scope {
        SafeModeScope::Everything => None,
        SafeModeScope::Agent(name) => (!live.agents.contains_key(name)).then(|| format!("agent `{name}`")),
        SafeModeScope::System(name) => {
            let known = live.policy.as_deref().is_some_and(|policy| policy.catalogue().system(name).is_some());
            (!known).then(|| format!("system `{name}`"))
        }
    };
    missing.map_or(Ok(()), |missing| Err(Refusal::Missing(missing)))
}

/// Lifts it. No approval and no grant does; an operator does, and says why.
pub async fn lift(broker: &Broker, by: &Principal, scope: SafeModeScope, reason: &str) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    let reason = text("reason", reason, "say why it is safe again")?;
    if !broker.live().safe_modes.contains_key(&scope) {
        return Err(Refusal::Missing(format!("safe mode of `{scope}`")));
    }
    let entry = draft(broker, by, &scope, "lifted", reason).finish(broker, by).await?;
    let epoch = broker.ports.store.lift_safe_mode(scope.clone(), entry).await?;
    broker.replace_live(epoch, |live| {
        let mut all = BTreeMap::clone(&live.safe_modes);
        all.remove(&scope);
        live.safe_modes = Arc::new(all);
    });
    Ok(())
}

fn draft(broker: &Broker, by: &Principal, scope: &SafeModeScope, verb: &str, reason: String) -> Draft {
    Draft::event(broker, EventKind::SafeModeChanged)
        .field("by", by.to_string())
        .field("change", verb)
        .field("scope", scope.to_string())
        .sealed("reason", reason)
}
