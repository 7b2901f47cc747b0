//! Streams that a client takes up again where its connection broke (2025-11-25,
//! "Resumability and Redelivery"): each bound to the session, the principals and
//! the key of the call that it answers, kept for a short time and within bounds.
//! Nothing here begins a call, and what is read again is what was sent already.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::response::Response;
use bailiwick_engine::permitted::{NotAgain, Permitted, Standing};
use bailiwick_model::{confirmation::Confirmation, id::SessionId, principal::DelegationChain};
use bailiwick_ports::chance::random;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, StatusCode};

use super::{
    budget::{Budget, Charge},
    outbox::{KEPT_BYTES_PER_STREAM_MAX, Outbox},
};
use crate::mcp::{
    Gateway, answer, door, headers, message::Fault, method::HANDSHAKE_REVISION, outbox::Reader, session::Session,
    visit::Visit,
};

/// How long a stream that nobody reads waits for its client. Longer than a network takes to change, shorter than an
/// answer should lie in memory; its call is cancelled then.
pub const RESUMABLE_FOR: Duration = Duration::from_secs(60);
/// How long clients are told to wait before they take a stream up again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The event that a client saw last.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A stream's name, which nobody can guess. It is no credential all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StreamId([u8; 16]);

/// An event of a stream; the one that opens it has number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) stream: StreamId,
    pub(crate) number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", URL_SAFE_NO_PAD.encode(self.stream.0), self.number)
    }
}

/// It is no event id of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (stream, number) = text.split_once('.').ok_or(NoEventId)?;
        let mut bytes = [0; 16];
        // A buffer of this length takes nothing longer.
        let length = URL_SAFE_NO_PAD.decode_slice(stream, &mut bytes).map_err(|_| NoEventId)?;
        let id = Self { stream: StreamId(bytes), number: number.parse().map_err(|_| NoEventId)? };
        // One spelling each: no sign, no leading zero.
        if length == bytes.len() && id.to_string() == text { Ok(id) } else { Err(NoEventId) }
    }
}

/// Whose a stream is. All of it must be the same for whoever comes back, who must besides bring what the call was made
/// with ([`Standing::recheck`]).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    session: SessionId,
    chain: DelegationChain,
    /// What the token was bound to.
    key: Option<Confirmation>,
}

impl Owner {
    fn of(visit: &Visit, session: &Session) -> Self {
        Self { session: session.id, chain: visit.caller.chain.clone(), key: visit.caller.confirmation }
    }
}

#[derive(Debug)]
struct Stored {
    owner: Owner,
    /// What the call was permitted by, which must hold still for whoever reads its answer again.
    standing: Standing,
    outbox: Arc<Outbox>,
}

/// All streams that can be taken up again.
#[derive(Debug)]
pub(crate) struct Streams {
    all: Mutex<HashMap<StreamId, Stored>>,
    budget: Budget,
    time: Duration,
}

impl Streams {
    /// Each waits for its client for so long.
    pub(crate) fn kept_for(time: Duration) -> Self {
        Self { all: Mutex::default(), budget: Budget::default(), time }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<StreamId, Stored>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, id: StreamId) {
        let stored = self.all().remove(&id);
        if let Some(stored) = stored {
            stored.outbox.forfeit();
        }
    }

    /// What it costs to keep one more that holds so many bytes from the start; `None` if that is too much.
    fn charge(&self, chain: &DelegationChain, bytes: usize) -> Option<Charge> {
        if bytes > KEPT_BYTES_PER_STREAM_MAX {
            return None;
        }
        loop {
            let charge = self.budget.charge(chain, bytes);
            if charge.is_some() || self.make_room(chain).is_none() {
                return charge;
            }
        }
    }

    /// Makes room among the owner's own streams, of what is said already and waits longest for nobody; `None` if all of
    /// them run.
    fn make_room(&self, chain: &DelegationChain) -> Option<()> {
        let oldest = {
            let all = self.all();
            let own = all.iter().filter(|(_, stored)| stored.owner.chain == *chain);
            own.filter_map(|(id, stored)| Some((stored.outbox.ended()?, *id))).min_by_key(|(ended, _)| *ended)
        };
        self.forget(oldest?.1);
        Some(())
    }
}

