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
    authorize::reason,
    broker::Broker,
    caller::RawCall,
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
    rows
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
    let unseen = Seen::default();
    let seen = live.definitions.get(call.system).unwrap_or(&unseen);
    let age_max = i64::try_from(system.verify_every_s).unwrap_or(i64::MAX).saturating_mul(2);
    let fresh = seen.verified_at.is_some_and(|at| now.as_second().saturating_sub(at.as_second()) <= age_max);
    if !fresh {
        let mut reason = reason(
            ReasonCode::DefinitionUnverified,
            &format!("nobody compared the tools of `{}` with the approved ones recently", call.system),
            Some("the system may be down: call again shortly; an operator sees the cause with `bailiwick doctor`"),
        );
        reason.retry_after_s = Some(5);
        return Err(Box::new(reason));
    }
    let changed = call
        .name
        .filter(|_| call.method == "tools/call")
        .and_then(|name| name.parse::<ToolName>().ok())
        .is_some_and(|tool| seen.quarantined.contains_key(&tool) && system.tools.contains_key(&tool));
    if changed {
        return Err(Box::new(reason(
            ReasonCode::DefinitionChanged,
            "the definition of this tool is not the approved one",
            Some("an operator looks at the difference with `bailiwick systems show` and approves or rejects it"),
        )));
    }
    Ok(())
}
