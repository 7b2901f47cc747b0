//! What comes back on one POST: a JSON body, or a stream of events that is
//! passed on as it arrives and resumed where the server allows it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header;

use super::{HttpShared, resume::Resumption, sending, sse::Parser};
use crate::{
    envelope::{Envelope, Id},
    upstream::{
        UpstreamError,
        control::Notice,
        era::Era,
        exchange::{self, Ask, Event, Patience, Reply, Way},
        frame::{ASIDE_BYTES_MAX, MALFORMED_MAX, MESSAGE_BYTES_MAX},
        outgoing::Outgoing,
    },
};

/// Whether a body is one JSON message or a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    Json,
    Events,
}

impl Answered {
    pub(super) fn of(response: &reqwest::Response) -> Option<Self> {
        let kind = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else if kind.eq_ignore_ascii_case("text/event-stream") {
            Some(Self::Events)
        } else {
            None
        }
    }
}

pub(super) async fn call(
    shared: &Arc<HttpShared>,
    outgoing: &Outgoing,
    wait: Option<Duration>,
) -> Result<Reply, UpstreamError> {
    let wait = wait.unwrap_or(shared.call_timeout);
    let (id, number, body) = shared.body(outgoing);
    let mut guard = InFlight::new(shared, number);
    let response = shared.mirror(outgoing, shared.post()).body(body);
    let response = match tokio::time::timeout(wait, response.send()).await {
        Ok(response) => response.map_err(|error| sending(&error))?,
        Err(_) => return Err(UpstreamError::TimedOut(wait)),
    };
    if outgoing.method == "initialize" && response.status().is_success() {
        shared.keep_session(response.headers())?;
    }
    let status = response.status().as_u16();
    match (status, Answered::of(&response)) {
        (200, Some(Answered::Events)) => {
            let patience = Patience { event: wait, endless: outgoing.is_endless() };
            let source = Source::new(Arc::clone(shared), id, number, response, guard);
            let source = futures::stream::unfold(source, |mut source| async {
                let event = source.next().await;
                Some((event, source))
            });
            exchange::reply(source.boxed(), patience, Way::Http(Arc::clone(shared)), number).await
        }
        (404, _) if shared.session.get().is_some() => {
            // The session is gone; nothing was done in it.
            shared.over.store(true, Ordering::Release);
            guard.settle();
            Err(UpstreamError::Status(404))
        }
        (_, Some(Answered::Json)) => {
            let body = match tokio::time::timeout(wait, whole_body(response)).await {
                Ok(body) => body?,
                Err(_) => return Err(UpstreamError::TimedOut(wait)),
            };
            guard.settle();
            only_answer(shared, status, &id, body)
        }
        (200, None) => Err(UpstreamError::Malformed("its body is neither JSON nor a stream of events".into())),
        _ => {
            guard.settle();
            Err(shared.status(status))
        }
    }
}

