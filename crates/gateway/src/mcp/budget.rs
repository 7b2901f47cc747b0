//! How much memory is spent on messages that were sent already, so that nobody's
//! broken connections become everybody's outage. Knows nothing of what is kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bailiwick_model::principal::DelegationChain;

/// Streams of one chain of principals that can be taken up again. Further ones are served, and cannot.
pub(crate) const KEPT_STREAMS_PER_PRINCIPAL_MAX: usize = 64;
/// Bytes that are kept for one chain of principals.
pub(crate) const KEPT_BYTES_PER_PRINCIPAL_MAX: usize = 8 * 1_024 * 1_024;
/// Bytes that are kept for everybody.
pub(crate) const KEPT_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// All that is spent.
#[derive(Debug, Default, Clone)]
pub(crate) struct Budget(Arc<Mutex<Spent>>);

#[derive(Debug, Default)]
struct Spent {
    bytes: usize,
    of: HashMap<DelegationChain, Share>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Share {
    streams: usize,
    bytes: usize,
}

/// What one stream costs; dropping it gives that back.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Budget,
    chain: DelegationChain,
    bytes: usize,
}

impl Budget {
    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in one more stream, which is empty yet; `None` if these principals have too many.
    pub(crate) fn charge(&self, chain: &DelegationChain) -> Option<Charge> {
        let mut spent = self.spent();
        let share = spent.of.entry(chain.clone()).or_default();
        if share.streams >= KEPT_STREAMS_PER_PRINCIPAL_MAX {
            return None;
        }
        share.streams += 1;
        drop(spent);
        Some(Charge { budget: self.clone(), chain: chain.clone(), bytes: 0 })
    }
}

impl Charge {
    /// Costs so much from now on; `false`, and what it cost before, if that is too much for one or for all.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let mut spent = self.budget.spent();
        let all = spent.bytes - self.bytes + bytes;
        let Some(share) = spent.of.get_mut(&self.chain) else { return false };
        let own = share.bytes - self.bytes + bytes;
        // What shrinks is never refused.
        if bytes > self.bytes && (all > KEPT_BYTES_MAX || own > KEPT_BYTES_PER_PRINCIPAL_MAX) {
            return false;
        }
        share.bytes = own;
        spent.bytes = all;
        drop(spent);
        self.bytes = bytes;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut spent = self.budget.spent();
        spent.bytes = spent.bytes.saturating_sub(self.bytes);
        if let Some(share) = spent.of.get_mut(&self.chain) {
            share.streams = share.streams.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(self.bytes);
            if share.streams == 0 {
                spent.of.remove(&self.chain);
            }
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

    #[test]
    fn one_principal_cannot_take_all_the_memory_nor_all_of_them_more_than_there_is() {
        let budget = Budget::default();
        let mut ann = budget.charge(&chain("ann")).unwrap();
        let mut second = budget.charge(&chain("ann")).unwrap();
        assert!(ann.resize(KEPT_BYTES_PER_PRINCIPAL_MAX));
        assert!(!second.resize(1), "her other stream has nothing left");
        assert!(ann.resize(KEPT_BYTES_PER_PRINCIPAL_MAX - 1) && second.resize(1));
        drop((ann, second));
        let mut others = Vec::new();
        for n in 0..KEPT_BYTES_MAX / KEPT_BYTES_PER_PRINCIPAL_MAX {
            let mut charge = budget.charge(&chain(&format!("a{n}"))).unwrap();
            assert!(charge.resize(KEPT_BYTES_PER_PRINCIPAL_MAX));
            others.push(charge);
        }
        let mut late = budget.charge(&chain("late")).unwrap();
        assert!(!late.resize(1));
        others.pop();
        assert!(late.resize(1));
    }

    #[test]
    fn streams_are_counted_and_nobody_is_remembered_who_has_none() {
        let budget = Budget::default();
        let all: Vec<_> = (0..KEPT_STREAMS_PER_PRINCIPAL_MAX).map(|_| budget.charge(&chain("ann")).unwrap()).collect();
        assert!(budget.charge(&chain("ann")).is_none());
        assert!(budget.charge(&chain("bob")).is_some());
        drop(all);
        assert!(budget.charge(&chain("ann")).is_some());
        assert!(budget.spent().of.is_empty() && budget.spent().bytes == 0);
    }
}
