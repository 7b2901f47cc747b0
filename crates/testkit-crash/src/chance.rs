//! Seeded chance (SplitMix64): the same seed gives the same states on every machine.

/// A source of numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The source of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `most`, both included.
    pub fn up_to(&mut self, most: usize) -> usize {
        let range = u64::try_from(most).unwrap_or(u64::MAX - 1) + 1;
        usize::try_from(self.number() % range).unwrap_or(most)
    }

    /// True in `percent` of a hundred cases.
    pub fn happens(&mut self, percent: u8) -> bool {
        self.number() % 100 < u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_repeats_itself_and_covers_its_range() {
        let (mut one, mut two) = (Chance::new(7), Chance::new(7));
        assert!((0..100).all(|_| one.number() == two.number()));
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[one.up_to(3)] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert!((0..100).all(|_| one.happens(100) && !one.happens(0)));
    }
}
