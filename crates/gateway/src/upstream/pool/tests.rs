//! Eras, principals, bounds and definitions, with real children.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bailiwick_model::digest::Digest;
use bailiwick_pdp::definition;
use bailiwick_ports::upstreams::{Discovered, Upstreams};
use serde_json::json;

use crate::upstream::{tests::*, *};

#[tokio::test]
async fn the_era_is_found_out() {
    let both = Offers { handshake: true, stateless: true };
    for (era, expected) in [
        ("handshake", Offers::only(Era::Handshake)),
        ("stateless", Offers::only(Era::Stateless)),
        ("both", both),
        ("shy", both),
    ] {
        let pool = pool(scripted(&["--era", era]));
        for wanted in [Era::Stateless, Era::Handshake] {
            assert_eq!(pool.era_for(&system(), wanted).await, Ok(expected.era_for(wanted)), "{era}");
        }
        for revision in [Revision::V2025_11_25, Revision::V2026_07_28] {
            let outcome = forward(&pool, Forward { revision, ..tool("echo", json!({})) }).await;
            match expected.speaks(revision.era()) {
                true => assert!(matches!(outcome, Ok(Reply::Result(_))), "{era} {revision}: {outcome:?}"),
                false => {
                    assert!(matches!(outcome, Err(UpstreamError::Revision { .. })), "{era} {revision}: {outcome:?}")
                }
            }
        }
    }
}

#[tokio::test]
async fn who_asked_first_and_went_away_decides_nothing() {
    let pool = pool(scripted(&["--era", "shy"]));
    let system = system();
    assert_eq!(pool.era_for(&system, Era::Stateless).await, Ok(Era::Stateless));
    let mut first = Box::pin(pool.era_for(&system, Era::Handshake));
    assert!(futures::poll!(&mut first).is_pending(), "it is being greeted");
    drop(first);
    assert_eq!(pool.era_for(&system, Era::Handshake).await, Ok(Era::Handshake));
}

#[tokio::test]
async fn a_silent_old_server_and_a_configured_era_work_too() {
    let mut target = scripted(&["--era", "silent"]);
    target.revision = Some(Revision::V2025_11_25);
    let configured = pool(target);
    let seen = result(&configured, tool("seen", json!({}))).await;
    assert_eq!(seen["methods"][0], "initialize", "nothing is probed");
    let probed = pool(scripted(&["--era", "silent"]));
    assert_eq!(probed.era_for(&system(), Era::Stateless).await, Ok(Era::Handshake));
}

