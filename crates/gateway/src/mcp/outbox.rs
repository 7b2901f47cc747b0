//! What one call says to its caller, in order: the call writes, one reader at a
//! time takes it away, and the call waits for a slow one. A stream that may be
//! taken up again keeps for a while what was read, within bounds. Knows nothing
//! of whose it is; that is [`super::resume`]'s.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use tokio::{sync::Notify, time::Instant};

use super::budget::Charge;

/// Messages of one call that may wait for a client that reads slowly; then the upstream waits too.
pub(crate) const ANSWER_QUEUE_MAX: usize = 32;
/// Messages that one stream keeps after they were read, for a client that did not get them.
pub(crate) const KEPT_PIECES_PER_STREAM_MAX: usize = 256;
/// Bytes that one stream keeps. One that has more to say can be read, and not be taken up again.
pub(crate) const KEPT_BYTES_PER_STREAM_MAX: usize = 1_024 * 1_024;

/// One message to the caller; the last one carries its HTTP status.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) message: Bytes,
    pub(crate) last: Option<StatusCode>,
}

/// What there is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// A message, and more will come.
    More,
    /// The one message that there is.
    Only,
    /// Nothing, and nothing will come.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Something was written or read, or somebody came or went.
    moved: Notify,
}

#[derive(Debug)]
struct State {
    pieces: VecDeque<Piece>,
    /// The number of the first of them; the first ever has 1.
    first: u64,
    /// The number of the next one to be read.
    unread: u64,
    bytes: usize,
    kept: Option<Kept>,
    ended: Option<Instant>,
    /// Who reads: each new reader takes the turn from the one before.
    turn: u64,
    /// Since when nobody reads.
    unattended: Option<Instant>,
}

/// What makes a stream one that can be taken up again.
#[derive(Debug)]
struct Kept {
    charge: Charge,
    /// How long it waits for a reader.
    time: Duration,
}

/// The end where the call writes. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Writer(Arc<Outbox>);

/// The end where a response reads. Dropping it leaves the stream unattended.
#[derive(Debug)]
pub(crate) struct Reader {
    outbox: Arc<Outbox>,
    turn: u64,
}

/// A new one, with its first reader.
pub(crate) fn open() -> (Writer, Reader) {
    let state = State {
        pieces: VecDeque::new(),
        first: 1,
        unread: 1,
        bytes: 0,
        kept: None,
        ended: None,
        turn: 0,
        unattended: None,
    };
    let outbox = Arc::new(Outbox { state: Mutex::new(state), moved: Notify::new() });
    (Writer(Arc::clone(&outbox)), Reader { outbox, turn: 0 })
}

impl State {
    /// The number that the next piece will have.
    fn next(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    fn waiting(&self) -> usize {
        usize::try_from(self.next() - self.unread).unwrap_or(usize::MAX)
    }

    /// The next piece to be read, if it is there.
    fn front(&self) -> Option<&Piece> {
        self.pieces.get(usize::try_from(self.unread - self.first).unwrap_or(usize::MAX))
    }

    fn drop_first(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            self.first += 1;
            self.bytes -= piece.message.len();
        }
    }

    /// Forgets what was read and need not be kept, the oldest first; keeps nothing at all where that is too much still.
    fn trim(&mut self) {
        while self.first < self.unread && !self.fits() {
            self.drop_first();
        }
        if self.kept.is_some() && !self.fits() {
            self.forfeit();
        }
    }

    /// Whether what is there may be kept.
    fn fits(&mut self) -> bool {
        let read = usize::try_from(self.unread - self.first).unwrap_or(usize::MAX);
        let small = self.bytes <= KEPT_BYTES_PER_STREAM_MAX && read <= KEPT_PIECES_PER_STREAM_MAX;
        let bytes = self.bytes;
        self.kept.as_mut().is_some_and(|kept| small && kept.charge.resize(bytes))
    }

    /// From now on it is a stream like others: what was read is gone, and what nobody reads is too.
    fn forfeit(&mut self) {
        self.kept = None;
        if self.unattended.is_some() {
            self.unread = self.next();
        }
        while self.first < self.unread {
            self.drop_first();
        }
    }
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it be taken up again, at the cost of `charge`, until nobody has read it for `time`.
    pub(crate) fn keep(&self, charge: Charge, time: Duration) {
        let mut state = self.state();
        state.kept = Some(Kept { charge, time });
        state.trim();
    }

