//! What a message must be before anybody reads it: of a type and a size that
//! are accepted, and sent in time. Decides nothing about callers.

use std::time::Duration;

use axum::body::Body;
use bailiwick_model::limits::BODY_BYTES_MAX;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use crate::mcp::message::Fault;

/// A body that takes longer to arrive is not waited for: it holds memory and a connection.
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Checks content type and what the client takes as an answer.
pub(crate) fn check_post(headers: &HeaderMap) -> Result<(), Fault> {
    let types = headers.get_all(header::CONTENT_TYPE).iter().count();
    if types != 1 || !bailiwick_web::json::is_json(headers) {
        return Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            -32_600,
            "a message is sent as `Content-Type: application/json`",
        ));
    }
    if accepts(headers, "application/json") && accepts(headers, "text/event-stream") {
        return Ok(());
    }
    Err(Fault::new(
        StatusCode::NOT_ACCEPTABLE,
        -32_600,
        "the client must accept both `application/json` and `text/event-stream`",
    ))
}

/// Whether the `Accept` header lists a media type; none at all accepts everything (RFC 9110 §12.5.1).
pub(crate) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    let family = wanted.split('/').next().unwrap_or_default();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused =
            parts.any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        let fits = essence == wanted || essence == "*/*" || essence.strip_suffix("/*") == Some(family);
        fits && !refused
    })
}

/// Whether the `Accept` header names streams of events before JSON: whoever asks for them first gets them where either
/// would do.
pub(crate) fn prefers_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first = values.flat_map(|value| value.split(',')).next().unwrap_or_default();
    let essence = first.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/event-stream") && accepts(headers, "text/event-stream")
}

/// Reads the whole body, in time.
pub(crate) async fn read(body: Body) -> Result<Bytes, Fault> {
    let refuse = |status, message: String| Err(Fault::new(status, -32_600, message));
    match tokio::time::timeout(BODY_TIME_MAX, axum::body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("a message has at most {BODY_BYTES_MAX} bytes")),
        Err(_) => {
            refuse(StatusCode::REQUEST_TIMEOUT, format!("a message must arrive within {} s", BODY_TIME_MAX.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let slow = futures::stream::unfold((), |()| async {
            tokio::time::sleep(BODY_TIME_MAX / 4).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b" ")), ()))
        });
        let refused = read(Body::from_stream(slow)).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
        let large = Body::from(vec![b' '; BODY_BYTES_MAX + 1]);
        assert_eq!(read(large).await.unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(read(Body::from("{}")).await.unwrap(), Bytes::from_static(b"{}"));
    }

    #[test]
    fn streams_go_to_who_names_them_first() {
        let check = |accept: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_events(&headers), expected, "{accept}");
        };
        check("text/event-stream, application/json", true);
        check("Text/Event-Stream;q=0.9, application/json", true);
        check("application/json, text/event-stream", false);
        check("text/event-stream;q=0, application/json", false);
        check("*/*", false);
        assert!(!prefers_events(&HeaderMap::new()));
    }

    #[test]
    fn accept_is_read_as_http_defines_it() {
        let check = |accept: &[&str], expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
            for value in accept {
                headers.append(header::ACCEPT, value.parse().unwrap());
            }
            assert_eq!(check_post(&headers).is_ok(), expected, "{accept:?}");
        };
        check(&[], true);
        check(&["*/*"], true);
        check(&["application/json, text/event-stream"], true);
        check(&["application/json", "text/event-stream;q=0.5"], true);
        check(&["application/json"], false);
        check(&["text/event-stream"], false);
        check(&["application/json, text/event-stream;q=0"], false);
        check(&["text/html"], false);
    }
}
