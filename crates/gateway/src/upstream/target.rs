//! Where a system runs and how it is reached, as the catalogue declares it.

use std::{path::PathBuf, time::Duration};

use bailiwick_pdp::catalogue::{System, Upstream};

use super::era::Revision;

/// One upstream as the pool needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How it is reached.
    pub upstream: Upstream,
    /// How long a call may stay silent.
    pub call_timeout: Duration,
    /// How old a check of its definitions may become before the next one.
    pub verify_every: Duration,
    /// The revision to speak, where probing for it does harm; `None` probes.
    pub revision: Option<Revision>,
    /// The working directory of a child; `None` is the broker's own.
    pub directory: Option<PathBuf>,
    /// What a child may use.
    pub limits: ProcessLimits,
}

impl Target {
    /// Whether the system holds its own users.
    pub(crate) const fn has_accounts(&self) -> bool {
        matches!(self.upstream, Upstream::Http { accounts: Some(_), .. })
    }
}

/// What a child process may use. Each process of its group has these limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Open files and sockets.
    pub open_files_max: u64,
    /// Bytes of one file that it writes.
    pub file_bytes_max: Option<u64>,
    /// Bytes of private memory.
    pub memory_bytes_max: Option<u64>,
}

impl Default for ProcessLimits {
    /// Room for any sane server; a leak or a bomb ends before the machine does.
    fn default() -> Self {
        Self { open_files_max: 1_024, file_bytes_max: Some(4 << 30), memory_bytes_max: Some(8 << 30) }
    }
}

impl From<&System> for Target {
    fn from(system: &System) -> Self {
        Self {
            upstream: system.upstream.clone(),
            call_timeout: Duration::from_secs(system.call_timeout_s),
            verify_every: Duration::from_secs(system.verify_every_s),
            revision: None,
            directory: None,
            limits: ProcessLimits::default(),
        }
    }
}
