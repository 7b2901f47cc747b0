//! The chain, its search, and the Merkle log over it.

use std::sync::Arc;

use bailiwick_audit_log::{
    event::{Canonical, EventKind},
    leaf::{self, CHAIN_START, LEAF_BYTES_MAX},
    verify::{Report, Verifier},
};
use bailiwick_ports::{
    entry::Sealed,
    store::{Conclusion, EntryFilter, Store, StoreError, StoredEntry},
};
use futures::future::join_all;

use super::{Bench, fixtures::*};

async fn all(store: &dyn Store) -> Vec<StoredEntry> {
    store.entries(EntryFilter { limit: usize::MAX, ..EntryFilter::default() }).await.unwrap()
}

/// Verifies everything that a store holds, as an auditor would.
async fn verify(store: &dyn Store, signer: &FixedSigner) -> Report {
    let mut verifier = Verifier::new(vec![signer.verifier_key()]);
    for (_, note) in store.checkpoints().await.unwrap() {
        verifier.checkpoint(&note);
    }
    for entry in all(store).await {
        verifier.leaf(entry.index, &entry.leaf);
    }
    verifier.finish()
}

/// Numbers from 0, each leaf bound to the one before, what was said is what is read.
pub async fn the_chain_has_no_gaps(bench: &dyn Bench) {
    let mut previous = CHAIN_START;
    let mut sequence = 0;
    for boot in 1..=3 {
        let store = bench.open(boot).await;
        for number in 0..4 {
            let mut entry = entry(EventKind::Denial, &format!("eval_{boot}_{number}"));
            entry.event.commitments = [("arguments".to_owned(), [number; 32])].into();
            entry.event.body = [("number".to_owned(), Canonical::Int(number.into()))].into();
            let ciphertext = vec![number; 3];
            entry.sealed = (number == 2).then(|| Sealed { subject: "agent:bot".into(), ciphertext });
            let receipt = store.append(entry.clone(), vec![]).await.unwrap();
            assert_eq!(receipt.sequence, sequence);
            let stored = all(&*store).await.pop().unwrap();
            assert_eq!((stored.sequence, stored.index, stored.sealed), (sequence, None, entry.sealed));
            let leaf = leaf::decode(&stored.leaf).unwrap();
            assert_eq!(leaf.event, entry.event);
            assert_eq!((leaf.position.sequence, leaf.position.previous), (sequence, previous));
            assert_eq!(leaf.position.boot.as_bytes(), &[boot; 16]);
            previous = leaf::hash(&stored.leaf);
            sequence += 1;
        }
    }
}

/// However many write at once, everybody gets a place of their own.
pub async fn writers_share_one_chain(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let writers = (0..64).map(|writer| {
        let store = Arc::clone(&store);
        async move {
            let mut places = Vec::new();
            for number in 0..5 {
                let entry = entry(EventKind::Denial, &format!("eval_{writer}_{number}"));
                places.push(store.append(entry, vec![]).await.unwrap().sequence);
            }
            places
        }
    });
    let places: Vec<Vec<u64>> = join_all(writers).await;
    assert!(places.iter().all(|own| own.is_sorted()), "each writer's entries are in its order");
    let mut places: Vec<u64> = places.concat();
    places.sort_unstable();
    assert_eq!(places, (0..320).collect::<Vec<u64>>());
    let signer = Arc::new(FixedSigner::new(1));
    assert_eq!(store.integrate(Arc::clone(&signer) as _).await.unwrap(), 320);
    assert_eq!(verify(&*store, &signer).await.findings, []);
}

