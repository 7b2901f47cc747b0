//! A clock that stands still until a test moves it.

use std::sync::Mutex;

use bailiwick_ports::chance::Clock;
use jiff::{SignedDuration, Timestamp};

/// The clock.
#[derive(Debug)]
pub struct TestClock(Mutex<Timestamp>);

impl Default for TestClock {
    /// A Wednesday noon.
    fn default() -> Self {
        Self(Mutex::new("2026-06-10T12:00:00Z".parse().unwrap()))
    }
}

impl TestClock {
    /// Stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves it.
    pub fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}
