//! Many distinct states that a power cut may leave, over all moments of one recording.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::{
    chance::Chance,
    disk::{Disk, Left},
    recording::Operation,
    surviving::Surviving,
};

/// Tries for one more distinct state at one moment, before the moment counts as told.
const TRIES_MAX: usize = 4;

/// What is left, and what the program had said by then.
#[derive(Debug)]
pub struct State<'a> {
    /// After how many operations the power went.
    pub moment: usize,
    /// What survived.
    pub surviving: Surviving,
    /// The files.
    pub left: Left,
    /// Everything that was said before.
    pub marks: &'a [&'a str],
}

/// Visits about `states` distinct states, evenly over the moments of `operations`, and returns how many there were.
/// A state of the same files counts again only when the program had said more.
pub fn explore(operations: &[Operation], states: usize, seed: u64, mut visit: impl FnMut(&State<'_>)) -> usize {
    let (mut disk, mut chance, mut marks) = (Disk::default(), Chance::new(seed), Vec::new());
    let mut seen = HashSet::new();
    for (moment, operation) in operations.iter().enumerate() {
        disk.apply(operation);
        if let Operation::Mark(mark) = operation {
            marks.push(mark.as_str());
        }
        // What is due by this moment: those that a settled moment does not have go to the next ones.
        let due = states * (moment + 1) / operations.len();
        let mut tries = due.saturating_sub(seen.len()) * TRIES_MAX;
        while seen.len() < due && tries > 0 {
            tries -= 1;
            let surviving = Surviving::KINDS[chance.up_to(Surviving::KINDS.len() - 1)];
            let left = disk.after_power_cut(surviving, &mut chance);
            let mut hasher = DefaultHasher::new();
            (&left, marks.len()).hash(&mut hasher);
            if seen.insert(hasher.finish()) {
                visit(&State { moment: moment + 1, surviving, left, marks: &marks });
            }
        }
    }
    seen.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_distinct_and_spread_over_all_moments() {
        let path = || "a".to_owned();
        let mut operations = vec![Operation::Create { path: path() }, Operation::SyncNames { began: 1 }];
        for byte in 0..20 {
            operations.push(Operation::Write { path: path(), offset: 0, data: vec![byte; 3_000] });
            operations.push(Operation::Mark(byte.to_string()));
        }
        let (mut moments, mut files) = (HashSet::new(), HashSet::new());
        let count = explore(&operations, 200, 5, |state| {
            moments.insert(state.moment);
            files.insert((state.left.clone(), state.marks.len()));
        });
        assert_eq!((count, files.len()), (200, 200));
        assert!(moments.len() > 30, "{}", moments.len());
    }
}
