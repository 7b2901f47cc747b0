//! How a client gets to know the system behind: `initialize` opens a session,
//! `server/discover` needs none. The gateway answers for the system, and offers
//! only what it forwards.

use axum::response::Response;
use bailiwick_engine::admit::Admitted;
use bailiwick_model::{id::SessionId, name::SystemName};
use bailiwick_pdp::visibility::Visibility;
use bailiwick_ports::new_id;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    envelope, failure,
    mcp::{
        Incoming, Place, answer, deferred, headers,
        lists::Hidden,
        message::Fault,
        method::{HANDSHAKE_REVISION, HANDSHAKE_REVISIONS, SUPPORTED},
        session::Session,
        visit::Visit,
    },
    upstream::{CallerKey, ClientCapabilities, Era},
};

/// Bytes of a client's `capabilities` that are kept for its session.
pub(crate) const CAPABILITIES_BYTES_MAX: usize = 8 * 1_024;
/// Characters of a system's instructions that are passed on.
pub(crate) const INSTRUCTIONS_CHARS_MAX: usize = 16 * 1_024;

/// Opens a session.
pub(crate) async fn initialize(visit: Visit, incoming: Incoming<'_>) -> Response {
    let id = &incoming.id;
    let (revision, capabilities) = match wanted(&incoming) {
        Ok(wanted) => wanted,
        Err(fault) => return answer::fault(Some(visit.era), Some(id), &fault),
    };
    let admitted = match visit.admit(Some(id), incoming.method).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal,
    };
    let client = ClientCapabilities::relayed(&capabilities);
    let introduction = match introduce(&visit, &admitted, client).await {
        Ok(introduction) => introduction,
        Err(fault) => return answer::fault(Some(visit.era), Some(id), &fault),
    };
    let broker = visit.gateway.broker();
    let session_id = new_id!(SessionId, broker.now(), broker.entropy());
    let session = Session::new(session_id, visit.caller.chain.clone(), visit.place.system().cloned(), capabilities);
    if visit.gateway.sessions.open(session).is_err() {
        let fault = Fault::new(StatusCode::SERVICE_UNAVAILABLE, -32_603, "too many sessions are open; try again later");
        return answer::fault(None, Some(id), &fault);
    }
    let Introduction { server_info, capabilities, instructions } = introduction;
    let mut result = json!({ "protocolVersion": revision, "capabilities": capabilities, "serverInfo": server_info });
    if let (Some(instructions), Some(result)) = (instructions, result.as_object_mut()) {
        result.insert("instructions".to_owned(), json!(instructions));
    }
    let mut response = answer::result(id, &result);
    if let Ok(value) = HeaderValue::from_str(&session_id.to_string()) {
        response.headers_mut().insert(headers::SESSION_ID, value);
    }
    response
}

/// The revision to speak, and the raw capabilities of the client.
fn wanted(incoming: &Incoming<'_>) -> Result<(&'static str, Box<str>), Fault> {
    let params = incoming.params.unwrap_or("{}");
    let version = envelope::text_member(params, "protocolVersion")
        .ok_or_else(|| Fault::params("`params.protocolVersion` is a string"))?;
    // A revision that is not spoken here is answered with the newest that is (basic/lifecycle, 2025-11-25).
    let revision = HANDSHAKE_REVISIONS.into_iter().find(|known| *known == version).unwrap_or(HANDSHAKE_REVISION);
    let capabilities = envelope::member(params, "capabilities").unwrap_or("{}");
    if !capabilities.starts_with('{') || capabilities.len() > CAPABILITIES_BYTES_MAX {
        let message = format!("`params.capabilities` is an object of at most {CAPABILITIES_BYTES_MAX} bytes");
        return Err(Fault::params(message));
    }
    Ok((revision, capabilities.into()))
}

/// Tells about the system without a session.
pub(crate) async fn discover(visit: Visit, incoming: Incoming<'_>) -> Response {
    let id = &incoming.id;
    let admitted = match visit.admit(Some(id), incoming.method).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal,
    };
    let Introduction { server_info, capabilities, instructions } =
        match introduce(&visit, &admitted, ClientCapabilities::default()).await {
            Ok(introduction) => introduction,
            Err(fault) => return answer::fault(Some(visit.era), Some(id), &fault),
        };
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": SUPPORTED,
        "capabilities": capabilities,
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": { "io.modelcontextprotocol/serverInfo": server_info },
    });
    if let (Some(instructions), Some(result)) = (instructions, result.as_object_mut()) {
        result.insert("instructions".to_owned(), json!(instructions));
    }
    answer::result(id, &result)
}

/// Ends a session at its client's wish.
pub(crate) async fn end(visit: Visit) -> Response {
    if let Err(refusal) = visit.admit(None, "session/end").await {
        return refusal;
    }
    if let Some(session) = &visit.session {
        visit.gateway.sessions.end(session);
    }
    answer::json(StatusCode::OK, bytes::Bytes::new())
}

/// What a client learns of the system.
struct Introduction {
    server_info: Value,
    capabilities: Value,
    instructions: Option<String>,
}

async fn introduce(visit: &Visit, admitted: &Admitted, client: ClientCapabilities) -> Result<Introduction, Fault> {
    match &visit.place {
        Place::System(system) => introduce_system(visit, admitted, system, client).await,
        Place::All => Ok(Introduction {
            server_info: json!({ "name": "bailiwick", "version": env!("CARGO_PKG_VERSION") }),
            capabilities: json!({ "tools": { "listChanged": visit.era == Era::Handshake }, "prompts": {} }),
            instructions: Some("Names are `<system>__<name>`. MCP resources are served at `/mcp/<system>`.".to_owned()),
        }),
    }
}

