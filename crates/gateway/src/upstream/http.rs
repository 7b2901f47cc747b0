//! One MCP server over Streamable HTTP, either era. The credential is put into
//! the header here and nowhere else; redirects are not followed and proxies of
//! the environment not used, so it goes to the declared place or nowhere.

mod answer;
mod resume;
mod session;
mod sse;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bailiwick_model::secret::Secret;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::{sync::mpsc, time::Instant};

use super::{
    UpstreamError,
    asks::Asks,
    control::{Notice, TOOLS_CHANGED, TaskVerb},
    era::{Era, Revision},
    exchange::Reply,
    listener::Listener,
    outgoing::Outgoing,
    secrets::Redactor,
};
use crate::envelope::{self, Id};

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections kept open to one server between calls.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Bytes of a session id.
const SESSION_ID_BYTES_MAX: usize = 512;
/// How long a notice may take.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Why a client cannot be built: the platform has no trust store.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made: {0}")]
pub struct HttpClientError(String);

/// The client for all upstreams.
pub(crate) fn client() -> Result<reqwest::Client, HttpClientError> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .referer(false)
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| HttpClientError(error.without_url().to_string()))
}

/// A credential header, with its secret to be taken out of what comes back.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
    pub(crate) secret: Secret<String>,
}

impl Credential {
    /// A bearer token (RFC 6750 §2.1); `None` is one that no header holds.
    pub(crate) fn bearer(token: &Secret<String>) -> Option<Self> {
        let line = Secret::new(["Bearer ", token.expose()].concat());
        let mut value = HeaderValue::from_str(line.expose()).ok()?;
        value.set_sensitive(true);
        Some(Self { name: header::AUTHORIZATION, value, secret: token.clone() })
    }
}

/// What one connection needs.
pub(crate) struct Dial {
    pub(crate) client: reqwest::Client,
    pub(crate) url: reqwest::Url,
    pub(crate) credential: Option<Credential>,
    pub(crate) era: Era,
    pub(crate) call_timeout: Duration,
}

/// One principal's connection: with a session in the era of handshakes, else only its credential.
pub(crate) struct HttpConnection {
    shared: Arc<HttpShared>,
}

/// What the calls of one connection share.
pub(crate) struct HttpShared {
    client: reqwest::Client,
    url: reqwest::Url,
    credential: RwLock<Option<Credential>>,
    pub(in crate::upstream) redactor: Redactor,
    era: Era,
    revision: OnceLock<Revision>,
    session: OnceLock<HeaderValue>,
    call_timeout: Duration,
    last_number: AtomicU64,
    asks: Asks,
    over: AtomicBool,
    refused: AtomicBool,
    in_flight: AtomicU64,
    used_at: Mutex<Instant>,
    listeners: Mutex<Vec<mpsc::Sender<Bytes>>>,
    listening: AtomicBool,
    changed: AtomicBool,
}

impl HttpConnection {
    pub(crate) fn new(dial: Dial) -> Self {
        let redactor = Redactor::new(dial.credential.iter().map(|credential| &credential.secret));
        Self {
            shared: Arc::new(HttpShared {
                client: dial.client,
                url: dial.url,
                credential: RwLock::new(dial.credential),
                redactor,
                era: dial.era,
                revision: OnceLock::new(),
                session: OnceLock::new(),
                call_timeout: dial.call_timeout,
                last_number: AtomicU64::new(0),
                asks: Asks::default(),
                over: AtomicBool::new(false),
                refused: AtomicBool::new(false),
                in_flight: AtomicU64::new(0),
                used_at: Mutex::new(Instant::now()),
                listeners: Mutex::default(),
                listening: AtomicBool::new(false),
                changed: AtomicBool::new(false),
            }),
        }
    }

    /// Sends a call and waits for its answer or first event.
    pub(crate) async fn call(&self, outgoing: &Outgoing, wait: Option<Duration>) -> Result<Reply, UpstreamError> {
        answer::call(&self.shared, outgoing, wait).await
    }

    /// Sends a control message that wants no answer.
    pub(crate) async fn notify(&self, notice: &Notice<'_>) -> Result<(), UpstreamError> {
        self.shared.post_notice(notice.message()).await
    }

    /// Goes on with another credential of the same principal; the one before is taken out of answers all the same.
    pub(crate) fn renew(&self, credential: Credential) {
        let mut current = self.shared.credential.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|current| current.secret != credential.secret) {
            self.shared.redactor.learn(&credential.secret);
            *current = Some(credential);
        }
    }

    /// The revision that the handshake gave.
    pub(crate) fn set_revision(&self, revision: Revision) {
        let _ = self.shared.revision.set(revision);
    }

    /// What the server says outside any call.
    pub(crate) async fn listen(&self) -> Listener {
        session::listen(&self.shared).await
    }

    /// Whether its session still stands.
    pub(crate) fn is_live(&self) -> bool {
        !self.shared.over.load(Ordering::Acquire)
    }

    /// Whether the server has said since the last time that its tools changed.
    pub(crate) fn take_changed(&self) -> bool {
        self.shared.changed.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_idle(&self) -> bool {
        let listeners = self.shared.listeners();
        self.shared.in_flight.load(Ordering::Acquire) == 0 && listeners.iter().all(mpsc::Sender::is_closed)
    }

    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.is_idle().then(|| *self.shared.used_at.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        session::end(&self.shared);
    }
}

