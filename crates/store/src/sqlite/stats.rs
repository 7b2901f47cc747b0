//! What the store has done, for metrics and health.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bailiwick_ports::store::StoreError;

/// Counts since the store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Transactions that were made durable. Fewer than `commands` when callers share them.
    pub commits: u64,
    /// Commands that were made durable.
    pub commands: u64,
    /// Commands that were refused, for whatever reason.
    pub refused: u64,
    /// Commands that wait now.
    pub queued: usize,
    /// Why nothing more is written until a restart, if so.
    pub failed: Option<String>,
}

/// The counts while they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    commands: AtomicU64,
    refused: AtomicU64,
    failed: Mutex<Option<String>>,
    /// Whether the last batch was refused for what may pass, such as a full disk.
    troubled: AtomicBool,
}

impl Counters {
    pub(crate) fn committed(&self, commands: u64, refused: u64, durable: bool) {
        if durable {
            self.troubled.store(false, Ordering::Relaxed);
        }
        self.commits.fetch_add(u64::from(durable), Ordering::Relaxed);
        self.commands.fetch_add(commands, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, commands: u64) {
        self.refused.fetch_add(commands, Ordering::Relaxed);
    }

    pub(crate) fn troubled(&self) {
        self.troubled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self, reason: String) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Refuses if the writer has stopped for good.
    pub(crate) fn standing(&self) -> Result<(), StoreError> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Unavailable(reason)),
        }
    }

    pub(crate) fn read(&self, queued: usize) -> Stats {
        Stats {
            commits: self.commits.load(Ordering::Relaxed),
            commands: self.commands.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            queued,
            failed: self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
