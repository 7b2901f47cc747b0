//! The endpoint itself: lets a verified caller's message in, tells what kind it
//! is, and hands it to the one function that serves that kind.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_web::verify;
use bytes::Bytes;
use http::{Method, StatusCode, header, request::Parts};
use serde_json::json;

use crate::{
    envelope::{Envelope, Id},
    mcp::{
        Gateway, Incoming, Place, answer, call, deferred, door, handshake, headers, listing, message::Fault,
        method::Kind, stream, visit::Visit,
    },
    upstream::Era,
};

/// `/mcp/<system>`
pub(crate) async fn one_system(
    State(gateway): State<Arc<Gateway>>,
    Path(system): Path<String>,
    message: Request,
) -> Response {
    match system.parse() {
        Ok(system) => enter(gateway, Place::System(system), message).await,
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `/mcp`
pub(crate) async fn all_systems(State(gateway): State<Arc<Gateway>>, message: Request) -> Response {
    enter(gateway, Place::All, message).await
}

async fn enter(gateway: Arc<Gateway>, place: Place, message: Request) -> Response {
    let (parts, body) = message.into_parts();
    if !matches!(parts.method, Method::POST | Method::GET | Method::DELETE) {
        return not_allowed();
    }
    let caller = match verify::verify(&gateway.entrance, &parts, &place.protected_resource(&gateway)).await {
        Ok(caller) => caller,
        Err(refused) => return refused.into_response(),
    };
    let Parts { method, headers, .. } = parts;
    let visit = Visit { gateway, place, caller, headers, body: Bytes::new(), era: Era::Handshake, session: None };
    if method == Method::POST {
        if let Err(fault) = door::check_post(&visit.headers) {
            return answer::fault(None, None, &fault);
        }
        return match door::read(body).await {
            Ok(body) => post(Visit { body: body.clone(), ..visit }, &body).await,
            Err(fault) => answer::fault(None, None, &fault),
        };
    }
    // Streams and sessions belong to the handshake revisions alone.
    if !matches!(headers::era(&visit.headers, None), Ok(Era::Handshake)) {
        return not_allowed();
    }
    let visit = match visit.in_session() {
        Ok(visit) => visit,
        Err(fault) => return answer::fault(None, None, &fault),
    };
    if method == Method::GET { stream::open(visit).await } else { handshake::end(visit).await }
}

fn not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST, GET, DELETE")]).into_response()
}

/// One message.
async fn post(visit: Visit, body: &[u8]) -> Response {
    match Envelope::parse(body) {
        Err(error) => answer::fault(None, error.id.as_ref(), &error.fault.into()),
        Ok(Envelope::Call { id, method, params }) => {
            let era = match headers::era(&visit.headers, params) {
                Ok(era) => era,
                Err(fault) => return answer::fault(None, Some(&id), &fault),
            };
            let visit = Visit { era, ..visit };
            match read(visit, id.clone(), &method, params) {
                Ok((visit, incoming)) => serve(visit, incoming).await,
                Err(fault) => answer::fault(Some(era), Some(&id), &fault),
            }
        }
        Ok(Envelope::Notification { method, params }) => notified(visit, &method, params).await,
        Ok(Envelope::Result { id, result }) => answered(visit, &id, Ok(result)).await,
        Ok(Envelope::Error { id: Some(id), error }) => answered(visit, &id, Err(error)).await,
        Ok(Envelope::Error { id: None, .. }) => answer::accepted(),
    }
}

fn read<'a>(visit: Visit, id: Id, method: &'a str, params: Option<&'a str>) -> Result<(Visit, Incoming<'a>), Fault> {
    let incoming = Incoming::read(id, method, params, visit.era)?;
    match (visit.era, incoming.kind) {
        (Era::Stateless, _) => {
            headers::check(&visit.headers, &incoming)?;
            Ok((visit, incoming))
        }
        (Era::Handshake, Kind::Initialize) => Ok((visit, incoming)),
        (Era::Handshake, _) => Ok((visit.in_session()?, incoming)),
    }
}

async fn serve(visit: Visit, incoming: Incoming<'_>) -> Response {
    match incoming.kind {
        Kind::Operation => call::serve(visit, incoming).await,
        Kind::Initialize => handshake::initialize(visit, incoming).await,
        Kind::Discover => handshake::discover(visit, incoming).await,
        Kind::Ping => match visit.admit(Some(&incoming.id), incoming.method).await {
            Ok(_) => answer::result(&incoming.id, &json!({})),
            Err(refusal) => refusal,
        },
        Kind::List(list) => listing::serve(visit, incoming, list).await,
        Kind::Listen => stream::listen(visit, incoming).await,
        Kind::Deferred(verb) => deferred::serve(visit, incoming, verb).await,
    }
}

/// A notification from the client. Those that mean nothing to the gateway are taken and dropped: nothing goes
/// upstream without a permit.
async fn notified(visit: Visit, method: &str, params: Option<&str>) -> Response {
    let era = match headers::era(&visit.headers, params) {
        Ok(era) => era,
        Err(fault) => return answer::fault(None, None, &fault),
    };
    if !method.starts_with("notifications/") {
        return answer::fault(None, None, &Fault::method(method));
    }
    if era == Era::Stateless {
        // The stateless revision has none: closing the response cancels.
        return match visit.admit(None, "notifications").await {
            Ok(_) => answer::accepted(),
            Err(refusal) => refusal,
        };
    }
    let visit = match visit.in_session() {
        Ok(visit) => visit,
        Err(fault) => return answer::fault(None, None, &fault),
    };
    if let Err(refusal) = visit.admit(None, "notifications").await {
        return refusal;
    }
    if let (Some(session), "notifications/cancelled", Some(params)) = (&visit.session, method, params)
        && let Some(id) = crate::envelope::member(params, "requestId").and_then(Id::parse)
    {
        session.cancel(&id);
    }
    answer::accepted()
}

/// The client's answer to what a server asked during one of its calls.
async fn answered(visit: Visit, id: &Id, outcome: Result<&str, &str>) -> Response {
    let visit = match headers::era(&visit.headers, None) {
        Ok(Era::Handshake) => visit.in_session(),
        Ok(Era::Stateless) => {
            Err(Fault::new(StatusCode::BAD_REQUEST, -32_600, "clients of this revision send no answers"))
        }
        Err(fault) => Err(fault),
    };
    let visit = match visit {
        Ok(visit) => visit,
        Err(fault) => return answer::fault(None, None, &fault),
    };
    if let Err(refusal) = visit.admit(None, "answer").await {
        return refusal;
    }
    let Some(session) = &visit.session else { return StatusCode::BAD_REQUEST.into_response() };
    match session.answer(id, outcome).await {
        Ok(()) => answer::accepted(),
        Err(_) => {
            answer::fault(None, None, &Fault::new(StatusCode::BAD_REQUEST, -32_600, "nobody asked for this answer"))
        }
    }
}
