//! The life of one call, told in order: decide and record, act, filter,
//! conclude. The message was received, its caller verified and its envelope read
//! before; nothing here decides, and nothing goes upstream without a permit.

use std::{sync::Arc, time::Instant};

use axum::response::Response;
use bailiwick_engine::{
    authorize,
    caller::RawCall,
    conclude::{self, Outcome},
    permitted::Permitted,
    refusal::{Denied, Refusal},
};
use bailiwick_model::{digest::Digest, name::SystemName};
use bailiwick_pdp::{catalogue::Tool, snapshot::Snapshot};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use crate::{
    envelope::Id,
    failure,
    mcp::{
        Gateway, answer,
        crowd::Guest,
        headers,
        message::Fault,
        mirror::{self, Mirrored},
        outbox::{self, Piece, Ready, Writer},
        place,
        resume::Offer,
        session::{NoSession, Session, UnderWay},
        translate, verified,
        visit::Visit,
        watch,
    },
    relay::{Ending, Relay},
    result::Duties,
    upstream::{self, Era, Forward},
};

/// A call as its binding read it.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its id.
    pub(crate) id: Id,
    /// Where it goes.
    pub(crate) system: SystemName,
    /// The MCP method.
    pub(crate) method: String,
    /// Tool name, prompt name or MCP resource uri, as the system knows it.
    pub(crate) name: Option<String>,
    /// The raw parameters, byte for byte.
    pub(crate) params: Option<Bytes>,
    /// The arguments, read once.
    pub(crate) arguments: Map<String, Value>,
    /// What the client declared beside them.
    pub(crate) declared: Option<String>,
    /// The id that Claude Code gives to a call, and to its hook before.
    pub(crate) client_call: Option<String>,
}

/// Takes one call through its life and answers it.
pub(crate) async fn call(visit: Visit, call: Call) -> Response {
    let policy = visit.gateway.broker().live().policy.clone();
    let tool = policy.as_ref().and_then(|policy| find_tool(policy, &call));
    let prepare = || {
        let mirrored = mirrored_headers(&visit, &call, tool)?;
        Ok((mirrored, under_way(&visit, &call.id)?, visit.gateway.crowd.enter(&visit.caller.chain)?))
    };
    let (mirrored, under_way, guest) = match prepare() {
        Ok(prepared) => prepared,
        Err(fault) => return answer::fault(Some(visit.era), Some(&call.id), &fault),
    };
    verified::settle(&visit.gateway, &call.system).await;
    let permit = match decide(&visit, &call).await {
        Ok(permit) => permit,
        Err(denied) => {
            let structured = tool.is_none_or(|tool| tool.definition.get("outputSchema").is_none());
            return visit.denied(Some(&call.id), &call.method, &denied, structured);
        }
    };
    let terms = terms(&visit.gateway, &permit, &call);
    let offer = Offer::of(&visit, &permit);
    let passage = Passage {
        gateway: Arc::clone(&visit.gateway),
        era: visit.era,
        session: visit.session.clone(),
        call,
        mirrored,
        terms,
        under_way,
        _guest: guest,
    };
    answer(passage, permit, offer).await
}

/// Map, inform, decide, record: all of it in the engine.
async fn decide(visit: &Visit, call: &Call) -> Result<Permitted, Box<Denied>> {
    let raw = RawCall {
        system: &call.system,
        // To cease to listen is what listening allowed.
        method: if call.method == "resources/unsubscribe" { "resources/subscribe" } else { &call.method },
        name: call.name.as_deref(),
        arguments: &call.arguments,
        declared: call.declared.as_deref(),
        client_call: call.client_call.as_deref(),
    };
    authorize::authorize(visit.gateway.broker(), &visit.caller, raw).await
}

/// A permitted call on its way.
pub(crate) struct Passage {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) era: Era,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) call: Call,
    mirrored: Vec<(HeaderName, HeaderValue)>,
    terms: Option<Terms>,
    under_way: Option<UnderWay>,
    _guest: Guest,
}

/// Acts in a task of its own, so that the outcome is recorded whether or not the caller still waits for it. A single
/// answer is sent as JSON, anything longer as a stream, which some clients may take up again.
async fn answer(passage: Passage, permit: Permitted, offer: Option<Offer>) -> Response {
    let (writer, mut reader) = outbox::open();
    tokio::spawn(act(passage, permit, writer));
    let patience = if offer.is_some() { answer::STREAM_AFTER } else { answer::KEEP_ALIVE_EVERY };
    let ready = if offer.as_ref().is_some_and(|offer| offer.at_once) {
        Ready::More
    } else {
        tokio::time::timeout(patience, reader.ready()).await.unwrap_or(Ready::More)
    };
    match ready {
        Ready::Only => match reader.next().await {
            Some((_, Piece { message, last })) => answer::json(last.unwrap_or(StatusCode::OK), message),
            None => answer::accepted(),
        },
        Ready::More => {
            let opened = offer.and_then(|offer| offer.keep(reader.outbox()));
            answer::told(reader, opened, None)
        }
        // The client itself cancelled: it expects no answer (basic/utilities/cancellation, 2025-11-25).
        Ready::Nothing => answer::accepted(),
    }
}

