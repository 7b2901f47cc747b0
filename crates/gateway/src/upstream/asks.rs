//! What servers ask of their clients while a call runs (sampling, elicitation,
//! roots): kept until the answer comes, so that only the call that was asked
//! can answer, once, under the server's own id. Sends nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Asks of one connection that wait for an answer.
pub const ASKS_OPEN_MAX: usize = 32;

/// Open asks of one connection.
#[derive(Debug, Default)]
pub(crate) struct Asks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    open: HashMap<u64, Ask>,
}

#[derive(Debug)]
struct Ask {
    /// The server's id, raw.
    id: Box<str>,
    /// The call that was asked.
    call: u64,
}

impl Asks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an ask and gives our number for it; `None` if too many are open.
    pub(crate) fn open(&self, id: &str, call: u64) -> Option<u64> {
        let mut state = self.state();
        if state.open.len() >= ASKS_OPEN_MAX {
            return None;
        }
        state.last += 1;
        let number = state.last;
        state.open.insert(number, Ask { id: id.into(), call });
        Some(number)
    }

    /// Gives the server's id back, once, to the call that was asked.
    pub(crate) fn take(&self, number: u64, call: u64) -> Option<Box<str>> {
        let mut state = self.state();
        state
            .open
            .get(&number)
            .is_some_and(|ask| ask.call == call)
            .then(|| state.open.remove(&number))?
            .map(|ask| ask.id)
    }

    /// Forgets what the server no longer wants to know.
    pub(crate) fn withdraw(&self, id: &str) -> Option<(u64, u64)> {
        let mut state = self.state();
        let number = state.open.iter().find(|(_, ask)| &*ask.id == id).map(|(number, _)| *number)?;
        state.open.remove(&number).map(|ask| (number, ask.call))
    }

    /// Forgets what an ended call was asked, and gives the server's ids.
    pub(crate) fn end(&self, call: u64) -> Vec<Box<str>> {
        self.state().open.extract_if(|_, ask| ask.call == call).map(|(_, ask)| ask.id).collect()
    }

    /// Whether a call waits for its client.
    pub(crate) fn any(&self, call: u64) -> bool {
        self.state().open.values().any(|ask| ask.call == call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_asked_answers_and_once() {
        let asks = Asks::default();
        let first = asks.open("\"s1\"", 7).unwrap();
        assert_eq!(asks.take(first, 8), None, "another call");
        assert_eq!(asks.take(first, 7).as_deref(), Some("\"s1\""));
        assert_eq!(asks.take(first, 7), None, "twice");
        let second = asks.open("2", 7).unwrap();
        assert!(asks.any(7));
        assert_eq!(asks.withdraw("2"), Some((second, 7)));
        for _ in 0..ASKS_OPEN_MAX {
            assert!(asks.open("3", 9).is_some());
        }
        assert_eq!(asks.open("4", 9), None, "the maximum");
        assert_eq!(asks.end(9).len(), ASKS_OPEN_MAX);
        assert!(!asks.any(9));
    }
}