/// What a client of 2025-11-25 is offered for a call's stream, if it comes to one.
pub(crate) struct Offer {
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    owner: Owner,
    standing: Standing,
    /// Whether the client wants a stream in any case.
    pub(crate) at_once: bool,
}

impl Offer {
    /// Older clients take an event without data for a broken message, and those of 2026-07-28 know no streams that are
    /// taken up again.
    pub(crate) fn of(visit: &Visit, permit: &Permitted) -> Option<Self> {
        let session = visit.session.clone()?;
        let revision = visit.headers.get(headers::PROTOCOL_VERSION)?;
        (revision == HANDSHAKE_REVISION).then(|| Self {
            gateway: Arc::clone(&visit.gateway),
            owner: Owner::of(visit, &session),
            session,
            standing: permit.standing(),
            at_once: door::prefers_events(&visit.headers),
        })
    }

    /// Keeps the stream from now on, and gives the id of the event that opens it; `None` if there is no room.
    pub(crate) fn keep(self, outbox: &Arc<Outbox>) -> Option<EventId> {
        let Self { gateway, session, owner, standing, .. } = self;
        let streams = &gateway.streams;
        let charge = streams.charge(&owner.chain, standing.bytes())?;
        let stream = StreamId(random(gateway.broker().entropy()));
        outbox.keep(charge, streams.time);
        streams.all().insert(stream, Stored { owner, standing, outbox: Arc::clone(outbox) });
        let outbox = Arc::clone(outbox);
        tokio::spawn(async move {
            tokio::select! {
                () = outbox.lapsed() => {}
                () = session.ended.cancelled() => {}
            }
            gateway.streams.forget(stream);
        });
        Some(EventId { stream, number: 0 })
    }
}

/// Takes up the stream that `Last-Event-ID` names. Whose it is not, and what never was, look the same.
pub(crate) async fn serve(visit: Visit) -> Response {
    let unknown = || {
        let message = "no stream of this session can be taken up after this `Last-Event-ID`";
        answer::fault(None, None, &Fault::new(StatusCode::BAD_REQUEST, -32_600, message))
    };
    if let Err(refusal) = visit.admit(None, "session/stream").await {
        return refusal;
    }
    let Some(event) = named(&visit.headers) else { return unknown() };
    let guest = match visit.gateway.crowd.enter(&visit.caller.chain) {
        Ok(guest) => guest,
        Err(crowded) => return answer::fault(None, None, &crowded.into()),
    };
    match take_up(&visit, event) {
        Some(reader) => answer::told(reader, Some(event), Some(guest)),
        None => unknown(),
    }
}

fn named(headers: &HeaderMap) -> Option<EventId> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

fn take_up(visit: &Visit, event: EventId) -> Option<Reader> {
    let owner = Owner::of(visit, visit.session.as_ref()?);
    let streams = &visit.gateway.streams;
    let (outbox, standing) = {
        let all = streams.all();
        let stored = all.get(&event.stream).filter(|stored| stored.owner == owner)?;
        (Arc::clone(&stored.outbox), stored.standing.clone())
    };
    match standing.recheck(visit.gateway.broker(), &visit.caller) {
        Ok(()) => outbox.resume(event.number),
        Err(refusal) => {
            tracing::info!(reason = %refusal, "a stream is not taken up again");
            if let NotAgain::ToAnybody(_) = refusal {
                streams.forget(event.stream);
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_have_one_spelling() {
        let id = EventId { stream: StreamId([7; 16]), number: 12 };
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        let (stream, _) = text.split_once('.').unwrap();
        let forged = [
            String::new(),
            ".".to_owned(),
            stream.to_owned(),
            format!("{stream}."),
            format!("{stream}.012"),
            format!("{stream}.+1"),
            format!("{stream}.-1"),
            format!("{stream}.99999999999999999999"),
            format!("{stream}A.1"),
            format!("{}.1", &stream[1..]),
            format!("{stream}=.1"),
            format!("{stream}.1.1"),
            format!(" {text}"),
            format!("{}.1", "A".repeat(100_000)),
        ];
        for text in forged {
            assert_eq!(text.parse::<EventId>(), Err(NoEventId), "{text}");
        }
    }
}
