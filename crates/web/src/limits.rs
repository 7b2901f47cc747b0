//! Bounds on size and time that hold before a message is looked at.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use bailiwick_model::limits::BODY_BYTES_MAX;
use http::StatusCode;
use http_body_util::Limited;

use crate::problem::Problem;

/// Bytes of one request target.
pub const TARGET_BYTES_MAX: usize = 8 * 1_024;
/// Header fields of one message.
pub const HEADER_FIELDS_MAX: usize = 64;
/// Bytes of all header names and values of one message.
pub const HEADER_BYTES_MAX: usize = 32 * 1_024;
/// How long a short exchange may take, reading its body included.
pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(30);

/// The bounds of one router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one body.
    pub body_bytes_max: usize,
    /// From the head of the message to the head of the answer; `None` where answers stream for long.
    pub exchange_time_max: Option<Duration>,
    /// Whether a message is answered to its end even if its client hangs up meanwhile: for doors that change state. A
    /// change that was committed and did not take effect in memory would deny others, or let in what was revoked.
    pub to_its_end: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes_max: BODY_BYTES_MAX, exchange_time_max: Some(EXCHANGE_TIME_MAX), to_its_end: false }
    }
}

impl Limits {
    /// Puts the bounds around every route of `router`.
    pub fn around(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, guard))
    }

    /// Checks what can be known from the head alone.
    fn check(self, message: &Request) -> Result<(), Problem> {
        let target = message.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > TARGET_BYTES_MAX {
            let detail = format!("a request target has at most {TARGET_BYTES_MAX} bytes");
            return Err(Problem::new(StatusCode::URI_TOO_LONG, "target_too_long", detail));
        }
        let headers = message.headers();
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers.len() > HEADER_FIELDS_MAX || bytes > HEADER_BYTES_MAX {
            let detail = format!("a message has at most {HEADER_FIELDS_MAX} header fields of {HEADER_BYTES_MAX} bytes");
            return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", detail));
        }
        let declared = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if declared.is_some_and(|bytes: usize| bytes > self.body_bytes_max) {
            return Err(body_too_large(self.body_bytes_max));
        }
        Ok(())
    }
}

/// The refusal of a body with too many bytes.
pub fn body_too_large(bytes_max: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("a body has at most {bytes_max} bytes"))
}

async fn guard(State(limits): State<Limits>, message: Request, next: Next) -> Response {
    if let Err(problem) = limits.check(&message) {
        return problem.into_response();
    }
    let mut message = message.map(|body| Body::new(Limited::new(body, limits.body_bytes_max)));
    // Ours is the one that counts.
    DefaultBodyLimit::disable().apply(&mut message);
    let answer = async {
        if limits.to_its_end {
            detached(limits.exchange_time_max, next, message).await
        } else {
            next.run(message).await
        }
    };
    let Some(time_max) = limits.exchange_time_max else { return answer.await };
    tokio::time::timeout(time_max, answer).await.unwrap_or_else(|_| timed_out(time_max))
}

/// Answers in a task of its own, which nobody cancels. One whose body never comes ends some time after its client was
/// told that it took too long.
async fn detached(time_max: Option<Duration>, next: Next, message: Request) -> Response {
    let answer = tokio::spawn(async move {
        match time_max {
            Some(time_max) => tokio::time::timeout(time_max * 2, next.run(message)).await.ok(),
            None => Some(next.run(message).await),
        }
    });
    match (answer.await, time_max) {
        (Ok(Some(response)), _) => response,
        (Ok(None), Some(time_max)) => timed_out(time_max),
        (Ok(None), None) | (Err(_), _) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the broker failed").into_response()
        }
    }
}

fn timed_out(time_max: Duration) -> Response {
    let detail = format!("the exchange took longer than {} seconds", time_max.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "exchange_timed_out", detail).retryable().into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use axum::{body::Body, routing::post};
    use tokio::sync::Notify;
    use tower::ServiceExt as _;

    use super::*;

    async fn status(message: http::request::Builder, body: Body) -> StatusCode {
        let echo = |body: axum::body::Bytes| async move { body };
        let slow = || async { tokio::time::sleep(Duration::from_secs(5)).await };
        let router = Router::new().route("/", post(echo)).route("/slow", post(slow));
        let limits =
            Limits { body_bytes_max: 10, exchange_time_max: Some(Duration::from_millis(20)), to_its_end: false };
        limits.around(router).oneshot(message.body(body).unwrap()).await.unwrap().status()
    }

    /// Whether a message was answered to its end whose client hung up in the middle.
    async fn ended(to_its_end: bool) -> bool {
        let (goes_on, end) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (waits, ends) = (Arc::clone(&goes_on), Arc::clone(&end));
        let change = || async move {
            waits.notified().await;
            ends.store(true, Ordering::SeqCst);
        };
        let limits = Limits { to_its_end, ..Limits::default() };
        let router = limits.around(Router::new().route("/", post(change)));
        let message = http::Request::post("/").body(Body::empty()).unwrap();
        let answer = tokio::time::timeout(Duration::from_millis(50), router.oneshot(message)).await;
        assert!(answer.is_err(), "its client hangs up before there is an answer");
        goes_on.notify_one();
        tokio::time::sleep(Duration::from_millis(50)).await;
        end.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn a_change_goes_on_when_its_client_hangs_up_and_a_call_does_not() {
        assert!(ended(true).await);
        assert!(!ended(false).await);
    }

    #[tokio::test]
    async fn every_bound_is_reached() {
        let to = |target: &str| http::Request::post(target);
        assert_eq!(status(to("/"), Body::from("0123456789")).await, StatusCode::OK);
        assert_eq!(status(to("/"), Body::from("0123456789a")).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(status(to("/").header("content-length", "11"), Body::empty()).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(status(to("/slow"), Body::empty()).await, StatusCode::REQUEST_TIMEOUT);
        let long = format!("/?{}", "x".repeat(TARGET_BYTES_MAX));
        assert_eq!(status(to(&long), Body::empty()).await, StatusCode::URI_TOO_LONG);
        let many = (0..=HEADER_FIELDS_MAX).fold(to("/"), |message, i| message.header(format!("x-{i}"), "1"));
        assert_eq!(status(many, Body::empty()).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let large = to("/").header("x-large", "x".repeat(HEADER_BYTES_MAX));
        assert_eq!(status(large, Body::empty()).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
}
