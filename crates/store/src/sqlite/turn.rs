//! One command's turn inside the writer's transaction: its connection, the head
//! of the chain, and the one way in which an event becomes an entry.

use bailiwick_audit_log::{
    event::{AuditEvent, Canonical, EventKind},
    leaf::{self, CHAIN_START, Position},
    merkle::Hash,
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::StoreError,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, params};

use super::{
    failure::{Failure, Severity, Step, severity},
    open::Identity,
    spent::UsedUp,
    statements,
};

/// Where the next entry goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its number.
    pub(crate) next: u64,
    /// The hash of the entry before it.
    pub(crate) previous: Hash,
    /// The latest time that an entry of this batch gave, in microseconds: what may be forgotten is measured by it.
    /// Of this batch only, so that a clock that was wrong once does not empty the memory of replays for good.
    pub(crate) latest: i64,
}

impl Head {
    /// Reads it from the newest entry, whose bytes must be what was hashed.
    pub(crate) fn read(connection: &Connection) -> Step<Self> {
        let newest = connection
            .query_row(statements::NEWEST_ENTRY, [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Hash>(2)?, row.get::<_, Vec<u8>>(3)?))
            })
            .optional()?;
        let Some((sequence, hash, bytes)) = newest else {
            return Ok(Self { next: 0, previous: CHAIN_START, latest: i64::MIN });
        };
        let inconsistent = |column| StoreError::Inconsistent { table: "entries", column, key: sequence.to_string() };
        if leaf::hash(&bytes) != hash {
            return Err(inconsistent("hash").into());
        }
        let last = u64::try_from(sequence).map_err(|_| inconsistent("sequence"))?;
        Ok(Self { next: last + 1, previous: hash, latest: i64::MIN })
    }
}

/// A command's turn.
pub(crate) struct Turn<'t> {
    pub(crate) connection: &'t Connection,
    pub(crate) identity: Identity,
    pub(crate) head: &'t mut Head,
    pub(crate) used: &'t mut UsedUp,
    /// Whether a savepoint is open that undoes this command alone.
    guarded: bool,
}

impl<'t> Turn<'t> {
    pub(crate) const fn new(
        connection: &'t Connection,
        identity: Identity,
        head: &'t mut Head,
        used: &'t mut UsedUp,
    ) -> Self {
        Self { connection, identity, head, used, guarded: false }
    }

    /// Opens the savepoint that a command needs which may be refused after it has changed something. It costs a copy of
    /// each page that the command changes, so what is refused first and changes afterwards does without.
    pub(crate) fn guard(&mut self) -> Step<()> {
        if !self.guarded {
            self.execute(statements::SAVEPOINT, [])?;
            self.guarded = true;
        }
        Ok(())
    }

    /// Whether [`Turn::guard`] was called.
    pub(crate) const fn guarded(&self) -> bool {
        self.guarded
    }
}

impl Turn<'_> {
    /// Prepares a statement, or takes it from the cache.
    pub(crate) fn statement(&self, sql: &'static str) -> Step<CachedStatement<'_>> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    /// Runs a statement and tells how many rows it changed.
    pub(crate) fn execute(&self, sql: &'static str, params: impl Params) -> Step<usize> {
        Ok(self.statement(sql)?.execute(params)?)
    }

    /// Runs an insertion or a change of what is one of a kind, and tells how many rows it changed; a row that is there
    /// already is [`StoreError::Exists`].
    pub(crate) fn insert(&self, sql: &'static str, params: impl Params, name: impl FnOnce() -> String) -> Step<usize> {
        match self.statement(sql)?.execute(params) {
            Ok(changed) => Ok(changed),
            Err(error) if is_taken(&error) => Err(StoreError::Exists(name()).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Appends an event to the chain. Whatever refuses it does so before anything is changed.
    pub(crate) fn place(&mut self, entry: Entry) -> Step<Receipt> {
        let Entry { event, sealed } = entry;
        let Identity { replica, boot } = self.identity;
        let position = Position { replica, boot, sequence: self.head.next, previous: self.head.previous };
        let bytes = leaf::encode(&event, &position).map_err(Failure::unfit)?;
        let hash = leaf::hash(&bytes);
        let sequence = signed(position.sequence)?;
        match event.kind {
            EventKind::Intent => {
                let intent = params![event.id, sequence, boot.as_bytes()];
                self.insert(statements::INSERT_OPEN_INTENT, intent, || event.id.clone())?;
            }
            EventKind::Outcome => {
                let concluded = event.concludes.as_deref().unwrap_or_default();
                if self.execute(statements::CLOSE_INTENT, [concluded])? == 0 {
                    return Err(StoreError::Missing(concluded.to_owned()).into());
                }
            }
            _ => {}
        }
        let at = event.at.as_microsecond();
        let text = |key: &str| body_text(&event, key);
        let row = params![
            sequence,
            event.id,
            event.kind.as_str(),
            at,
            event.concludes,
            text("agent"),
            text("system"),
            text("action"),
            hash,
            bytes
        ];
        self.execute(statements::INSERT_ENTRY, row)?;
        if let Some(sealed) = sealed {
            self.execute(statements::INSERT_SEALED, params![sequence, sealed.subject, sealed.ciphertext])?;
        }
        let latest = self.head.latest.max(at);
        *self.head = Head { next: position.sequence + 1, previous: hash, latest };
        Ok(Receipt { sequence: position.sequence })
    }

    /// Counts a change of agents or tasks and places its evidence. Returns the new epoch.
    pub(crate) fn change(&mut self, entry: Entry) -> Step<u64> {
        self.bump(statements::BUMP_EPOCH, entry)
    }

    /// Counts a change that every decision relies on and places its evidence. Returns the new epoch.
    pub(crate) fn decisive_change(&mut self, entry: Entry) -> Step<u64> {
        self.bump(statements::BUMP_DECISIVE_EPOCH, entry)
    }

    fn bump(&mut self, statement: &'static str, entry: Entry) -> Step<u64> {
        let epoch: i64 = self.statement(statement)?.query_row([], |row| row.get(0))?;
        self.place(entry)?;
        u64::try_from(epoch)
            .map_err(|_| StoreError::Inconsistent { table: "instance", column: "epoch", key: "1".to_owned() }.into())
    }
}

fn body_text<'e>(event: &'e AuditEvent, key: &str) -> Option<&'e str> {
    match event.body.get(key) {
        Some(Canonical::Text(text)) => Some(text),
        _ => None,
    }
}

/// Whether an insertion failed because its key is taken.
fn is_taken(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    severity(error) == Severity::Command
        && error
            .sqlite_error()
            .is_some_and(|e| matches!(e.extended_code, SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE))
}

/// A count as the database keeps it.
pub(crate) fn signed(number: u64) -> Step<i64> {
    i64::try_from(number).map_err(|_| Failure::unfit(format!("`{number}` exceeds what a row can hold")))
}
