//! What a task comes to: the one error type of these tasks, and the sums of test runs.

use std::{fmt, io, ops::AddAssign};

/// Why a task failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reason has been printed already.
    Told,
    /// The reason.
    Why(String),
}

impl Failure {
    /// A failure with its reason.
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self::Why(why.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// How many tests passed and how many did not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed, and steps that failed besides their tests.
    pub(crate) failed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}
