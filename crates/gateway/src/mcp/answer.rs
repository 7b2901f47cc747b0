//! How answers go over HTTP: one JSON body, or a stream of events that is
//! passed on message by message and never buffered. Knows nothing of policy.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    envelope::{self, Id},
    mcp::{
        crowd::Guest,
        message::Fault,
        outbox::Reader,
        resume::{EventId, RETRY_AFTER},
    },
    upstream::Era,
};

/// Silence on a stream after which a comment is sent, so that nobody between takes it for dead.
pub(crate) const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Silence at the start of a call after which its answer becomes a stream, for clients that can take that up again.
pub(crate) const STREAM_AFTER: Duration = Duration::from_secs(1);

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One JSON body.
pub(crate) fn json(status: StatusCode, message: Bytes) -> Response {
    let mut response = (status, message).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A successful answer.
pub(crate) fn result(id: &Id, result: &Value) -> Response {
    json(StatusCode::OK, envelope::result(id.raw(), &result.to_string()))
}

/// A refusal. Only the stateless revision tells an unknown method by HTTP status: before, 404 is a lost session.
pub(crate) fn fault(era: Option<Era>, id: Option<&Id>, fault: &Fault) -> Response {
    let unknown_method = fault.code == -32_601 && era == Some(Era::Handshake) && id.is_some();
    let status = if unknown_method { StatusCode::OK } else { fault.status };
    let id = id.map_or("null", Id::raw);
    json(status, envelope::error(id, &fault.object().to_string()))
}

/// The HTTP status of an upstream's own answer in the stateless revision ("Protocol Version Header", "Server
/// Validation"): the codes that tell of the message itself, not of its outcome.
pub(crate) fn status_of(era: Era, message: &[u8]) -> StatusCode {
    if era == Era::Handshake {
        return StatusCode::OK;
    }
    let Some(code) = error_code(message) else { return StatusCode::OK };
    match code {
        -32_601 => StatusCode::NOT_FOUND,
        -32_022..=-32_020 => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// The code of an error answer.
pub(crate) fn error_code(message: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(message).ok()?;
    let error = envelope::member(text, "error")?;
    envelope::member(error, "code")?.parse().ok()
}

/// A stream of messages, each written as it comes. Dropping the response drops the receiver, which is how the sender
/// learns that the client went away.
pub(crate) fn events(first: Option<Bytes>, messages: mpsc::Receiver<Bytes>) -> Response {
    let later = stream::unfold(messages, |mut messages| async { Some((messages.recv().await?, messages)) });
    streamed(stream::iter(first).chain(later).map(|message| event(None, message)))
}

/// A stream of what a call says. With the id of the event that the client saw last, each further one has its id, so
/// that the client can come back; the first has no data, and says when.
pub(crate) fn told(reader: Reader, after: Option<EventId>, guest: Option<Guest>) -> Response {
    let first = after.map(|id| {
        let text = format!("id: {id}\nretry: {}\ndata:\n\n", RETRY_AFTER.as_millis());
        Bytes::from(text)
    });
    let later = stream::unfold((reader, guest), move |(mut reader, guest)| async move {
        let (number, piece) = reader.next().await?;
        let id = after.map(|EventId { stream, .. }| EventId { stream, number });
        Some((event(id, piece.message), (reader, guest)))
    });
    streamed(stream::iter(first).chain(later))
}

/// Events as a response, with a comment where nothing is said for long.
fn streamed(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let events = stream::unfold(events.boxed(), |mut events| async {
        let bytes = match tokio::time::timeout(KEEP_ALIVE_EVERY, events.next()).await {
            Ok(event) => event?,
            Err(_) => Bytes::from_static(b": alive\n\n"),
        };
        Some((Ok::<_, Infallible>(bytes), events))
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A stream of a single message.
pub(crate) fn one_event(message: Bytes) -> Response {
    streamed(stream::iter([event(None, message)]))
}

/// One message as an event of a stream.
fn event(id: Option<EventId>, message: Bytes) -> Bytes {
    let message = envelope::one_line(message);
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    [b"event: message\n".as_slice(), id.as_bytes(), b"data: ", &message, b"\n\n"].concat().into()
}

/// 202: taken, nothing to say.
pub(crate) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// A result object of this era: the stateless one names its kind.
pub(crate) fn typed(era: Era, mut result: Value) -> Value {
    if let (Era::Stateless, Some(members)) = (era, result.as_object_mut()) {
        members.entry("resultType").or_insert_with(|| json!("complete"));
    }
    result
}
