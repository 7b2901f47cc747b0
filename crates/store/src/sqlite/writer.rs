//! The one writer: a thread that takes commands from a bounded queue and makes
//! them durable together.
//!
//! Group commit: all commands that come while the writer works on those that waited are one transaction. A refused one
//! leaves no trace: it is refused before it changes anything, or it runs in a savepoint of its own. After the one commit
//! (one fsync) everybody is answered. If the commit fails, everybody is refused: nobody is ever told of a record that is
//! not there.
//!
//! Each commit costs the same few pages and one sync, whatever it holds. So a command that nobody waits for goes along
//! with the next one that somebody does wait for, and gets a commit of its own only if none comes in time.

mod jobs;

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bailiwick_audit_log::leaf::BootNonce;
use bailiwick_ports::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::jobs::{Begin, Command, Inbox, Job, Question, Ran};
use super::{
    failure::{Failure, Severity, Step, severity},
    open::{Identity, OpenError, Options},
    spent::UsedUp,
    statements,
    stats::Counters,
    tokens,
    turn::{Head, Turn},
    write_ahead,
};

/// Commands of one transaction: enough for the fsync not to matter, few enough for the last caller.
const BATCH_COMMANDS_MAX: usize = 1_024;

/// How long an administrative command may wait for its turn: agents that keep the disk busy must not keep an operator from
/// stopping them.
const ADMINISTRATION: Duration = Duration::from_secs(10);
/// How long a command that nobody waits for waits for company.
const COMPANY: Duration = Duration::from_millis(5);

/// The handle of the writer thread. Dropping it lets the thread finish its queue and waits for it.
pub(crate) struct Writer {
    /// `None` once no command is taken any more.
    ways: Option<Ways>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    boot: BootNonce,
    wait: Duration,
}

/// The ways to the writer thread.
struct Ways {
    queue: mpsc::Sender<Box<dyn Job>>,
    /// What does not make it begin.
    patient: mpsc::Sender<Box<dyn Job>>,
    /// Whether it will be told to begin: one alarm for all that came meanwhile.
    alarm: Arc<AtomicBool>,
}

/// Frees the alarm, also where its task ends with its runtime.
struct Alarm(Arc<AtomicBool>);

impl Drop for Alarm {
    fn drop(&mut self) {
        // Read as well as written: whoever found it taken has its command in the queue by now.
        self.0.swap(false, Ordering::AcqRel);
    }
}

impl Ways {
    /// Makes the writer begin when [`COMPANY`] is over. Comes after the command that it is for, and is freed before it
    /// rings, so that no command is left behind.
    fn begin_later(&self) {
        if self.alarm.swap(true, Ordering::AcqRel) {
            return;
        }
        let alarm = Alarm(Arc::clone(&self.alarm));
        // Weak: the writer ends when the last way to it does.
        let queue = self.queue.downgrade();
        tokio::spawn(async move {
            tokio::time::sleep(COMPANY).await;
            drop(alarm);
            // Where the queue is full, the writer has begun already.
            let _ = queue.upgrade().map(|queue| queue.try_send(Box::new(Begin)));
        });
    }