async fn whole_body(response: reqwest::Response) -> Result<Bytes, UpstreamError> {
    let too_long = || UpstreamError::Malformed(format!("its body is longer than {MESSAGE_BYTES_MAX} bytes"));
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |length| length > MESSAGE_BYTES_MAX) {
        return Err(too_long());
    }
    let mut chunks = response.bytes_stream();
    let mut body = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| sending(&error))?;
        if body.len() + chunk.len() > MESSAGE_BYTES_MAX {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A JSON body holds the answer and nothing else. Errors come with statuses of their own.
fn only_answer(shared: &HttpShared, status: u16, id: &Id, body: Bytes) -> Result<Reply, UpstreamError> {
    let body = shared.redactor.clean(body);
    let refused = |what: String| match status {
        200 => UpstreamError::Malformed(what),
        status => shared.status(status),
    };
    if matches!(status, 401 | 403) {
        return Err(shared.status(status));
    }
    match Envelope::parse_within(&body, MESSAGE_BYTES_MAX) {
        Ok(Envelope::Result { id: of, result }) if of == *id && status == 200 => {
            Ok(Reply::Result(body.slice_ref(result.as_bytes())))
        }
        Ok(Envelope::Error { id: of, error }) if of.as_ref().is_none_or(|of| of == id) => {
            Ok(Reply::Error(body.slice_ref(error.as_bytes())))
        }
        Ok(_) => Err(refused("its body is not the answer to this call".into())),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Counts a call in flight; whoever drops it before the answer cancels.
pub(super) struct InFlight {
    shared: Arc<HttpShared>,
    number: u64,
    settled: bool,
}

impl InFlight {
    fn new(shared: &Arc<HttpShared>, number: u64) -> Self {
        shared.touch();
        shared.in_flight.fetch_add(1, Ordering::AcqRel);
        Self { shared: Arc::clone(shared), number, settled: false }
    }

    const fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.touch();
        self.shared.in_flight.fetch_sub(1, Ordering::AcqRel);
        let mut messages: Vec<Bytes> = Vec::new();
        for id in self.shared.asks.end(self.number) {
            messages.push(Notice::Abandoned { id: &id }.message());
        }
        // A message that stands alone is cancelled by closing its stream, which happens with this drop.
        if !self.settled && self.shared.era == Era::Handshake {
            messages.push(Notice::Cancelled { id: self.number, reason: "the caller went away" }.message());
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !messages.is_empty() && !self.shared.over.load(Ordering::Acquire) {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(async move {
                for message in messages {
                    drop(shared.post_notice(message).await);
                }
            });
        }
    }
}

type Chunks = futures::stream::BoxStream<'static, reqwest::Result<Bytes>>;

/// The events of one call.
struct Source {
    shared: Arc<HttpShared>,
    id: Id,
    number: u64,
    chunks: Chunks,
    parser: Parser,
    malformed: usize,
    resumption: Resumption,
    guard: InFlight,
}

impl Source {
    fn new(shared: Arc<HttpShared>, id: Id, number: u64, response: reqwest::Response, guard: InFlight) -> Self {
        let chunks = response.bytes_stream().boxed();
        let (parser, resumption) = (Parser::default(), Resumption::default());
        Self { shared, id, number, chunks, parser, malformed: 0, resumption, guard }
    }

    async fn next(&mut self) -> Result<Event, UpstreamError> {
        loop {
            while let Some(sent) = self.parser.next()? {
                self.resumption.heard();
                if let Some(event) = self.event(self.shared.redactor.clean(sent.data))? {
                    return Ok(event);
                }
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.parser.push(&chunk)?,
                Some(Err(_)) | None => {
                    let response = self.resumption.again(&self.shared, &self.parser).await?;
                    self.chunks = response.bytes_stream().boxed();
                    self.parser.restart();
                }
            }
        }
    }

    /// What one message means to this call; `None`: nothing.
    fn event(&mut self, data: Bytes) -> Result<Option<Event>, UpstreamError> {
        // Events without data only carry an id to resume from.
        if data.trim_ascii().is_empty() {
            return Ok(None);
        }
        match Envelope::parse_within(&data, MESSAGE_BYTES_MAX) {
            Ok(Envelope::Result { id, result }) if id == self.id => {
                self.guard.settle();
                Ok(Some(Event::Result(data.slice_ref(result.as_bytes()))))
            }
            Ok(Envelope::Error { id, error }) if id.as_ref().is_none_or(|id| *id == self.id) => {
                self.guard.settle();
                Ok(Some(Event::Error(data.slice_ref(error.as_bytes()))))
            }
            Ok(Envelope::Notification { method, params }) if method == "notifications/cancelled" => {
                let raw = params.and_then(|params| crate::envelope::member(params, "requestId"));
                let withdrawn = raw.and_then(|raw| self.shared.asks.withdraw(raw));
                Ok(withdrawn.filter(|(_, call)| *call == self.number).map(|(number, _)| Event::Withdrawn(number)))
            }
            Ok(Envelope::Notification { method, .. }) => {
                self.shared.note_changed(&method);
                Ok((data.len() <= ASIDE_BYTES_MAX).then_some(Event::Notification(data)))
            }
            Ok(Envelope::Call { id, method, params }) if self.shared.era == Era::Handshake => {
                Ok(self.asked(&id, &method, params))
            }
            Err(error) if error.id.as_ref() == Some(&self.id) => Err(UpstreamError::Malformed(error.to_string())),
            Ok(_) | Err(_) => {
                self.malformed += 1;
                if self.malformed > MALFORMED_MAX {
                    return Err(UpstreamError::Malformed("events that are no messages for this call".into()));
                }
                Ok(None)
            }
        }
    }

    fn asked(&self, id: &Id, method: &str, params: Option<&str>) -> Option<Event> {
        let fits = params.is_none_or(|params| params.len() <= ASIDE_BYTES_MAX);
        let notice = if method == "ping" {
            Notice::Pong { id: id.raw() }
        } else if fits && let Some(number) = self.shared.asks.open(id.raw(), self.number) {
            let params = params.map(|raw| Bytes::copy_from_slice(raw.as_bytes()));
            return Some(Event::Ask(Ask { number, method: method.to_owned(), params }));
        } else {
            Notice::CannotAnswer { id: id.raw() }
        };
        let (shared, message) = (Arc::clone(&self.shared), notice.message());
        tokio::spawn(async move { drop(shared.post_notice(message).await) });
        None
    }
}
