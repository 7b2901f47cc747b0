//! The one writer: a thread that takes commands from a bounded queue and makes
//! them durable together.
//!
//! Group commit: all commands that come while the writer works on those that waited are one transaction. A refused one
//! leaves no trace: it is refused before it changes anything, or it runs in a savepoint of its own. After the one commit
//! (one fsync) everybody is answered. If the commit fails, everybody is refused: nobody is ever told of a record that is
//! not there.

use std::{
    fs::File,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bailiwick_audit_log::leaf::BootNonce;
use bailiwick_ports::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    failure::{Failure, Severity, Step, severity},
    open::{Identity, OpenError, Options},
    spent::UsedUp,
    statements,
    stats::Counters,
    turn::{Head, Turn},
    write_ahead,
};

/// Commands of one transaction: enough for the fsync not to matter, few enough for the last caller.
const BATCH_COMMANDS_MAX: usize = 1_024;

/// The handle of the writer thread. Dropping it lets the thread finish its queue and waits for it.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    boot: BootNonce,
    wait: Duration,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        identity: Identity,
        options: &Options,
        counters: Arc<Counters>,
        lock: Option<File>,
    ) -> Result<Self, OpenError> {
        let head = Head::read(&connection).map_err(|failure| match failure {
            Failure::Database(error) => OpenError::Database(error),
            Failure::Refused(error) => OpenError::Thread(std::io::Error::other(error)),
        })?;
        let used = UsedUp::read(&connection)?;
        let (queue, commands) = mpsc::channel(options.queue_commands_max.max(1));
        let worker =
            Worker { connection, identity, head, used, counters: Arc::clone(&counters), failed: None, _lock: lock };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run(commands))
            .map_err(OpenError::Thread)?;
        let wait = options.queue_wait_max;
        Ok(Self { queue: Some(queue), thread: Some(thread), counters, boot: identity.boot, wait })
    }

    pub(crate) const fn boot(&self) -> BootNonce {
        self.boot
    }

    /// Commands that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Runs `work` in a transaction and returns once it is durable.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Turn<'_>) -> Step<T> + Send + 'static,
    {
        self.write_unguarded(move |turn| turn.guard().and_then(|()| work(turn))).await
    }

    /// The same for `work` that takes care itself that a refusal leaves no trace: by refusing before it changes
    /// anything, or by [`Turn::guard`]. If it does neither, its whole batch is refused.
    pub(crate) async fn write_unguarded<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Turn<'_>) -> Step<T> + Send + 'static,
    {
        self.send(|reply, expires| Box::new(Command { work: Some(work), done: None, reply, expires })).await
    }

    /// Runs `work` on the writer's connection, outside of any transaction.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Step<T> + Send + 'static,
    {
        self.send(|reply, expires| Box::new(Question { work, reply, expires })).await
    }

    async fn send<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>, Instant) -> Box<dyn Job>,
    ) -> Result<T, StoreError> {
        let stopped = || StoreError::Unavailable("the writer has stopped".to_owned());
        self.counters.standing().inspect_err(|_| self.counters.refused(1))?;
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        let (reply, answer) = oneshot::channel();
        let job = job(reply, Instant::now() + self.wait);
        match tokio::time::timeout(self.wait, queue.send(job)).await {
            Ok(Ok(())) => answer.await.unwrap_or_else(|_| Err(stopped())),
            Ok(Err(_)) => Err(stopped()),
            Err(_) => {
                self.counters.refused(1);
                Err(StoreError::Unavailable(format!("the queue is full for {} ms", self.wait.as_millis())))
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was answered already: every waiting caller lost its answer.
            let _ = thread.join();
        }
    }
}

/// What a job did in its turn.
enum Ran {
    Done,
    Refused,
    Broken(rusqlite::Error),
}

/// Something that waits for the writer.
trait Job: Send {
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
struct Command<T, F> {
    work: Option<F>,
    done: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    expires: Instant,
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
struct Question<T, F> {
    work: F,
    reply: oneshot::Sender<Result<T, StoreError>>,
    expires: Instant,
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

/// What runs on the writer thread.
struct Worker {
    connection: Connection,
    identity: Identity,
    head: Head,
    used: UsedUp,
    counters: Arc<Counters>,
    failed: Option<String>,
    /// Dropped last, so that the database is free only when it is closed.
    _lock: Option<File>,
}

/// A command was refused after it had changed something, unguarded.
fn torn() -> rusqlite::Error {
    let interrupted = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
    rusqlite::Error::SqliteFailure(interrupted, Some("a refused command had changed something".to_owned()))
}

/// How many commands of a batch did what.
#[derive(Default)]
struct Tally {
    done: u64,
    refused: u64,
}

impl Worker {
    fn run(mut self, mut commands: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = commands.blocking_recv() {
            if let Some(reason) = &self.failed {
                self.counters.refused(1);
                first.refuse(reason);
            } else {
                self.settle(first, &mut commands);
            }
        }
    }

