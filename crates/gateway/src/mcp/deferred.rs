//! Calls that a server goes on with after it answered with a handle (the
//! extension `io.modelcontextprotocol/tasks` of 2026-07-28): who made such a
//! call may ask how it stands, answer what it asks, and stop it. A handle is no
//! credential, and nothing here begins a call.

mod kept;

use std::time::Duration;

use axum::response::Response;
use bailiwick_engine::permitted::Permitted;
use bailiwick_model::name::SystemName;
use bailiwick_pdp::visibility::Visibility;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

pub(crate) use self::kept::DeferredCalls;
use self::kept::{DEFERRED_FOR_MAX, Deferred};
use crate::{
    denial, envelope, failure,
    mcp::{Incoming, answer, headers::META_CAPABILITIES, message::Fault, translate, visit::Visit},
    phases::Passage,
    result::Duties,
    upstream::{CallerKey, ClientCapabilities, Era, TaskVerb},
};

/// The extension's name.
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// JSON-RPC code of a call that needs a capability that its client did not declare.
const MISSING_CAPABILITY: i64 = -32_021;

/// Whether a system has the extension, by the capabilities that it told a stateless client.
pub(crate) fn offered_by(capabilities: Option<&Value>) -> bool {
    let extension = || capabilities?.get("extensions")?.get(EXTENSION);
    extension().is_some_and(Value::is_object)
}

/// Remembers whose the call is, if its result says that it goes on elsewhere.
pub(crate) fn note(passage: &Passage, permit: &Permitted, duties: &Duties, result: &Bytes) {
    let Some(text) = std::str::from_utf8(result).ok().filter(|_| passage.call.method == "tools/call") else { return };
    if envelope::text_member(text, "resultType").as_deref() != Some("task") {
        return;
    }
    let (Some(handle), Some(operation)) = (envelope::text_member(text, "taskId"), permit.operations().first()) else {
        return;
    };
    let told = envelope::member(text, "ttlMs").and_then(|raw| raw.parse().ok());
    let call = Deferred { system: permit.system().clone(), action: operation.action.clone(), duties: duties.clone() };
    let time = told.map_or(DEFERRED_FOR_MAX, Duration::from_millis);
    if !passage.gateway.deferred.keep(permit.chain(), &handle, call, time) {
        tracing::warn!(system.name = %permit.system(), "a call goes on elsewhere, and its handle cannot be kept");
    }
}

/// Serves one message about such a call.
pub(crate) async fn serve(visit: Visit, incoming: Incoming<'_>, verb: TaskVerb) -> Response {
    served(&visit, &incoming, verb).await.unwrap_or_else(|refusal| refusal)
}

async fn served(visit: &Visit, incoming: &Incoming<'_>, verb: TaskVerb) -> Result<Response, Response> {
    let refuse = |fault: Fault| answer::fault(Some(visit.era), Some(&incoming.id), &fault);
    let handle = incoming.name.as_deref().unwrap_or_default();
    let call = visit.gateway.deferred.of(&visit.caller.chain, visit.place.system(), handle);
    let system = call.as_ref().map(|call| &call.system).or_else(|| visit.place.system());
    let admitted = match system {
        Some(system) => visit.admit_to(&visit.caller, system, Some(&incoming.id), incoming.method).await?,
        None => visit.admit(Some(&incoming.id), incoming.method).await?,
    };
    if let Some(system) = system
        && !offers(visit, system).await.map_err(refuse)?
    {
        return Err(refuse(Fault::method(incoming.method)));
    }
    declared(incoming).map_err(refuse)?;
    let call = call.ok_or_else(|| refuse(Fault::params("no call of yours goes on under this `taskId`")))?;
    // To stop what one began is never refused.
    if let (false, Visibility::Hidden(reason)) = (verb == TaskVerb::Cancel, admitted.visibility(&call.action)) {
        let message = format!("Denied: {} (reason {})", reason.message, reason.code);
        return Err(refuse(Fault::new(StatusCode::OK, denial::DENIED_CODE, message)));
    }
    let params = incoming.params.map(|params| visit.body.slice_ref(params.as_bytes())).unwrap_or_default();
    let caller = caller(visit);
    let told = visit.gateway.upstreams.task(&call.system, &caller, verb, params).await;
    let told = told.map_err(|error| refuse(failure::fault(&visit.gateway, &call.system, &error)))?;
    passed_on(visit.era, incoming, &call.duties, told).map_err(refuse)
}

