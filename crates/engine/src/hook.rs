//! Decides for the hook of an agent's client: about the client's own tools, which nobody forwards, and beforehand about
//! calls that will come to the gateway. The first are charged here, the second only where they are made. Whatever fails
//! denies.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bailiwick_model::{
    decision::{Decision, Evaluated, ReasonCode},
    digest::Digest,
    id::EvaluationId,
    name::{SystemName, ToolName},
};
use bailiwick_pdp::{
    catalogue::{ClientKind, System},
    snapshot::Snapshot,
};
use bailiwick_ports::{
    new_id,
    store::{Spent, StoreError},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    authorize::authorize_as,
    broker::Broker,
    caller::{Caller, RawCall},
    conclude::{self, Outcome, OutcomeStatus},
    decide::{Decided, Purpose, decide, no_bundle, reason},
    record::{answered, record_denial, record_replay, unrecorded},
    refusal::Denied,
};

/// How the bridge is called among a client's servers: alone for all systems, with `-<system>` for one.
pub const BRIDGE: &str = "bailiwick";
/// Bytes of a client's own id of a call.
pub const CLIENT_CALL_BYTES_MAX: usize = 128;
/// How long the same question is refused as a repeated one.
const ONCE_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How long a call may follow its question: a person may be asked in between.
const JOIN_WITHIN: SignedDuration = SignedDuration::from_hours(1);
/// Questions whose calls may still follow; beyond that, records are not joined.
const JOINS_MAX: usize = 4_096;

/// A tool that a client is about to use.
#[derive(Debug, Clone, Copy)]
pub struct HookCall<'a> {
    /// Whose hook asks.
    pub client: ClientKind,
    /// The client's id of the call.
    pub id: &'a str,
    /// The tool as the client calls it.
    pub tool: &'a str,
    /// The client's name for the server that the tool is of; `None` where the client does not say.
    pub server: Option<&'a str>,
    /// Its arguments.
    pub arguments: &'a serde_json::Map<String, serde_json::Value>,
}

/// Decides and records. An `Ok` may hold a denial: it is the answer to a question, not to a call.
pub async fn rule(broker: &Arc<Broker>, caller: &Caller, call: HookCall<'_>) -> Result<Evaluated, Box<Denied>> {
    let id = new_id!(EvaluationId, broker.now(), broker.entropy());
    let live = broker.live();
    let Some(policy) = live.policy.as_deref() else {
        return Err(nowhere(Decided::denied(id, None, no_bundle())));
    };
    let mut caller = caller.clone();
    caller.spent.push(once(broker, &caller, call.id));
    let raw = |system, name| RawCall {
        system,
        method: "tools/call",
        name: Some(name),
        arguments: call.arguments,
        declared: None,
        client_call: Some(call.id),
    };
    if let Some((system, tool)) = bridged(policy, call) {
        return ask(broker, &caller, &raw(&system, tool.as_str()), id).await;
    }
    let Some(own) = policy.catalogue().client(call.client) else {
        let why = reason(ReasonCode::UnknownTool, "no system stands for this client's tools", None);
        return Err(nowhere(Decided::denied(id, Some(policy), why)));
    };
    let raw = raw(&own.name, call.tool);
    if call.server.is_some() {
        let message = "this server is not the bridge, or the bridge has no such tool";
        let why = reason(ReasonCode::UnknownTool, message, Some("use the tools of the server `bailiwick`"));
        return Err(record_denial(broker, &caller, &raw, Decided::denied(id, Some(policy), why)).await);
    }
    own_tool(broker, &caller, raw, id).await
}

/// A tool of the client itself: this is the call's one decision, and its last record but one.
async fn own_tool(
    broker: &Arc<Broker>,
    caller: &Caller,
    call: RawCall<'_>,
    id: EvaluationId,
) -> Result<Evaluated, Box<Denied>> {
    let permit = authorize_as(broker, caller, call, (id, Purpose::OwnTool)).await?;
    let evaluated = permit.evaluated().clone();
    let outcome = Outcome { status: OutcomeStatus::LeftToClient, detail: None, result: None, upstream_ms: 0 };
    if let Err(error) = conclude::conclude(broker, permit, outcome).await {
        tracing::error!(error = %error, "an outcome was not recorded");
    }
    Ok(evaluated)
}

