//! Streams that stay open: the GET stream of a 2025-11-25 session and the
//! `subscriptions/listen` answer of 2026-07-28. They carry what a system says
//! outside calls and announce what changed for the caller. Who may not act any
//! more is cut off.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse as _, Response};
use bailiwick_model::{
    id::{GrantId, TokenId},
    name::SystemName,
    principal::DelegationChain,
};
use bytes::Bytes;
use futures::StreamExt as _;
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::{
    envelope,
    mcp::{
        Gateway, Incoming, answer, door, resume,
        session::{STREAM_QUEUE_MAX, Session},
        visit::Visit,
        watch::{self, View},
    },
    upstream::{CallerKey, Era, Listener},
};

/// How long a stream stays open at most: its token has ended long before, and clients open it again.
pub(crate) const STREAM_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// Opens a session's stream, or takes a call's up again.
pub(crate) async fn open(visit: Visit) -> Response {
    if !door::accepts(&visit.headers, "text/event-stream") {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    }
    if visit.headers.contains_key(resume::LAST_EVENT_ID) {
        return resume::serve(visit).await;
    }
    if let Err(refusal) = visit.admit(None, "session/stream").await {
        return refusal;
    }
    let Some(session) = visit.session else { return StatusCode::BAD_REQUEST.into_response() };
    let guest = match visit.gateway.crowd.enter(&session.chain) {
        Ok(guest) => guest,
        Err(crowded) => return answer::fault(None, None, &crowded.into()),
    };
    let (sender, receiver) = session.stream();
    let listener = match &session.system {
        Some(system) => listener(&visit.gateway, system, &session.caller_key(), Era::Handshake).await,
        None => None,
    };
    let token = (visit.caller.token, visit.caller.grant);
    tokio::spawn(async move {
        follow_session(visit.gateway, (session, token), sender, listener).await;
        drop(guest);
    });
    answer::events(None, receiver)
}

/// What the system says outside calls; a system that cannot be reached says nothing.
async fn listener(gateway: &Gateway, system: &SystemName, caller: &CallerKey, era: Era) -> Option<Listener> {
    let pool = &gateway.upstreams;
    let era = pool.era_for(system, era).await.ok()?;
    match pool.listen(system, caller, era.newest()).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(system.name = %system, error = %error, "a system cannot be listened to");
            None
        }
    }
}

/// The next thing that a system says; never, where none is listened to.
async fn said(listener: &mut Option<Listener>) -> Bytes {
    if let Some(events) = listener
        && let Some(event) = events.next().await
    {
        return event;
    }
    *listener = None;
    std::future::pending().await
}

/// What can end a stream or has to go on it.
enum Step {
    Ended,
    Changed,
    Said(Bytes),
}

async fn follow_session(
    gateway: Arc<Gateway>,
    (session, token): (Arc<Session>, (TokenId, Option<GrantId>)),
    sender: mpsc::Sender<Bytes>,
    mut listener: Option<Listener>,
) {
    let broker = gateway.entrance.shared_broker();
    let mut epochs = broker.epochs();
    // What changed while the stream was opened is looked at first.
    epochs.mark_changed();
    let mut view = View::of(&broker, &session.chain, session.system.as_ref());
    let until = tokio::time::Instant::now() + STREAM_TIME_MAX;
    loop {
        let step = tokio::select! {
            () = session.ended.cancelled() => Step::Ended,
            () = sender.closed() => Step::Ended,
            () = tokio::time::sleep_until(until) => Step::Ended,
            changed = epochs.changed() => if changed.is_ok() { Step::Changed } else { Step::Ended },
            message = said(&mut listener) => Step::Said(message),
        };
        match step {
            Step::Ended => break,
            Step::Changed => {
                if watch::all_active(&broker, &session.chain).is_err() {
                    gateway.sessions.end(&session);
                    break;
                }
                // The session is no credential: its client may open another stream with another token.
                if !watch::token_stands(&broker, token) {
                    break;
                }
                let now = View::of(&broker, &session.chain, session.system.as_ref());
                if now != view {
                    view = now;
                    for method in LISTS_CHANGED {
                        push(&sender, envelope::notification(method, None));
                    }
                }
            }
            Step::Said(message) => push(&sender, message),
        }
    }
    session.close(&sender);
}

/// The announcements that policy can cause.
const LISTS_CHANGED: [&str; 3] =
    ["notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed"];

/// A client that does not read loses announcements; the broker's memory is not its mailbox.
fn push(sender: &mpsc::Sender<Bytes>, message: Bytes) {
    if sender.try_send(message).is_err() {
        tracing::debug!("a client reads its stream too slowly; an announcement is dropped");
    }
}

