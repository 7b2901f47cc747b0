//! Waits a moment for a system whose definitions nobody looked at lately, so that
//! the first call after a start or a publish is decided on what is there. Decides nothing: whoever comes back
//! unverified is denied by the engine.

use std::time::Duration;

use bailiwick_engine::definitions::freshness;
use bailiwick_model::name::SystemName;

use super::Gateway;

/// How long a call waits for its system to be looked at.
pub(crate) const VERIFICATION_WAIT: Duration = Duration::from_secs(5);

/// Returns when the system's definitions are fresh, or when waiting on is no use.
pub(crate) async fn settle(gateway: &Gateway, system: &SystemName) {
    let mut epochs = gateway.broker().epochs();
    if fresh(gateway, system).is_ok() {
        return;
    }
    gateway.upstreams.verify_now(system);
    let waiting = async { while fresh(gateway, system).is_err() && epochs.changed().await.is_ok() {} };
    // Too late is the engine's to say.
    let _ = tokio::time::timeout(VERIFICATION_WAIT, waiting).await;
}

fn fresh(gateway: &Gateway, system: &SystemName) -> Result<(), bailiwick_engine::definitions::Stale> {
    let broker = gateway.broker();
    let live = broker.live();
    match live.policy.as_deref().and_then(|policy| policy.catalogue().system(system)) {
        Some(entry) => freshness(&live, entry, broker.now()),
        // A system that nobody knows has nothing to wait for.
        None => Ok(()),
    }
}
