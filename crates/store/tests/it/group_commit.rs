//! Callers that wait together share one commit, and nobody is answered before it.

use std::sync::Arc;

use bailiwick_audit_log::event::EventKind;
use bailiwick_ports::store::Store;
use bailiwick_testkit::store_suite::fixtures::{entry, spent};
use futures::future::join_all;

use crate::{Database, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_need_fewer_commits() {
    let database = Database::new();
    let store = Arc::new(database.store(1, &patient()));
    let callers = (0..64).map(|caller| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0..20 {
                let id = format!("eval_{caller}_{number}");
                store.append(entry(EventKind::Denial, &id), vec![]).await.unwrap();
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.commands, stats.refused, stats.queued), (1_280, 0, 0));
    assert!(stats.commits * 4 < stats.commands, "{stats:?}");
}

#[tokio::test]
async fn a_single_caller_waits_for_nobody() {
    let database = Database::new();
    let store = database.store(1, &patient());
    for number in 0..10 {
        store.append(entry(EventKind::Denial, &format!("eval_{number}")), vec![]).await.unwrap();
    }
    assert_eq!((store.stats().commits, store.stats().commands), (10, 10));
}

/// A refusal costs no fsync and does not spoil its neighbours' commit.
#[tokio::test]
async fn refusals_ride_along() {
    let database = Database::new();
    let store = database.store(1, &patient());
    store.append(entry(EventKind::Denial, "eval_0"), vec![spent("used", 60)]).await.unwrap();
    let callers = (0..40).map(|number| {
        let jti = if number % 2 == 0 { "used".to_owned() } else { number.to_string() };
        store.append(entry(EventKind::Denial, &format!("eval_{number}")), vec![spent(&jti, 60)])
    });
    let answers = join_all(callers).await;
    let mut kept: Vec<u64> = answers.iter().flatten().map(|receipt| receipt.sequence).collect();
    kept.sort_unstable();
    assert_eq!(kept, (1..=20).collect::<Vec<u64>>());
    let stats = store.stats();
    assert_eq!((stats.commands, stats.refused), (21, 20));
    let commits = stats.commits;
    store.append(entry(EventKind::Denial, "eval_1"), vec![spent("used", 60)]).await.unwrap_err();
    assert_eq!(store.stats().commits, commits);
}