/// A call that the gateway will decide and charge: answered as of now, and joined to that by its id.
async fn ask(broker: &Broker, caller: &Caller, call: &RawCall<'_>, id: EvaluationId) -> Result<Evaluated, Box<Denied>> {
    let decided = decide(broker, caller, call, id, Purpose::Question);
    let mut draft = answered("hook", caller.chain.current().id(), call, &decided)
        .field("token", caller.token.to_string())
        .field_if("task", caller.task.map(|task| task.to_string()));
    if let Some(name) = call.name.and_then(|name| name.parse::<ToolName>().ok()) {
        draft = draft.field("action", format!("{}.{name}", call.system));
    }
    let entry = match draft.finish(broker, caller.chain.initiating()).await {
        Ok(entry) => entry,
        Err(error) => return Err(unrecorded(&decided, &error.to_string())),
    };
    match broker.ports.store.append(entry, caller.spent.clone()).await {
        Ok(_) => {}
        Err(StoreError::Replayed) => return Err(record_replay(broker, caller, call, decided).await),
        Err(error) => return Err(unrecorded(&decided, &error.to_string())),
    }
    if matches!(decided.evaluated.decision, Decision::Allow { .. }) {
        broker.joins.wait(call, caller, id, broker.now());
    }
    Ok(decided.evaluated)
}

/// There is no system to record this under; such tokens are not even given out.
fn nowhere(decided: Decided) -> Box<Denied> {
    Box::new(Denied { evaluated: decided.evaluated, recorded: false, scopes_needed: Vec::new(), step_up: None })
}

/// The hook's question is good once, like a proof of possession.
fn once(broker: &Broker, caller: &Caller, id: &str) -> Spent {
    let scope = format!("hook:{}", caller.chain.current().id());
    Spent { scope, jti: Digest::of(id.as_bytes()), forget_at: broker.now() + ONCE_FOR }
}

/// The system and tool that a name of the bridge stands for, such as `mcp__bailiwick__files__read`. A name that two
/// tools could mean is nobody's, and so is one that another server took by calling itself `bailiwick__files`.
fn bridged(policy: &Snapshot, call: HookCall<'_>) -> Option<(SystemName, ToolName)> {
    let of_bridge = |system: &System| {
        let one = |server: &str| {
            server.strip_prefix(BRIDGE).and_then(|rest| rest.strip_prefix('-')) == Some(system.name.as_str())
        };
        call.server.is_none_or(|server| server == BRIDGE || one(server))
    };
    let rest = call.tool.strip_prefix("mcp__")?.strip_prefix(BRIDGE)?;
    let mut found = policy.catalogue().servers().filter(|system| of_bridge(system)).flat_map(|system: &System| {
        let own = rest
            .strip_prefix("__")
            .or_else(|| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_prefix(system.name.as_str())?.strip_prefix("__"));
        let tools = system.tools.keys().filter(move |tool| own.is_some_and(|own| own == spelled(tool)));
        tools.map(|tool| (system.name.clone(), tool.clone()))
    });
    found.next().filter(|_| found.next().is_none())
}

/// A tool's name as clients spell it: they have fewer characters for it than MCP.
fn spelled(tool: &ToolName) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    tool.as_str().chars().map(plain).collect()
}

/// Questions whose calls have not come yet: by agent, the client's id, and everything that was asked about, so that
/// only the very call is joined.
#[derive(Debug, Default)]
pub(crate) struct Joins(Mutex<HashMap<Digest, (EvaluationId, Timestamp)>>);

impl Joins {
    fn wait(&self, call: &RawCall<'_>, caller: &Caller, id: EvaluationId, now: Timestamp) {
        let Some(key) = key(call, caller) else { return };
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= JOINS_MAX {
            waiting.retain(|_, (_, until)| now < *until);
        }
        if waiting.len() < JOINS_MAX {
            waiting.insert(key, (id, now + JOIN_WITHIN));
        }
    }

    /// The id of the question about this call. Given once.
    pub(crate) fn take(&self, call: &RawCall<'_>, caller: &Caller, now: Timestamp) -> Option<EvaluationId> {
        let key = key(call, caller)?;
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        found.filter(|(_, until)| now < *until).map(|(id, _)| id)
    }
}

fn key(call: &RawCall<'_>, caller: &Caller) -> Option<Digest> {
    let id = call.client_call.filter(|id| id.len() <= CLIENT_CALL_BYTES_MAX)?;
    let all = (caller.chain.current().id(), id, call.system.as_str(), call.method, call.name, call.arguments);
    serde_json::to_vec(&all).ok().map(|bytes| Digest::of(&bytes))
}