/// A leaf has a bound, and reaching it breaks nothing.
pub async fn an_entry_too_large_is_refused_without_a_trace(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let large = with_body(entry(EventKind::Denial, "eval_1"), &[("text", &"x".repeat(LEAF_BYTES_MAX))]);
    let refused = store.append(large, vec![spent("a", 60)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    let receipt = store.append(entry(EventKind::Denial, "eval_2"), vec![spent("a", 60)]).await.unwrap();
    assert_eq!(receipt.sequence, 0);
}

/// Every condition by itself and together, in both orders.
pub async fn entries_are_found_by_what_is_asked(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let rows = [
        (EventKind::Denial, "bot-a", "crm"),
        (EventKind::Denial, "bot-b", "crm"),
        (EventKind::Listed, "bot-a", "files"),
        (EventKind::Alert, "bot-b", "files"),
        (EventKind::Denial, "bot-a", "files"),
    ];
    for ((kind, agent, system), seconds) in rows.into_iter().zip(0..) {
        let entry = entry_at(kind, &format!("eval_{seconds}"), at(seconds));
        store.append(with_body(entry, &[("agent", agent), ("system", system)]), vec![]).await.unwrap();
    }
    store.append(entry_at(EventKind::Replica, "evt_5", at(5)), vec![]).await.unwrap();
    let any = EntryFilter { limit: 100, ..EntryFilter::default() };
    let cases: [(EntryFilter, &[u64]); 11] = [
        (any.clone(), &[0, 1, 2, 3, 4, 5]),
        (EntryFilter { newest_first: true, ..any.clone() }, &[5, 4, 3, 2, 1, 0]),
        (EntryFilter { limit: 2, ..any.clone() }, &[0, 1]),
        (EntryFilter { limit: 2, newest_first: true, ..any.clone() }, &[5, 4]),
        (EntryFilter { limit: 0, ..any.clone() }, &[]),
        (EntryFilter { after: Some(3), ..any.clone() }, &[4, 5]),
        (EntryFilter { agent: Some("bot-a".parse().unwrap()), ..any.clone() }, &[0, 2, 4]),
        (EntryFilter { system: Some("files".parse().unwrap()), newest_first: true, ..any.clone() }, &[4, 3, 2]),
        (EntryFilter { kind: Some("denial".into()), after: Some(0), ..any.clone() }, &[1, 4]),
        (EntryFilter { since: Some(at(1)), until: Some(at(3)), ..any.clone() }, &[1, 2]),
        (
            EntryFilter {
                agent: Some("bot-a".parse().unwrap()),
                system: Some("files".parse().unwrap()),
                kind: Some("denial".into()),
                since: Some(at(1)),
                ..any.clone()
            },
            &[4],
        ),
    ];
    for (filter, expected) in cases {
        let found: Vec<u64> = store.entries(filter.clone()).await.unwrap().iter().map(|e| e.sequence).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

/// One id leads to all that belongs to a call.
pub async fn entries_of_a_call_are_found_together(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.commit_intent(intent("eval_1", &store.load().await.unwrap())).await.unwrap();
    store.append(entry(EventKind::Denial, "eval_2"), vec![]).await.unwrap();
    store.conclude(Conclusion { entry: outcome("evt_1", "eval_1"), facts: vec![], at_once: true }).await.unwrap();
    let mut opened = entry(EventKind::SealedOpened, "evt_2");
    opened.event.concludes = Some("eval_1".into());
    store.append(opened, vec![]).await.unwrap();
    for (id, expected) in [("eval_1", &[0, 2, 3][..]), ("eval_2", &[1]), ("evt_1", &[2]), ("eval_9", &[])] {
        let found: Vec<u64> = store.entries_of(id).await.unwrap().iter().map(|entry| entry.sequence).collect();
        assert_eq!(found, expected, "{id}");
    }
}

/// Checkpoint after checkpoint, over restarts, each a prefix of the next.
pub async fn the_log_grows_and_verifies(bench: &dyn Bench) {
    let signer = Arc::new(FixedSigner::new(1));
    let mut expected = 0;
    for boot in 1..=3 {
        let store = bench.open(boot).await;
        for batch in [1, 2, 5] {
            for number in 0..batch {
                store.append(entry(EventKind::Denial, &format!("eval_{boot}_{number}")), vec![]).await.unwrap();
            }
            expected += batch;
            assert_eq!(store.integrate(Arc::clone(&signer) as _).await.unwrap(), expected);
        }
        store.append(entry(EventKind::Denial, "eval_tail"), vec![]).await.unwrap();
        let entries = all(&*store).await;
        assert_eq!(entries.last().unwrap().index, None, "not under a checkpoint yet");
        assert_eq!(entries[0].index, Some(0));
        let report = verify(&*store, &signer).await;
        assert_eq!(report.findings, []);
        assert_eq!((report.entries, report.signed), (expected + 1, expected));
        assert_eq!(report.checkpoints, 3 * u64::from(boot));
        let (size, note) = store.checkpoints().await.unwrap().pop().unwrap();
        assert_eq!((size, store.checkpoint().await.unwrap()), (expected, Some(note)));
        expected += 1;
    }
}

/// Asking again, or many at once, signs nothing twice.
pub async fn only_a_larger_tree_is_signed(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let signer = Arc::new(FixedSigner::new(1));
    assert_eq!(store.integrate(Arc::clone(&signer) as _).await.unwrap(), 0);
    assert_eq!(store.checkpoint().await.unwrap(), None);
    store.append(entry(EventKind::Denial, "eval_1"), vec![]).await.unwrap();
    let at_once = (0..8).map(|_| store.integrate(Arc::clone(&signer) as _));
    for size in join_all(at_once).await {
        assert_eq!(size.unwrap(), 1);
    }
    assert_eq!(store.checkpoints().await.unwrap().len(), 1);
}

/// Without a signature there is no larger tree.
pub async fn a_signer_that_fails_changes_nothing(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.append(entry(EventKind::Denial, "eval_1"), vec![]).await.unwrap();
    let mut broken = FixedSigner::new(1);
    broken.broken = true;
    assert!(matches!(store.integrate(Arc::new(broken)).await, Err(StoreError::Unavailable(_))));
    assert_eq!(all(&*store).await[0].index, None);
    assert_eq!(store.checkpoint().await.unwrap(), None);
    assert_eq!(store.integrate(Arc::new(FixedSigner::new(1))).await.unwrap(), 1);
}
