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
    /// What it costs in any case.
    fixed: usize,
    bytes: usize,
}

impl Budget {
    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in one more stream, which is empty yet and costs `fixed` bytes all the same; `None` if these principals have
    /// too many, or if that is too much for one or for all.
    pub(crate) fn charge(&self, chain: &DelegationChain, fixed: usize) -> Option<Charge> {
        let mut spent = self.spent();
        let share = spent.of.entry(chain.clone()).or_default();
        if share.streams >= KEPT_STREAMS_PER_PRINCIPAL_MAX {
            return None;
        }
        share.streams += 1;
        drop(spent);
        let mut charge = Charge { budget: self.clone(), chain: chain.clone(), fixed, bytes: 0 };
        charge.resize(0).then_some(charge)
    }
}

impl Charge {
    /// Costs so much from now on, besides what it always does; `false`, and what it cost before, if that is too much for
    /// one or for all.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let bytes = self.fixed.saturating_add(bytes);
        let mut spent = self.budget.spent();
        let all = (spent.bytes - self.bytes).saturating_add(bytes);
        let Some(share) = spent.of.get_mut(&self.chain) else { return false };
        let own = (share.bytes - self.bytes).saturating_add(bytes);
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
        let mut ann = budget.charge(&chain("ann"), 0).unwrap();
        let mut second = budget.charge(&chain("ann"), 0).unwrap();
        assert!(ann.resize(KEPT_BYTES_PER_PRINCIPAL_MAX));
        assert!(!second.resize(1), "her other stream has nothing left");
        assert!(ann.resize(KEPT_BYTES_PER_PRINCIPAL_MAX - 1) && second.resize(1));
        drop((ann, second));
        let mut others = Vec::new();
        for n in 0..KEPT_BYTES_MAX / KEPT_BYTES_PER_PRINCIPAL_MAX {
            let mut charge = budget.charge(&chain(&format!("a{n}")), 0).unwrap();
            assert!(charge.resize(KEPT_BYTES_PER_PRINCIPAL_MAX));
            others.push(charge);
        }
        let mut late = budget.charge(&chain("late"), 0).unwrap();
        assert!(!late.resize(1));
        others.pop();
        assert!(late.resize(1));
    }

    #[test]
    fn streams_are_counted_and_nobody_is_remembered_who_has_none() {
        let budget = Budget::default();
        let all: Vec<_> =
            (0..KEPT_STREAMS_PER_PRINCIPAL_MAX).map(|_| budget.charge(&chain("ann"), 0).unwrap()).collect();
        assert!(budget.charge(&chain("ann"), 0).is_none());
        assert!(budget.charge(&chain("bob"), 0).is_some());
        drop(all);
        assert!(budget.charge(&chain("ann"), 0).is_some());
        assert!(budget.spent().of.is_empty() && budget.spent().bytes == 0);
    }

    #[test]
    fn what_a_stream_costs_in_any_case_is_counted() {
        let budget = Budget::default();
        assert!(budget.charge(&chain("ann"), KEPT_BYTES_PER_PRINCIPAL_MAX + 1).is_none());
        assert!(budget.charge(&chain("ann"), usize::MAX).is_none());
        assert!(budget.spent().of.is_empty() && budget.spent().bytes == 0, "who was refused owes nothing");
        let mut first = budget.charge(&chain("ann"), KEPT_BYTES_PER_PRINCIPAL_MAX - 10).unwrap();
        assert!(budget.charge(&chain("ann"), 11).is_none());
        assert!(first.resize(10) && !first.resize(11));
        assert!(first.resize(0));
        let second = budget.charge(&chain("ann"), 10).unwrap();
        assert!(!first.resize(1));
        drop(second);
        assert!(first.resize(1));
        drop(first);
        assert!(budget.spent().of.is_empty() && budget.spent().bytes == 0);
    }
}
