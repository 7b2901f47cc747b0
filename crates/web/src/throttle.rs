//! Slows down whoever keeps failing: a token bucket per key, bounded in number.
//! Counts failures only, so that an honest caller never meets it. Not a budget
//! of policy: those are settled in the store.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

/// How much failing is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Failures at once.
    pub burst: u32,
    /// Seconds until one further failure is put up with.
    pub refill_s: u32,
    /// Keys that are counted at a time; past it, the one that was quiet longest is forgotten.
    pub keys_max: usize,
}

/// Counts failures per key.
#[derive(Debug)]
pub struct Throttle {
    allowance: Allowance,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u32,
    since_s: i64,
}

/// A key that has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// Seconds until the next try is looked at.
    pub retry_after_s: u32,
}

impl Throttle {
    /// An empty one.
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, buckets: Mutex::default() }
    }

    /// Whether a try of `key` is looked at now.
    pub fn admit(&self, key: &str, now: Timestamp) -> Result<(), Throttled> {
        self.look(&self.buckets.lock().unwrap_or_else(PoisonError::into_inner), key, now)
    }

    /// Counts a try of `key` as a failure before anybody knows: of many at once no more are looked at than may fail. One that
    /// did not is given back.
    pub fn take(&self, key: &str, now: Timestamp) -> Result<(), Throttled> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&buckets, key, now)?;
        self.count(&mut buckets, key, now);
        Ok(())
    }

    /// A try that was taken was no failure.
    pub fn give_back(&self, key: &str) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.left = bucket.left.saturating_add(1).min(self.allowance.burst);
        }
    }

    fn look(&self, buckets: &HashMap<String, Bucket>, key: &str, now: Timestamp) -> Result<(), Throttled> {
        match buckets.get(key).map(|bucket| self.refilled(*bucket, now)) {
            Some(Bucket { left: 0, since_s }) => {
                let waited = u32::try_from(now.as_second().saturating_sub(since_s)).unwrap_or(0);
                Err(Throttled { retry_after_s: self.allowance.refill_s.saturating_sub(waited).max(1) })
            }
            _ => Ok(()),
        }
    }

    /// Notes a failure of `key`.
    pub fn failed(&self, key: &str, now: Timestamp) {
        self.count(&mut self.buckets.lock().unwrap_or_else(PoisonError::into_inner), key, now);
    }

    fn count(&self, buckets: &mut HashMap<String, Bucket>, key: &str, now: Timestamp) {
        if !buckets.contains_key(key) && buckets.len() >= self.allowance.keys_max {
            self.make_room(buckets, now);
        }
        let full = Bucket { left: self.allowance.burst, since_s: now.as_second() };
        let mut bucket = buckets.get(key).map_or(full, |bucket| self.refilled(*bucket, now));
        bucket.left = bucket.left.saturating_sub(1);
        buckets.insert(key.to_owned(), bucket);
    }

    fn refilled(&self, bucket: Bucket, now: Timestamp) -> Bucket {
        let refill_s = i64::from(self.allowance.refill_s.max(1));
        let gained = now.as_second().saturating_sub(bucket.since_s).max(0) / refill_s;
        let left = u32::try_from(gained).unwrap_or(u32::MAX).saturating_add(bucket.left);
        if left >= self.allowance.burst {
            return Bucket { left: self.allowance.burst, since_s: now.as_second() };
        }
        Bucket { left, since_s: bucket.since_s + gained * refill_s }
    }

    fn make_room(&self, buckets: &mut HashMap<String, Bucket>, now: Timestamp) {
        buckets.retain(|_, bucket| self.refilled(*bucket, now).left < self.allowance.burst);
        if buckets.len() >= self.allowance.keys_max {
            let quietest = buckets.iter().min_by_key(|(_, bucket)| bucket.since_s).map(|(key, _)| key.clone());
            if let Some(key) = quietest {
                buckets.remove(&key);
            }
        }
    }
}

/// The key under which an address is counted: of IPv6 the network that one household or host has.
pub fn address_key(address: Option<IpAddr>) -> String {
    match address {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_address() {
        let key = |address: &str| address_key(Some(address.parse().unwrap()));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn failing_is_put_up_with_for_a_while() {
        let throttle = Throttle::new(Allowance { burst: 3, refill_s: 10, keys_max: 10 });
        for _ in 0..3 {
            assert_eq!(throttle.admit("a", at(0)), Ok(()));
            throttle.failed("a", at(0));
        }
        assert_eq!(throttle.admit("a", at(0)), Err(Throttled { retry_after_s: 10 }));
        assert_eq!(throttle.admit("a", at(7)), Err(Throttled { retry_after_s: 3 }));
        assert_eq!(throttle.admit("b", at(0)), Ok(()), "another key is not concerned");
        assert_eq!(throttle.admit("a", at(10)), Ok(()));
        throttle.failed("a", at(10));
        assert_eq!(throttle.admit("a", at(10)), Err(Throttled { retry_after_s: 10 }));
        assert_eq!(throttle.admit("a", at(1_000)), Ok(()));
    }

    #[test]
    fn of_many_tries_at_once_no_more_are_looked_at_than_may_fail() {
        let throttle = Throttle::new(Allowance { burst: 2, refill_s: 10, keys_max: 10 });
        assert_eq!(throttle.take("a", at(0)), Ok(()));
        assert_eq!(throttle.take("a", at(0)), Ok(()));
        assert_eq!(throttle.take("a", at(0)), Err(Throttled { retry_after_s: 10 }));
        throttle.give_back("a");
        assert_eq!(throttle.take("a", at(0)), Ok(()), "what was none");
        assert_eq!(throttle.take("a", at(0)), Err(Throttled { retry_after_s: 10 }));
        (0..9).for_each(|_| throttle.give_back("a"));
        assert_eq!(
            [0, 1, 2].map(|_| throttle.take("a", at(0)).is_ok()),
            [true, true, false],
            "and no more than there were"
        );
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let throttle = Throttle::new(Allowance { burst: 2, refill_s: 60, keys_max: 5 });
        for key in 0..1_000 {
            throttle.failed(&key.to_string(), at(key));
        }
        assert!(throttle.buckets.lock().unwrap().len() <= 5);
    }
}
