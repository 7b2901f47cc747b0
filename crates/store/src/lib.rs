//! The store: state and evidence in one database, each use case one transaction.
//!
//! [`SqliteStore`] keeps everything in one SQLite file: one writer thread with
//! group commit (`synchronous=FULL`), readers from snapshots. A state change and
//! its evidence are committed together or not at all; when the disk cannot keep
//! a promise, the store refuses instead of promising.
//!
//! Knows no policy and makes no decision: it checks versions, uses things up and
//! says what it found.

mod sqlite;

pub use sqlite::{
    SqliteStore,
    open::{Identity, OpenError, Options},
    restore::restore,
    stats::Stats,
};