async fn introduce_system(
    visit: &Visit,
    admitted: &Admitted,
    system: &SystemName,
    client: ClientCapabilities,
) -> Result<Introduction, Fault> {
    let pool = &visit.gateway.upstreams;
    let caller = CallerKey::new(&visit.caller.chain, client);
    let greeting = async {
        let era = pool.era_for(system, visit.era).await?;
        Ok((era, pool.greeting(system, &caller, era.newest()).await?))
    };
    let (era, greeting) = greeting.await.map_err(|error| failure::fault(&visit.gateway, system, &error))?;
    let meta = || greeting.get("_meta")?.get("io.modelcontextprotocol/serverInfo");
    let server_info = greeting.get("serverInfo").or_else(meta).cloned();
    let live = visit.gateway.broker().live();
    let entry = live.policy.as_deref().and_then(|policy| policy.catalogue().system(system));
    // What a model will read as instruction is what was approved, not what the server says today.
    let pinned = entry.and_then(|entry| entry.pinned.instructions.clone());
    let mut hidden = Hidden::default();
    for tool in entry.iter().flat_map(|entry| entry.tools.values()) {
        match admitted.visibility(&tool.action) {
            Visibility::Shown => hidden.show(),
            Visibility::Hidden(reason) => hidden.add(tool.name.as_str(), &reason),
        }
    }
    let said = pinned.map(|text| text.chars().take(INSTRUCTIONS_CHARS_MAX).collect::<String>());
    let instructions: Vec<String> = [hidden.text("tools"), said].into_iter().flatten().collect();
    let mut capabilities = offered(greeting.get("capabilities"), visit.era);
    if era == Era::Stateless && deferred::offered_by(greeting.get("capabilities")) {
        extend(&mut capabilities, visit.era);
    }
    Ok(Introduction {
        server_info: server_info.unwrap_or_else(|| json!({ "name": system.as_str(), "version": "0" })),
        capabilities,
        instructions: (!instructions.is_empty()).then(|| instructions.join("\n\n")),
    })
}

/// Adds the one extension that is forwarded, to those whose revision has it.
fn extend(capabilities: &mut Value, era: Era) {
    if let (Era::Stateless, Some(all)) = (era, capabilities.as_object_mut()) {
        all.insert("extensions".to_owned(), json!({ (deferred::EXTENSION): {} }));
    }
}

/// The capabilities of the system that the gateway forwards; whatever else it has stays behind.
fn offered(capabilities: Option<&Value>, era: Era) -> Value {
    let has = |name: &str| capabilities.and_then(|all| all.get(name)).filter(|value| value.is_object());
    let flag = |value: &Value, name: &str| value.get(name) == Some(&Value::Bool(true));
    let mut all = Map::new();
    // Lists change with policy too, so that is always announced where there is a stream to say it on.
    if has("tools").is_some() {
        all.insert("tools".to_owned(), json!({ "listChanged": true }));
    }
    if has("prompts").is_some() {
        all.insert("prompts".to_owned(), json!({ "listChanged": true }));
    }
    if let Some(resources) = has("resources") {
        let subscribe = era == Era::Handshake && flag(resources, "subscribe");
        all.insert("resources".to_owned(), json!({ "listChanged": true, "subscribe": subscribe }));
    }
    for name in ["logging", "completions"] {
        if has(name).is_some() {
            all.insert(name.to_owned(), json!({}));
        }
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_forwarded_is_offered() {
        let check = |era, given: Value, expected: Value| assert_eq!(offered(Some(&given), era), expected, "{given}");
        let given = json!({ "tools": {}, "resources": { "subscribe": true }, "logging": {}, "tasks": {}, "experimental": {}, "extensions": {} });
        let tools = json!({ "listChanged": true });
        check(
            Era::Handshake,
            given.clone(),
            json!({ "tools": tools, "resources": { "listChanged": true, "subscribe": true }, "logging": {} }),
        );
        check(
            Era::Stateless,
            given,
            json!({ "tools": tools, "resources": { "listChanged": true, "subscribe": false }, "logging": {} }),
        );
        check(Era::Handshake, json!({ "tools": null, "prompts": true }), json!({}));
    }

    #[test]
    fn a_revision_is_agreed_on() {
        let check = |params: &str, expected: Result<&str, i64>| {
            let id = envelope::Id::from(1);
            let incoming = Incoming::read(id, "initialize", Some(params), Era::Handshake).unwrap();
            let got = wanted(&incoming);
            assert_eq!(got.as_ref().map(|(revision, _)| *revision).map_err(|fault| fault.code), expected, "{params}");
        };
        check(r#"{"protocolVersion":"2025-06-18"}"#, Ok("2025-06-18"));
        check(r#"{"protocolVersion":"2024-11-05","capabilities":{}}"#, Ok("2025-11-25"));
        check(r#"{"protocolVersion":"2026-07-28"}"#, Ok("2025-11-25"));
        check(r#"{}"#, Err(-32_602));
        check(r#"{"protocolVersion":"2025-11-25","capabilities":[]}"#, Err(-32_602));
        let long = format!(
            r#"{{"protocolVersion":"2025-11-25","capabilities":{{"x":"{}"}}}}"#,
            "x".repeat(CAPABILITIES_BYTES_MAX)
        );
        check(&long, Err(-32_602));
    }
}