impl HttpShared {
    pub(crate) fn asks(&self) -> &Asks {
        &self.asks
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Bytes>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_changed(&self, method: &str) {
        if method == TOOLS_CHANGED {
            self.changed.store(true, Ordering::Release);
        }
    }

    fn touch(&self) {
        *self.used_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// A POST with everything but the body.
    fn post(&self) -> reqwest::RequestBuilder {
        let both = HeaderValue::from_static("application/json, text/event-stream");
        self.with_session(self.client.post(self.url.clone()))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(header::ACCEPT, both)
    }

    /// Revision, session and credential.
    fn with_session(&self, mut builder: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let revision = self.revision.get().copied().or((self.era == Era::Stateless).then_some(self.era.newest()));
        if let Some(revision) = revision {
            builder = builder.header(PROTOCOL_VERSION, HeaderValue::from_static(revision.as_str()));
        }
        if let Some(session) = self.session.get() {
            builder = builder.header(SESSION_ID, session.clone());
        }
        if let Some(credential) = &*self.credential.read().unwrap_or_else(PoisonError::into_inner) {
            builder = builder.header(credential.name.clone(), credential.value.clone());
        }
        builder
    }

    /// Posts a message that wants no answer: a notification, or the answer to what the server asked.
    pub(crate) async fn post_notice(&self, message: Bytes) -> Result<(), UpstreamError> {
        let response =
            self.post().body(message).timeout(NOTICE_TIMEOUT).send().await.map_err(|error| sending(&error))?;
        match response.status().as_u16() {
            200..=299 => Ok(()),
            status => Err(self.status(status)),
        }
    }

    /// What a status without an MCP message in it means.
    fn status(&self, status: u16) -> UpstreamError {
        match status {
            401 | 403 => {
                self.refused.store(true, Ordering::Release);
                self.over.store(true, Ordering::Release);
                UpstreamError::CredentialRefused(status)
            }
            status => UpstreamError::Status(status),
        }
    }

    /// Keeps the session id that the answer to `initialize` brings.
    fn keep_session(&self, headers: &HeaderMap) -> Result<(), UpstreamError> {
        let Some(session) = headers.get(&SESSION_ID) else { return Ok(()) };
        let visible = session.as_bytes().iter().all(u8::is_ascii_graphic);
        if session.is_empty() || session.len() > SESSION_ID_BYTES_MAX || !visible {
            return Err(UpstreamError::Malformed("its session id is not made of visible ASCII characters".into()));
        }
        let mut session = session.clone();
        session.set_sensitive(true);
        drop(self.session.set(session));
        Ok(())
    }

    /// The body of a call and the id that its answer bears. Messages that stand
    /// alone keep their caller's id; those of a session get one of ours, since
    /// several callers share it.
    fn body(&self, outgoing: &Outgoing) -> (Id, u64, Bytes) {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let id = match (&outgoing.id, self.era) {
            (Some(id), Era::Stateless) => id.clone(),
            _ => Id::from(number),
        };
        let body = envelope::call(id.raw(), &outgoing.method, outgoing.params_text());
        (id, number, body)
    }

    /// The headers that mirror the body (streamable-http 2026-07-28, "Request Metadata").
    fn mirror(&self, outgoing: &Outgoing, mut builder: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        if self.era == Era::Handshake {
            return builder;
        }
        builder = builder.header("mcp-method", outgoing.method.as_ref());
        let named = matches!(&*outgoing.method, "tools/call" | "prompts/get" | "resources/read")
            || TaskVerb::of(&outgoing.method).is_some();
        if let Some(name) = outgoing.target().filter(|_| named) {
            builder = builder.header("mcp-name", header_text(&name));
        }
        for (name, value) in &outgoing.headers {
            builder = builder.header(name, value);
        }
        builder
    }
}

/// A header's value as the Base64 sentinel format writes it (streamable-http 2026-07-28, "Value Encoding").
pub(crate) fn header_text(value: &str) -> String {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let padded = value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']);
    let sentinel = value.starts_with("=?base64?") && value.ends_with("?=");
    if plain && !padded && !sentinel && !value.is_empty() {
        value.to_owned()
    } else {
        format!("=?base64?{}?=", STANDARD.encode(value))
    }
}

/// Why nothing came back. Never the library's own words: they hold addresses.
fn sending(error: &reqwest::Error) -> UpstreamError {
    if error.is_connect() {
        UpstreamError::Unreachable("nobody listens there, or its certificate is not trusted")
    } else if error.is_timeout() {
        UpstreamError::TimedOut(NOTICE_TIMEOUT)
    } else if error.is_builder() {
        UpstreamError::NotPermitted
    } else {
        UpstreamError::Gone("the connection broke".into())
    }
}
