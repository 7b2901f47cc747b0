//! One open connection to an upstream, whichever way it is reached, and what
//! the upstream said when it was opened.

use std::{collections::HashMap, time::Duration};

use bailiwick_model::{digest::Digest, name::SystemName};
use bytes::Bytes;
use futures::StreamExt;
use tokio::{sync::Mutex, time::Instant};

use super::{
    UpstreamError,
    control::{Control, Notice},
    era::{Era, Offers, Probe, Revision, read_probe},
    exchange::{Event, Reply},
    http::HttpConnection,
    listener::Listener,
    outgoing::Outgoing,
    stdio::StdioConnection,
};
use crate::envelope;

/// How long a server may take to answer its first message: some start slowly.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an old server may ignore the question which era it is of, before it is taken for old.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Values inside what a server says about itself, or inside one page of a list.
const VALUES_MAX: usize = 200_000;

/// The two ways.
pub(crate) enum Connection {
    Stdio(StdioConnection),
    Http(HttpConnection),
}

impl Connection {
    pub(crate) async fn call(&self, outgoing: &Outgoing, wait: Option<Duration>) -> Result<Reply, UpstreamError> {
        match self {
            Self::Stdio(connection) => connection.call(outgoing, wait).await,
            Self::Http(connection) => connection.call(outgoing, wait).await,
        }
    }

    async fn notify(&self, notice: &Notice<'_>) -> Result<(), UpstreamError> {
        match self {
            Self::Stdio(connection) => connection.notify(notice).await,
            Self::Http(connection) => connection.notify(notice).await,
        }
    }

    pub(crate) async fn listen(&self, holder: &str) -> Listener {
        match self {
            Self::Stdio(connection) => connection.listen(holder),
            Self::Http(connection) => connection.listen().await,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        match self {
            Self::Stdio(connection) => connection.is_live(),
            Self::Http(connection) => connection.is_live(),
        }
    }

    /// Since when nobody uses it, if nobody does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        match self {
            Self::Stdio(connection) => connection.idle_since(),
            Self::Http(connection) => connection.idle_since(),
        }
    }

    fn take_changed(&self) -> bool {
        match self {
            Self::Stdio(connection) => connection.take_changed(),
            Self::Http(connection) => connection.take_changed(),
        }
    }

    /// Sends a control message and waits for its raw result, or its raw error.
    pub(crate) async fn control(
        &self,
        control: &Control,
        era: Era,
        wait: Option<Duration>,
    ) -> Result<Result<Bytes, Bytes>, UpstreamError> {
        let mut stream = match self.call(&Outgoing::control(control, era), wait).await? {
            Reply::Result(raw) => return Ok(Ok(raw)),
            Reply::Error(raw) => return Ok(Err(raw)),
            Reply::Stream(stream) => stream,
        };
        while let Some(event) = stream.next().await {
            match event? {
                Event::Result(raw) => return Ok(Ok(raw)),
                Event::Error(raw) => return Ok(Err(raw)),
                Event::Notification(_) | Event::Ask(_) | Event::Withdrawn(_) => {}
            }
        }
        Err(UpstreamError::Gone("the stream ended".into()))
    }
}

/// A raw object that a control message brought.
pub(crate) fn object(raw: &Bytes) -> Result<serde_json::Map<String, serde_json::Value>, UpstreamError> {
    let text = std::str::from_utf8(raw).map_err(|_| UpstreamError::Malformed("its answer is not UTF-8".into()))?;
    envelope::parse_object(text, VALUES_MAX).map_err(|fault| UpstreamError::Malformed(fault.to_string()))
}

/// The error that refuses a control message.
pub(crate) fn refused(method: &'static str, raw: &Bytes) -> UpstreamError {
    let code = std::str::from_utf8(raw).ok().and_then(|text| envelope::member(text, "code")?.parse().ok());
    UpstreamError::Refused { method, code: code.unwrap_or_default() }
}

/// A connection whose server has introduced itself.
pub(crate) struct Live {
    pub(crate) connection: Connection,
    pub(crate) era: Era,
    pub(crate) revision: Revision,
    /// The result of `initialize` or `server/discover`.
    pub(crate) greeting: serde_json::Map<String, serde_json::Value>,
    pub(crate) opened_at: Instant,
    /// The digests of the tools as this very connection offers them.
    definitions: Mutex<Option<HashMap<String, Digest>>>,
}

impl Live {
    /// Introduces the broker, with what its client can be asked.
    pub(crate) async fn greet(
        connection: Connection,
        era: Era,
        capabilities: &str,
        wait: Duration,
    ) -> Result<Self, UpstreamError> {
        let control = match era {
            Era::Handshake => Control::Initialize { capabilities: capabilities.to_owned() },
            Era::Stateless => Control::Discover,
        };
        let raw = connection.control(&control, era, Some(wait)).await?;
        let raw = raw.map_err(|error| refused(control.method(), &error))?;
        let greeting = object(&raw)?;
        let revision = match era {
            Era::Stateless => {
                if let Connection::Stdio(stdio) = &connection {
                    stdio.set_stateless();
                }
                Revision::V2026_07_28
            }
            Era::Handshake => {
                let version = greeting.get("protocolVersion").and_then(serde_json::Value::as_str).unwrap_or_default();
                let revision = version.parse().ok().filter(|revision: &Revision| revision.era() == Era::Handshake);
                let revision = revision
                    .ok_or_else(|| UpstreamError::Malformed("it names no revision that the broker speaks".into()))?;
                if let Connection::Http(http) = &connection {
                    http.set_revision(revision);
                }
                connection.notify(&Notice::Initialized).await?;
                revision
            }
        };
        let definitions = Mutex::new(None);
        Ok(Self { connection, era, revision, greeting, opened_at: Instant::now(), definitions })
    }

    /// Refuses a tool that this connection does not offer exactly as it was
    /// pinned. Servers may show each session something else, and do.
    pub(crate) async fn check_definition(&self, tool: &str, pinned: Digest) -> Result<(), UpstreamError> {
        let mut definitions = self.definitions.lock().await;
        if self.connection.take_changed() {
            *definitions = None;
        }
        let known = match definitions.take() {
            Some(known) if known.get(tool) == Some(&pinned) => known,
            // Not asked yet; or the server changed silently, and what is pinned now is what it offers since.
            _ => super::discover::tool_digests(self).await?,
        };
        let seen = definitions.insert(known).get(tool).copied();
        if seen == Some(pinned) { Ok(()) } else { Err(UpstreamError::DefinitionChanged(tool.to_owned())) }
    }
}

/// Finds out which eras a server speaks. The connection must be fresh; the answer says whether it can still be used.
pub(crate) async fn probe(connection: &Connection, system: &SystemName) -> Result<Offers, UpstreamError> {
    let answer = match connection.control(&Control::Discover, Era::Stateless, Some(PROBE_TIMEOUT)).await {
        Ok(answer) => answer,
        // Silence, and a status without a message, are how old servers refuse.
        Err(UpstreamError::TimedOut(_) | UpstreamError::Status(400..=499)) => return Ok(Offers::only(Era::Handshake)),
        Err(error) => return Err(error),
    };
    let text = |raw: Bytes| String::from_utf8_lossy(&raw).into_owned();
    match read_probe(&answer.map(text).map_err(text))? {
        Probe::Modern(offers) => Ok(offers),
        Probe::Legacy => {
            tracing::debug!(system.name = %system, "a server speaks revisions with a handshake only");
            Ok(Offers::only(Era::Handshake))
        }
    }
}