/// Act, filter, conclude. Whatever ends the call, its outcome is recorded before its answer goes out.
async fn act(passage: Passage, permit: Permitted, pieces: Writer) {
    let began = Instant::now();
    let broker = passage.gateway.entrance.shared_broker();
    // Subscribed first: what changes after the recheck is seen by the watch.
    let epochs = broker.epochs();
    let changed = || Refusal::Conflict("the policy bundle was replaced meanwhile".to_owned());
    let terms = permit.recheck(&broker).and_then(|()| passage.terms.as_ref().ok_or_else(changed));
    let ending = match terms {
        Err(refusal) => failure::not_forwarded(&refusal, &permit, &passage),
        Ok(terms) => {
            let cancelled = passage.under_way.as_ref().map(|call| call.cancelled.clone()).unwrap_or_default();
            tokio::select! {
                biased;
                () = pieces.abandoned() => Ending::cancelled("the caller went away"),
                () = cancelled.cancelled() => match permit.recheck(&broker) {
                    Ok(()) => Ending::cancelled("the caller cancelled"),
                    // Whoever may not act any more loses the session too: it was not the caller that cancelled.
                    Err(refusal) => failure::taken_back(&refusal, &permit, &passage),
                },
                refusal = watch::taken_back(&broker, &permit, epochs) => failure::taken_back(&refusal, &permit, &passage),
                ending = forward(&passage, terms, &permit, &pieces) => ending,
            }
        }
    };
    let Ending { status, detail, evidence, answer } = ending;
    let upstream_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let outcome = Outcome { status, detail, result: evidence.map(|bytes| bytes.to_vec()), upstream_ms };
    if let Err(error) = conclude::conclude(&broker, permit, outcome).await {
        tracing::error!(error = %error, "an outcome was not recorded");
    }
    if let Some((message, status)) = answer {
        // The caller may be gone by now: its outcome is recorded all the same.
        pieces.put(Piece { message, last: Some(status) }).await;
    }
}

/// Forwards under the permit, passes on what comes first, and filters the answer.
async fn forward(passage: &Passage, terms: &Terms, permit: &Permitted, pieces: &Writer) -> Ending {
    let pool = &passage.gateway.upstreams;
    let era = match pool.era_for(permit.system(), passage.era).await {
        Ok(era) => era,
        Err(error) => return failure::upstream(&error, permit, passage),
    };
    let call = &passage.call;
    let message = Forward {
        id: call.id.clone(),
        method: call.method.clone(),
        params: translate::params(passage.era, era, call.params.as_ref()),
        revision: era.newest(),
        client: passage.session.as_ref().map(|session| session.client.clone()).unwrap_or_default(),
        headers: passage.mirrored.clone(),
        definition: terms.definition,
    };
    match upstream::send(pool, permit, message).await {
        Ok(reply) => Relay { passage, duties: &terms.duties, permit, pieces }.run(reply).await,
        Err(error) => failure::upstream(&error, permit, passage),
    }
}

/// The catalogue's entry of the tool that is called.
fn find_tool<'a>(policy: &'a Arc<Snapshot>, call: &Call) -> Option<&'a Tool> {
    let name = call.name.as_deref().filter(|_| call.method == "tools/call")?;
    place::tool(policy, &call.system, name)
}

/// What holds for one call besides its permit.
pub(crate) struct Terms {
    /// What must be done with the result.
    pub(crate) duties: Duties,
    /// How the tool is pinned.
    definition: Option<Digest>,
}

/// The terms of the very bundle that decided; `None` if it is no longer the active one.
fn terms(gateway: &Gateway, permit: &Permitted, call: &Call) -> Option<Terms> {
    let policy = gateway.broker().live().policy.clone()?;
    if policy.revision() != permit.evaluated().bundle {
        return None;
    }
    let tool = find_tool(&policy, call);
    Some(Terms { duties: Duties::of(permit.obligations(), tool), definition: tool.map(|tool| tool.digest) })
}

/// The `Mcp-Param-*` headers to forward. Those of a stateless client must say what the arguments say and go on as they
/// came; for others, who know of no such headers, they are written here, in case the system is stateless.
fn mirrored_headers(visit: &Visit, call: &Call, tool: Option<&Tool>) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let expected = match tool {
        Some(tool) => mirror::mirrored(&tool.definition, &call.arguments),
        None => Ok(Vec::new()),
    };
    let expected = expected.map_err(|unfit| Fault::params(format!("this tool cannot be used: {unfit}")))?;
    match visit.era {
        Era::Stateless => headers::params(&visit.headers, &expected),
        Era::Handshake => Ok(expected.iter().filter_map(Mirrored::header).collect()),
    }
}

/// Notes the call in its session, so that it can be cancelled.
fn under_way(visit: &Visit, id: &Id) -> Result<Option<UnderWay>, Fault> {
    let Some(session) = &visit.session else { return Ok(None) };
    session.begin(id).map(Some).map_err(|error| match error {
        NoSession::Busy => {
            Fault::new(StatusCode::TOO_MANY_REQUESTS, -32_600, "too many calls of this session are under way")
        }
        NoSession::Repeated => Fault::new(StatusCode::BAD_REQUEST, -32_600, "a call with this id is under way"),
        NoSession::Unknown => Fault::new(StatusCode::NOT_FOUND, -32_600, "no such session"),
    })
}
