//! One MCP server as a child process: calls go in on one line each, answers
//! come back by number. Each call gets an id of ours upstream and its own id
//! back; whoever goes away cancels. Forwards nothing by itself.

mod process;
mod routes;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    process::{ChildStdin, ChildStdout},
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::process::Spawn;
use self::{
    process::Child,
    routes::{Pending, Routes},
};
use super::{
    UpstreamError,
    asks::Asks,
    control::Notice,
    exchange::{self, Patience, Reply, Way},
    frame::{Frames, MESSAGE_BYTES_MAX},
    listener::Listener,
    outgoing::Outgoing,
    secrets::Redactor,
};
use crate::envelope;

/// Calls that one child works on at once.
pub const CALLS_IN_FLIGHT_MAX: usize = 256;
/// Messages on their way into one child.
const OUTBOUND_MESSAGES_MAX: usize = 16;
/// Events of one call that its caller has not taken yet; further progress is dropped, the answer never.
const EVENTS_WAITING_MAX: usize = 256;

/// A running child. Dropping it ends the child and everything that it started.
pub(crate) struct StdioConnection {
    shared: Arc<StdioShared>,
}

/// What the tasks of one child share.
pub(crate) struct StdioShared {
    name: String,
    routes: Mutex<Routes>,
    asks: Asks,
    outbound: mpsc::Sender<Bytes>,
    redactor: Redactor,
    stop: CancellationToken,
    call_timeout: Duration,
}

impl Drop for StdioConnection {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl StdioConnection {
    /// Starts the child.
    pub(crate) fn open(spawn: Spawn<'_>) -> Result<Self, UpstreamError> {
        let (outbound, waiting) = mpsc::channel(OUTBOUND_MESSAGES_MAX);
        let shared = Arc::new(StdioShared {
            name: spawn.system.to_string(),
            routes: Mutex::new(Routes::new(spawn.shared)),
            asks: Asks::default(),
            outbound,
            redactor: spawn.redactor(),
            stop: CancellationToken::new(),
            call_timeout: spawn.call_timeout,
        });
        let idle = spawn.idle_timeout;
        let (child, pipes) = process::spawn(&spawn)?;
        tokio::spawn(write_all(pipes.stdin, waiting, Arc::clone(&shared)));
        tokio::spawn(read_all(pipes.stdout, Arc::clone(&shared)));
        tokio::spawn(process::drain(pipes.stderr, shared.name.clone(), shared.redactor.clone()));
        tokio::spawn(supervise(child, Arc::clone(&shared), idle));
        Ok(Self { shared })
    }

    /// Sends a call and waits for its answer or first event.
    pub(crate) async fn call(&self, outgoing: &Outgoing, wait: Option<Duration>) -> Result<Reply, UpstreamError> {
        let shared = &self.shared;
        let (events, events_waiting) = mpsc::channel(EVENTS_WAITING_MAX);
        let (last, last_waiting) = oneshot::channel();
        let (number, message) = shared.routes().begin(outgoing, Pending::new(outgoing, events, last))?;
        let guard = CallGuard { shared: Arc::clone(shared), number };
        let patience = Patience { event: wait.unwrap_or(shared.call_timeout), endless: outgoing.is_endless() };
        match tokio::time::timeout(patience.event, shared.write(message)).await {
            Ok(written) => written?,
            Err(_) => return Err(UpstreamError::TimedOut(patience.event)),
        }
        let state = (events_waiting, last_waiting, guard);
        let source = futures::stream::unfold(state, |(mut events, mut last, guard)| async move {
            let event = tokio::select! {
                biased;
                Some(event) = events.recv() => Ok(event),
                answer = &mut last => answer.unwrap_or_else(|_| Err(UpstreamError::Gone("the server is gone".into()))),
            };
            Some((event, (events, last, guard)))
        });
        exchange::reply(source.boxed(), patience, Way::Stdio(Arc::clone(shared)), number).await
    }

    /// Sends a control message that wants no answer.
    pub(crate) async fn notify(&self, notice: &Notice<'_>) -> Result<(), UpstreamError> {
        self.shared.write(notice.message()).await
    }

    /// What the server says outside any call.
    pub(crate) fn listen(&self, holder: &str) -> Listener {
        Listener::new(self.shared.routes().listen(holder))
    }

    /// The server has turned out to be stateless: it may not ask anything.
    pub(crate) fn set_stateless(&self) {
        self.shared.routes().set_stateless();
    }