#[tokio::test]
async fn each_principal_has_a_child_of_its_own() {
    let pool = pool(scripted(&[]));
    let process = async |pool: &Pool, holder: &str, client: &str| {
        let client = ClientCapabilities::relayed(client);
        let call = Forward { client, ..tool("environment", json!({})) };
        let Ok(Reply::Result(raw)) = forward_as(pool, holder, call).await else { panic!("no result") };
        serde_json::from_slice::<serde_json::Value>(&raw).unwrap()["process"].clone()
    };
    let first = process(&pool, "agent:a", "{}").await;
    assert_eq!(first, process(&pool, "agent:a", "{}").await);
    assert_ne!(first, process(&pool, "agent:b", "{}").await);
    assert_ne!(first, process(&pool, "agent:a", r#"{"sampling":{}}"#).await, "another client of the same agent");
    let shared = crate::upstream::tests::pool(shared(scripted(&[])));
    assert_eq!(process(&shared, "agent:a", "{}").await, process(&shared, "agent:b", r#"{"roots":{}}"#).await);
}

#[tokio::test]
async fn the_client_capabilities_are_told() {
    let pool = pool(scripted(&[]));
    let client = ClientCapabilities::relayed(r#"{"sampling":{"tools":{}},"experimental":{"x":{}}}"#);
    let seen = result(&pool, Forward { client, ..tool("seen", json!({})) }).await;
    assert_eq!(seen["initialize"]["capabilities"], json!({ "sampling": { "tools": {} } }));
    assert_eq!(seen["methods"], json!(["initialize", "notifications/initialized", "tools/call"]));
}

#[tokio::test]
async fn connections_are_bounded_and_the_longest_unused_makes_room() {
    let limits = PoolLimits { connections_max: 2, connections_per_principal_max: 1, ..PoolLimits::default() };
    let pool = pool_with(scripted(&[]), limits);
    for holder in ["agent:a", "agent:b", "agent:c", "agent:a"] {
        assert!(forward_as(&pool, holder, tool("echo", json!({}))).await.is_ok(), "{holder}");
    }
    let hang = |holder: &'static str| {
        let pool = pool.clone();
        tokio::spawn(async move { forward_as(&pool, holder, tool("hang", json!({}))).await })
    };
    let hanging = [hang("agent:x"), hang("agent:y")];
    eventually(|| async {
        let slots = pool.inner.slots();
        slots.len() == 2 && slots.iter().all(|(key, slot)| *key.holder > *"agent:w" && slot.idle_since().is_none())
    })
    .await;
    eventually(|| async {
        matches!(forward_as(&pool, "agent:z", tool("echo", json!({}))).await, Err(UpstreamError::Busy { max: 2, .. }))
    })
    .await;
    let other_client = Forward { client: ClientCapabilities::relayed(r#"{"roots":{}}"#), ..tool("echo", json!({})) };
    let refused = forward_as(&pool, "agent:x", other_client).await;
    assert!(matches!(refused, Err(UpstreamError::Busy { max: 1, .. })), "{refused:?}");
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_server_that_never_starts_is_not_tried_all_the_time() {
    let pool = pool(scripted(&["--exit"]));
    assert!(matches!(failure(&pool, tool("echo", json!({}))).await, UpstreamError::Gone(_)));
    assert!(matches!(failure(&pool, tool("echo", json!({}))).await, UpstreamError::Gone(_)), "the first may be chance");
    assert!(matches!(failure(&pool, tool("echo", json!({}))).await, UpstreamError::BackingOff { .. }));
}

#[tokio::test]
async fn everything_is_discovered_page_by_page() {
    for era in ["handshake", "stateless"] {
        let pool = pool(scripted(&["--era", era]));
        let found = pool.discover(&system()).await.unwrap();
        let names: Vec<_> = found.tools.iter().map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, ["echo", "hang"], "{era}");
        assert_eq!(found.tools[0]["x-vendor"], 1, "whole objects");
        assert_eq!((found.prompts.len(), found.resources.len(), found.resource_templates.len()), (1, 1, 0));
        assert_eq!(found.instructions.as_deref(), Some("be good"));
        assert_eq!(found.server_info["name"], "scripted");
    }
    let pool = pool(scripted(&[]));
    let other = pool.try_out(&"new".parse().unwrap(), scripted(&["--era", "stateless"])).await.unwrap();
    assert_eq!(other.protocol_version, "2026-07-28");
    let unknown = pool.discover(&"nobody".parse().unwrap()).await;
    assert!(unknown.is_err_and(|error| error.reason.contains("not configured")));
}

#[tokio::test]
async fn a_tool_is_called_only_as_it_was_pinned() {
    for era in ["handshake", "stateless"] {
        let pool = pool(scripted(&["--era", era]));
        let revision = if era == "handshake" { Revision::V2025_11_25 } else { Revision::V2026_07_28 };
        let echo = pool.discover(&system()).await.unwrap().tools[0].clone();
        let pinned = |name: &str, digest| Forward { definition: Some(digest), revision, ..tool(name, json!({})) };
        let digest = definition::digest(&echo);
        assert!(forward(&pool, pinned("echo", digest)).await.is_ok());
        let other = forward(&pool, pinned("echo", Digest::of(b"another"))).await;
        assert_eq!(other.unwrap_err(), UpstreamError::DefinitionChanged("echo".into()));
        let unlisted = forward(&pool, pinned("seen", digest)).await;
        assert_eq!(unlisted.unwrap_err(), UpstreamError::DefinitionChanged("seen".into()));
        // The child of this very agent changes its mind.
        assert!(forward(&pool, Forward { revision, ..tool("redefine", json!({})) }).await.is_ok());
        let changed = forward(&pool, pinned("echo", digest)).await;
        assert_eq!(changed.unwrap_err(), UpstreamError::DefinitionChanged("echo".into()), "{era}");
    }
}

type Seen = Arc<Mutex<Vec<Discovered>>>;

fn observer() -> (Seen, Arc<Observer>) {
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let observer: Arc<Observer> = Arc::new(move |_, discovered| {
        kept.lock().unwrap().push(discovered);
        Box::pin(std::future::ready(()))
    });
    (seen, observer)
}

#[tokio::test]
async fn definitions_are_looked_at_again_and_again() {
    let mut target = scripted(&[]);
    target.verify_every = Duration::from_millis(600);
    let pool = pool(target);
    let (seen, observer) = observer();
    pool.watch(observer);
    eventually(|| async { seen.lock().unwrap().len() >= 3 }).await;
    pool.shut_down();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let after = seen.lock().unwrap().len();
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(seen.lock().unwrap().len(), after, "a removed system is left alone");
}

#[tokio::test]
async fn an_announced_change_is_looked_at_soon() {
    for era in ["handshake", "stateless"] {
        // A shared child would be another than the control child: so the server announces to itself.
        let pool = pool(scripted(&["--era", era]));
        let (seen, observer) = observer();
        pool.watch(observer);
        eventually(|| async { !seen.lock().unwrap().is_empty() }).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let control = pool.inner.control(&pool.inner.system(&system()).unwrap()).await.unwrap();
        let redefine = tool("redefine", json!({}));
        let outgoing = crate::upstream::outgoing::Outgoing {
            id: None,
            method: redefine.method.into(),
            params: redefine.params,
            headers: Vec::new(),
            holder: String::new(),
        };
        control.connection.call(&outgoing, None).await.unwrap();
        eventually(|| async {
            seen.lock().unwrap().last().is_some_and(|found| found.tools[0]["description"] == "second")
        })
        .await;
    }
}

#[tokio::test]
async fn configuring_anew_keeps_what_did_not_change() {
    let pool = pool(scripted(&[]));
    let process = result(&pool, tool("environment", json!({}))).await["process"].clone();
    pool.configure([(system(), scripted(&[]))]);
    assert_eq!(result(&pool, tool("environment", json!({}))).await["process"], process);
    pool.configure([(system(), scripted(&["--greet"]))]);
    assert_ne!(result(&pool, tool("environment", json!({}))).await["process"], process);
    pool.configure([]);
    assert!(matches!(failure(&pool, tool("echo", json!({}))).await, UpstreamError::Unknown(_)));
}
