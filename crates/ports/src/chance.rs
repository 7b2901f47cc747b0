//! Time and randomness, passed in so that tests can fix them.

use jiff::Timestamp;

/// Wall-clock time, used as data; never for leases or timeouts.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Randomness fit for keys, salts and ids.
pub trait Entropy: Send + Sync {
    /// Fills `buffer`. A source that can fail must abort rather than return weak bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// Random bytes as an array.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// Makes a typed id from the clock and chance.
#[macro_export]
macro_rules! new_id {
    ($kind:ty, $now:expr, $entropy:expr) => {
        <$kind>::new(u64::try_from($now.as_millisecond()).unwrap_or_default(), $crate::chance::random::<10>($entropy))
    };
}
