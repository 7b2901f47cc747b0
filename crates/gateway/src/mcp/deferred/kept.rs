//! Which calls go on elsewhere, and whose they are. Bounded, kept in memory
//! alone: what is forgotten is nobody's.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bailiwick_model::{
    name::{ActionName, SystemName},
    principal::DelegationChain,
};

use crate::result::Duties;

/// Calls of one chain of principals that are remembered; the oldest makes room.
pub(crate) const DEFERRED_PER_PRINCIPAL_MAX: usize = 256;
/// Calls of all principals.
pub(crate) const DEFERRED_MAX: usize = 10_000;
/// The longest that one is remembered, whatever its server says.
pub(crate) const DEFERRED_FOR_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a handle.
pub(crate) const HANDLE_BYTES_MAX: usize = 512;

/// A call that its server goes on with.
#[derive(Debug, Clone)]
pub(crate) struct Deferred {
    /// Where it goes on.
    pub(crate) system: SystemName,
    /// What was permitted.
    pub(crate) action: ActionName,
    /// What must be done with its result.
    pub(crate) duties: Duties,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    chain: DelegationChain,
    system: SystemName,
    handle: String,
}

#[derive(Debug)]
struct Kept {
    call: Deferred,
    since: Instant,
    until: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct DeferredCalls(Mutex<HashMap<Key, Kept>>);

impl DeferredCalls {
    /// Remembers a call; `false` if there is no room.
    pub(crate) fn keep(&self, chain: &DelegationChain, handle: &str, call: Deferred, time: Duration) -> bool {
        if handle.is_empty() || handle.len() > HANDLE_BYTES_MAX {
            return false;
        }
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, kept| kept.until > now);
        if all.keys().filter(|key| key.chain == *chain).count() >= DEFERRED_PER_PRINCIPAL_MAX {
            let own = all.iter().filter(|(key, _)| key.chain == *chain);
            if let Some(oldest) = own.min_by_key(|(_, kept)| kept.since).map(|(key, _)| key.clone()) {
                all.remove(&oldest);
            }
        }
        if all.len() >= DEFERRED_MAX {
            return false;
        }
        let key = Key { chain: chain.clone(), system: call.system.clone(), handle: handle.to_owned() };
        let until = now + time.min(DEFERRED_FOR_MAX);
        all.insert(key, Kept { call, since: now, until });
        true
    }

    /// The call that goes on under this handle, if these very principals made it. Where no system is named, exactly one
    /// must have given out that handle.
    pub(crate) fn of(&self, chain: &DelegationChain, system: Option<&SystemName>, handle: &str) -> Option<Deferred> {
        let now = Instant::now();
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |key: &Key| {
            key.handle == handle && key.chain == *chain && system.is_none_or(|system| *system == key.system)
        };
        let mut found = all.iter().filter(|(key, kept)| fits(key) && kept.until > now);
        match (found.next(), found.next()) {
            (Some((_, kept)), None) => Some(kept.call.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_model::principal::Principal;

    use super::*;

    fn chain(name: &str) -> DelegationChain {
        DelegationChain::of(Principal::Agent(name.parse().unwrap()))
    }

    fn call(system: &str) -> Deferred {
        let action = format!("{system}.work").parse().unwrap();
        Deferred { system: system.parse().unwrap(), action, duties: Duties::default() }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_handle_is_of_use_to_whoever_made_the_call_alone() {
        let calls = DeferredCalls::default();
        assert!(calls.keep(&chain("ann"), "t-1", call("files"), HOUR));
        let (files, crm) = ("files".parse().unwrap(), "crm".parse().unwrap());
        let found = |who: &str, system: Option<&SystemName>| calls.of(&chain(who), system, "t-1").is_some();
        assert!(found("ann", Some(&files)) && found("ann", None));
        assert!(!found("bob", Some(&files)) && !found("bob", None), "another's");
        assert!(!found("ann", Some(&crm)), "another system's");
        assert!(calls.keep(&chain("ann"), "t-1", call("crm"), HOUR));
        assert!(!found("ann", None), "two systems could mean it");
        assert!(found("ann", Some(&files)) && found("ann", Some(&crm)));
    }

    #[test]
    fn what_is_over_or_too_much_is_forgotten() {
        let calls = DeferredCalls::default();
        let ann = chain("ann");
        assert!(calls.keep(&ann, "gone", call("files"), Duration::ZERO));
        assert!(calls.of(&ann, None, "gone").is_none());
        assert!(!calls.keep(&ann, "", call("files"), HOUR));
        assert!(!calls.keep(&ann, &"x".repeat(HANDLE_BYTES_MAX + 1), call("files"), HOUR));
        for number in 0..=DEFERRED_PER_PRINCIPAL_MAX {
            assert!(calls.keep(&ann, &format!("t-{number}"), call("files"), HOUR));
        }
        assert!(calls.of(&ann, None, "t-0").is_none(), "the oldest made room");
        assert!(calls.of(&ann, None, "t-1").is_some());
        for number in DEFERRED_PER_PRINCIPAL_MAX..DEFERRED_MAX {
            assert!(calls.keep(&chain(&format!("a-{}", number / 200)), &format!("t-{number}"), call("files"), HOUR));
        }
        assert!(!calls.keep(&chain("bob"), "t", call("files"), HOUR), "nobody pushes out another's");
    }
}
