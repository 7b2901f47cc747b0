//! No space, no disk, no time: the store refuses, and what it acknowledged is there.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bailiwick_audit_log::{event::EventKind, leaf};
use bailiwick_ports::store::{EntryFilter, Store, StoreError};
use bailiwick_store::{Options, SqliteStore};
use bailiwick_testkit::store_suite::fixtures::{FixedSigner, count, entry, spent, with_body};
use futures::future::join_all;

use crate::{Database, identity, patient};

/// Appends large entries until the store refuses; returns how many it acknowledged, and why it refused.
async fn fill(store: &SqliteStore) -> (u64, String) {
    let text = "x".repeat(8_000);
    for number in 0..100_000 {
        let entry = with_body(entry(EventKind::Denial, &format!("eval_{number}")), &[("text", &text)]);
        match store.append(entry, vec![spent(&number.to_string(), 60)]).await {
            Ok(_) => {}
            Err(StoreError::Unavailable(reason)) => return (number, reason),
            Err(other) => panic!("{other}"),
        }
    }
    panic!("it never filled up");
}

async fn is_contiguous(store: &dyn Store) {
    let entries = store.entries(EntryFilter { limit: usize::MAX, ..EntryFilter::default() }).await.unwrap();
    let mut previous = leaf::CHAIN_START;
    for (entry, sequence) in entries.iter().zip(0..) {
        let position = leaf::decode(&entry.leaf).unwrap().position;
        assert_eq!((entry.sequence, position.sequence, position.previous), (sequence, sequence, previous));
        previous = leaf::hash(&entry.leaf);
    }
}

#[tokio::test]
async fn a_full_database_refuses_and_recovers_when_there_is_space() {
    let database = Database::new();
    let small = Options { database_bytes_max: Some(1_000_000), ..patient() };
    let store = database.store(1, &small);
    let name: bailiwick_model::name::SecretName = "crm/large".parse().unwrap();
    store.put_secret(name.clone(), vec![7; 200_000], entry(EventKind::SecretChanged, "evt_1")).await.unwrap();
    let (acknowledged, reason) = fill(&store).await;
    assert!(reason.contains("full"), "{reason}");
    assert_eq!(count(&store).await as u64, acknowledged + 1);
    assert_eq!(store.stats().failed, None, "no space is no damage");
    store.ping().await.unwrap();
    // Space again: the next command succeeds, and an identifier of a refused one was not used up.
    store.remove_secret(name, entry(EventKind::SecretChanged, "evt_2")).await.unwrap();
    let again = vec![spent(&acknowledged.to_string(), 60)];
    store.append(entry(EventKind::Denial, "eval_again"), again).await.unwrap();
    is_contiguous(&store).await;
    store.integrate(Arc::new(FixedSigner::new(1))).await.unwrap();
}

