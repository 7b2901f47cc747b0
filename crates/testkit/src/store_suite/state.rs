//! Agents, tasks, bundles, safe modes, quarantine, vault rows.

use std::collections::BTreeSet;

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::AgentStatus, bundle::BundleFiles, digest::Digest, id::TaskId, observation::Observation,
    safe_mode::SafeModeScope, task::TaskStatus,
};
use bailiwick_ports::store::{ObservationRow, ObservedCalls, PublishedBundle, Quarantine, SafeModeRow, StoreError};

use super::{Bench, fixtures::*};

/// Nothing is there, and reading says so without an error.
pub async fn a_new_store_is_empty(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.ping().await.unwrap();
    let state = store.load().await.unwrap();
    assert_eq!((state.epoch, state.agents.len(), state.tasks.len(), state.facts.len()), (0, 0, 0, 0));
    assert!(state.bundle.is_none() && state.safe_modes.is_empty() && state.quarantined.is_empty());
    assert!(state.observations.is_empty() && state.latest.is_none());
    assert_eq!(count(&*store).await, 0);
    assert_eq!(store.checkpoint().await.unwrap(), None);
    assert_eq!(store.checkpoints().await.unwrap(), []);
    assert_eq!(store.task(TaskId::from_bytes([1; 16])).await.unwrap(), None);
    assert_eq!(store.bundle(Digest::of(b"")).await.unwrap(), None);
    assert_eq!(store.budget_used("b", 0).await.unwrap(), 0);
    assert_eq!(store.open_intents().await.unwrap(), Vec::<String>::new());
}

/// Every field comes back, and a name is never given twice.
pub async fn agents_are_kept_whole(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let first = agent("bot-a");
    let mut second = agent("bot-b");
    second.status = AgentStatus::Retired { at: at(5), reason: "gone".into() };
    second.credentials.clear();
    second.systems.clear();
    store.register_agent(second.clone(), changed("evt_2")).await.unwrap();
    store.register_agent(first.clone(), changed("evt_1")).await.unwrap();
    assert_eq!(store.load().await.unwrap().agents, [first, second]);
    let again = store.register_agent(agent("bot-b"), changed("evt_3")).await;
    assert!(matches!(again, Err(StoreError::Exists(name)) if name == "bot-b"));
    assert_eq!(count(&*store).await, 2, "a refused registration leaves no evidence");
}

/// A lost update is a conflict, not a loss.
pub async fn an_agent_changes_from_the_version_that_was_seen(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let mut agent = agent("bot");
    store.register_agent(agent.clone(), changed("evt_1")).await.unwrap();
    store.issue_token(token(1, "bot", 90), vec![], entry(EventKind::TokenIssued, "evt_t")).await.unwrap();
    agent.version = 2;
    agent.status = AgentStatus::Suspended { at: at(9), reason: "odd".into() };
    agent.purpose = "another".into();
    agent.credentials.remove(1);
    agent.credentials.insert(0, credential("key-3"));
    store.change_agent(agent.clone(), None, changed("evt_2")).await.unwrap();
    // The use of the key that stayed was noted after the caller had looked.
    agent.credentials[1].last_used_at = Some(at(90 - at(90).as_second() % 60));
    assert_eq!(store.load().await.unwrap().agents, [agent.clone()]);
    for version in [0, 1, 2, 4, u64::MAX] {
        agent.version = version;
        let stale = store.change_agent(agent.clone(), None, changed("evt_3")).await;
        assert!(stale.is_err(), "{version}");
    }
    agent.version = 2;
    let stale = store.change_agent(agent.clone(), None, changed("evt_3")).await;
    assert!(matches!(stale, Err(StoreError::Conflict(name)) if name == "bot"));
    agent.name = "nobody".parse().unwrap();
    let missing = store.change_agent(agent, None, changed("evt_3")).await;
    assert!(matches!(missing, Err(StoreError::Missing(name)) if name == "nobody"));
    assert_eq!(count(&*store).await, 3);
}

