//! Reading evidence. Opening sealed values is itself recorded, before they are shown.

use std::collections::BTreeMap;

use bailiwick_audit_log::{
    commit::{self, SALT_BYTES},
    event::{Commitment, EventKind},
    leaf,
};
use bailiwick_model::{
    decision::{Decision, Evaluated, ReasonCode},
    evaluation::Evaluation,
    examined::Examined,
    principal::Principal,
};
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
        let unreadable = |what| Refusal::Unavailable(format!("sealed values of entry {sequence} {what}"));
        let fields: Opened = serde_json::from_slice(plain.expose()).map_err(|_| unreadable("cannot be read"))?;
        let leaf = entries.iter().find(|entry| entry.sequence == sequence).map(|entry| leaf::decode(&entry.leaf));
        if !leaf.is_some_and(|leaf| leaf.is_ok_and(|leaf| are_committed(&leaf.event.commitments, &fields))) {
            return Err(unreadable("are not the ones that its leaf commits to: somebody exchanged them"));
        }
        opened.insert(sequence, fields);
    }
    Ok(opened)
}

/// Whether the values are those that were committed to, all of them and no other. The log protects the commitments; the
/// sealed values lie beside it, and one entry's could be put in the place of another's.
fn are_committed(commitments: &BTreeMap<String, Commitment>, opened: &Opened) -> bool {
    commitments.keys().eq(opened.fields.keys())
        && commitments.iter().all(|(name, commitment)| {
            let Some(field) = opened.fields.get(name) else { return false };
            let mut salt = [0; SALT_BYTES];
            let salted = hex::decode_to_slice(&field.salt, &mut salt).is_ok();
            let value = field.value.as_deref();
            salted && value.is_none_or(|value| commit::open(commitment, &salt, name, value.as_bytes()).is_ok())
        })
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
    /// What denied it after policy had decided, on what the question does not hold: a budget, a proof used twice, a hook
    /// that cannot fulfil an obligation.
    pub overruled_by: Option<ReasonCode>,
    /// The answer to the same question under the bundle that is active now, where that is another one.
    pub today: Option<Evaluated>,
}

impl Explained {
    /// Whether the cited bundle still decides alike, by the same policies; `None` where that cannot be asked.
    pub fn is_reproduced(&self) -> Option<bool> {
        if self.overruled_by.is_some() {
            return None;
        }
        let again = self.reproduced.as_ref()?;
        let then = &self.evaluated;
        let same = again.determining == then.determining && again.errors == then.errors;
        Some(same && again.decision == then.decision && again.observed == then.observed)
    }

    /// The policies that came nearest or stood in the way. A record that has none of its own, being older, or overruled,
    /// has those of the same evaluation made again.
    pub fn examined(&self) -> &[Examined] {
        match &self.reproduced {
            Some(again) if self.evaluated.examined.is_empty() && self.is_reproduced() == Some(true) => &again.examined,
            _ => &self.evaluated.examined,
        }
    }
}

/// Explains a recorded decision, reproduces it under the bundle that it cites, and asks the active one as well.
pub async fn explain(broker: &Broker, by: &Principal, evaluation_id: &str) -> Result<Explained, Refusal> {
    let entries = of(broker, evaluation_id).await?;
    let opened = open(broker, by, evaluation_id, &entries).await?;
    let field =
        |name: &str| decision(&opened).and_then(|part| part.fields.get(name)).and_then(|field| field.value.as_deref());
    let unreadable = || Refusal::Unavailable(format!("the decision `{evaluation_id}` cannot be read"));
    let evaluated: Evaluated = field("evaluated")
        .and_then(|json| serde_json::from_str(json).ok())
        .ok_or_else(|| Refusal::Missing(format!("a decision called `{evaluation_id}`")))?;
    let evaluation: Option<Evaluation> = match field("evaluation") {
        None => None,
        Some(json) => Some(serde_json::from_str(json).map_err(|_| unreadable())?),
    };
    let mut reproduced = None;
    let mut today = None;
    if let Some(question) = &evaluation {
        let active = broker.live().policy.clone();
        match active {
            Some(active) if active.revision() == evaluated.bundle => reproduced = Some(active.evaluate(question)),
            active => {
                today = active.map(|active| active.evaluate(question));
                if let Some(bundle) = broker.ports.store.bundle(evaluated.bundle).await?
                    && let Ok(snapshot) = bailiwick_pdp::snapshot::Snapshot::compile(&bundle.files)
                {
                    reproduced = Some(snapshot.evaluate(question));
                }
            }
        }
    }
    let overruled_by = overruling(&evaluated, reproduced.as_ref());
    Ok(Explained { evaluation, evaluated, reproduced, overruled_by, today })
}

/// The part that holds the decision. Of a call that a hook asked about first there are two, and the last counted: its
/// question is its own, or none where it was denied before there was one.
pub(crate) fn decision(opened: &BTreeMap<u64, Opened>) -> Option<&Opened> {
    opened.values().rev().find(|part| part.fields.contains_key("evaluated"))
}

/// The reason that only comes after policy has allowed, never from it.
fn overruling(evaluated: &Evaluated, reproduced: Option<&Evaluated>) -> Option<ReasonCode> {
    let of_the_commit = [ReasonCode::LimitReached, ReasonCode::Replayed];
    // Policy itself gives this one for obligations that no two can be fulfilled; a hook, for any that policy allowed with.
    let obliging =
        |again: &Evaluated| matches!(&again.decision, Decision::Allow { obligations } if !obligations.is_empty());
    let of_a_hook = evaluated.determining.is_empty() && reproduced.is_some_and(obliging);
    let overrules =
        |code: &ReasonCode| of_the_commit.contains(code) || (*code == ReasonCode::ObligationUnfulfillable && of_a_hook);
    evaluated.decision.reasons().iter().map(|reason| reason.code).find(overrules)
}

#[cfg(test)]
mod tests {
    use bailiwick_ports::entry::OpenedField;

    use super::*;

    fn opened(fields: &[(&str, u8, Option<&str>)]) -> Opened {
        let field = |salt: u8, value: Option<&str>| OpenedField {
            salt: hex::encode([salt; SALT_BYTES]),
            value: value.map(str::to_owned),
        };
        let fields = fields.iter().map(|(name, salt, value)| ((*name).to_owned(), field(*salt, *value)));
        Opened { fields: fields.collect() }
    }

    #[test]
    fn values_of_another_entry_are_not_shown_as_this_ones() {
        let commitment = |name: &str, salt, value: &str| commit::commit(&[salt; SALT_BYTES], name, value.as_bytes());
        let commitments = BTreeMap::from([
            ("arguments".to_owned(), commitment("arguments", 1, "{}")),
            ("result".to_owned(), commitment("result", 2, "done")),
        ]);
        let check = |fields: &[(&str, u8, Option<&str>)], expected: bool| {
            assert_eq!(are_committed(&commitments, &opened(fields)), expected, "{fields:?}");
        };
        check(&[("arguments", 1, Some("{}")), ("result", 2, Some("done"))], true);
        check(&[("arguments", 1, Some("{}")), ("result", 2, None)], true);
        check(&[("arguments", 1, Some("{\"a\":1}")), ("result", 2, Some("done"))], false);
        check(&[("arguments", 3, Some("{}")), ("result", 2, Some("done"))], false);
        check(&[("arguments", 1, Some("{}"))], false);
        check(&[("arguments", 1, Some("{}")), ("result", 2, None), ("evaluated", 3, Some("allow"))], false);
        check(&[], false);
    }
}
