//! Facts in memory: what each initiating principal came to know or do, until its window ends.
//!
//! The store holds the truth; an intent's commit checks the count that was seen here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use bailiwick_model::{name::Fact, principal::Principal};
use bailiwick_ports::store::FactRow;
use jiff::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct Facts(Mutex<HashMap<Principal, BTreeMap<Fact, Timestamp>>>);

impl Facts {
    /// Takes rows in; a fact that is there already lasts as long as the later window.
    pub(crate) fn add(&self, rows: Vec<FactRow>) {
        if rows.is_empty() {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let until = all.entry(row.initiating).or_default().entry(row.fact).or_insert(row.until);
            *until = (*until).max(row.until);
        }
    }

    /// What `principal` knows at `now`.
    pub(crate) fn of(&self, principal: &Principal, now: Timestamp) -> BTreeSet<Fact> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(principal)
            .into_iter()
            .flatten()
            .filter(|(_, until)| now < **until)
            .map(|(fact, _)| fact.clone())
            .collect()
    }
}
