//! What a server says outside any call: the stream of a session (2025-11-25,
//! "Listening for Messages from the Server") or a subscription to its lists
//! (2026-07-28); and the end of a session. One stream per connection, opened
//! when somebody listens.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, header};
use tokio::sync::{mpsc, oneshot};

use super::{
    HttpShared, LAST_EVENT_ID, NOTICE_TIMEOUT,
    answer::{self, Answered},
    sse::Parser,
};
use crate::{
    envelope::{self, Envelope},
    upstream::{
        control::{Control, Notice},
        era::Era,
        exchange::{Event, Exchange, Reply},
        frame::{ASIDE_BYTES_MAX, MESSAGE_BYTES_MAX},
        listener::{LISTENER_EVENTS_MAX, LISTENERS_MAX, Listener},
        outgoing::Outgoing,
    },
};

/// How long to wait before a broken stream is opened again, doubled each time up to the maximum.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
const REOPEN_AFTER_MAX: Duration = Duration::from_secs(60);
/// How long to wait in any case, whatever the server says.
const REOPEN_AFTER_MIN: Duration = Duration::from_millis(100);
/// How long a listener waits for a subscription to begin, so that nothing is missed that happens right after.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(2);
/// How often a subscription looks whether anybody still listens.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl HttpShared {
    /// Takes one more listener in; `true` if it is the first, so that a stream has to be opened.
    fn join(&self, events: mpsc::Sender<Bytes>) -> bool {
        let mut listeners = self.listeners();
        listeners.retain(|listener| !listener.is_closed());
        if listeners.len() >= LISTENERS_MAX || self.over.load(Ordering::Acquire) {
            return false;
        }
        listeners.push(events);
        !self.listening.swap(true, Ordering::AcqRel)
    }

    /// A GET for events.
    pub(super) fn stream(&self) -> reqwest::RequestBuilder {
        let events = HeaderValue::from_static("text/event-stream");
        self.with_session(self.client.get(self.url.clone())).header(header::ACCEPT, events)
    }

    /// Passes a notification to everybody who listens; `false` if nobody does.
    fn tell(&self, message: &Bytes) -> bool {
        let mut listeners = self.listeners();
        listeners.retain(|listener| !listener.is_closed());
        for listener in listeners.iter() {
            // A session that does not take its notifications loses them.
            drop(listener.try_send(message.clone()));
        }
        !listeners.is_empty()
    }
}

pub(super) async fn listen(shared: &Arc<HttpShared>) -> Listener {
    let (events, waiting) = mpsc::channel(LISTENER_EVENTS_MAX);
    if shared.join(events) {
        let weak = Arc::downgrade(shared);
        match shared.era {
            Era::Handshake => drop(tokio::spawn(follow(weak))),
            Era::Stateless => {
                let (begun, begins) = oneshot::channel();
                tokio::spawn(subscribe(weak, begun));
                drop(tokio::time::timeout(SUBSCRIBED_WITHIN, begins).await);
            }
        }
    }
    Listener::new(waiting)
}

/// Keeps a subscription open while somebody listens.
async fn subscribe(weak: Weak<HttpShared>, begun: oneshot::Sender<()>) {
    let mut begun = Some(begun);
    let mut wait = REOPEN_AFTER;
    while let Some(shared) = weak.upgrade() {
        if shared.over.load(Ordering::Acquire) || !shared.anybody_listens() {
            shared.listening.store(false, Ordering::Release);
            break;
        }
        match answer::call(&shared, &Outgoing::control(&Control::Listen, Era::Stateless), None).await {
            Ok(Reply::Stream(exchange)) => {
                wait = REOPEN_AFTER;
                hear(&shared, exchange, &mut begun).await;
            }
            // It has no subscriptions: its listeners hear nothing, which is no error.
            Ok(Reply::Result(_) | Reply::Error(_)) => break,
            Err(_) => {}
        }
        drop(shared);
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(REOPEN_AFTER_MAX);
    }
}

