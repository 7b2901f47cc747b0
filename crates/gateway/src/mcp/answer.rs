//! How answers go over HTTP: one JSON body, or a stream of events that is
//! passed on message by message and never buffered. Knows nothing of policy.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::stream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    envelope::{self, Id},
    mcp::message::Fault,
    upstream::Era,
};

/// Silence on a stream after which a comment is sent, so that nobody between takes it for dead.
pub(crate) const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Messages of one call that may wait for a client that reads slowly; then the upstream waits too.
pub(crate) const ANSWER_QUEUE_MAX: usize = 32;

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
pub(crate) fn events<M: Into<Bytes> + Send + 'static>(first: Option<Bytes>, messages: mpsc::Receiver<M>) -> Response {
    let state = (first, messages);
    let events = stream::unfold(state, |(first, mut messages)| async move {
        if let Some(first) = first {
            return Some((Ok::<_, Infallible>(event(first)), (None, messages)));
        }
        let bytes = match tokio::time::timeout(KEEP_ALIVE_EVERY, messages.recv()).await {
            Ok(Some(message)) => event(message.into()),
            Ok(None) => return None,
            Err(_) => Bytes::from_static(b": alive\n\n"),
        };
        Some((Ok(bytes), (None, messages)))
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
    events(Some(message), mpsc::channel::<Bytes>(1).1)
}

/// One message as an event of a stream.
fn event(message: Bytes) -> Bytes {
    let message = envelope::one_line(message);
    [b"event: message\ndata: ".as_slice(), &message, b"\n\n"].concat().into()
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