/// A task is open until it is ended, once, or past its end.
pub async fn tasks_open_and_end_once(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id| entry(EventKind::TaskChanged, id);
    store.register_agent(agent("bot"), changed("evt_1")).await.unwrap();
    let (mut first, mut second) = (task(1, "bot"), task(2, "bot"));
    second.prompt_commitment = None;
    store.create_task(first.clone(), Vec::new(), changed("evt_2")).await.unwrap();
    store.create_task(second.clone(), Vec::new(), changed("evt_3")).await.unwrap();
    assert_eq!(store.load().await.unwrap().tasks, [first.clone(), second.clone()]);
    assert!(matches!(store.create_task(first.clone(), Vec::new(), changed("evt_x")).await, Err(StoreError::Exists(_))));
    assert!(matches!(
        store.create_task(task(3, "nobody"), Vec::new(), changed("evt_x")).await,
        Err(StoreError::Missing(_))
    ));
    assert!(matches!(store.end_task(first.clone(), None, changed("evt_x")).await, Err(StoreError::Conflict(_))));
    first.status = TaskStatus::Ended { at: at(7), reason: "done".into() };
    store.end_task(first.clone(), None, changed("evt_4")).await.unwrap();
    assert!(matches!(store.end_task(first.clone(), None, changed("evt_x")).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.task(first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.load().await.unwrap().tasks, [second.clone()]);
    first.id = TaskId::from_bytes([9; 16]);
    assert!(matches!(store.end_task(first, None, changed("evt_x")).await, Err(StoreError::Missing(_))));
    store.append(entry_at(EventKind::Alert, "evt_5", at(3_600)), vec![]).await.unwrap();
    assert_eq!(store.load().await.unwrap().tasks, [], "past its end");
    assert_eq!(store.task(second.id).await.unwrap(), Some(second));
    assert_eq!(count(&*store).await, 5);
}

/// Bundles are kept whole; rolling back is choosing one that is kept.
pub async fn bundles_are_published_and_rolled_back(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let activated = |id| entry(EventKind::BundleActivated, id);
    let (first, second) = (bundle("one", 1), bundle("two", 2));
    let missing = store.activate_bundle(first.revision, activated("evt_x")).await;
    assert!(matches!(missing, Err(StoreError::Missing(_))));
    store.publish_bundle(first.clone(), activated("evt_1")).await.unwrap();
    store.publish_bundle(second.clone(), activated("evt_2")).await.unwrap();
    assert_eq!(store.load().await.unwrap().bundle, Some(second.clone()));
    let bare = |bundle: &PublishedBundle| PublishedBundle { files: BundleFiles::default(), ..bundle.clone() };
    assert_eq!(store.bundles().await.unwrap(), [bare(&second), bare(&first)]);
    store.activate_bundle(first.revision, activated("evt_3")).await.unwrap();
    assert_eq!(store.load().await.unwrap().bundle, Some(first.clone()));
    // Publishing what is kept already is choosing it: its first publication stands, under the signature of now.
    let second = PublishedBundle { boundary_signature: b"by another key".to_vec(), ..second };
    let again = PublishedBundle { published_at: at(99), ..second.clone() };
    store.publish_bundle(again, activated("evt_4")).await.unwrap();
    assert_eq!(store.load().await.unwrap().bundle, Some(second.clone()));
    assert_eq!(store.bundle(second.revision).await.unwrap(), Some(second));
    assert_eq!(count(&*store).await, 4);
}

/// A revision is the digest of its files or it is not kept.
pub async fn a_bundle_with_a_wrong_digest_is_refused(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let good = bundle("one", 1);
    let wrong = [
        PublishedBundle { revision: Digest::of(b"x"), ..good.clone() },
        PublishedBundle { boundary: Digest::of(b"x"), ..good.clone() },
        PublishedBundle { files: bundle("two", 1).files, ..good },
    ];
    for bundle in wrong {
        let refused = store.publish_bundle(bundle, entry(EventKind::BundleActivated, "evt_1")).await;
        assert!(matches!(refused, Err(StoreError::Inconsistent { table: "bundles", .. })));
    }
    assert!(store.load().await.unwrap().bundle.is_none());
    assert_eq!(count(&*store).await, 0);
}

/// On once, off once.
pub async fn safe_modes_go_on_and_off(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id| entry(EventKind::SafeModeChanged, id);
    let scopes = ["agent:bot", "everything", "system:crm"];
    let rows: Vec<SafeModeRow> = scopes
        .iter()
        .map(|scope| SafeModeRow { scope: scope.parse().unwrap(), reason: "drill".into(), since: at(1) })
        .collect();
    for row in &rows {
        store.enter_safe_mode(row.clone(), changed("evt_1")).await.unwrap();
    }
    assert!(matches!(store.enter_safe_mode(rows[0].clone(), changed("evt_x")).await, Err(StoreError::Exists(_))));
    assert_eq!(store.load().await.unwrap().safe_modes, rows);
    store.lift_safe_mode(SafeModeScope::Everything, changed("evt_2")).await.unwrap();
    let twice = store.lift_safe_mode(SafeModeScope::Everything, changed("evt_x")).await;
    assert!(matches!(twice, Err(StoreError::Missing(scope)) if scope == "everything"));
    assert_eq!(store.load().await.unwrap().safe_modes, [rows[0].clone(), rows[2].clone()]);
    assert_eq!(count(&*store).await, 4);
}

/// Once on, once off; kept whole, its end with it.
pub async fn observations_start_and_end(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id| entry(EventKind::ObservationChanged, id);
    let row = |scope: &str, production| ObservationRow {
        observation: Observation { scope: scope.parse().unwrap(), production },
        reason: "trial".into(),
        since: at(1),
        until: at(100),
        calls: ObservedCalls::default(),
    };
    let rows = [row("agent:bot", true), row("system:crm", false)];
    for row in &rows {
        store.start_observation(row.clone(), changed("evt_1")).await.unwrap();
    }
    assert!(matches!(store.start_observation(rows[0].clone(), changed("evt_x")).await, Err(StoreError::Exists(_))));
    assert_eq!(store.load().await.unwrap().observations, rows);
    store.end_observation("agent:bot".parse().unwrap(), changed("evt_2")).await.unwrap();
    let twice = store.end_observation("agent:bot".parse().unwrap(), changed("evt_x")).await;
    assert!(matches!(twice, Err(StoreError::Missing(scope)) if scope == "agent:bot"));
    assert_eq!(store.observations().await.unwrap(), [rows[1].clone()]);
    let endless = ObservationRow { until: at(1), ..row("agent:other", false) };
    assert!(store.start_observation(endless, changed("evt_x")).await.is_err(), "it ends after it starts");
    assert_eq!(count(&*store).await, 3);
}

/// Each observation of a system says all that differs.
pub async fn a_quarantine_replaces_the_one_before(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let seen = |id| entry(EventKind::DefinitionChanged, id);
    let tool = |system: &str, tool: &str| Quarantine {
        system: system.parse().unwrap(),
        tool: tool.parse().unwrap(),
        pinned: Some(Digest::of(b"pinned")),
        seen: None,
        definition: "{}".into(),
        since: at(3),
    };
    let new = Quarantine { pinned: None, seen: Some(Digest::of(b"new")), ..tool("crm", "new") };
    store.quarantine("crm".parse().unwrap(), vec![tool("crm", "gone"), new.clone()], seen("evt_1")).await.unwrap();
    store.quarantine("files".parse().unwrap(), vec![tool("files", "read")], seen("evt_2")).await.unwrap();
    let all = [tool("crm", "gone"), new.clone(), tool("files", "read")];
    assert_eq!(store.load().await.unwrap().quarantined, all);
    store.quarantine("crm".parse().unwrap(), vec![new.clone()], seen("evt_3")).await.unwrap();
    assert_eq!(store.load().await.unwrap().quarantined, [new.clone(), tool("files", "read")]);
    let foreign = store.quarantine("crm".parse().unwrap(), vec![tool("files", "x")], seen("evt_x")).await;
    assert!(foreign.is_err());
    store.quarantine("crm".parse().unwrap(), vec![], seen("evt_4")).await.unwrap();
    assert_eq!(store.load().await.unwrap().quarantined, [tool("files", "read")]);
    assert_eq!(count(&*store).await, 4);
}

/// Ciphertext is bytes; a data key is made once.
pub async fn vault_rows_are_kept_as_they_are(bench: &dyn Bench) {
    let store = bench.open(1).await;
    assert_eq!(store.data_key("agent:bot").await.unwrap(), None);
    assert_eq!(store.keep_data_key("agent:bot", vec![1]).await.unwrap(), [1]);
    assert_eq!(store.keep_data_key("agent:bot", vec![2]).await.unwrap(), [1], "the first one stands");
    assert_eq!(store.data_key("agent:bot").await.unwrap(), Some(vec![1]));
    let changed = |id| entry(EventKind::SecretChanged, id);
    let name: bailiwick_model::name::SecretName = "crm/token".parse().unwrap();
    assert_eq!(store.secret(&name).await.unwrap(), None);
    store.put_secret(name.clone(), vec![0, 255], changed("evt_1")).await.unwrap();
    store.put_secret(name.clone(), vec![3], changed("evt_2")).await.unwrap();
    assert_eq!(store.secret(&name).await.unwrap(), Some(vec![3]));
    assert_eq!(store.secrets().await.unwrap(), BTreeSet::from([name.clone()]));
    store.remove_secret(name.clone(), changed("evt_3")).await.unwrap();
    assert!(matches!(store.remove_secret(name.clone(), changed("evt_x")).await, Err(StoreError::Missing(_))));
    assert_eq!(store.secret(&name).await.unwrap(), None);
    assert_eq!(count(&*store).await, 3);
}

/// The epoch tells other replicas that something changed, and never goes back.
pub async fn every_change_raises_the_epoch(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let mut bot = agent("bot");
    let mut epochs = vec![store.register_agent(bot.clone(), changed("evt_1")).await.unwrap()];
    bot.version += 1;
    epochs.push(store.change_agent(bot, None, changed("evt_2")).await.unwrap());
    let mut task = task(1, "bot");
    epochs.push(store.create_task(task.clone(), Vec::new(), changed("evt_3")).await.unwrap());
    task.status = TaskStatus::Ended { at: at(1), reason: "done".into() };
    epochs.push(store.end_task(task, None, changed("evt_4")).await.unwrap());
    let bundle = bundle("one", 1);
    epochs.push(store.publish_bundle(bundle.clone(), changed("evt_5")).await.unwrap());
    epochs.push(store.activate_bundle(bundle.revision, changed("evt_6")).await.unwrap());
    let mode = SafeModeRow { scope: SafeModeScope::Everything, reason: String::new(), since: at(1) };
    epochs.push(store.enter_safe_mode(mode, changed("evt_7")).await.unwrap());
    epochs.push(store.lift_safe_mode(SafeModeScope::Everything, changed("evt_8")).await.unwrap());
    epochs.push(store.quarantine("crm".parse().unwrap(), vec![], changed("evt_9")).await.unwrap());
    assert_eq!(epochs, (1..=9).collect::<Vec<u64>>());
    store.append(entry(EventKind::Alert, "evt_10"), vec![]).await.unwrap();
    assert_eq!(store.load().await.unwrap().epoch, 9, "evidence alone is no change");
}

/// What was acknowledged is there after a restart, and the chain goes on.
pub async fn the_state_survives_a_restart(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.register_agent(agent("bot"), changed("evt_1")).await.unwrap();
    store.publish_bundle(bundle("one", 1), changed("evt_2")).await.unwrap();
    drop(store);
    let store = bench.open(2).await;
    let state = store.load().await.unwrap();
    assert_eq!((state.epoch, state.agents), (2, vec![agent("bot")]));
    assert_eq!(state.bundle, Some(bundle("one", 1)));
    let receipt = store.append(entry(EventKind::Replica, "evt_3"), vec![]).await.unwrap();
    assert_eq!(receipt.sequence, 2);
}
