//! Tool definitions: what was seen is compared with what the bundle pins; what differs is quarantined.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    decision::{Reason, ReasonCode},
    name::{SystemName, ToolName},
};
use bailiwick_pdp::{catalogue::System, definition, snapshot::Snapshot};
use bailiwick_ports::{store::Quarantine, upstreams::Discovered};
use jiff::Timestamp;

use crate::{
    broker::Broker,
    caller::RawCall,
    decide::reason,
    evidence::Draft,
    live::{Live, Seen},
    refusal::Refusal,
};

/// Takes in what a control connection saw: notes when, and quarantines every tool that differs from its pin.
/// Returns the tools in quarantine.
pub async fn observe(
    broker: &Broker,
    system: &SystemName,
    discovered: &Discovered,
) -> Result<Vec<Quarantine>, Refusal> {
    let _changing = broker.changing().await;
    let live = broker.live();
    let now = broker.now();
    let Some(entry) = live.policy.as_deref().and_then(|policy| policy.catalogue().system(system)) else {
        return Err(Refusal::Missing(format!("system `{system}`")));
    };
    let seen = compare(entry, discovered, now);
    let before = live.definitions.get(system).map(|seen| &seen.quarantined);
    let same = |rows: &BTreeMap<ToolName, Quarantine>| {
        rows.len() == seen.len()
            && rows.iter().all(|(name, row)| seen.get(name).is_some_and(|new| new.seen == row.seen))
    };
    let unchanged = before.map_or(seen.is_empty(), same);
    let rows: Vec<Quarantine> = seen.values().cloned().collect();
    let epoch = if unchanged {
        live.epoch
    } else {
        let names: Vec<String> = rows.iter().map(|row| row.tool.to_string()).collect();
        let entry = Draft::event(broker, EventKind::DefinitionChanged)
            .field("system", system.as_str())
            .field("quarantined", names)
            .field("seen", rows.iter().map(|row| digest_text(row.seen)).collect::<Vec<_>>())
            .field("pinned", rows.iter().map(|row| digest_text(row.pinned)).collect::<Vec<_>>())
            .public(broker);
        broker.ports.store.quarantine(system.clone(), rows.clone(), entry).await?
    };
    let state = Seen { verified_at: Some(now), quarantined: seen };
    broker.replace_live(epoch, |live| {
        let mut all = HashMap::clone(&live.definitions);
        all.insert(system.clone(), state);
        live.definitions = Arc::new(all);
    });
    Ok(rows)
}

fn digest_text(digest: Option<bailiwick_model::digest::Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}

/// What differs between the pinned tools and the ones seen. A tool seen twice under one name differs.
fn compare(system: &System, discovered: &Discovered, now: Timestamp) -> BTreeMap<ToolName, Quarantine> {
    let mut seen: BTreeMap<ToolName, &serde_json::Value> = BTreeMap::new();
    let mut rows = BTreeMap::new();
    for tool in &discovered.tools {
        let Some(name) = tool.get("name").and_then(|name| name.as_str()).and_then(|name| name.parse::<ToolName>().ok())
        else {
            // A name that is no tool name can never be called, so there is nothing to quarantine.
            continue;
        };
        if let Some(other) = seen.insert(name.clone(), tool)
            && other != tool
        {
            rows.insert(name.clone(), row(system, &name, Some(tool), now));
        }
    }
    for (name, definition) in &seen {
        let pinned = system.tools.get(name).map(|tool| tool.digest);
        if pinned != Some(definition::digest(definition)) {
            rows.entry(name.clone()).or_insert_with(|| row(system, name, Some(definition), now));
        }
    }
    for name in system.tools.keys().filter(|name| !seen.contains_key(*name)) {
        rows.insert(name.clone(), row(system, name, None, now));
    }
    compare_prompts(system, discovered, now, &mut rows);
    rows
}

/// How a prompt stands among the rows of its system: `prompt/<name>`.
fn prompt_row(name: &str) -> Option<ToolName> {
    format!("prompt/{name}").parse().ok()
}

/// A prompt is text that a model will follow: a changed one is quarantined like a tool.
fn compare_prompts(
    system: &System,
    discovered: &Discovered,
    now: Timestamp,
    rows: &mut BTreeMap<ToolName, Quarantine>,
) {
    for prompt in &discovered.prompts {
        let Some(name) = prompt.get("name").and_then(|name| name.as_str()) else { continue };
        // A prompt that nobody pinned is not offered, and cannot be asked for.
        let Some(pinned) = system.pinned.prompts.get(name) else { continue };
        let digest = definition::digest(prompt);
        if let (true, Some(tool)) = (digest != pinned.digest, prompt_row(name)) {
            let row = Quarantine {
                system: system.name.clone(),
                tool: tool.clone(),
                pinned: Some(pinned.digest),
                seen: Some(digest),
                definition: prompt.to_string(),
                since: now,
            };
            rows.insert(tool, row);
        }
    }
}

