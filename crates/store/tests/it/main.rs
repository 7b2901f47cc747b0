//! The SQLite store: the suite of all stores on a file and in memory, and the faults of disks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that is surprised must fail, and a child process reports on stdout"
)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bailiwick_audit_log::leaf::{BootNonce, ReplicaId};
use bailiwick_ports::store::Store;
use bailiwick_store::{Identity, Options, SqliteStore};
use bailiwick_testkit::store_suite::Bench;

mod faults;
mod files;
mod group_commit;

mod suite {
    bailiwick_testkit::store_suite!(crate::Database::new());
}

/// A database in memory cannot be opened twice, but does all else.
mod in_memory {
    bailiwick_testkit::store_suite!(crate::Memory; state:
        agents_are_kept_whole, an_agent_changes_from_the_version_that_was_seen, tasks_open_and_end_once,
        bundles_are_published_and_rolled_back, vault_rows_are_kept_as_they_are);
    bailiwick_testkit::store_suite!(crate::Memory; calls:
        a_refused_intent_changes_nothing, an_intent_relies_on_what_was_seen, identifiers_are_used_up_once,
        a_budget_is_exact_under_contention, what_expired_is_forgotten);
    bailiwick_testkit::store_suite!(crate::Memory; evidence:
        writers_share_one_chain, entries_are_found_by_what_is_asked, only_a_larger_tree_is_signed);
}

struct Memory;

#[async_trait]
impl Bench for Memory {
    async fn open(&self, boot: u8) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(Path::new(":memory:"), identity(boot), &patient()).unwrap())
    }
}

/// A database file in a folder of its own.
struct Database {
    folder: tempfile::TempDir,
}

impl Database {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bailiwick.db")
    }

    fn store(&self, boot: u8, options: &Options) -> SqliteStore {
        SqliteStore::open(&self.path(), identity(boot), options).unwrap()
    }
}

#[async_trait]
impl Bench for Database {
    async fn open(&self, boot: u8) -> Arc<dyn Store> {
        // A loaded machine must not fail a test about something else.
        Arc::new(self.store(boot, &patient()))
    }
}

fn identity(boot: u8) -> Identity {
    Identity { replica: ReplicaId::from_bytes([1; 16]), boot: BootNonce::from_bytes([boot; 16]) }
}

fn patient() -> Options {
    Options { queue_wait_max: std::time::Duration::from_secs(30), ..Options::default() }
}