    fn waiting(&self) -> usize {
        [&self.queue, &self.patient].map(|way| way.max_capacity() - way.capacity()).iter().sum()
    }
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
        let (queue, urgent) = mpsc::channel(options.queue_commands_max.max(1));
        let (patient, unhurried) = mpsc::channel(options.queue_commands_max.max(1));
        let inbox = Inbox { urgent, unhurried };
        let worker =
            Worker { connection, identity, head, used, counters: Arc::clone(&counters), failed: None, _lock: lock };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run(inbox))
            .map_err(OpenError::Thread)?;
        let wait = options.queue_wait_max;
        let ways = Some(Ways { queue, patient, alarm: Arc::default() });
        Ok(Self { ways, thread: Some(thread), counters, boot: identity.boot, wait })
    }

    pub(crate) const fn boot(&self) -> BootNonce {
        self.boot
    }

    /// Commands that wait.
    pub(crate) fn queued(&self) -> usize {
        self.ways.as_ref().map_or(0, Ways::waiting)
    }

    /// Runs `work` in a transaction and returns once it is durable.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Turn<'_>) -> Step<T> + Send + 'static,
    {
        let work = move |turn: &mut Turn<'_>| turn.guard().and_then(|()| work(turn));
        self.send(self.wait.max(ADMINISTRATION), |reply, expires| Box::new(Command::new(work, reply, expires))).await
    }

    /// The same for `work` that takes care itself that a refusal leaves no trace: by refusing before it changes
    /// anything, or by [`Turn::guard`]. If it does neither, its whole batch is refused.
    pub(crate) async fn write_unguarded<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Turn<'_>) -> Step<T> + Send + 'static,
    {
        self.send(self.wait, |reply, expires| Box::new(Command::new(work, reply, expires))).await
    }

    /// The same for what nobody waits for: it does not make the writer begin, but goes along with what does, and waits
    /// [`COMPANY`] for that.
    pub(crate) async fn write_in_company<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Turn<'_>) -> Step<T> + Send + 'static,
    {
        let ways = self.standing()?;
        let (reply, answer) = oneshot::channel();
        let expires = Instant::now() + COMPANY + self.wait;
        self.enter(&ways.patient, Box::new(Command::new(work, reply, expires)), self.wait).await?;
        ways.begin_later();
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Runs `work` on the writer's connection, outside of any transaction.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Step<T> + Send + 'static,
    {
        self.send(self.wait, |reply, expires| Box::new(Question { work, reply, expires })).await
    }

    async fn send<T>(
        &self,
        wait: Duration,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>, Instant) -> Box<dyn Job>,
    ) -> Result<T, StoreError> {
        let ways = self.standing()?;
        let (reply, answer) = oneshot::channel();
        self.enter(&ways.queue, job(reply, Instant::now() + wait), wait).await?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The ways to the writer, unless it has stopped.
    fn standing(&self) -> Result<&Ways, StoreError> {
        self.counters.standing().inspect_err(|_| self.counters.refused(1))?;
        self.ways.as_ref().ok_or_else(stopped)
    }

    /// Waits for room, for so long.
    async fn enter(
        &self,
        way: &mpsc::Sender<Box<dyn Job>>,
        job: Box<dyn Job>,
        wait: Duration,
    ) -> Result<(), StoreError> {
        match tokio::time::timeout(wait, way.send(job)).await {
            Ok(sent) => sent.map_err(|_| stopped()),
            Err(_) => {
                self.counters.refused(1);
                Err(StoreError::Unavailable(format!("the queue is full for {} ms", wait.as_millis())))
            }
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has stopped".to_owned())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ways = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was answered already: every waiting caller lost its answer.
            let _ = thread.join();
        }
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
    fn run(mut self, mut inbox: Inbox) {
        while let Some(first) = inbox.wait() {
            if let Some(reason) = &self.failed {
                let refused = std::iter::once(first).chain(std::iter::from_fn(|| inbox.next()));
                for job in refused {
                    self.counters.refused(1);
                    job.refuse(reason);
                }
            } else {
                self.settle(first, &mut inbox);
            }
        }
    }

    /// Makes a batch durable and answers everybody, or refuses everybody.
    fn settle(&mut self, first: Box<dyn Job>, inbox: &mut Inbox) {
        let mut batch = Vec::new();
        match self.transact(first, inbox, &mut batch) {
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
        inbox: &mut Inbox,
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
            next = if batch.len() < BATCH_COMMANDS_MAX { inbox.next() } else { None };
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
        let oldest = tokens::oldest(self.head.latest);
        let row = rusqlite::params![oldest.as_bytes(), self.head.latest, step];
        self.connection.prepare_cached(statements::FORGET_TOKENS)?.execute(row)?;
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
