//! Who waits for what on one child: calls by our number, sessions that listen.
//! Takes each message of the server to the one it is for, with the caller's own
//! ids put back. Does no input or output.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{CALLS_IN_FLIGHT_MAX, offer};
use crate::{
    envelope::{self, Envelope, EnvelopeError, Id},
    upstream::{
        UpstreamError,
        asks::Asks,
        control::{Notice, TOOLS_CHANGED},
        exchange::{Ask, Event},
        frame::{ASIDE_BYTES_MAX, MALFORMED_MAX, MESSAGE_BYTES_MAX},
        listener::{LISTENER_EVENTS_MAX, LISTENERS_MAX},
        outgoing::Outgoing,
    },
};

/// Messages for nobody, in a row, before the connection is given up.
pub(super) const UNROUTED_MAX: usize = 10_000;
/// MCP resources that principals of a shared child are subscribed to.
const SUBSCRIPTIONS_MAX: usize = 4_096;
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// A call that waits.
pub(super) struct Pending {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) last: oneshot::Sender<Result<Event, UpstreamError>>,
    id: Option<Id>,
    progress_token: Option<Box<str>>,
}

impl Pending {
    pub(super) fn new(
        outgoing: &Outgoing,
        events: mpsc::Sender<Event>,
        last: oneshot::Sender<Result<Event, UpstreamError>>,
    ) -> Self {
        Self { events, last, id: outgoing.id.clone(), progress_token: None }
    }
}

struct Listening {
    holder: String,
    events: mpsc::Sender<Bytes>,
}

/// The routes of one child.
pub(super) struct Routes {
    shared: bool,
    stateless: bool,
    last_number: u64,
    calls: BTreeMap<u64, Pending>,
    listeners: Vec<Listening>,
    subscribers: HashMap<String, HashSet<String>>,
    failed: Option<UpstreamError>,
    malformed: usize,
    unrouted: usize,
    tools_changed: bool,
    used_at: Instant,
}

impl Routes {
    pub(super) fn new(shared: bool) -> Self {
        Self {
            shared,
            stateless: false,
            last_number: 0,
            calls: BTreeMap::new(),
            listeners: Vec::new(),
            subscribers: HashMap::new(),
            failed: None,
            malformed: 0,
            unrouted: 0,
            tools_changed: false,
            used_at: Instant::now(),
        }
    }

    pub(super) fn failed(&self) -> Option<UpstreamError> {
        self.failed.clone()
    }

