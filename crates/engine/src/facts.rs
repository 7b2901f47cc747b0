//! Facts in memory: what each initiating principal came to know or do, until its window ends.
//!
//! The store holds the truth; an intent's commit checks the count that was seen here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use bailiwick_model::{evaluation::Evaluation, name::Fact, operation::Operation, principal::Principal};
use bailiwick_ports::store::FactRow;
use jiff::Timestamp;

use crate::broker::Broker;

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

/// Fact rows for the initiating principal and its window.
pub(crate) fn rows(broker: &Broker, evaluation: &Evaluation, of: impl Fn(&Operation) -> &Vec<Fact>) -> Vec<FactRow> {
    let Some(initiating) = evaluation.parties.first() else { return Vec::new() };
    let until = broker.now() + broker.settings().fact_window;
    let mut facts: Vec<Fact> = evaluation.operations.iter().flat_map(of).cloned().collect();
    facts.sort();
    facts.dedup();
    facts.into_iter().map(|fact| FactRow { initiating: initiating.principal.clone(), fact, until }).collect()
}
