//! Sessions of 2025-11-25 clients: each bound to the principals that opened it
//! and to one system, gone when idle or old. A session is never a credential:
//! every message in it brings its own token and proof.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bailiwick_model::{id::SessionId, name::SystemName, principal::DelegationChain};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    envelope::Id,
    upstream::{Answer, Answers, CallerKey, ClientCapabilities, UpstreamError},
};

/// A session ends when it was not used for so long. Longer than a person thinks, shorter than a lunch break.
pub(crate) const SESSION_IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// A session ends when it is so old, used or not: within a working day everybody introduces themselves again.
pub(crate) const SESSION_AGE_MAX: Duration = Duration::from_secs(8 * 60 * 60);
/// Sessions that one principal may hold at once; the one that was idle longest makes room.
pub(crate) const SESSIONS_PER_PRINCIPAL_MAX: usize = 64;
/// Sessions of all principals.
pub(crate) const SESSIONS_MAX: usize = 10_000;
/// Calls of one session that may be under way.
pub(crate) const CALLS_PER_SESSION_MAX: usize = 256;
/// Questions of servers that may wait for one client's answers.
pub(crate) const ASKS_PER_SESSION_MAX: usize = 64;
/// Messages that may wait for a client's stream; a client that reads slower loses notifications, never answers.
pub(crate) const STREAM_QUEUE_MAX: usize = 256;

/// How often all sessions are looked through for those that are over; the one that a message names is looked at each time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its id, which the client names in each message.
    pub(crate) id: SessionId,
    /// Who opened it.
    pub(crate) chain: DelegationChain,
    /// Where it leads; `None` is the aggregate of all systems.
    pub(crate) system: Option<SystemName>,
    /// The `capabilities` that the client declared, raw.
    capabilities: Box<str>,
    /// The same, as far as upstreams are told.
    pub(crate) client: ClientCapabilities,
    opened: Instant,
    state: Mutex<State>,
    /// Fires when the session ends.
    pub(crate) ended: CancellationToken,
}

#[derive(Debug)]
struct State {
    used: Instant,
    calls: HashMap<Id, CancellationToken>,
    stream: Option<mpsc::Sender<Bytes>>,
    /// What the client was asked: our id, where the answer goes, and the number that it goes by there.
    asked: HashMap<u64, (Answers, u64)>,
    last_ask: u64,
}

/// Why a session cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSession {
    /// It never was, it ended, or it is another's: all look the same from outside.
    Unknown,
    /// Too many calls of it are under way.
    Busy,
    /// A call of the same id is under way.
    Repeated,
}

/// All sessions of this process.
#[derive(Debug)]
pub(crate) struct Sessions {
    all: Mutex<All>,
    idle_max: Duration,
    age_max: Duration,
}

#[derive(Debug)]
struct All {
    by_id: HashMap<SessionId, Arc<Session>>,
    swept: Instant,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::with_limits(SESSION_IDLE_MAX, SESSION_AGE_MAX)
    }
}

/// A lock that a panicking holder cannot take away from the others: all state behind it is whole between statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// With other times, for tests and for narrower configurations.
    pub(crate) fn with_limits(idle_max: Duration, age_max: Duration) -> Self {
        Self { all: Mutex::new(All { by_id: HashMap::new(), swept: Instant::now() }), idle_max, age_max }
    }

    /// Opens a session. Makes room among the principal's own sessions only: nobody can push out another's.
    pub(crate) fn open(&self, session: Session) -> Result<Arc<Session>, NoSession> {
        let mut all = locked(&self.all);
        self.sweep(&mut all);
        let all = &mut all.by_id;
        let mut own: Vec<(Instant, SessionId)> = all
            .values()
            .filter(|other| other.chain == session.chain)
            .map(|other| (locked(&other.state).used, other.id))
            .collect();
        if own.len() >= SESSIONS_PER_PRINCIPAL_MAX {
            own.sort();
            if let Some(oldest) = own.first().and_then(|(_, id)| all.remove(id)) {
                oldest.ended.cancel();
            }
        } else if all.len() >= SESSIONS_MAX {
            return Err(NoSession::Busy);
        }
        let session = Arc::new(session);
        all.insert(session.id, Arc::clone(&session));
        Ok(session)
    }

    /// The session of this id, if it is this caller's and leads to this system. Using it keeps it.
    pub(crate) fn of(
        &self,
        id: SessionId,
        chain: &DelegationChain,
        system: Option<&SystemName>,
    ) -> Result<Arc<Session>, NoSession> {
        let mut all = locked(&self.all);
        if all.swept.elapsed() >= SWEEP_EVERY {
            self.sweep(&mut all);
        }
        let session = all.by_id.get(&id).filter(|session| session.chain == *chain && session.system.as_ref() == system);
        let session = Arc::clone(session.ok_or(NoSession::Unknown)?);
        if !self.keeps(&session) {
            all.by_id.remove(&id);
            return Err(NoSession::Unknown);
        }
        locked(&session.state).used = Instant::now();
        Ok(session)
    }

    /// Ends a session.
    pub(crate) fn end(&self, session: &Session) {
        locked(&self.all).by_id.remove(&session.id);
        session.ended.cancel();
    }

    fn sweep(&self, all: &mut All) {
        all.by_id.retain(|_, session| self.keeps(session));
        all.swept = Instant::now();
    }

    /// Whether a session goes on; ends one that is over.
    fn keeps(&self, session: &Session) -> bool {
        let state = locked(&session.state);
        // A call under way or an open stream is use.
        let busy = !state.calls.is_empty() || state.stream.as_ref().is_some_and(|stream| !stream.is_closed());
        let alive = session.opened.elapsed() < self.age_max && (busy || state.used.elapsed() < self.idle_max);
        drop(state);
        if !alive {
            session.ended.cancel();
        }
        alive
    }
}

