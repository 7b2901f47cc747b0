//! `POST /hook/claude-code`: Claude Code asks before it uses a tool. Takes its hook's JSON, answers allow or deny; what
//! cannot be read, is not known or comes from elsewhere is refused, and the client blocks on every refusal. Never
//! answers `ask`: that would let whoever sits at the terminal lift a rule that names who may.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bailiwick_engine::{
    caller::Caller,
    hook::{self, CLIENT_CALL_BYTES_MAX, HookCall},
    tokens::Audience,
};
use bailiwick_model::{
    decision::{Decision, Evaluated},
    limits::{ARGUMENT_VALUES_MAX, BODY_BYTES_MAX},
};
use bailiwick_pdp::catalogue::ClientKind;
use bailiwick_web::{
    address::Peer,
    entrance::Entrance,
    json,
    limits::{Limits, body_too_large},
    problem::Problem,
    refused::ProtectedResource,
    verify::verify,
};
use http::{StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

/// The only event that is answered.
const PRE_TOOL_USE: &str = "PreToolUse";

/// The interface for Claude Code's hook.
pub struct Hook {
    entrance: Arc<Entrance>,
    resource: ProtectedResource,
}

impl Hook {
    /// Made once at start.
    pub fn new(entrance: Arc<Entrance>) -> Self {
        let audience = Audience::Hook(ClientKind::ClaudeCode).resource(entrance.issuer());
        let resource = ProtectedResource { audience, scopes: BTreeSet::new(), only_asks: true, at: "hook" };
        Self { entrance, resource }
    }

    /// Its one route.
    pub fn router(self) -> Router {
        let routes = Router::new().route("/hook/claude-code", post(claude_code)).with_state(Arc::new(self));
        Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() }.around(routes)
    }

    /// Lets in programs of this machine that bring a token of the hook.
    async fn admit(&self, parts: &Parts) -> Result<Caller, Response> {
        let problem = |code, detail: &str| Problem::new(StatusCode::FORBIDDEN, code, detail).into_response();
        // A browser says where its page is from; no hook does. Even our own pages have nothing to ask here.
        if parts.headers.contains_key(header::ORIGIN) {
            return Err(problem("origin_refused", "no page may ask for a hook"));
        }
        let peer = parts.extensions.get::<Peer>().copied();
        let here = self.entrance.client_address(peer, &parts.headers).is_some_and(|address| address.is_loopback());
        if !here {
            return Err(problem("hook_elsewhere", "a hook is answered on the broker's own machine only"));
        }
        verify(&self.entrance, parts, &self.resource).await.map_err(axum::response::IntoResponse::into_response)
    }
}

/// What Claude Code 2.1 sends. A member that is not known here may change what the call means, so it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    hook_event_name: String,
    tool_name: String,
    tool_use_id: String,
    tool_input: Map<String, Value>,
    #[serde(default)]
    mcp_server: Option<McpServer>,
    #[serde(rename = "session_id")]
    _session_id: String,
    #[serde(rename = "transcript_path", default)]
    _transcript_path: Option<String>,
    #[serde(rename = "cwd", default)]
    _cwd: Option<String>,
    #[serde(rename = "prompt_id", default)]
    _prompt_id: Option<String>,
    #[serde(rename = "permission_mode", default)]
    _permission_mode: Option<String>,
    #[serde(rename = "effort", borrow, default)]
    _effort: Option<&'a RawValue>,
    /// Of a sub-agent: it works for the same agent, under the same policy.
    #[serde(rename = "agent_id", default)]
    _agent_id: Option<String>,
    #[serde(rename = "agent_type", default)]
    _agent_type: Option<String>,
}

/// The server that a tool is of, where it is no tool of the client itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct McpServer {
    name: String,
    #[serde(rename = "source", default)]
    _source: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    hook_specific_output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    hook_event_name: &'static str,
    permission_decision: &'static str,
    permission_decision_reason: String,
}

async fn claude_code(State(hook): State<Arc<Hook>>, message: Request) -> Response {
    let (parts, body) = message.into_parts();
    let caller = match hook.admit(&parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    if !json::is_json(&parts.headers) {
        let detail = "the body must be sent as `application/json`";
        return Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail).into_response();
    }
    let Ok(bytes) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return body_too_large(BODY_BYTES_MAX).into_response();
    };
    let asked = match read(&bytes) {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let call = HookCall {
        client: ClientKind::ClaudeCode,
        id: &asked.tool_use_id,
        tool: &asked.tool_name,
        server: asked.mcp_server.as_ref().map(|server| server.name.as_str()),
        arguments: &asked.tool_input,
    };
    let ruled = hook::rule(&hook.entrance.shared_broker(), &caller, call).await;
    let evaluated = match &ruled {
        Ok(evaluated) => evaluated,
        Err(denied) => &denied.evaluated,
    };
    Json(answer(evaluated)).into_response()
}

fn read(bytes: &[u8]) -> Result<Asked<'_>, Problem> {
    json::check_at_most(bytes, ARGUMENT_VALUES_MAX).map_err(|error| unreadable(&error.to_string()))?;
    let asked: Asked<'_> = serde_json::from_slice(bytes).map_err(|error| unreadable(&error.to_string()))?;
    if asked.hook_event_name != PRE_TOOL_USE {
        return Err(unreadable("only `PreToolUse` is answered"));
    }
    if asked.tool_use_id.is_empty() || asked.tool_use_id.len() > CLIENT_CALL_BYTES_MAX {
        return Err(unreadable("`tool_use_id` has from 1 to 128 bytes"));
    }
    Ok(asked)
}

fn unreadable(why: &str) -> Problem {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "body_malformed", format!("the hook's message: {why}"));
    problem
        .with_hint("this broker answers the hooks of Claude Code 2.1; docs/connect.md says which versions were tried")
}

fn answer(evaluated: &Evaluated) -> Answer {
    let (decision, why) = match &evaluated.decision {
        Decision::Allow { .. } => ("allow", format!("allowed by policy ({})", evaluated.id)),
        Decision::RequestableDenial { .. } | Decision::Deny { .. } => ("deny", denial(evaluated)),
    };
    let output =
        Output { hook_event_name: PRE_TOOL_USE, permission_decision: decision, permission_decision_reason: why };
    Answer { hook_specific_output: output }
}

/// What the model reads: each reason and what would help.
fn denial(evaluated: &Evaluated) -> String {
    let reasons = evaluated.decision.reasons();
    let told: Vec<String> = reasons
        .iter()
        .map(|reason| match &reason.help {
            Some(help) => format!("{} [{}]: {help}", reason.message, reason.code.as_str()),
            None => format!("{} [{}]", reason.message, reason.code.as_str()),
        })
        .collect();
    format!("denied by policy: {} ({})", told.join("; "), evaluated.id)
}
