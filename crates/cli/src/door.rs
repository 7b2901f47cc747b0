//! The operators' door: the API over the Unix socket of a running broker, or the same API in this process where none
//! runs. One writer either way: the store's lock sees to it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use axum::Router;
use bailiwick_server::{config::Config, serve::in_process};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tower::ServiceExt as _;

use crate::exit::{Exit, Failure};

/// How often a broker that holds the store but does not answer yet is tried.
const SOCKET_TRIES_MAX: u32 = 50;
/// How long to wait between two tries: five seconds in all.
const SOCKET_TRY_EVERY: Duration = Duration::from_millis(100);
/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 256 * 1_024 * 1_024;

/// A way to the API.
pub(crate) enum Door {
    /// A broker runs and answers here.
    Socket(PathBuf),
    /// None runs: the API in this process.
    Here(Box<Router>),
}

/// A body that arrives in pieces.
pub(crate) type Streamed = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// An answer of the API.
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::new(format!("the broker's answer is not JSON: {error}")))
    }
}

impl Door {
    /// Opens the door of the installation that `config` is of.
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        let mut tries = 0;
        loop {
            if UnixStream::connect(&config.socket).await.is_ok() {
                return Ok(Self::Socket(config.socket.clone()));
            }
            match in_process(config).await {
                Ok(router) => return Ok(Self::Here(Box::new(router))),
                // A broker that is just starting holds the store before it answers on its socket.
                Err(error) if error.is_in_use() && tries < SOCKET_TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(SOCKET_TRY_EVERY).await;
                }
                Err(error) => {
                    return Err(opened_in_vain(&error.to_string()));
                }
            }
        }
    }

    /// Asks and returns the answer's JSON; a refusal becomes a failure with its reason and next step.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let answer = self.send(method, path, body).await?;
        if answer.status.is_success() {
            return if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() };
        }
        Err(refusal(&answer))
    }

    /// `GET`.
    pub(crate) async fn read(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// `POST`.
    pub(crate) async fn change(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Asks and returns whatever comes, whole.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let answer = self.stream(method, path, body).await?;
        let status = answer.status();
        let body = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| Failure::new(format!("the broker's answer broke off: {error}")).exit(Exit::Unreachable))?;
        Ok(Answer { status, body: body.to_bytes() })
    }

    /// Asks and returns whatever comes, as it comes.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Streamed>, Failure> {
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let message = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "localhost")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| Failure::new(format!("cannot ask: {error}")))?;
        match self {
            Self::Socket(path) => over_socket(path, message).await,
            Self::Here(router) => {
                let message = message.map(axum::body::Body::new);
                let Ok(answer) = router.as_ref().clone().oneshot(message).await;
                Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
        }
    }
}

async fn over_socket(path: &Path, message: Request<Full<Bytes>>) -> Result<Response<Streamed>, Failure> {
    let unreachable = |error: &dyn std::fmt::Display| {
        Failure::new(format!("the broker at `{}` does not answer: {error}", path.display())).exit(Exit::Unreachable)
    };
    let stream = UnixStream::connect(path).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    tokio::spawn(connection);
    let answer = sender.send_request(message).await.map_err(|error| unreachable(&error))?;
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// Why the installation's parts cannot be put together here. Some of these errors bring their own next step.
fn opened_in_vain(error: &str) -> Failure {
    let (message, hint) = match error.split_once("\nhint: ") {
        Some((message, hint)) => (message, hint),
        None => (error, "`bailiwick doctor` looks at everything; is a broker running under another account?"),
    };
    let failure = Failure::new(message).hint(hint);
    // The evidence is not what its own checkpoint says: that is more than a command that failed.
    if message.contains("cannot be continued") { failure.exit(Exit::IntegrityFailed) } else { failure }
}

/// A problem document (RFC 9457) as a failure.
pub(crate) fn refusal(answer: &Answer) -> Failure {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let text = |name: &str| problem.get(name).and_then(Value::as_str).map(crate::output::clean);
    let message =
        text("detail").or_else(|| text("title")).unwrap_or_else(|| format!("the broker answered {}", answer.status));
    // An error that brings its own next step knows better than the hint for all errors of its kind.
    let (message, own) = match message.split_once("\nhint: ") {
        Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
        None => (message, None),
    };
    let mut failure = Failure::new(message);
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        failure.message.push('\n');
        failure.message.push_str(&crate::output::finding(error));
    }
    if let Some(hint) = own.or_else(|| text("hint")) {
        failure = failure.hint(hint);
    }
    match text("code").as_deref() {
        Some("bundle_invalid" | "bundle_tests_failed") => failure.exit(Exit::PolicyInvalid),
        // The API names its own member; here the same thing is a flag.
        Some("boundary_changed") => {
            failure.hint("look at policies/boundary; if the change is meant, say so with `--boundary-changed`")
        }
        Some("unavailable") => failure.exit(Exit::Unreachable),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_by_its_exit_code_what_was_refused() {
        let check = |code: &str, expected: Exit| {
            let body = serde_json::json!({"code": code, "detail": "no"}).to_string();
            let failure = refusal(&Answer { status: StatusCode::UNPROCESSABLE_ENTITY, body: body.into() });
            assert_eq!((failure.exit, failure.message.as_str()), (expected, "no"), "{code}");
        };
        check("bundle_invalid", Exit::PolicyInvalid);
        check("bundle_tests_failed", Exit::PolicyInvalid);
        check("unavailable", Exit::Unreachable);
        check("boundary_changed", Exit::Failed);
    }
}
