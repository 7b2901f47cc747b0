//! The place of one connection: opened by one caller while others wait for it,
//! opened again when it died, with growing patience if it keeps dying.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bailiwick_model::name::{SystemName, UserId};
use bailiwick_pdp::catalogue::Upstream;
use tokio::time::Instant;

use super::System;
use crate::upstream::{CallerKey, UpstreamError, connection::Live, era::Era};

/// A connection that lived so long was a good one.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// How long to wait after the second failure in a row; doubled with each further one.
const BACKOFF: Duration = Duration::from_secs(1);
/// And at most: starting a process costs more than dialling, and one that failed twice seldom gets well by itself.
const BACKOFF_MAX_PROCESS: Duration = Duration::from_secs(60);
const BACKOFF_MAX_DIAL: Duration = Duration::from_secs(5);

/// Whose connection, of which kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(super) system: SystemName,
    pub(super) holder: String,
    /// The user in whose name it is.
    pub(super) user: Option<UserId>,
    pub(super) era: Era,
    pub(super) capabilities: String,
}

impl Key {
    pub(super) fn of(system: &System, caller: &CallerKey, era: Era) -> Self {
        let own = !system.is_shared();
        Self {
            system: system.name.clone(),
            holder: if own { caller.holder.clone() } else { String::new() },
            user: caller.user.clone().filter(|_| own),
            era,
            // A stateless client says with each message what it can be asked.
            capabilities: if own && era == Era::Handshake { caller.capabilities.0.clone() } else { "{}".to_owned() },
        }
    }
}

/// How long a place whose connection is about to be opened is kept for whoever asked for it.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// One connection's place.
pub(crate) struct Slot {
    made_at: Instant,
    /// Held while opening, so that one opens and the others wait.
    opening: tokio::sync::Mutex<Failures>,
    live: Mutex<Option<Arc<Live>>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self { made_at: Instant::now(), opening: tokio::sync::Mutex::default(), live: Mutex::default() }
    }
}

#[derive(Default)]
struct Failures {
    in_a_row: u32,
    not_before: Option<Instant>,
}

impl Failures {
    fn add(&mut self, backoff_max: Duration) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        // The first failure may be chance, so that the next attempt is free.
        if let Some(doublings) = self.in_a_row.checked_sub(2) {
            let wait = BACKOFF.saturating_mul(1 << doublings.min(10)).min(backoff_max);
            self.not_before = Some(Instant::now() + wait);
        }
    }
}

impl Slot {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self) -> Option<Arc<Live>> {
        self.current().as_ref().filter(|live| live.connection.is_live()).cloned()
    }

    /// The open connection, or a new one by `open`; `true`: it is new.
    pub(super) async fn live(
        &self,
        system: &System,
        open: impl Future<Output = Result<Live, UpstreamError>>,
    ) -> Result<(Arc<Live>, bool), UpstreamError> {
        if let Some(live) = self.usable() {
            return Ok((live, false));
        }
        let backoff_max = match system.target.upstream {
            Upstream::Stdio { .. } => BACKOFF_MAX_PROCESS,
            Upstream::Http { .. } | Upstream::Client(_) => BACKOFF_MAX_DIAL,
        };
        let mut failures = self.opening.lock().await;
        if let Some(live) = self.usable() {
            return Ok((live, false));
        }
        let dead = self.current().take();
        match dead {
            Some(dead) if dead.opened_at.elapsed() < STABLE_AFTER => failures.add(backoff_max),
            Some(_) => *failures = Failures::default(),
            None => {}
        }
        if let Some(left) = failures.not_before.and_then(|then| then.checked_duration_since(Instant::now())) {
            return Err(UpstreamError::BackingOff { retry_after: left });
        }
        match open.await {
            Ok(live) => {
                let live = Arc::new(live);
                *self.current() = Some(Arc::clone(&live));
                Ok((live, true))
            }
            Err(error) => {
                failures.add(backoff_max);
                Err(error)
            }
        }
    }

    /// Since when nobody uses it. One that is being opened is in use; one that was never opened, or died, is not.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let opening = self.opening.try_lock().ok()?;
        let current = self.current();
        match &*current {
            Some(live) if live.connection.is_live() => live.connection.idle_since(),
            Some(live) => Some(live.opened_at),
            None if self.made_at.elapsed() < KEPT_FOR => None,
            // Its failures are remembered until they no longer matter.
            None => Some(opening.not_before.unwrap_or(self.made_at)),
        }
    }

    /// Lets the connection go.
    pub(super) fn close(&self) {
        drop(self.current().take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_and_ends() {
        let mut failures = Failures::default();
        let mut waits = Vec::new();
        for _ in 0..40 {
            failures.add(BACKOFF_MAX_PROCESS);
            waits.push(
                failures.not_before.map_or(0, |then| then.duration_since(Instant::now()).as_secs_f64().round() as u64),
            );
        }
        assert_eq!(waits[..8], [0, 1, 2, 4, 8, 16, 32, 60]);
        assert_eq!(waits[39], 60);
    }
}
