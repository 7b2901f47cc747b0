//! What waits for a browser or a client for some seconds: in memory, found by a random handle of which only the digest is
//! kept. It need not outlive this process: whoever waits asks again, and nothing that was not recorded opens anything.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bailiwick_model::{digest::Digest, secret::Secret};
use bailiwick_ports::chance::{Entropy, random};
use jiff::{SignedDuration, Timestamp};

/// Bytes of a handle: past guessing.
const HANDLE_BYTES: usize = 32;

/// How much may wait, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// All together.
    pub(crate) entries_max: usize,
    /// Of one owner.
    pub(crate) per_owner_max: usize,
    /// How long each is kept.
    pub(crate) kept_for: SignedDuration,
}

/// Nothing more fits; nothing that waits is dropped for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Values by their handles.
pub(crate) struct Held<V> {
    bounds: Bounds,
    entries: Mutex<HashMap<Digest, Entry<V>>>,
}

struct Entry<V> {
    owner: String,
    until: Timestamp,
    value: V,
}

impl<V> Held<V> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: Mutex::default() }
    }

    /// Keeps a value; its handle is told once.
    pub(crate) fn put(
        &self,
        owner: &str,
        value: V,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Secret<String>, Full> {
        let until = now.checked_add(self.bounds.kept_for).map_err(|_| Full)?;
        let bytes: Secret<[u8; HANDLE_BYTES]> = Secret::new(random(entropy));
        let handle = Secret::new(hex::encode(bytes.expose()));
        let mut entries = self.entries();
        entries.retain(|_, entry| now < entry.until);
        let of_owner = entries.values().filter(|entry| entry.owner == owner).count();
        if entries.len() >= self.bounds.entries_max || of_owner >= self.bounds.per_owner_max {
            return Err(Full);
        }
        entries.insert(digest(handle.expose()), Entry { owner: owner.to_owned(), until, value });
        Ok(handle)
    }

    /// Takes a value of `owner` out. One of another owner stays where it is.
    pub(crate) fn take(&self, owner: &str, handle: &str, now: Timestamp) -> Option<V> {
        let mut entries = self.entries();
        let digest = digest(handle);
        entries.get(&digest).filter(|entry| entry.owner == owner)?;
        entries.remove(&digest).filter(|entry| now < entry.until).map(|entry| entry.value)
    }

    /// Looks at a value, whoever owns it, and may give it to another owner.
    pub(crate) fn look<R>(
        &self,
        handle: &str,
        now: Timestamp,
        look: impl FnOnce(&mut String, &mut V) -> R,
    ) -> Option<R> {
        let mut entries = self.entries();
        let entry = entries.get_mut(&digest(handle)).filter(|entry| now < entry.until)?;
        Some(look(&mut entry.owner, &mut entry.value))
    }

    /// Drops every value that `which` holds of.
    pub(crate) fn drop_those(&self, which: impl Fn(&V) -> bool) {
        self.entries().retain(|_, entry| !which(&entry.value));
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Digest, Entry<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(handle: &str) -> Digest {
    Digest::of(handle.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(Mutex<u8>);

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            let mut next = self.0.lock().unwrap();
            *next += 1;
            buffer.fill(*next);
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_owner_takes_once_and_in_time() {
        let bounds = Bounds { entries_max: 3, per_owner_max: 2, kept_for: SignedDuration::from_secs(10) };
        let (held, entropy) = (Held::new(bounds), Counting(Mutex::new(0)));
        let put = |owner: &str, second| held.put(owner, owner.to_owned(), at(second), &entropy);
        let (a, b) = (put("a", 0).unwrap(), put("b", 0).unwrap());
        assert_eq!(held.take("b", a.expose(), at(1)), None, "not its own");
        assert_eq!(held.take("a", a.expose(), at(9)).as_deref(), Some("a"));
        assert_eq!(held.take("a", a.expose(), at(9)), None, "once");
        assert_eq!(held.take("b", b.expose(), at(10)), None, "too late");
        assert_eq!(held.take("a", "x", at(1)), None);

        put("a", 20).unwrap();
        put("a", 20).unwrap();
        assert_eq!(put("a", 20).err(), Some(Full), "two of one owner");
        put("b", 20).unwrap();
        assert_eq!(put("c", 20).err(), Some(Full), "three together, and none is dropped");
        put("c", 30).unwrap();
    }
}
