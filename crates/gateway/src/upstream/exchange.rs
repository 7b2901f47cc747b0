//! What comes back from an upstream: one raw answer, or a stream of raw events
//! that ends with it. Dropping a stream cancels its call.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};

use super::{UpstreamError, asks::Asks, http::HttpShared, stdio::StdioShared};
use crate::envelope;

/// How long a call may wait while a person or a model answers what the server asked.
pub const ASK_WAIT: Duration = Duration::from_secs(10 * 60);
/// How long a call may go on at all, however lively, unless it is a subscription.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// The answer to a forward.
#[derive(Debug)]
pub enum Reply {
    /// The raw `result`.
    Result(Bytes),
    /// The raw `error` object.
    Error(Bytes),
    /// More comes first.
    Stream(Exchange),
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole raw notification; ids and progress tokens in it are the caller's own.
    Notification(Bytes),
    /// The server asks the client something; answer through [`Answers`].
    Ask(Ask),
    /// The server no longer wants that answer.
    Withdrawn(u64),
    /// The raw `result`. The last event.
    Result(Bytes),
    /// The raw `error` object. The last event.
    Error(Bytes),
}

impl Event {
    pub(crate) const fn is_last(&self) -> bool {
        matches!(self, Self::Result(_) | Self::Error(_))
    }
}

/// What a server asks of its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Our number for it, to answer under.
    pub number: u64,
    /// `sampling/createMessage`, `elicitation/create`, `roots/list`, …
    pub method: String,
    /// The raw parameters.
    pub params: Option<Bytes>,
}

/// What the client answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The raw `result`.
    Result(Bytes),
    /// The raw `error` object.
    Error(Bytes),
}

impl Answer {
    /// The message, if the raw value is JSON; `id` is the server's.
    fn message(&self, id: &str) -> Result<Bytes, UpstreamError> {
        let text = |raw: &Bytes| -> Result<String, UpstreamError> {
            let text = std::str::from_utf8(raw).map_err(|_| UpstreamError::NotPermitted)?;
            serde_json::from_str::<&serde_json::value::RawValue>(text).map_err(|_| UpstreamError::NotPermitted)?;
            Ok(text.to_owned())
        };
        match self {
            Self::Result(raw) => Ok(envelope::result(id, &text(raw)?)),
            Self::Error(raw) => Ok(envelope::error(id, &text(raw)?)),
        }
    }
}

/// Where answers go.
#[derive(Clone)]
pub(crate) enum Way {
    Stdio(Arc<StdioShared>),
    Http(Arc<HttpShared>),
}

impl Way {
    pub(crate) fn asks(&self) -> &Asks {
        match self {
            Self::Stdio(shared) => shared.asks(),
            Self::Http(shared) => shared.asks(),
        }
    }
}

/// Answers what the server asked of one call under that call's permit.
#[derive(Clone)]
pub struct Answers {
    way: Way,
    call: u64,
}

impl Answers {
    pub(crate) const fn new(way: Way, call: u64) -> Self {
        Self { way, call }
    }

    /// Sends the client's answer, once per ask and only while its call runs.
    pub async fn answer(&self, number: u64, answer: Answer) -> Result<(), UpstreamError> {
        // Checked with a stand-in first, so that a broken answer does not use up the ask.
        answer.message("0")?;
        let id = self.way.asks().take(number, self.call).ok_or(UpstreamError::NotWaiting)?;
        let message = answer.message(&id)?;
        match &self.way {
            Way::Stdio(shared) => shared.write(message).await,
            Way::Http(shared) => shared.post_notice(message).await,
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Events of one call, the answer last, or one error; then nothing. Dropping it cancels the call.
pub struct Exchange {
    events: BoxStream<'static, Result<Event, UpstreamError>>,
    answers: Answers,
}

impl Exchange {
    /// Answers what the server asks during this call.
    pub fn answers(&self) -> Answers {
        self.answers.clone()
    }
}

impl Stream for Exchange {
    type Item = Result<Event, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("answers", &self.answers).finish_non_exhaustive()
    }
}

/// How long to wait for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Between two events.
    pub(crate) event: Duration,
    /// Whether the stream stays open once it has begun.
    pub(crate) endless: bool,
}

struct Timed {
    source: BoxStream<'static, Result<Event, UpstreamError>>,
    patience: Patience,
    way: Way,
    call: u64,
    begun: tokio::time::Instant,
    first: bool,
}

/// Ends `source` after its last event, an error, or too long a silence, and
/// answers at once if the first event already is the last.
pub(crate) async fn reply(
    source: BoxStream<'static, Result<Event, UpstreamError>>,
    patience: Patience,
    way: Way,
    call: u64,
) -> Result<Reply, UpstreamError> {
    let answers = Answers::new(way.clone(), call);
    let timed = Timed { source, patience, way, call, begun: tokio::time::Instant::now(), first: true };
    let mut events = futures::stream::unfold(Some(timed), |state| async {
        let mut timed = state?;
        let event = timed.next().await;
        let over = event.as_ref().map_or(true, Event::is_last);
        Some((event, (!over).then_some(timed)))
    })
    .boxed();
    match events.next().await {
        Some(Ok(Event::Result(raw))) => Ok(Reply::Result(raw)),
        Some(Ok(Event::Error(raw))) => Ok(Reply::Error(raw)),
        Some(Ok(first)) => {
            let events = futures::stream::iter([Ok(first)]).chain(events).boxed();
            Ok(Reply::Stream(Exchange { events, answers }))
        }
        Some(Err(error)) => Err(error),
        None => Err(UpstreamError::Gone("no answer came".into())),
    }
}

impl Timed {
    async fn next(&mut self) -> Result<Event, UpstreamError> {
        let total_left = CALL_TIME_MAX.saturating_sub(self.begun.elapsed());
        let wait = match self.patience {
            Patience { endless: true, .. } if !self.first => None,
            _ if self.way.asks().any(self.call) => Some(ASK_WAIT.min(total_left)),
            Patience { event, .. } => Some(event.min(total_left)),
        };
        let next = match wait {
            None => self.source.next().await,
            Some(wait) => match tokio::time::timeout(wait, self.source.next()).await {
                Ok(next) => next,
                Err(_) => return Err(UpstreamError::TimedOut(wait)),
            },
        };
        self.first = false;
        next.unwrap_or_else(|| Err(UpstreamError::Gone("the stream ended".into())))
    }
}