/// Tells what one subscription brings: that a list changed, and nothing else.
async fn hear(shared: &HttpShared, mut exchange: Exchange, begun: &mut Option<oneshot::Sender<()>>) {
    loop {
        let Ok(event) = tokio::time::timeout(LOOK_EVERY, exchange.next()).await else {
            if shared.over.load(Ordering::Acquire) || !shared.anybody_listens() {
                return;
            }
            continue;
        };
        let Some(Ok(Event::Notification(message))) = event else { return };
        let text = std::str::from_utf8(&message).unwrap_or_default();
        let Some(method) = envelope::text_member(text, "method") else { continue };
        if method == "notifications/subscriptions/acknowledged" {
            // Whoever waited may have gone on without it.
            let _ = begun.take().map(|begun| begun.send(()));
        } else if method.ends_with("/list_changed") && !shared.tell(&envelope::notification(&method, None)) {
            return;
        }
    }
}

/// Keeps the stream open while somebody listens and the session stands.
async fn follow(weak: Weak<HttpShared>) {
    let mut wait = REOPEN_AFTER;
    let mut parser = Parser::default();
    while let Some(shared) = weak.upgrade() {
        let wanted = shared.listeners().iter().any(|listener| !listener.is_closed());
        if !wanted || shared.over.load(Ordering::Acquire) {
            shared.listening.store(false, Ordering::Release);
            break;
        }
        let last_id = parser.last_id().and_then(|id| HeaderValue::from_str(id).ok());
        let request = match last_id {
            Some(id) => shared.stream().header(LAST_EVENT_ID, id),
            None => shared.stream(),
        };
        match request.send().await {
            Ok(response) if response.status() == 200 && Answered::of(&response) == Some(Answered::Events) => {
                let weak = Arc::downgrade(&shared);
                drop(shared);
                parser.restart();
                pump(&weak, response, &mut parser).await;
                wait = parser.retry().unwrap_or(REOPEN_AFTER).max(REOPEN_AFTER_MIN);
            }
            // The server has no such stream: its listeners hear nothing, which is no error.
            Ok(response) if response.status() == 405 => break,
            // It may not know the last event any more: from now on, then.
            Ok(_) => {
                drop(shared);
                parser = Parser::default();
            }
            Err(_) => drop(shared),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(REOPEN_AFTER_MAX);
    }
}

async fn pump(weak: &Weak<HttpShared>, response: reqwest::Response, parser: &mut Parser) {
    let mut chunks = response.bytes_stream();
    loop {
        // Looks now and then whether anybody still cares.
        let Ok(chunk) = tokio::time::timeout(REOPEN_AFTER_MAX, chunks.next()).await else {
            if weak.upgrade().is_some_and(|shared| !shared.over.load(Ordering::Acquire) && shared.anybody_listens()) {
                continue;
            }
            return;
        };
        let Some(Ok(chunk)) = chunk else { return };
        let Some(shared) = weak.upgrade() else { return };
        if shared.over.load(Ordering::Acquire) || parser.push(&chunk).is_err() {
            return;
        }
        while let Ok(Some(sent)) = parser.next() {
            let data = shared.redactor.clean(sent.data);
            match Envelope::parse_within(&data, MESSAGE_BYTES_MAX) {
                Ok(Envelope::Notification { method, .. }) => {
                    shared.note_changed(&method);
                    if data.len() <= ASIDE_BYTES_MAX && !shared.tell(&data) {
                        return;
                    }
                }
                Ok(Envelope::Call { id, method, .. }) => {
                    let notice = match &*method {
                        "ping" => Notice::Pong { id: id.raw() },
                        // Outside calls there is no permit under which anybody could answer.
                        _ => Notice::CannotAnswer { id: id.raw() },
                    };
                    drop(shared.post_notice(notice.message()).await);
                }
                _ => {}
            }
        }
    }
}

impl HttpShared {
    fn anybody_listens(&self) -> bool {
        self.listeners().iter().any(|listener| !listener.is_closed())
    }
}

/// Tells the server that its session is over, without waiting for it.
pub(super) fn end(shared: &Arc<HttpShared>) {
    shared.listeners().clear();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if shared.session.get().is_some() && !shared.refused.load(Ordering::Acquire) {
        let delete = shared.with_session(shared.client.delete(shared.url.clone())).timeout(NOTICE_TIMEOUT);
        runtime.spawn(async move { drop(delete.send().await) });
    }
}