/// The connection that its calls go over.
fn caller(visit: &Visit) -> CallerKey {
    CallerKey::new(&visit.caller.chain, ClientCapabilities::default())
}

async fn offers(visit: &Visit, system: &SystemName) -> Result<bool, Fault> {
    let pool = &visit.gateway.upstreams;
    let asked = async {
        let era = pool.era_for(system, visit.era).await?;
        if era == Era::Handshake {
            return Ok(Map::new());
        }
        pool.greeting(system, &caller(visit), era.newest()).await
    };
    let greeting = asked.await.map_err(|error| failure::fault(&visit.gateway, system, &error))?;
    Ok(offered_by(greeting.get("capabilities")))
}

/// A client that does not know the extension would not know what to do with what comes.
fn declared(incoming: &Incoming<'_>) -> Result<(), Fault> {
    let capabilities = incoming.declared().and_then(|meta| envelope::member(meta, META_CAPABILITIES));
    let extensions = capabilities.and_then(|all| envelope::member(all, "extensions"));
    if extensions.and_then(|all| envelope::member(all, EXTENSION)).is_some_and(|raw| raw.starts_with('{')) {
        return Ok(());
    }
    let mut fault = Fault::new(StatusCode::BAD_REQUEST, MISSING_CAPABILITY, "the client must declare the extension");
    fault.data = Some(json!({ "requiredCapabilities": { "extensions": { (EXTENSION): {} } } }));
    Err(fault)
}

/// The system's answer, under the duties that the call itself was permitted with.
fn passed_on(
    era: Era,
    incoming: &Incoming<'_>,
    duties: &Duties,
    told: Result<Bytes, Bytes>,
) -> Result<Response, Fault> {
    let discharged = match &told {
        Ok(raw) => duties.discharge(raw),
        Err(raw) => duties.discharge_error(raw),
    };
    let withheld = |withheld: crate::result::Withheld| {
        Fault::new(StatusCode::OK, failure::WITHHELD_CODE, format!("withheld: {}", withheld.message()))
    };
    let filtered = discharged.map_err(withheld)?.map(Bytes::from);
    let id = incoming.id.raw();
    let text = |raw: &Bytes| String::from_utf8_lossy(raw).into_owned();
    match told {
        Ok(raw) => {
            let shown = translate::result(era, incoming.method, &filtered.unwrap_or(raw))
                .map_err(|error| Fault::new(StatusCode::OK, failure::UPSTREAM_FAILED_CODE, error.to_string()))?;
            Ok(answer::json(StatusCode::OK, envelope::result(id, &text(&shown))))
        }
        Err(raw) => {
            let shown = translate::error(era, &filtered.unwrap_or(raw));
            let message = envelope::error(id, &text(&shown));
            Ok(answer::json(answer::status_of(era, &message), message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Id;

    #[test]
    fn a_system_has_the_extension_only_if_it_says_so() {
        let check = |given: Value, expected: bool| assert_eq!(offered_by(Some(&given)), expected, "{given}");
        check(json!({ "extensions": { (EXTENSION): {} } }), true);
        check(json!({ "extensions": { (EXTENSION): true } }), false);
        check(json!({ "extensions": {} }), false);
        check(json!({ "tasks": {} }), false);
        assert!(!offered_by(None));
    }

    #[test]
    fn a_client_that_does_not_know_the_extension_is_told_so() {
        let check = |capabilities: &str, expected: Option<i64>| {
            let params = format!(r#"{{"taskId":"t","_meta":{{"{META_CAPABILITIES}":{capabilities}}}}}"#);
            let incoming = Incoming::read(Id::from(1), "tasks/get", Some(&params), Era::Stateless).unwrap();
            assert_eq!(declared(&incoming).err().map(|fault| fault.code), expected, "{capabilities}");
        };
        check(r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#, None);
        check(r#"{"extensions":{"io.modelcontextprotocol/tasks":null}}"#, Some(MISSING_CAPABILITY));
        check(r#"{"tasks":{}}"#, Some(MISSING_CAPABILITY));
        check("{}", Some(MISSING_CAPABILITY));
    }
}
