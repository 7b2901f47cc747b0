//! Identifiers that were used up: what of them is kept in memory, and when they may be forgotten.
//!
//! The table is the durable copy, in the order of its rows' ends; the set here says whether one is used. The two change
//! together: what a commit did not keep is taken back, so the set is never behind what was acknowledged.

use std::collections::HashSet;

use bailiwick_model::digest::Digest;
use bailiwick_ports::store::Spent;
use rusqlite::{Connection, params};

use super::{failure::Step, statements};

/// Half a SHA-256 of scope and identifier. Who makes two of them alike gets one of their own calls refused.
type Key = [u8; 16];

/// What is used up.
#[derive(Debug, Default)]
pub(crate) struct UsedUp {
    keys: HashSet<Key>,
    /// Those that no commit has kept yet, oldest first.
    fresh: Vec<Key>,
    /// Those whose rows the open transaction removed.
    forgotten: Vec<Key>,
}

impl UsedUp {
    /// Reads what is still remembered.
    pub(crate) fn read(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let mut statement = connection.prepare(statements::SPENT)?;
        let rows = statement.query_map([], |row| Ok(key(&row.get::<_, String>(0)?, &row.get::<_, [u8; 32]>(1)?)))?;
        Ok(Self { keys: rows.collect::<Result<_, _>>()?, ..Self::default() })
    }

    /// Uses all of them up, or none if one was used before.
    pub(crate) fn take(&mut self, spent: &[Spent]) -> bool {
        let before = self.fresh.len();
        for Spent { scope, jti, .. } in spent {
            let key = key(scope, jti.as_bytes());
            if !self.keys.insert(key) {
                self.take_back(before);
                return false;
            }
            self.fresh.push(key);
        }
        true
    }

    /// How many were taken since the last commit, to come back to.
    pub(crate) fn mark(&self) -> usize {
        self.fresh.len()
    }

    /// Forgets what was taken since a mark.
    pub(crate) fn take_back(&mut self, mark: usize) {
        for key in self.fresh.drain(mark.min(self.fresh.len())..) {
            self.keys.remove(&key);
        }
    }

    /// Removes up to `rows` rows that may be forgotten by `now`, in microseconds.
    pub(crate) fn forget(&mut self, connection: &Connection, now: i64, rows: i64) -> Result<(), rusqlite::Error> {
        let mut statement = connection.prepare_cached(statements::FORGET_SPENT)?;
        let mut removed = statement.query(params![now, rows])?;
        while let Some(row) = removed.next()? {
            self.forgotten.push(key(&row.get::<_, String>(0)?, &row.get::<_, [u8; 32]>(1)?));
        }
        Ok(())
    }

    /// The transaction is durable.
    pub(crate) fn committed(&mut self) {
        self.fresh.clear();
        for key in self.forgotten.drain(..) {
            self.keys.remove(&key);
        }
    }

    /// The transaction came to nothing.
    pub(crate) fn rolled_back(&mut self) {
        self.take_back(0);
        self.forgotten.clear();
    }
}

/// Keeps the rows of what was taken.
pub(crate) fn keep(connection: &Connection, spent: &[Spent]) -> Step<()> {
    for Spent { scope, jti, forget_at } in spent {
        let row = params![forget_at.as_microsecond(), scope, jti.as_bytes()];
        connection.prepare_cached(statements::SPEND)?.execute(row)?;
    }
    Ok(())
}

/// The digest is of a fixed length, so nothing of the scope can be taken for part of it.
fn key(scope: &str, jti: &[u8; 32]) -> Key {
    let whole = Digest::of(&[jti, scope.as_bytes()].concat());
    let mut key = Key::default();
    key.iter_mut().zip(whole.as_bytes()).for_each(|(to, from)| *to = *from);
    key
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn spent(scope: &str, jti: &str) -> Spent {
        Spent { scope: scope.to_owned(), jti: Digest::of(jti.as_bytes()), forget_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn all_or_none_and_only_until_taken_back() {
        let mut used = UsedUp::default();
        assert!(used.take(&[spent("a", "1"), spent("b", "1")]));
        assert!(!used.take(&[spent("a", "2"), spent("a", "1")]), "one of them is used");
        assert!(!used.take(&[spent("a", "2"), spent("a", "2")]), "one of them twice");
        let mark = used.mark();
        assert!(used.take(&[spent("a", "2")]), "what was refused is unused");
        used.take_back(mark);
        used.committed();
        assert!(used.take(&[spent("a", "2")]));
        used.rolled_back();
        assert!(used.take(&[spent("a", "2")]));
        assert!(!used.take(&[spent("b", "1")]), "committed is for good");
    }
}