/// In a full database everybody of the batch is refused, and nobody's record is there.
#[tokio::test]
async fn a_batch_that_does_not_fit_is_refused_whole() {
    let database = Database::new();
    let store = database.store(1, &Options { database_bytes_max: Some(500_000), ..patient() });
    let text = "x".repeat(60_000);
    let callers = (0..32).map(|number| {
        let large = with_body(entry(EventKind::Denial, &format!("eval_{number}")), &[("text", &text)]);
        store.append(large, vec![])
    });
    let answers = join_all(callers).await;
    assert!(answers.iter().any(Result::is_err));
    assert_eq!(count(&store).await, answers.iter().filter(|answer| answer.is_ok()).count());
    is_contiguous(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_in_time() {
    let database = Database::new();
    let wait = Duration::from_millis(100);
    let options = Options { queue_commands_max: 4, queue_wait_max: wait, ..Options::default() };
    let store = Arc::new(database.store(1, &options));
    // Somebody else's lock holds the writer up, as a stalled disk would.
    let blocker = rusqlite::Connection::open(database.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let callers: Vec<_> = (0..40)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let answer = store.append(entry(EventKind::Denial, &format!("eval_{number}")), vec![]).await;
                (answer, started.elapsed())
            })
        })
        .collect();
    tokio::time::sleep(4 * wait).await;
    let in_time = callers.iter().filter(|caller| caller.is_finished()).count();
    assert!(in_time >= 30, "{in_time} of 40 were refused while the writer was held up");
    blocker.execute_batch("ROLLBACK").unwrap();
    let (mut kept, mut reasons) = (0, Vec::new());
    for caller in callers {
        match caller.await.unwrap().0 {
            Ok(_) => kept += 1,
            Err(StoreError::Unavailable(reason)) => reasons.push(reason),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(reasons.iter().any(|reason| reason.contains("queue is full")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("waited too long")), "{reasons:?}");
    assert_eq!(count(&*store).await, kept, "who was refused has no record");
    store.append(entry(EventKind::Denial, "eval_after"), vec![]).await.unwrap();
}

const CHILD_PATH: &str = "BAILIWICK_TEST_DATABASE";

/// A write error of the operating system stops the writer for good; a restart finds all that was acknowledged.
#[tokio::test]
async fn an_input_output_error_stops_the_writer() {
    let database = Database::new();
    let child = Command::new("sh")
        // A file that would grow beyond the limit fails to be written, once the signal is ignored.
        .args(["-c", "trap '' XFSZ; ulimit -f 6000; exec \"$0\" --exact faults::child --ignored --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_PATH, database.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let acknowledged: usize =
        said.lines().find_map(|line| line.strip_prefix("acknowledged ")).expect(&said).trim().parse().unwrap();
    assert!(acknowledged > 10, "{acknowledged}");
    let store = database.store(2, &patient());
    assert_eq!(count(&store).await, acknowledged);
    is_contiguous(&store).await;
    store.append(entry(EventKind::Replica, "evt_after"), vec![]).await.unwrap();
}

/// Runs under a limit on the size of files, see above.
#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn child() {
    let Some(path) = std::env::var_os(CHILD_PATH).map(PathBuf::from) else { return };
    let store = SqliteStore::open(&path, identity(1), &patient()).unwrap();
    let (acknowledged, reason) = fill(&store).await;
    assert!(reason.contains("disk I/O error"), "{reason}");
    let small = store.append(entry(EventKind::Alert, "evt_small"), vec![]).await;
    assert!(matches!(small, Err(StoreError::Unavailable(_))), "even what would fit is refused");
    assert!(store.ping().await.is_err());
    assert!(store.stats().failed.is_some());
    assert_eq!(count(&store).await as u64, acknowledged, "what was acknowledged can still be read");
    println!("\nacknowledged {acknowledged}");
}

/// Records in a file that nobody will find are no evidence.
#[tokio::test]
async fn a_database_that_was_removed_is_written_no_more() {
    for replaced in [false, true] {
        let database = Database::new();
        let store = database.store(1, &patient());
        store.append(entry(EventKind::Denial, "eval_1"), vec![]).await.unwrap();
        std::fs::remove_file(database.path()).unwrap();
        if replaced {
            std::fs::write(database.path(), "another").unwrap();
        }
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
        assert!(store.integrate(Arc::new(FixedSigner::new(1))).await.is_err());
        let refused = store.append(entry(EventKind::Denial, "eval_2"), vec![]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(reason)) if reason.contains("hint: restart")));
    }
}

/// A database that cannot be written at all does not pretend.
#[tokio::test]
async fn a_read_only_database_is_refused() {
    let database = Database::new();
    drop(database.store(1, &patient()));
    assert!(SqliteStore::open(Path::new("/proc/nowhere/bailiwick.db"), identity(1), &patient()).is_err());
    assert!(SqliteStore::open(database.folder.path(), identity(1), &patient()).is_err(), "a folder is no database");
}
