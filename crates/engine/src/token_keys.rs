//! The issuer's signing keys: their rotation with overlap, and their end after a compromise. Each step is in the evidence.
//!
//! The keys are files, so a step is taken first and recorded after; whoever asked is told if that fails. Where the store
//! cannot be written, no key is replaced, and nothing is allowed by its tokens either: without a record there is no call.

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{jwk::PublicKey, principal::Principal};
use bailiwick_ports::signer::{KeyChangeError, Rotation, TokenKeyState};

use crate::{agents::text, boundary, broker::Broker, evidence::Draft, refusal::Refusal};

/// Who is said to have done what was due.
const BY_ITSELF: &str = "bailiwick";

impl From<KeyChangeError> for Refusal {
    fn from(error: KeyChangeError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Every published key with its state, the current one first.
pub fn list(broker: &Broker) -> Vec<(PublicKey, TokenKeyState)> {
    broker.token_signer().states()
}

/// Publishes a next key now, instead of when the current one is old; it signs once others had the time to fetch it. Every
/// token works on.
pub async fn rotate(broker: &Broker, by: &Principal, reason: &str) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    let reason = text("reason", reason, "say why, for whoever looks back")?;
    let step = broker.token_signer().begin_rotation(broker.now())?.ok_or_else(|| {
        Refusal::Conflict(
            "a next key is published already, and signs by itself soon\nhint: `bailiwick keys list`".to_owned(),
        )
    })?;
    record(broker, by, &step, reason).await
}

/// After a compromise: a new key signs at once, and every token issued so far is refused from the very next call on. The
/// active bundle is signed anew, earlier ones are not: whoever had the key could have signed them too.
pub async fn replace(broker: &Broker, by: &Principal, reason: &str) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    let reason = text("reason", reason, "say what happened, for whoever looks back")?;
    // The last step is the one that counts: cut off before it, the command can be given again.
    let kid = broker.token_signer().prepare_replacement(broker.now())?.kid;
    boundary::sign_anew(broker, by, &kid).await?;
    let steps = broker.token_signer().replace_all(&kid, broker.now())?;
    record(broker, by, &Rotation::Promoted { kid }, reason.clone()).await?;
    for step in steps {
        record(broker, by, &step, reason.clone()).await?;
    }
    Ok(())
}

/// Takes the steps that are due, and records each.
pub async fn advance(broker: &Broker) -> Result<Vec<Rotation>, Refusal> {
    let _changing = broker.changing().await;
    let steps = broker.token_signer().advance(broker.now())?;
    for step in &steps {
        let entry = draft(broker, BY_ITSELF, step).public(broker);
        broker.ports.store.append(entry, Vec::new()).await?;
    }
    Ok(steps)
}

async fn record(broker: &Broker, by: &Principal, step: &Rotation, reason: String) -> Result<(), Refusal> {
    let entry = draft(broker, &by.to_string(), step).sealed("reason", reason).finish(broker, by).await?;
    broker.ports.store.append(entry, Vec::new()).await?;
    Ok(())
}

fn draft(broker: &Broker, by: &str, step: &Rotation) -> Draft {
    let (change, kid) = step.told();
    Draft::event(broker, EventKind::KeyChanged).field("by", by).field("change", change).field("key", kid.as_str())
}