    /// Keeps nothing any more, and lets nobody take it up again.
    pub(crate) fn forfeit(&self) {
        self.state().forfeit();
        self.moved.notify_waiters();
    }

    /// Since when nothing more is written, if that is so.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.state().ended
    }

    /// Reads on after the piece of this number, in the place of whoever reads now. `None` if what follows is not kept
    /// whole, if it waited for too long, or if no piece ever had that number.
    pub(crate) fn resume(self: &Arc<Self>, after: u64) -> Option<Reader> {
        let mut state = self.state();
        let time = state.kept.as_ref()?.time;
        let late = state.unattended.is_some_and(|since| since.elapsed() >= time);
        if late || after >= state.next() || after + 1 < state.first {
            return None;
        }
        state.unread = after + 1;
        state.turn += 1;
        state.unattended = None;
        let turn = state.turn;
        drop(state);
        self.moved.notify_waiters();
        Some(Reader { outbox: Arc::clone(self), turn })
    }

    /// Ends when nobody reads any more, nor may come back.
    pub(crate) async fn abandoned(&self) {
        let patience = |state: &State| state.kept.as_ref().map_or(Duration::ZERO, |kept| kept.time);
        self.reached(|state| state.unattended.map(|since| since + patience(state))).await;
    }

    /// Ends when nobody may come back, even if somebody still reads.
    pub(crate) async fn lapsed(&self) {
        let lapses = |state: &State| match &state.kept {
            None => Some(Instant::now()),
            Some(kept) => state.unattended.map(|since| since + kept.time),
        };
        self.reached(lapses).await;
    }

    /// Ends at the moment that the state of then tells.
    async fn reached(&self, moment: impl Fn(&State) -> Option<Instant>) {
        loop {
            let moved = self.moved.notified();
            let until = moment(&self.state());
            match until {
                None => moved.await,
                Some(until) if until <= Instant::now() => return,
                Some(until) => drop(tokio::time::timeout_at(until, moved).await),
            }
        }
    }
}

impl Writer {
    /// Says one thing. Waits for a reader that is slow, and where none is, for one to come back; the last piece waits
    /// for nobody, so that its call is over.
    pub(crate) async fn put(&self, piece: Piece) {
        loop {
            let moved = self.0.moved.notified();
            {
                let mut state = self.0.state();
                if state.unattended.is_some() && state.kept.is_none() {
                    return;
                }
                if piece.last.is_some() || state.waiting() < ANSWER_QUEUE_MAX {
                    state.bytes += piece.message.len();
                    state.pieces.push_back(piece);
                    state.trim();
                    break;
                }
            }
            moved.await;
        }
        self.0.moved.notify_waiters();
    }

    /// As [`Outbox::abandoned`].
    pub(crate) async fn abandoned(&self) {
        self.0.abandoned().await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.state().ended = Some(Instant::now());
        self.0.moved.notify_waiters();
    }
}

impl Reader {
    pub(crate) const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Waits until there is something to read.
    pub(crate) async fn ready(&self) -> Ready {
        loop {
            let moved = self.outbox.moved.notified();
            {
                let state = self.outbox.state();
                match state.front() {
                    Some(piece) if piece.last.is_some() => return Ready::Only,
                    Some(_) => return Ready::More,
                    None if state.ended.is_some() => return Ready::Nothing,
                    None => {}
                }
            }
            moved.await;
        }
    }

    /// The next piece with its number; `None` when there will be none, or when another reader took over.
    pub(crate) async fn next(&mut self) -> Option<(u64, Piece)> {
        loop {
            let moved = self.outbox.moved.notified();
            {
                let mut state = self.outbox.state();
                if state.turn != self.turn {
                    return None;
                }
                let number = state.unread;
                if let Some(piece) = state.front().cloned() {
                    state.unread += 1;
                    state.trim();
                    drop(state);
                    self.outbox.moved.notify_waiters();
                    return Some((number, piece));
                }
                if state.ended.is_some() {
                    return None;
                }
            }
            moved.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.outbox.state();
        if state.turn != self.turn {
            return;
        }
        state.unattended = Some(Instant::now());
        if state.kept.is_none() {
            state.forfeit();
        }
        drop(state);
        self.outbox.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
