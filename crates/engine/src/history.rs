//! Reading evidence. Opening sealed values is itself recorded, before they are shown.

use std::collections::BTreeMap;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{decision::Evaluated, evaluation::Evaluation, principal::Principal};
use bailiwick_ports::{
    entry::Opened,
    store::{EntryFilter, StoredEntry},
};

use crate::{
    broker::Broker,
    evidence::{Draft, SEALED_PURPOSE},
    refusal::Refusal,
};

/// Entries that one page holds at most.
pub const ENTRIES_PER_PAGE_MAX: usize = 1_000;

/// One page of entries.
pub async fn entries(broker: &Broker, mut filter: EntryFilter) -> Result<Vec<StoredEntry>, Refusal> {
    filter.limit = filter.limit.clamp(1, ENTRIES_PER_PAGE_MAX);
    Ok(broker.ports.store.entries(filter).await?)
}

/// The whole chain of one call: what was decided, what came of it.
pub async fn of(broker: &Broker, event_id: &str) -> Result<Vec<StoredEntry>, Refusal> {
    let found = broker.ports.store.entries_of(event_id).await?;
    if found.is_empty() {
        return Err(Refusal::Missing(format!("evidence of `{event_id}`")));
    }
    Ok(found)
}

/// Opens the sealed values of entries, and records who did and why before it returns them, by sequence number.
pub async fn open(
    broker: &Broker,
    by: &Principal,
    event_id: &str,
    entries: &[StoredEntry],
) -> Result<BTreeMap<u64, Opened>, Refusal> {
    let sealed: Vec<_> = entries.iter().filter_map(|e| e.sealed.as_ref().map(|s| (e.sequence, s))).collect();
    if sealed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let entry = Draft::event(broker, EventKind::SealedOpened)
        .field("by", by.to_string())
        .field("opened", event_id)
        .field("entries", i64::try_from(sealed.len()).unwrap_or(i64::MAX))
        .public(broker);
    broker.ports.store.append(entry, Vec::new()).await?;
    let mut opened = BTreeMap::new();
    for (sequence, part) in sealed {
        let plain = broker.ports.vault.open(&part.subject, SEALED_PURPOSE, &part.ciphertext).await?;
        let fields = serde_json::from_slice(plain.expose())
            .map_err(|_| Refusal::Unavailable(format!("sealed values of entry {sequence} cannot be read")))?;
        opened.insert(sequence, fields);
    }
    Ok(opened)
}

/// A recorded decision, opened: what was asked, what was answered.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The question; absent where the call was denied before there was one.
    pub evaluation: Option<Evaluation>,
    /// The answer.
    pub evaluated: Evaluated,
    /// The answer to the same question under the cited bundle, made again now; absent without a question or bundle.
    pub reproduced: Option<Evaluated>,
}

/// Explains a recorded decision and reproduces it under the bundle that it cites.
pub async fn explain(broker: &Broker, by: &Principal, evaluation_id: &str) -> Result<Explained, Refusal> {
    let entries = of(broker, evaluation_id).await?;
    let opened = open(broker, by, evaluation_id, &entries).await?;
    let field =
        |name: &str| opened.values().find_map(|part| part.fields.get(name)).and_then(|field| field.value.as_deref());
    let unreadable = || Refusal::Unavailable(format!("the decision `{evaluation_id}` cannot be read"));
    let evaluated: Evaluated = field("evaluated")
        .and_then(|json| serde_json::from_str(json).ok())
        .ok_or_else(|| Refusal::Missing(format!("a decision called `{evaluation_id}`")))?;
    let evaluation: Option<Evaluation> = match field("evaluation") {
        None => None,
        Some(json) => Some(serde_json::from_str(json).map_err(|_| unreadable())?),
    };
    let mut reproduced = None;
    if let Some(question) = &evaluation
        && let Some(bundle) = broker.ports.store.bundle(evaluated.bundle).await?
        && let Ok(snapshot) = bailiwick_pdp::snapshot::Snapshot::compile(&bundle.files)
    {
        reproduced = Some(snapshot.evaluate(question));
    }
    Ok(Explained { evaluation, evaluated, reproduced })
}
