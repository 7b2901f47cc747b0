//! The machine's clock and randomness.

use aws_lc_rs::rand;
use bailiwick_ports::chance::{Clock, Entropy};
use jiff::Timestamp;

/// Wall-clock time of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The cryptographic randomness of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // A key made of zeros is worse than no process.
        if rand::fill(buffer).is_err() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let draw = || bailiwick_ports::chance::random::<32>(&SystemEntropy);
        assert_ne!(draw(), draw());
        assert_ne!(draw(), [0; 32]);
    }
}
