//! What must hold in every state: it opens, it is sound, and all that was said to be durable is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use bailiwick_audit_log::{event::EventKind, leaf};
use bailiwick_ports::store::{EntryFilter, Store as _};
use bailiwick_testkit::store_suite::fixtures::{FixedSigner, entry};
use bailiwick_testkit_crash::disk::Left;
use rusqlite::Connection;

use super::{scratch, workload::open};
use crate::SqliteStore;

/// What a loss is called.
pub(super) const LOST: &str = "lost";
/// What a refusal to open is called.
pub(super) const NOT_OPENED: &str = "it does not open";

/// Opens the files with our store and holds them against what was said.
pub(super) fn check(left: &Left, marks: &[String]) -> Result<(), String> {
    let folder = scratch();
    for (name, bytes) in left {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    // A backup has its name when it is whole, and once it was told of, it has its name.
    for name in left.keys().filter(|name| name.starts_with("backup-") && !name.contains('.')) {
        let told = integrity(&folder.path().join(name));
        if told != "ok" {
            return Err(format!("{name}: {told}"));
        }
    }
    let mut told = marks.iter().filter_map(|mark| mark.strip_prefix("backup "));
    if let Some(lost) = told.find(|name| !left.contains_key(*name)) {
        return Err(format!("{LOST}: {lost}"));
    }
    let path = folder.path().join("bailiwick.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = open(&path, 9).map_err(|error| format!("{NOT_OPENED}: {error}"))?;
    runtime.block_on(sound(&store, marks))?;
    drop(store);
    let told = integrity(&path);
    if told == "ok" { Ok(()) } else { Err(format!("integrity check: {told}")) }
}

fn integrity(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    let told = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    told.unwrap_or_else(|error| error.to_string())
}

async fn sound(store: &SqliteStore, marks: &[String]) -> Result<(), String> {
    let filter = EntryFilter { limit: usize::MAX, ..EntryFilter::default() };
    let entries = store.entries(filter).await.map_err(|error| error.to_string())?;
    let (mut previous, mut ids) = (leaf::CHAIN_START, BTreeMap::new());
    for (entry, sequence) in entries.iter().zip(0..) {
        let decoded = leaf::decode(&entry.leaf).map_err(|error| error.to_string())?;
        let position = &decoded.position;
        if (entry.sequence, position.sequence, position.previous) != (sequence, sequence, previous) {
            return Err(format!("the chain breaks at {sequence}"));
        }
        previous = leaf::hash(&entry.leaf);
        ids.insert(decoded.event.id.clone(), sequence);
    }
    let state = store.load().await.map_err(|error| error.to_string())?;
    let agents: BTreeMap<String, u64> = state.agents.iter().map(|a| (a.name.to_string(), a.version)).collect();
    let bundles = store.bundles().await.map_err(|error| error.to_string())?;
    let bundles: BTreeSet<String> = bundles.iter().map(|bundle| bundle.revision.to_string()).collect();
    // A change and its evidence came together or not at all.
    for (name, version) in &agents {
        let id = name.trim_start_matches("bot-");
        let (granted, revoked) = (format!("evt_granted-{id}"), format!("evt_revoked-{id}"));
        if !ids.contains_key(&granted) || ids.contains_key(&revoked) != (*version == 2) {
            return Err(format!("agent {name} is in version {version}, its evidence says otherwise"));
        }
    }
    let tree = store.integrate(Arc::new(FixedSigner::new(1))).await.map_err(|error| error.to_string())?;
    for mark in marks {
        let words: Vec<&str> = mark.split(' ').collect();
        let is_there = match words[..] {
            ["open" | "stopped"] | ["backup", _] => true,
            ["entry" | "forwarded", id, sequence] => ids.get(id).is_some_and(|found| found.to_string() == sequence),
            ["agent", name, version, id] => {
                ids.contains_key(id) && agents.get(name).is_some_and(|found| *found >= version.parse().unwrap())
            }
            ["bundle", revision, id] => ids.contains_key(id) && bundles.contains(revision),
            ["change", id] => ids.contains_key(id),
            ["tree", size] => size.parse::<u64>().unwrap() <= tree,
            _ => panic!("nobody knows what `{mark}` means"),
        };
        if !is_there {
            return Err(format!("{LOST}: {mark}"));
        }
    }
    let next = store.append(entry(EventKind::Replica, "evt_after"), vec![]).await.map_err(|error| error.to_string())?;
    if next.sequence == entries.len() as u64 { Ok(()) } else { Err("the chain does not go on".to_owned()) }
}