    /// Makes a batch durable and answers everybody, or refuses everybody.
    fn settle(&mut self, first: Box<dyn Job>, commands: &mut mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::new();
        match self.transact(first, commands, &mut batch) {
            Ok(tally) => {
                self.counters.committed(tally.done, tally.refused, tally.done > 0);
                batch.into_iter().for_each(|job| job.answer(&self.connection));
                if tally.done > 0 {
                    self.tidy();
                }
            }
            Err(error) => {
                let reason = self.recover(&error);
                self.counters.refused(batch.len() as u64);
                batch.into_iter().for_each(|job| job.refuse(&reason));
            }
        }
    }

    /// Runs the first command and all that came until the last one was run, and commits: who was answered a moment ago
    /// asks again while others have their turn, and need not wait for one commit more.
    fn transact(
        &mut self,
        first: Box<dyn Job>,
        commands: &mut mpsc::Receiver<Box<dyn Job>>,
        batch: &mut Vec<Box<dyn Job>>,
    ) -> Result<Tally, rusqlite::Error> {
        let mut tally = Tally::default();
        let mut begun = false;
        let mut next = Some(first);
        while let Some(mut job) = next {
            if job.expires() < Instant::now() {
                self.counters.refused(1);
                job.refuse("the command waited too long for its turn");
            } else if job.writes() {
                let ran = self.begin(&mut begun).and_then(|()| self.take_turn(job.as_mut()));
                batch.push(job);
                if ran? {
                    tally.done += 1;
                } else {
                    tally.refused += 1;
                }
            } else {
                batch.push(job);
            }
            next = if batch.len() < BATCH_COMMANDS_MAX { commands.try_recv().ok() } else { None };
        }
        if tally.done > 0 {
            self.forget(tally.done)?;
            self.execute(statements::COMMIT)?;
        } else if begun {
            self.execute(statements::ROLLBACK)?;
        }
        self.used.committed();
        Ok(tally)
    }

    fn begin(&mut self, begun: &mut bool) -> Result<(), rusqlite::Error> {
        if !*begun {
            self.execute(statements::BEGIN)?;
            self.head.latest = i64::MIN;
            *begun = true;
        }
        Ok(())
    }

    /// Runs one command, and undoes it if it is refused. Whether it was done.
    fn take_turn(&mut self, job: &mut dyn Job) -> Result<bool, rusqlite::Error> {
        let (before, mark, changes) = (self.head.clone(), self.used.mark(), self.connection.total_changes());
        let mut turn = Turn::new(&self.connection, self.identity, &mut self.head, &mut self.used);
        let ran = job.run(&mut turn);
        let guarded = turn.guarded();
        let done = match ran {
            Ran::Done => true,
            Ran::Refused => {
                if guarded {
                    self.execute(statements::UNDO)?;
                } else if self.connection.total_changes() != changes {
                    // Nothing can undo it alone. That is a mistake of ours, and costs the batch rather than the truth.
                    return Err(torn());
                }
                self.head = before;
                self.used.take_back(mark);
                false
            }
            Ran::Broken(error) => return Err(error),
        };
        if guarded {
            self.execute(statements::RELEASE)?;
        }
        Ok(done)
    }

    /// Removes what may be forgotten, in steps that keep up with what the batch added.
    fn forget(&mut self, commands: u64) -> Result<(), rusqlite::Error> {
        let step = i64::try_from(2 * commands).unwrap_or(i64::MAX).max(16);
        self.used.forget(&self.connection, self.head.latest, step)?;
        for statement in statements::FORGET {
            self.connection.prepare_cached(statement)?.execute([self.head.latest, step])?;
        }
        Ok(())
    }

    fn execute(&self, statement: &'static str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    /// Shortens the log, after everybody was answered. Without space or a lock it stays long, which harms nobody.
    fn tidy(&mut self) {
        match write_ahead::move_if_long(&self.connection) {
            Err(error) if severity(&error) == Severity::Writer => {
                self.stop(error.to_string());
            }
            Err(error) => tracing::warn!(error = %error, "the write-ahead log stays long"),
            Ok(()) => {}
        }
    }

    /// Undoes a broken transaction and finds out whether there may be another one.
    fn recover(&mut self, error: &rusqlite::Error) -> String {
        let mut reason = error.to_string();
        self.used.rolled_back();
        let undone = if self.connection.is_autocommit() { Ok(()) } else { self.execute(statements::ROLLBACK) };
        let head = undone.map_err(Failure::from).and_then(|()| Head::read(&self.connection));
        match head {
            Ok(head) if severity(error) != Severity::Writer => {
                tracing::warn!(error = %reason, "a batch of records was refused");
                self.counters.troubled();
                self.head = head;
            }
            read => {
                if let Err(again) = read {
                    reason = format!("{reason}; then {}", StoreError::from(again));
                }
                reason = self.stop(reason);
            }
        }
        reason
    }

    /// Nothing more is written until a restart.
    fn stop(&mut self, reason: String) -> String {
        let reason = format!("{reason}\nhint: check the disk, then restart");
        tracing::error!(error = %reason, "the store stopped writing");
        write_ahead::leave(&self.connection);
        self.counters.failed(reason.clone());
        self.failed = Some(reason.clone());
        reason
    }
}

#[cfg(test)]
mod tests;