/// The notifications that a 2026-07-28 client opts in to, as far as they are served.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Filter {
    tools: bool,
    prompts: bool,
    resources: bool,
}

impl Filter {
    fn read(incoming: &Incoming<'_>) -> Self {
        let wanted = incoming.params.and_then(|params| envelope::member(params, "notifications")).unwrap_or("{}");
        let flag = |name| envelope::member(wanted, name) == Some("true");
        Self {
            tools: flag("toolsListChanged"),
            prompts: flag("promptsListChanged"),
            resources: flag("resourcesListChanged"),
        }
    }

    /// What is acknowledged: only what will come.
    fn accepted(self) -> Map<String, Value> {
        [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ]
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| (name.to_owned(), Value::Bool(true)))
        .collect()
    }

    fn wants(self, method: &str) -> bool {
        match method {
            "notifications/tools/list_changed" => self.tools,
            "notifications/prompts/list_changed" => self.prompts,
            "notifications/resources/list_changed" => self.resources,
            _ => false,
        }
    }
}

/// Opens a stream of change notifications (basic/patterns/subscriptions, 2026-07-28).
pub(crate) async fn listen(visit: Visit, incoming: Incoming<'_>) -> Response {
    if let Err(refusal) = visit.admit(Some(&incoming.id), incoming.method).await {
        return refusal;
    }
    let guest = match visit.gateway.crowd.enter(&visit.caller.chain) {
        Ok(guest) => guest,
        Err(crowded) => return answer::fault(Some(visit.era), Some(&incoming.id), &crowded.into()),
    };
    let filter = Filter::read(&incoming);
    let id: Value = serde_json::from_str(incoming.id.raw()).unwrap_or_default();
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
    let acknowledged = json!({ "notifications": filter.accepted(), "_meta": meta });
    let first = envelope::notification("notifications/subscriptions/acknowledged", Some(&acknowledged.to_string()));
    let caller = CallerKey::new(&visit.caller.chain, crate::upstream::ClientCapabilities::default());
    let listener = match visit.place.system() {
        Some(system) => listener(&visit.gateway, system, &caller, Era::Stateless).await,
        None => None,
    };
    let (sender, receiver) = mpsc::channel(STREAM_QUEUE_MAX);
    let subscription = Subscription {
        chain: visit.caller.chain.clone(),
        token: (visit.caller.token, visit.caller.grant),
        system: visit.place.system().cloned(),
        filter,
        params: json!({ "_meta": meta }).to_string(),
        result: envelope::result(incoming.id.raw(), &json!({ "resultType": "complete", "_meta": meta }).to_string()),
    };
    tokio::spawn(async move {
        subscription.follow(visit.gateway, sender, listener).await;
        drop(guest);
    });
    answer::events(Some(first), receiver)
}

struct Subscription {
    chain: DelegationChain,
    token: (TokenId, Option<GrantId>),
    system: Option<SystemName>,
    filter: Filter,
    /// The parameters of every notification: which subscription it belongs to.
    params: String,
    /// The message that ends the stream in good order.
    result: Bytes,
}

impl Subscription {
    async fn follow(self, gateway: Arc<Gateway>, sender: mpsc::Sender<Bytes>, mut listener: Option<Listener>) {
        let broker = gateway.entrance.shared_broker();
        let mut epochs = broker.epochs();
        epochs.mark_changed();
        let mut view = View::of(&broker, &self.chain, self.system.as_ref());
        let until = tokio::time::Instant::now() + STREAM_TIME_MAX;
        loop {
            let step = tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep_until(until) => Step::Ended,
                changed = epochs.changed() => if changed.is_ok() { Step::Changed } else { Step::Ended },
                message = said(&mut listener) => Step::Said(message),
            };
            match step {
                Step::Ended => break,
                Step::Changed if watch::all_active(&broker, &self.chain).is_err() => break,
                Step::Changed if !watch::token_stands(&broker, self.token) => break,
                Step::Changed => {
                    let now = View::of(&broker, &self.chain, self.system.as_ref());
                    if now != view {
                        view = now;
                        LISTS_CHANGED.iter().for_each(|method| self.announce(&sender, method));
                    }
                }
                Step::Said(message) => {
                    let text = std::str::from_utf8(&message).ok();
                    if let Some(method) = text.and_then(|text| envelope::text_member(text, "method")) {
                        self.announce(&sender, &method);
                    }
                }
            }
        }
        let _ = sender.send(self.result).await;
    }

    fn announce(&self, sender: &mpsc::Sender<Bytes>, method: &str) {
        if self.filter.wants(method) {
            push(sender, envelope::notification(method, Some(&self.params)));
        }
    }
}
