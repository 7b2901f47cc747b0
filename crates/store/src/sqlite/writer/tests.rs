//! What a refusal undoes, whether or not its command took care of that.

use std::{path::Path, time::Duration};

use bailiwick_audit_log::leaf::{BootNonce, ReplicaId};
use bailiwick_ports::store::{Store as _, StoreError};
use bailiwick_testkit::store_suite::fixtures::{at, fact};
use rusqlite::params;

use crate::sqlite::{
    SqliteStore,
    failure::Step,
    open::{Identity, Options},
    statements,
    turn::Turn,
};

fn store() -> SqliteStore {
    let identity = Identity { replica: ReplicaId::from_bytes([1; 16]), boot: BootNonce::from_bytes([1; 16]) };
    let patient = Options { queue_wait_max: Duration::from_secs(30), ..Options::default() };
    SqliteStore::open(Path::new(":memory:"), identity, &patient).unwrap()
}

fn put(turn: &Turn<'_>, name: &str) -> Step<()> {
    let row = params!["agent:bot", name, at(4_000_000_000).as_microsecond()];
    turn.execute(statements::PUT_FACT, row).map(|_| ())
}

fn refused() -> Step<()> {
    Err(StoreError::Conflict("it".to_owned()).into())
}

#[tokio::test]
async fn a_guarded_refusal_is_undone_alone() {
    let store = store();
    let (kept, undone) = tokio::join!(
        store.writer.write(|turn| put(turn, "seen:kept")),
        store.writer.write(|turn| put(turn, "seen:undone").and_then(|()| refused())),
    );
    kept.unwrap();
    assert!(matches!(undone, Err(StoreError::Conflict(_))));
    let facts: Vec<_> = store.load().await.unwrap().facts.into_iter().map(|row| row.fact.to_string()).collect();
    assert_eq!(facts, ["seen:kept"]);
}

/// The mistake that the writer does not trust itself not to make.
#[tokio::test]
async fn a_torn_refusal_costs_its_batch_and_nothing_else() {
    let store = store();
    let torn = store.writer.write_unguarded(|turn| put(turn, "seen:torn").and_then(|()| refused())).await;
    assert!(matches!(torn, Err(StoreError::Unavailable(reason)) if reason.contains("had changed something")));
    assert_eq!(store.load().await.unwrap().facts, []);
    store.writer.write_unguarded(|turn| put(turn, "read:pii")).await.unwrap();
    assert_eq!(store.load().await.unwrap().facts, [fact("bot", "read:pii", 4_000_000_000)]);
}