    /// Whether the server has said since the last time that its tools changed.
    pub(crate) fn take_changed(&self) -> bool {
        self.shared.routes().take_changed()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.shared.routes().failed().is_none()
    }

    /// Since when nobody uses it, if nobody does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.shared.routes().idle_since()
    }
}

impl StdioShared {
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn asks(&self) -> &Asks {
        &self.asks
    }

    /// Queues one message for the child.
    pub(crate) async fn write(&self, message: Bytes) -> Result<(), UpstreamError> {
        self.outbound.send(envelope::one_line(message)).await.map_err(|_| self.gone())
    }

    /// Queues one message if there is room: a child that reads nothing gets nothing.
    fn write_now(&self, message: Bytes) {
        if self.outbound.try_send(envelope::one_line(message)).is_err() {
            tracing::debug!(system.name = %self.name, "a notice to a server that does not read was dropped");
        }
    }

    fn gone(&self) -> UpstreamError {
        self.routes().failed().unwrap_or_else(|| UpstreamError::Gone("the server is gone".into()))
    }

    /// Gives the connection up: everybody who waits learns why.
    fn fail(&self, error: UpstreamError) {
        self.routes().fail(error);
        self.stop.cancel();
    }
}

/// Cancels its call upstream unless the answer has come.
struct CallGuard {
    shared: Arc<StdioShared>,
    number: u64,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let unanswered = self.shared.routes().end(self.number);
        for id in self.shared.asks.end(self.number) {
            self.shared.write_now(Notice::Abandoned { id: &id }.message());
        }
        if unanswered {
            self.shared.write_now(Notice::Cancelled { id: self.number, reason: "the caller went away" }.message());
        }
    }
}

async fn write_all(mut stdin: ChildStdin, mut waiting: mpsc::Receiver<Bytes>, shared: Arc<StdioShared>) {
    loop {
        let message = tokio::select! {
            () = shared.stop.cancelled() => return,
            message = waiting.recv() => message,
        };
        let Some(message) = message else { return };
        let written = async {
            stdin.write_all(&message).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        let written = tokio::select! {
            () = shared.stop.cancelled() => return,
            written = written => written,
        };
        if written.is_err() {
            // The reader sees the end of the stream too and tells those who wait.
            return;
        }
    }
}

async fn read_all(stdout: ChildStdout, shared: Arc<StdioShared>) {
    let mut frames = Frames::new(BufReader::with_capacity(64 * 1_024, stdout), MESSAGE_BYTES_MAX);
    let error = loop {
        match frames.next().await {
            Ok(Some(line)) => {
                if let Err(error) = receive(&shared, shared.redactor.clean(line)) {
                    break error;
                }
            }
            Ok(None) => break UpstreamError::Gone("the server closed its output".into()),
            Err(error) => break UpstreamError::Malformed(error.to_string()),
        }
    };
    shared.fail(error);
}

/// Handles one message; an error gives the connection up.
fn receive(shared: &StdioShared, line: Bytes) -> Result<(), UpstreamError> {
    let answer = shared.routes().receive(&line, &shared.asks)?;
    if let Some(message) = answer {
        shared.write_now(message);
    }
    Ok(())
}

/// Ends the child when it is told to, idle, or already dead.
async fn supervise(mut child: Child, shared: Arc<StdioShared>, idle_timeout: Duration) {
    loop {
        let idle_at = shared.routes().idle_since().map(|since| since + idle_timeout);
        let check_at = idle_at.unwrap_or_else(|| Instant::now() + idle_timeout);
        tokio::select! {
            () = shared.stop.cancelled() => break,
            status = child.exited() => {
                shared.fail(UpstreamError::Gone(status));
                break;
            }
            () = tokio::time::sleep_until(check_at) => {
                let since = shared.routes().idle_since();
                if since.is_some_and(|since| since.elapsed() >= idle_timeout) {
                    shared.fail(UpstreamError::Gone("the server was idle and was ended".into()));
                    break;
                }
            }
        }
    }
    shared.routes().fail(UpstreamError::Gone("the server was ended".into()));
    child.end().await;
    tracing::debug!(system.name = %shared.name, "a server process has ended");
}

/// An event to one that may not take it: dropped rather than waited for.
fn offer<T>(events: &mpsc::Sender<T>, event: T) -> bool {
    events.try_send(event).is_ok()
}