impl Session {
    /// A new session, opened now.
    pub(crate) fn new(
        id: SessionId,
        chain: DelegationChain,
        system: Option<SystemName>,
        capabilities: Box<str>,
    ) -> Self {
        let now = Instant::now();
        let state = State { used: now, calls: HashMap::new(), stream: None, asked: HashMap::new(), last_ask: 0 };
        Self {
            id,
            chain,
            system,
            client: ClientCapabilities::relayed(&capabilities),
            capabilities,
            opened: now,
            state: Mutex::new(state),
            ended: CancellationToken::new(),
        }
    }

    /// Whether the client declared a capability: `sampling`, `elicitation`, `roots`.
    pub(crate) fn declares(&self, capability: &str) -> bool {
        crate::envelope::member(&self.capabilities, capability).is_some_and(|raw| raw.starts_with('{'))
    }

    /// Whose upstream connections it uses.
    pub(crate) fn caller_key(&self) -> CallerKey {
        CallerKey::new(&self.chain, self.client.clone())
    }

    /// Notes a call as under way; the guard un-notes it. Its token fires when the client cancels it.
    pub(crate) fn begin(self: &Arc<Self>, id: &Id) -> Result<UnderWay, NoSession> {
        let mut state = locked(&self.state);
        if state.calls.len() >= CALLS_PER_SESSION_MAX {
            return Err(NoSession::Busy);
        }
        if state.calls.contains_key(id) {
            return Err(NoSession::Repeated);
        }
        let cancelled = self.ended.child_token();
        state.calls.insert(id.clone(), cancelled.clone());
        Ok(UnderWay { session: Arc::clone(self), id: id.clone(), cancelled })
    }

    /// Cancels a call that is under way.
    pub(crate) fn cancel(&self, id: &Id) {
        if let Some(call) = locked(&self.state).calls.get(id) {
            call.cancel();
        }
    }

    /// Opens the session's stream; an earlier one is closed, so that each message goes to one place.
    pub(crate) fn stream(&self) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE_MAX);
        locked(&self.state).stream = Some(sender.clone());
        (sender, receiver)
    }

    /// Closes the session's stream, if it still is this one.
    pub(crate) fn close(&self, stream: &mpsc::Sender<Bytes>) {
        let mut state = locked(&self.state);
        if state.stream.as_ref().is_some_and(|open| open.same_channel(stream)) {
            state.stream = None;
        }
    }

    /// Keeps where an answer of the client will go, and gives the id to ask under; `None` if too many wait.
    pub(crate) fn ask(&self, answers: Answers, number: u64) -> Option<u64> {
        let mut state = locked(&self.state);
        if state.asked.len() >= ASKS_PER_SESSION_MAX {
            return None;
        }
        state.last_ask += 1;
        let id = state.last_ask;
        state.asked.insert(id, (answers, number));
        Some(id)
    }

    /// Forgets what nobody wants to know any more.
    pub(crate) fn unask(&self, id: u64) {
        locked(&self.state).asked.remove(&id);
    }

    /// Takes the client's answer (a raw `result`, or a raw `error`) to whoever asked, once.
    pub(crate) async fn answer(&self, id: &Id, outcome: Result<&str, &str>) -> Result<(), UpstreamError> {
        let asked = id.number().and_then(|id| locked(&self.state).asked.remove(&id));
        let (answers, number) = asked.ok_or(UpstreamError::NotWaiting)?;
        let answer = match outcome {
            Ok(result) => Answer::Result(result.to_owned().into()),
            Err(error) => Answer::Error(error.to_owned().into()),
        };
        answers.answer(number, answer).await
    }
}

/// A call under way; dropping it forgets it.
#[derive(Debug)]
pub(crate) struct UnderWay {
    session: Arc<Session>,
    id: Id,
    /// Fires when the client cancels the call or the session ends.
    pub(crate) cancelled: CancellationToken,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = locked(&self.session.state);
        state.calls.remove(&self.id);
        state.used = Instant::now();
    }
}

#[cfg(test)]
mod tests;
