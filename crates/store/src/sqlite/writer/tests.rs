//! What a refusal undoes, whether or not its command took care of that.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bailiwick_audit_log::leaf::{BootNonce, ReplicaId};
use bailiwick_ports::store::{Store as _, StoreError};
use bailiwick_testkit::store_suite::fixtures::{at, fact};
use rusqlite::params;
use tokio::sync::oneshot;

use super::{Begin, COMPANY, Command};
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

/// Overload is shed where an agent can ask again, never where somebody wants to stop one.
#[tokio::test]
async fn administration_waits_for_its_turn_when_calls_are_shed() {
    let identity = Identity { replica: ReplicaId::from_bytes([1; 16]), boot: BootNonce::from_bytes([1; 16]) };
    let hurried = Options { queue_wait_max: Duration::from_millis(20), ..Options::default() };
    let store = SqliteStore::open(Path::new(":memory:"), identity, &hurried).unwrap();
    let (slow, call, administration) = tokio::join!(
        biased;
        store.writer.write_unguarded(|_| {
            std::thread::sleep(Duration::from_millis(200));
            Ok(())
        }),
        store.writer.write_unguarded(|turn| put(turn, "seen:call")),
        store.writer.write(|turn| put(turn, "seen:administration")),
    );
    slow.and(administration).unwrap();
    assert!(matches!(call, Err(StoreError::Unavailable(reason)) if reason.contains("waited too long")));
}

#[tokio::test]
async fn what_nobody_waits_for_shares_the_commit_of_what_somebody_waits_for() {
    let store = store();
    let (unhurried, urgent) = tokio::join!(
        biased;
        store.writer.write_in_company(|turn| put(turn, "seen:unhurried")),
        store.writer.write(|turn| put(turn, "seen:urgent")),
    );
    unhurried.and(urgent).unwrap();
    assert_eq!((store.stats().commits, store.stats().commands), (1, 2));
}

#[tokio::test]
async fn what_finds_no_company_is_durable_by_itself() {
    let store = store();
    store.writer.write_in_company(|turn| put(turn, "seen:alone")).await.unwrap();
    assert_eq!((store.stats().commits, store.stats().commands, store.stats().refused), (1, 1, 0));
}

#[tokio::test]
async fn what_went_along_is_kept_when_the_store_is_closed() {
    let store = store();
    let (reply, answer) = oneshot::channel();
    let unhurried = Command::new(|turn: &mut Turn<'_>| put(turn, "seen:late"), reply, Instant::now() + COMPANY * 1_000);
    assert!(store.writer.ways.as_ref().unwrap().patient.try_send(Box::new(unhurried)).is_ok());
    drop(store);
    answer.await.unwrap().unwrap();
}

/// Whoever is answered by nobody would wait for good.
#[tokio::test]
async fn a_writer_that_has_stopped_refuses_those_without_company_too() {
    let store = store();
    let broken = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    let failure = rusqlite::Error::SqliteFailure(broken, None);
    let (unhurried, failed) = tokio::join!(
        biased;
        store.writer.write_in_company(|turn| put(turn, "seen:unhurried")),
        store.writer.write::<(), _>(|_| Err(failure.into())),
    );
    assert!(matches!((unhurried, failed), (Err(StoreError::Unavailable(_)), Err(StoreError::Unavailable(_)))));
    let ways = store.writer.ways.as_ref().unwrap();
    let (reply, answer) = oneshot::channel();
    let late = Command::new(|turn: &mut Turn<'_>| put(turn, "seen:late"), reply, Instant::now() + COMPANY * 1_000);
    assert!(ways.patient.try_send(Box::new(late)).is_ok() && ways.queue.try_send(Box::new(Begin)).is_ok());
    assert!(matches!(answer.await.unwrap(), Err(StoreError::Unavailable(_))));
}
