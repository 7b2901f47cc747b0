//! What waits for the writer: changes, questions, and the word to begin.

use std::time::{Duration, Instant};

use bailiwick_ports::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::sqlite::{
    failure::{Failure, Severity, Step, severity},
    turn::Turn,
};

/// What a job did in its turn.
pub(super) enum Ran {
    Done,
    Refused,
    Broken(rusqlite::Error),
}

/// Something that waits for the writer.
pub(super) trait Job: Send {
    /// Until when it may begin.
    fn expires(&self) -> Instant;
    /// Whether it needs a transaction.
    fn writes(&self) -> bool;
    /// Does its part of the transaction.
    fn run(&mut self, turn: &mut Turn<'_>) -> Ran;
    /// Tells the caller, after the commit.
    fn answer(self: Box<Self>, connection: &Connection);
    /// Tells the caller that nothing was done.
    fn refuse(self: Box<Self>, reason: &str);
}

/// A change.
pub(super) struct Command<T, F> {
    work: Option<F>,
    done: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    expires: Instant,
}

impl<T, F> Command<T, F> {
    pub(super) const fn new(work: F, reply: oneshot::Sender<Result<T, StoreError>>, expires: Instant) -> Self {
        Self { work: Some(work), done: None, reply, expires }
    }
}

impl<T, F> Job for Command<T, F>
where
    T: Send,
    F: FnOnce(&mut Turn<'_>) -> Step<T> + Send,
{
    fn expires(&self) -> Instant {
        self.expires
    }

    fn writes(&self) -> bool {
        true
    }

    fn run(&mut self, turn: &mut Turn<'_>) -> Ran {
        let Some(work) = self.work.take() else { return Ran::Refused };
        match work(turn) {
            Ok(value) => {
                self.done = Some(Ok(value));
                Ran::Done
            }
            Err(Failure::Database(error)) if severity(&error) != Severity::Command => Ran::Broken(error),
            Err(failure) => {
                self.done = Some(Err(failure.into()));
                Ran::Refused
            }
        }
    }

    fn answer(self: Box<Self>, _: &Connection) {
        let answer = self.done.unwrap_or_else(|| Err(StoreError::Unavailable("the command was not run".to_owned())));
        // A caller that no longer listens has its record all the same.
        let _ = self.reply.send(answer);
    }

    fn refuse(self: Box<Self>, reason: &str) {
        let _ = self.reply.send(Err(StoreError::Unavailable(reason.to_owned())));
    }
}

/// A question to a database in memory, which no other connection can see.
pub(super) struct Question<T, F> {
    pub(super) work: F,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
    pub(super) expires: Instant,
}

impl<T, F> Job for Question<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Step<T> + Send,
{
    fn expires(&self) -> Instant {
        self.expires
    }

    fn writes(&self) -> bool {
        false
    }

    fn run(&mut self, _: &mut Turn<'_>) -> Ran {
        Ran::Done
    }

    fn answer(self: Box<Self>, connection: &Connection) {
        let _ = self.reply.send((self.work)(connection).map_err(StoreError::from));
    }

    fn refuse(self: Box<Self>, reason: &str) {
        let _ = self.reply.send(Err(StoreError::Unavailable(reason.to_owned())));
    }
}

/// Long enough for what does not expire.
const NEVER: Duration = Duration::from_secs(60);

/// Makes the writer begin; there is nothing else to it.
pub(super) struct Begin;

impl Job for Begin {
    fn expires(&self) -> Instant {
        Instant::now() + NEVER
    }

    fn writes(&self) -> bool {
        false
    }

    fn run(&mut self, _: &mut Turn<'_>) -> Ran {
        Ran::Done
    }

    fn answer(self: Box<Self>, _: &Connection) {}

    fn refuse(self: Box<Self>, _: &str) {}
}

/// What waits for the writer.
pub(super) struct Inbox {
    /// What makes the writer begin.
    pub(super) urgent: mpsc::Receiver<Box<dyn Job>>,
    /// What goes along.
    pub(super) unhurried: mpsc::Receiver<Box<dyn Job>>,
}

impl Inbox {
    /// Waits for something to begin with; `None` when nothing more will come.
    pub(super) fn wait(&mut self) -> Option<Box<dyn Job>> {
        self.urgent.blocking_recv().or_else(|| self.unhurried.blocking_recv())
    }

    /// Whatever else is there.
    pub(super) fn next(&mut self) -> Option<Box<dyn Job>> {
        self.unhurried.try_recv().or_else(|_| self.urgent.try_recv()).ok()
    }
}
