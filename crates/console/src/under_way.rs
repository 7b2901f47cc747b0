//! What pages wait for an answer to: each by an id, for so long, for one answer, and so many at a time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

/// Answers of one kind that are waited for at a time.
pub(crate) const UNDER_WAY_MAX: usize = 4_096;

struct Kept<T> {
    /// Who asked, as far as that can be told: the key of an address, or a user.
    of: String,
    since: Timestamp,
    what: T,
}

/// All of one kind. With one too many, the oldest of whoever has most is given up: whoever asks again and again crowds out
/// nobody else.
pub(crate) struct UnderWay<K, T> {
    lives: SignedDuration,
    all: Mutex<HashMap<K, Kept<T>>>,
}

impl<K: Eq + Hash + Clone, T> UnderWay<K, T> {
    /// None yet; each is waited for so long.
    pub(crate) fn new(lives: SignedDuration) -> Self {
        Self { lives, all: Mutex::default() }
    }

    /// Waits for an answer to `what`.
    pub(crate) fn keep(&self, id: K, of: &str, what: T, now: Timestamp) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= UNDER_WAY_MAX {
            all.retain(|_, kept| now.duration_since(kept.since) < self.lives);
        }
        if all.len() >= UNDER_WAY_MAX {
            make_room(&mut all);
        }
        all.insert(id, Kept { of: of.to_owned(), since: now, what });
    }

    /// What an answer is to. It is answered once, whatever comes of it.
    pub(crate) fn take(&self, id: &K, now: Timestamp) -> Option<T> {
        let kept = self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(id)?;
        (now.duration_since(kept.since) < self.lives).then_some(kept.what)
    }
}

fn make_room<K: Eq + Hash + Clone, T>(all: &mut HashMap<K, Kept<T>>) {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for kept in all.values() {
        *counts.entry(&kept.of).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let crowded = all.iter().filter(|(_, kept)| counts.get(&*kept.of) == Some(&most));
    let oldest = crowded.min_by_key(|(_, kept)| kept.since).map(|(id, _)| id.clone());
    oldest.and_then(|id| all.remove(&id));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: usize) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + i64::try_from(second).unwrap()).unwrap()
    }

    #[test]
    fn one_address_fills_the_room_and_gives_up_its_own() {
        let under_way = UnderWay::new(SignedDuration::from_hours(10));
        under_way.keep("honest".to_owned(), "192.0.2.1", 0, at(0));
        for number in 1..=2 * UNDER_WAY_MAX {
            under_way.keep(number.to_string(), "198.51.100.7", number, at(number));
        }
        assert_eq!(under_way.all.lock().unwrap().len(), UNDER_WAY_MAX);
        assert_eq!(under_way.take(&"1".to_owned(), at(9_000)), None, "its own oldest one");
        assert_eq!(under_way.take(&"honest".to_owned(), at(9_000)), Some(0));
        assert_eq!(under_way.take(&"honest".to_owned(), at(9_000)), None, "an answer counts once");
    }

    #[test]
    fn an_answer_comes_in_time() {
        let under_way = UnderWay::new(SignedDuration::from_secs(10));
        under_way.keep(1, "a", (), at(0));
        under_way.keep(2, "a", (), at(0));
        assert_eq!((under_way.take(&1, at(9)), under_way.take(&2, at(10))), (Some(()), None));
    }
}