    /// Whether the server has said since the last time that its tools changed.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.tools_changed)
    }

    /// From now on the server may not ask anything (stdio, 2026-07-28).
    pub(super) fn set_stateless(&mut self) {
        self.stateless = true;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.listeners.iter().all(|listener| listener.events.is_closed())
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.is_idle().then_some(self.used_at)
    }

    /// Takes a call in and gives its number and its message.
    pub(super) fn begin(&mut self, outgoing: &Outgoing, mut pending: Pending) -> Result<(u64, Bytes), UpstreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.calls.len() >= CALLS_IN_FLIGHT_MAX {
            return Err(UpstreamError::Busy { what: "calls to one server", max: CALLS_IN_FLIGHT_MAX });
        }
        self.last_number += 1;
        let number = self.last_number;
        self.used_at = Instant::now();
        self.note_subscription(outgoing);
        let raw = number.to_string();
        let params = outgoing.params_text();
        let message = match params.and_then(|params| Some((params, progress_token(params)?))) {
            // Callers choose their tokens freely: two of them on one pipe would mix.
            Some((params, token)) => {
                pending.progress_token = Some(token.into());
                let params = envelope::splice(params, token, &raw);
                envelope::call(&raw, &outgoing.method, params.as_deref())
            }
            None => envelope::call(&raw, &outgoing.method, params),
        };
        self.calls.insert(number, pending);
        Ok((number, message))
    }

    fn note_subscription(&mut self, outgoing: &Outgoing) {
        let Some(uri) = outgoing.method.starts_with("resources/").then(|| outgoing.target()).flatten() else { return };
        match &*outgoing.method {
            "resources/subscribe" if self.subscribers.len() < SUBSCRIPTIONS_MAX => {
                self.subscribers.entry(uri).or_default().insert(outgoing.holder.clone());
            }
            "resources/unsubscribe" => {
                if let Some(holders) = self.subscribers.get_mut(&uri) {
                    holders.remove(&outgoing.holder);
                }
                self.subscribers.retain(|_, holders| !holders.is_empty());
            }
            _ => {}
        }
    }

    /// Forgets a call; `true` if its answer has not come.
    pub(super) fn end(&mut self, number: u64) -> bool {
        self.used_at = Instant::now();
        self.calls.remove(&number).is_some()
    }

    pub(super) fn listen(&mut self, holder: &str) -> mpsc::Receiver<Bytes> {
        let (events, waiting) = mpsc::channel(LISTENER_EVENTS_MAX);
        self.listeners.retain(|listener| !listener.events.is_closed());
        if self.failed.is_none() && self.listeners.len() < LISTENERS_MAX {
            self.listeners.push(Listening { holder: holder.to_owned(), events });
        }
        waiting
    }

    /// Tells everybody who waits; the first error stays.
    pub(super) fn fail(&mut self, error: UpstreamError) {
        let error = self.failed.get_or_insert(error).clone();
        for (_, pending) in std::mem::take(&mut self.calls) {
            drop(pending.last.send(Err(error.clone())));
        }
        self.listeners.clear();
    }

    /// Handles one message and gives our own answers to the server; an error gives the connection up.
    pub(super) fn receive(&mut self, line: &Bytes, asks: &Asks) -> Result<Option<Bytes>, UpstreamError> {
        match Envelope::parse_within(line, MESSAGE_BYTES_MAX) {
            Ok(Envelope::Result { id, result }) => self.answer(&id, Ok(Event::Result(slice(line, result))))?,
            Ok(Envelope::Error { id: Some(id), error }) => self.answer(&id, Ok(Event::Error(slice(line, error))))?,
            Ok(Envelope::Error { id: None, .. }) => self.malformed("errors without an id")?,
            Ok(Envelope::Notification { method, params }) => self.notification(&method, params, line, asks)?,
            Ok(Envelope::Call { id, method, params }) => {
                return self.asked(&id, &method, params, asks);
            }
            Err(EnvelopeError { id: Some(id), fault }) if self.waits(&id) => {
                self.answer(&id, Err(UpstreamError::Malformed(fault.to_string())))?;
                self.malformed("answers that cannot be read")?;
            }
            Err(_) => self.malformed("lines that are no messages")?,
        }
        Ok(None)
    }

    fn waits(&self, id: &Id) -> bool {
        id.number().is_some_and(|number| self.calls.contains_key(&number))
    }

    fn malformed(&mut self, what: &str) -> Result<(), UpstreamError> {
        self.malformed += 1;
        if self.malformed > MALFORMED_MAX { Err(UpstreamError::Malformed(what.to_owned())) } else { Ok(()) }
    }

    fn unrouted(&mut self) -> Result<(), UpstreamError> {
        self.unrouted += 1;
        if self.unrouted > UNROUTED_MAX {
            return Err(UpstreamError::Malformed("it floods the broker with messages for nobody".into()));
        }
        Ok(())
    }

    fn answer(&mut self, id: &Id, event: Result<Event, UpstreamError>) -> Result<(), UpstreamError> {
        match id.number() {
            Some(number) if (1..=self.last_number).contains(&number) => match self.calls.remove(&number) {
                Some(pending) => {
                    self.used_at = Instant::now();
                    self.unrouted = 0;
                    if event.is_ok() {
                        self.malformed = 0;
                    }
                    drop(pending.last.send(event));
                    Ok(())
                }
                // Answered already, or cancelled: the server may not have known yet.
                None => self.unrouted(),
            },
            _ => self.malformed("answers to calls that nobody made"),
        }
    }

    fn notification(
        &mut self,
        method: &str,
        params: Option<&str>,
        line: &Bytes,
        asks: &Asks,
    ) -> Result<(), UpstreamError> {
        if method == "notifications/cancelled" {
            return self.withdrawn(params, asks);
        }
        if line.len() > ASIDE_BYTES_MAX {
            return self.unrouted();
        }
        let taken = if let Some((number, restored)) = params.and_then(|params| self.of_call(params, line)) {
            self.calls.get(&number).is_some_and(|call| offer(&call.events, Event::Notification(restored)))
        } else if method == "notifications/progress" {
            false
        } else if method == "notifications/resources/updated" && self.shared {
            let uri = params.and_then(|params| envelope::text_member(params, "uri"));
            let holders = uri.as_ref().and_then(|uri| self.subscribers.get(uri));
            self.tell(|listener| holders.is_some_and(|all| all.contains(&listener.holder)), line)
        } else if method.ends_with("/list_changed") {
            self.tools_changed |= method == TOOLS_CHANGED;
            self.tell(|_| true, line)
        } else if self.shared {
            // What else a shared child says may be about anybody.
            false
        } else {
            self.tell(|_| true, line) || self.tell_newest_call(line)
        };
        if taken { Ok(()) } else { self.unrouted() }
    }

    /// The call that a notification belongs to, and the notification with the caller's own token or id.
    fn of_call(&self, params: &str, line: &Bytes) -> Option<(u64, Bytes)> {
        let text = std::str::from_utf8(line).ok()?;
        let token = envelope::member(params, "progressToken");
        let subscription = envelope::member(params, "_meta").and_then(|meta| envelope::member(meta, SUBSCRIPTION_ID));
        let (raw, subscribed) = token.map(|raw| (raw, false)).or(subscription.map(|raw| (raw, true)))?;
        let number = raw.parse().ok()?;
        let pending = self.calls.get(&number)?;
        let own = if subscribed { pending.id.as_ref().map(Id::raw) } else { pending.progress_token.as_deref() };
        let restored = match own {
            Some(own) => envelope::splice(text, raw, own)?.into(),
            None => line.clone(),
        };
        Some((number, restored))
    }

    fn tell(&self, concerns: impl Fn(&Listening) -> bool, line: &Bytes) -> bool {
        let mut told = false;
        for listener in self.listeners.iter().filter(|listener| concerns(listener)) {
            told |= offer(&listener.events, line.clone());
        }
        told
    }

    fn tell_newest_call(&self, line: &Bytes) -> bool {
        let newest = self.calls.last_key_value();
        newest.is_some_and(|(_, pending)| offer(&pending.events, Event::Notification(line.clone())))
    }

    /// The server takes back what it asked, or ends a subscription.
    fn withdrawn(&mut self, params: Option<&str>, asks: &Asks) -> Result<(), UpstreamError> {
        let Some(raw) = params.and_then(|params| envelope::member(params, "requestId")) else {
            return self.malformed("cancellations of nothing");
        };
        if let Some((number, call)) = asks.withdraw(raw) {
            if let Some(pending) = self.calls.get(&call) {
                offer(&pending.events, Event::Withdrawn(number));
            }
            return Ok(());
        }
        match raw.parse().ok().and_then(|number| self.calls.remove(&number)) {
            Some(pending) => {
                drop(pending.last.send(Err(UpstreamError::Gone("the server ended the subscription".into()))));
                Ok(())
            }
            None => self.unrouted(),
        }
    }

    /// The server asks the client something: that is the newest call's caller, and outside calls nobody.
    fn asked(
        &mut self,
        id: &Id,
        method: &str,
        params: Option<&str>,
        asks: &Asks,
    ) -> Result<Option<Bytes>, UpstreamError> {
        if self.stateless {
            self.malformed("messages that only servers with a handshake send")?;
            return Ok(None);
        }
        if method == "ping" {
            self.unrouted()?;
            return Ok(Some(Notice::Pong { id: id.raw() }.message()));
        }
        // On a shared child nobody can tell whose ask it is.
        let fits = params.is_none_or(|params| params.len() <= ASIDE_BYTES_MAX);
        let newest = self.calls.last_key_value().filter(|_| !self.shared && fits);
        if let Some((call, pending)) = newest
            && let Some(number) = asks.open(id.raw(), *call)
        {
            let params = params.map(|raw| Bytes::copy_from_slice(raw.as_bytes()));
            let ask = Ask { number, method: method.to_owned(), params };
            if offer(&pending.events, Event::Ask(ask)) {
                return Ok(None);
            }
            drop(asks.take(number, *call));
        }
        self.unrouted()?;
        Ok(Some(Notice::CannotAnswer { id: id.raw() }.message()))
    }
}

fn slice(line: &Bytes, part: &str) -> Bytes {
    line.slice_ref(part.as_bytes())
}

fn progress_token(params: &str) -> Option<&str> {
    envelope::member(envelope::member(params, "_meta")?, "progressToken")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_aside_is_bounded() {
        let mut routes = Routes::new(false);
        let mut heard = routes.listen("ann");
        let mut say = |bytes: usize| {
            let params = format!(r#"{{"level":"info","data":"{}"}}"#, "x".repeat(bytes));
            let line = envelope::notification("notifications/message", Some(&params));
            routes.receive(&line, &Asks::default()).unwrap();
        };
        say(10);
        say(ASIDE_BYTES_MAX);
        say(20);
        let lengths: Vec<usize> = std::iter::from_fn(|| heard.try_recv().ok()).map(|message| message.len()).collect();
        assert_eq!(lengths.len(), 2, "{lengths:?}");
        let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(ASIDE_BYTES_MAX));
        let ask = envelope::call("7", "elicitation/create", Some(&long));
        let refused = routes.receive(&ask, &Asks::default()).unwrap().unwrap();
        assert!(refused.starts_with(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\""), "{refused:?}");
    }
}