fn row(system: &System, name: &ToolName, seen: Option<&serde_json::Value>, now: Timestamp) -> Quarantine {
    Quarantine {
        system: system.name.clone(),
        tool: name.clone(),
        pinned: system.tools.get(name).map(|tool| tool.digest),
        seen: seen.map(definition::digest),
        definition: seen.map(ToString::to_string).unwrap_or_default(),
        since: now,
    }
}

/// Whether the definitions behind a call are the pinned ones, seen recently enough.
pub(crate) fn fit_to_call(
    live: &Live,
    snapshot: &Snapshot,
    call: &RawCall<'_>,
    now: Timestamp,
) -> Result<(), Box<Reason>> {
    let Some(system) = snapshot.catalogue().system(call.system) else {
        return Err(Box::new(reason(
            ReasonCode::UnknownTool,
            &format!("system `{}` is not in the catalogue", call.system),
            Some("check the name, or ask an operator to add it"),
        )));
    };
    if system.client().is_some() {
        return Err(Box::new(reason(
            ReasonCode::UnknownTool,
            &format!("`{}` stands for a client's own tools: there is no server to send this to", call.system),
            Some("the client uses its tools itself, once its hook has asked"),
        )));
    }
    if let Err(Stale) = freshness(live, system, now) {
        let mut reason = reason(
            ReasonCode::DefinitionUnverified,
            &format!("nobody compared the tools of `{}` with the approved ones recently", call.system),
            Some("the system may be down: call again shortly; an operator sees the cause with `bailiwick doctor`"),
        );
        reason.retry_after_s = Some(5);
        return Err(Box::new(reason));
    }
    pinned(live, system, call)
}

/// Whether a call is one of a client's own tools: only those can be allowed without a server to send them to.
pub(crate) fn fit_to_own_tool(snapshot: &Snapshot, call: &RawCall<'_>) -> Result<(), Box<Reason>> {
    match snapshot.catalogue().system(call.system).and_then(System::client) {
        Some(_) => Ok(()),
        None => Err(Box::new(reason(ReasonCode::UnknownTool, "this is no tool of the client itself", None))),
    }
}

/// Whether what a question names is as it was approved, as far as anybody saw.
pub(crate) fn fit_to_question(live: &Live, snapshot: &Snapshot, call: &RawCall<'_>) -> Result<(), Box<Reason>> {
    match snapshot.catalogue().system(call.system) {
        Some(system) => pinned(live, system, call),
        // The mapping says what is missing.
        None => Ok(()),
    }
}

/// Nobody compared a system's definitions with the pinned ones recently enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale;

/// Whether a system's definitions were compared with the pinned ones within twice the time that it asks for. A client
/// has none to compare: its own tools are what the bundle pins.
pub fn freshness(live: &Live, system: &System, now: Timestamp) -> Result<(), Stale> {
    if system.client().is_some() {
        return Ok(());
    }
    let age_max = i64::try_from(system.verify_every_s).unwrap_or(i64::MAX).saturating_mul(2);
    let verified_at = live.definitions.get(&system.name).and_then(|seen| seen.verified_at);
    match verified_at {
        Some(at) if now.as_second().saturating_sub(at.as_second()) <= age_max => Ok(()),
        _ => Err(Stale),
    }
}

/// Whether what a call names is as it was approved: neither in quarantine nor, for a prompt, unknown.
fn pinned(live: &Live, system: &System, call: &RawCall<'_>) -> Result<(), Box<Reason>> {
    let quarantined =
        |name: &ToolName| live.definitions.get(&system.name).is_some_and(|seen| seen.quarantined.contains_key(name));
    let changed = match (call.method, call.name) {
        ("tools/call", Some(name)) => {
            name.parse::<ToolName>().is_ok_and(|tool| quarantined(&tool) && system.tools.contains_key(&tool))
        }
        ("prompts/get", Some(name)) if !system.pinned.prompts.contains_key(name) => {
            return Err(Box::new(reason(
                ReasonCode::UnknownTool,
                "this prompt is not among the approved ones",
                Some("list the prompts, or ask an operator to approve it with `bailiwick systems discover`"),
            )));
        }
        ("prompts/get", Some(name)) => prompt_row(name).is_none_or(|row| quarantined(&row)),
        _ => false,
    };
    if changed {
        return Err(Box::new(reason(
            ReasonCode::DefinitionChanged,
            "its definition is not the approved one",
            Some("an operator looks at the difference with `bailiwick systems show` and approves or rejects it"),
        )));
    }
    Ok(())
}
