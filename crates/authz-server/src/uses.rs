//! Where credentials are used from, and where clients are tried from: in memory, bounded, for alerts alone. It refuses
//! nobody: an address is too weak a proof of anything.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use bailiwick_model::name::AgentName;
use jiff::{SignedDuration, Timestamp};

/// How close together uses must be to be at the same time.
const AT_ONCE: SignedDuration = SignedDuration::from_mins(10);
/// Uses of one credential that are remembered: changes of address, not repeats.
const MOVES_MAX: usize = 8;
/// Clients that one address may fail as before it looks like guessing.
pub(crate) const CLIENTS_PER_ADDRESS_MAX: usize = 8;
/// Credentials, and addresses, that are watched at a time.
const WATCHED_MAX: usize = 65_536;

/// What was seen of late.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    moves: Mutex<HashMap<String, VecDeque<(String, Timestamp)>>>,
    tried: Mutex<HashMap<String, (Timestamp, HashSet<AgentName>)>>,
}

impl Uses {
    /// Notes that a credential was used from an address. Whether it is in two places at once: it went from one to another
    /// and back, which whoever takes their machine along does not do within minutes.
    pub(crate) fn is_shared(&self, credential: &str, address: &str, now: Timestamp) -> bool {
        let mut all = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WATCHED_MAX && !all.contains_key(credential) {
            all.retain(|_, moves| moves.back().is_some_and(|(_, at)| is_late(*at, now)));
            if all.len() >= WATCHED_MAX {
                return false;
            }
        }
        let moves = all.entry(credential.to_owned()).or_default();
        moves.retain(|(_, at)| is_late(*at, now));
        if let Some((last, at)) = moves.back_mut()
            && last == address
        {
            *at = now;
            return false;
        }
        let came_back = moves.iter().any(|(seen, _)| seen == address);
        if came_back {
            moves.clear();
        }
        if moves.len() >= MOVES_MAX {
            moves.pop_front();
        }
        moves.push_back((address.to_owned(), now));
        came_back
    }

    /// Notes that an address failed as a client. Whether it has done so as so many that it is guessing; told once.
    pub(crate) fn is_spraying(&self, address: &str, client: &AgentName, now: Timestamp) -> bool {
        let mut all = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WATCHED_MAX && !all.contains_key(address) {
            all.retain(|_, (since, _)| is_late(*since, now));
            if all.len() >= WATCHED_MAX {
                return false;
            }
        }
        let (since, clients) = all.entry(address.to_owned()).or_insert_with(|| (now, HashSet::new()));
        if !is_late(*since, now) {
            (*since, *clients) = (now, HashSet::new());
        }
        clients.len() < CLIENTS_PER_ADDRESS_MAX
            && clients.insert(client.clone())
            && clients.len() == CLIENTS_PER_ADDRESS_MAX
    }
}

fn is_late(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < AT_ONCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + 60 * minute).unwrap()
    }

    #[test]
    fn who_moves_is_one_and_who_comes_back_is_two() {
        let check = |uses: &[(&str, i64)], expected: bool| {
            let seen = Uses::default();
            let shared = uses.iter().map(|(address, minute)| seen.is_shared("key", address, at(*minute)));
            assert_eq!(shared.collect::<Vec<_>>().contains(&true), expected, "{uses:?}");
        };
        check(&[("a", 0), ("a", 1), ("a", 9)], false);
        check(&[("a", 0), ("b", 1), ("c", 2)], false);
        check(&[("a", 0), ("b", 1), ("a", 2)], true);
        check(&[("a", 0), ("b", 1), ("b", 2), ("c", 3), ("a", 4)], true);
        check(&[("a", 0), ("b", 5), ("a", 11)], false);
        let seen = Uses::default();
        let others = [("one", "a"), ("two", "b"), ("one", "a"), ("two", "b")];
        assert!(others.iter().all(|(key, address)| !seen.is_shared(key, address, at(0))), "each has its own");
    }

    #[test]
    fn an_address_that_tries_many_clients_is_told_of_once() {
        let seen = Uses::default();
        let client = |number: usize| format!("client-{number}").parse::<AgentName>().unwrap();
        let told = |address, number, minute| seen.is_spraying(address, &client(number), at(minute));
        assert!((0..20).all(|_| !told("a", 0, 0)), "one client that fails often is another matter");
        let times = (1..50).filter(|number| told("a", *number, 1)).count();
        assert_eq!(times, 1);
        assert!(!(0..CLIENTS_PER_ADDRESS_MAX - 1).any(|number| told("b", number, 1)));
        assert!(!told("b", 99, 12), "long ago");
    }
}

#[cfg(test)]
mod endpoint_tests;
