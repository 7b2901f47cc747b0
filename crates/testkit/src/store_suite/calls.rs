//! Intents and what they settle, outcomes, tokens, forgetting.

use std::{collections::BTreeMap, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::AgentStatus,
    decision::BudgetDraw,
    observation::{Observation, ObservationScope, WouldBe},
    safe_mode::SafeModeScope,
    task::TaskStatus,
};
use bailiwick_ports::store::{
    Conclusion, Intent, ObservationRow, ObservedCalls, SafeModeRow, State, Store, StoreError,
};
use futures::future::join_all;

use super::{Bench, fixtures::*};

fn draw(amount: u64, amount_max: u64) -> BudgetDraw {
    let (budget, window_start_s) = ("agent:bot/writes".to_owned(), START_S);
    BudgetDraw { budget, window_start_s, window_s: 3_600, amount, amount_max }
}

/// An agent with an open task, and an intent that settles one of everything.
async fn prepared(store: &dyn Store) -> Intent {
    store.register_agent(agent("bot"), changed("evt_1")).await.unwrap();
    store.create_task(task(1, "bot"), Vec::new(), changed("evt_2")).await.unwrap();
    let mut intent = intent("eval_1", &store.load().await.unwrap());
    intent.spent = vec![spent("a", 60), spent("b", 60)];
    intent.budgets = vec![draw(2, 5)];
    intent.facts = vec![fact("bot", "read:pii", 600)];
    intent.relied_on.agents = BTreeMap::from([("bot".parse().unwrap(), 1)]);
    intent.relied_on.task = Some(task(1, "bot").id);
    intent.relied_on.facts = Some((initiating("bot"), 0));
    intent
}

/// Whatever refuses an intent, nothing of it stays: neither evidence nor what it would have settled.
pub async fn a_refused_intent_changes_nothing(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let good = prepared(&*store).await;
    store.append(entry(EventKind::Alert, "evt_3"), vec![spent("used", 60)]).await.unwrap();
    type Spoil = fn(&mut Intent);
    let cases: [(&str, Spoil); 9] = [
        ("a used identifier", |i| i.spent.push(spent("used", 60))),
        ("the same identifier twice", |i| i.spent.push(spent("a", 60))),
        ("a budget overrun at once", |i| i.budgets.push(draw(6, 5))),
        ("a budget overrun by the second draw", |i| i.budgets.push(draw(4, 5))),
        ("an agent of another version", |i| {
            i.relied_on.agents.insert("bot".parse().unwrap(), 2);
        }),
        ("an unknown agent", |i| {
            i.relied_on.agents.insert("nobody".parse().unwrap(), 1);
        }),
        ("an unknown task", |i| i.relied_on.task = Some(task(9, "bot").id)),
        ("other facts", |i| i.relied_on.facts = Some((initiating("bot"), 1))),
        ("an epoch that never was", |i| i.relied_on.epoch = 99),
    ];
    for (what, spoil) in cases {
        let mut bad = good.clone();
        spoil(&mut bad);
        let error = store.commit_intent(bad).await.expect_err(what);
        let expected = match what {
            "a used identifier" | "the same identifier twice" => matches!(error, StoreError::Replayed),
            "a budget overrun at once" | "a budget overrun by the second draw" => {
                matches!(&error, StoreError::BudgetUsedUp { budget, until_s }
                    if budget == "agent:bot/writes" && *until_s == START_S + 3_600)
            }
            _ => matches!(error, StoreError::Conflict(_)),
        };
        assert!(expected, "{what}: {error}");
    }
    assert_eq!(count(&*store).await, 3);
    assert_eq!(store.budget_used("agent:bot/writes", START_S).await.unwrap(), 0);
    assert_eq!(store.load().await.unwrap().facts, []);
    assert_eq!(store.commit_intent(good.clone()).await.unwrap().sequence, 3, "nothing of it was used up");
    assert_eq!(store.budget_used("agent:bot/writes", START_S).await.unwrap(), 2);
    assert_eq!(store.load().await.unwrap().facts, good.facts);
    assert!(matches!(store.commit_intent(good).await, Err(StoreError::Replayed)));
    assert_eq!(count(&*store).await, 4);
}

/// Each change of what a decision relied on, made between decision and commit, is a conflict.
pub async fn an_intent_relies_on_what_was_seen(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let mut seen = prepared(&*store).await;
    let mut suspended = agent("bot");
    (suspended.version, suspended.status) = (2, AgentStatus::Suspended { at: at(1), reason: "odd".into() });
    store.change_agent(suspended, None, changed("evt_3")).await.unwrap();
    assert!(matches!(store.commit_intent(seen.clone()).await, Err(StoreError::Conflict(name)) if name == "bot"));
    seen.relied_on.agents = BTreeMap::from([("bot".parse().unwrap(), 2)]);

    let mut late = seen.clone();
    late.entry.event.at = task(1, "bot").expires_at;
    assert!(matches!(store.commit_intent(late).await, Err(StoreError::Conflict(_))), "the task is past its end");
    let mut ended = task(1, "bot");
    ended.status = TaskStatus::Ended { at: at(1), reason: "done".into() };
    store.end_task(ended, None, changed("evt_4")).await.unwrap();
    assert!(matches!(store.commit_intent(seen.clone()).await, Err(StoreError::Conflict(_))), "the task was ended");
    seen.relied_on.task = None;

    let mode = SafeModeRow { scope: SafeModeScope::Everything, reason: "drill".into(), since: at(1) };
    store.enter_safe_mode(mode, changed("evt_5")).await.unwrap();
    assert!(matches!(store.commit_intent(seen.clone()).await, Err(StoreError::Conflict(_))), "safe mode went on");
    store.lift_safe_mode(SafeModeScope::Everything, changed("evt_6")).await.unwrap();
    store.publish_bundle(bundle("one", 1), changed("evt_7")).await.unwrap();
    assert!(matches!(store.commit_intent(seen.clone()).await, Err(StoreError::Conflict(_))), "another bundle");
    seen.relied_on.epoch = store.load().await.unwrap().epoch;
    store.quarantine("crm".parse().unwrap(), vec![], changed("evt_8")).await.unwrap();
    assert!(matches!(store.commit_intent(seen.clone()).await, Err(StoreError::Conflict(_))), "definitions changed");
    seen.relied_on.epoch = store.load().await.unwrap().epoch;
    store.commit_intent(seen.clone()).await.unwrap();

    // The first call made a fact that the second one did not see.
    let mut second = seen.clone();
    second.entry.event.id = "eval_2".into();
    second.spent.clear();
    assert!(matches!(store.commit_intent(second.clone()).await, Err(StoreError::Conflict(_))), "another fact");
    second.relied_on.facts = Some((initiating("bot"), 1));
    store.commit_intent(second).await.unwrap();
}

/// An observed call needs its observation to be on in the moment of its commit, and is counted by it.
pub async fn an_observed_intent_needs_its_observation(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let changed = |id| entry(EventKind::ObservationChanged, id);
    let scope: ObservationScope = "system:crm".parse().unwrap();
    let observed = |id: &str, second: i64, would_be, state: &State| {
        let mut call = intent(id, state);
        call.entry.event.at = at(second);
        call.observed.insert(scope.clone(), would_be);
        call
    };
    let state = store.load().await.unwrap();
    let early = store.commit_intent(observed("eval_0", 5, WouldBe::Denied, &state)).await;
    assert!(matches!(early, Err(StoreError::Conflict(name)) if name == "system:crm"), "nobody turned it on");
    let row = ObservationRow {
        observation: Observation { scope: scope.clone(), production: false },
        reason: "trial".into(),
        since: at(1),
        until: at(100),
        calls: ObservedCalls::default(),
    };
    store.start_observation(row, changed("evt_1")).await.unwrap();
    let state = store.load().await.unwrap();
    let kinds = [WouldBe::Denied, WouldBe::Denied, WouldBe::Asked, WouldBe::Allowed];
    for (number, kind) in kinds.into_iter().enumerate() {
        store.commit_intent(observed(&format!("eval_{number}"), 99, kind, &state)).await.unwrap();
    }
    let late = store.commit_intent(observed("eval_9", 100, WouldBe::Denied, &state)).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "its end has come");
    let counted = ObservedCalls { would_allow: 1, would_ask: 1, would_deny: 2 };
    assert_eq!(store.observations().await.unwrap()[0].calls, counted);
    store.end_observation(scope.clone(), changed("evt_2")).await.unwrap();
    let state = store.load().await.unwrap();
    let after = store.commit_intent(observed("eval_9", 50, WouldBe::Denied, &state)).await;
    assert!(matches!(after, Err(StoreError::Conflict(_))), "it was ended");
    assert_eq!(count(&*store).await, 6);
}

/// Other agents and tasks may come and go.
pub async fn an_intent_conflicts_only_with_what_it_relied_on(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let seen = prepared(&*store).await;
    store.register_agent(agent("other"), changed("evt_3")).await.unwrap();
    store.create_task(task(2, "bot"), Vec::new(), changed("evt_4")).await.unwrap();
    store.commit_intent(seen).await.unwrap();
}

/// One identifier authenticates one thing, whichever comes first.
pub async fn identifiers_are_used_up_once(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.register_agent(agent("bot"), changed("evt_1")).await.unwrap();
    let state = store.load().await.unwrap();
    let attempts = (0..20).map(|number| {
        let (store, state) = (Arc::clone(&store), state.clone());
        async move {
            let (id, jti) = (format!("eval_{number}"), vec![spent("same", 60)]);
            match number % 4 {
                0 => store.append(entry(EventKind::Denial, &id), jti).await.map(|_| ()),
                1 => {
                    let intent = Intent { spent: jti, ..intent(&id, &state) };
                    store.commit_intent(intent).await.map(|_| ())
                }
                2 => store.use_up(jti).await,
                _ => {
                    let issued = entry(EventKind::TokenIssued, &id);
                    store.issue_token(token(number, "bot", 0), jti, issued).await.map(|_| ())
                }
            }
        }
    });
    let results = join_all(attempts).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(StoreError::Replayed))));
    // The same identifier of another key is another one.
    let mut other = spent("same", 60);
    other.scope = "dpop:key-2".into();
    store.append(entry(EventKind::Alert, "evt_2"), vec![other]).await.unwrap();
}

/// A cap of ten lets ten through, however many ask at once.
pub async fn a_budget_is_exact_under_contention(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let state = store.load().await.unwrap();
    let attempts = (0..40).map(|number| {
        let (store, state) = (Arc::clone(&store), state.clone());
        async move {
            let budgets = vec![draw(1, 10)];
            store.commit_intent(Intent { budgets, ..intent(&format!("eval_{number}"), &state) }).await
        }
    });
    let results = join_all(attempts).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(count(&*store).await, 10);
    assert_eq!(store.budget_used("agent:bot/writes", START_S).await.unwrap(), 10);
    // A larger cap, as after a change of policy, goes on from there; another window starts anew.
    let more = Intent { budgets: vec![draw(1, 11)], ..intent("eval_more", &state) };
    store.commit_intent(more).await.unwrap();
    let mut next = draw(3, 10);
    next.window_start_s += 3_600;
    store.commit_intent(Intent { budgets: vec![next], ..intent("eval_next", &state) }).await.unwrap();
    assert_eq!(store.budget_used("agent:bot/writes", START_S + 3_600).await.unwrap(), 3);
}

/// An intent has one outcome.
pub async fn an_outcome_concludes_an_open_intent_once(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let conclusion = |id: &str, intent: &str| Conclusion {
        entry: outcome(id, intent),
        facts: vec![fact("bot", &format!("completed:{id}"), 600)],
        at_once: true,
    };
    let early = store.conclude(conclusion("evt_0", "eval_1")).await;
    assert!(matches!(early, Err(StoreError::Missing(id)) if id == "eval_1"));
    store.commit_intent(intent("eval_1", &store.load().await.unwrap())).await.unwrap();
    let twice = store.commit_intent(intent("eval_1", &store.load().await.unwrap())).await;
    assert!(matches!(twice, Err(StoreError::Exists(id)) if id == "eval_1"));
    store.conclude(conclusion("evt_1", "eval_1")).await.unwrap();
    assert!(matches!(store.conclude(conclusion("evt_2", "eval_1")).await, Err(StoreError::Missing(_))));
    assert_eq!(store.load().await.unwrap().facts, [fact("bot", "completed:evt_1", 600)]);
    assert_eq!(count(&*store).await, 2);
}

/// After a crash, what was cut short is known.
pub async fn open_intents_are_those_of_earlier_runs(bench: &dyn Bench) {
    let store = bench.open(1).await;
    for id in ["eval_1", "eval_2", "eval_3"] {
        store.commit_intent(intent(id, &store.load().await.unwrap())).await.unwrap();
    }
    store.conclude(Conclusion { entry: outcome("evt_1", "eval_2"), facts: vec![], at_once: true }).await.unwrap();
    assert_eq!(store.open_intents().await.unwrap(), Vec::<String>::new(), "this run's calls still run");
    drop(store);
    let store = bench.open(2).await;
    store.commit_intent(intent("eval_4", &store.load().await.unwrap())).await.unwrap();
    assert_eq!(store.open_intents().await.unwrap(), ["eval_1", "eval_3"]);
    for id in store.open_intents().await.unwrap() {
        store
            .conclude(Conclusion { entry: outcome(&format!("evt_{id}"), &id), facts: vec![], at_once: true })
            .await
            .unwrap();
    }
    assert_eq!(store.open_intents().await.unwrap(), Vec::<String>::new());
}

/// The last use is kept to the minute and never goes back; a key that was taken away gets nothing.
pub async fn a_token_notes_the_last_use_of_its_credential(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let issued = |id: &str| entry(EventKind::TokenIssued, id);
    store.register_agent(agent("bot"), changed("evt_1")).await.unwrap();
    let minute = |seconds: i64| at(seconds - at(seconds).as_second() % 60);
    for (number, seconds, expected) in [(1, 125, 125), (2, 130, 130), (3, 10, 130)] {
        store.issue_token(token(number, "bot", seconds), vec![], issued("evt_t")).await.unwrap();
        let agents = store.load().await.unwrap().agents;
        assert_eq!(agents[0].credentials[0].last_used_at, Some(minute(expected)), "{number}");
        assert_eq!((agents[0].credentials[1].last_used_at, agents[0].version), (None, 1));
    }
    let first = token(1, "bot", 125);
    assert_eq!(store.token_credential(first.id).await.unwrap(), Some(first.credential));
    assert_eq!(store.token_credential(token(77, "bot", 1).id).await.unwrap(), None);
    let twice = store.issue_token(token(1, "bot", 1), vec![], issued("evt_x")).await;
    assert!(matches!(twice, Err(StoreError::Exists(_))));
    let mut foreign = token(9, "bot", 0);
    foreign.credential = credential("key-of-nobody").authenticator.id();
    let refused = store.issue_token(foreign, vec![spent("a", 60)], issued("evt_x")).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    store.issue_token(token(9, "bot", 0), vec![spent("a", 60)], issued("evt_t")).await.unwrap();
    assert_eq!(count(&*store).await, 5);
}

/// Nothing that expires stays for good, and nothing goes before its time.
pub async fn what_expired_is_forgotten(bench: &dyn Bench) {
    let store = bench.open(1).await;
    let mut all = intent("eval_1", &store.load().await.unwrap());
    all.spent = (0..50).map(|number| spent(&number.to_string(), 60)).collect();
    all.budgets = vec![draw(1, 5)];
    all.facts = vec![fact("bot", "read:pii", 60), fact("bot", "read:hr", 7_200)];
    store.commit_intent(all.clone()).await.unwrap();
    store.append(entry_at(EventKind::Alert, "evt_1", at(59)), vec![]).await.unwrap();
    let early = store.append(entry(EventKind::Alert, "evt_x"), vec![spent("49", 60)]).await;
    assert!(matches!(early, Err(StoreError::Replayed)));
    assert_eq!(store.load().await.unwrap().facts.len(), 2);
    // A window that was extended lasts to its later end.
    let longer =
        Conclusion { entry: outcome("evt_2", "eval_1"), facts: vec![fact("bot", "read:hr", 60)], at_once: true };
    store.conclude(longer).await.unwrap();
    for number in 0..8 {
        store.append(entry_at(EventKind::Alert, &format!("evt_{number}"), at(3_600)), vec![]).await.unwrap();
    }
    let spent = all.spent.clone();
    store.append(entry_at(EventKind::Alert, "evt_9", at(3_600)), spent).await.unwrap();
    assert_eq!(store.load().await.unwrap().facts, [fact("bot", "read:hr", 7_200)]);
    assert_eq!(store.budget_used("agent:bot/writes", START_S).await.unwrap(), 0);
}

/// A clock that was wrong once must not switch the memory of replays off.
pub async fn a_clock_that_jumped_forgets_no_longer_than_it_is_wrong(bench: &dyn Bench) {
    let store = bench.open(1).await;
    store.append(entry_at(EventKind::Alert, "evt_1", at(1_000_000)), vec![]).await.unwrap();
    store.append(entry(EventKind::Alert, "evt_2"), vec![spent("a", 60)]).await.unwrap();
    store.append(entry(EventKind::Alert, "evt_3"), vec![]).await.unwrap();
    let replayed = store.append(entry(EventKind::Alert, "evt_4"), vec![spent("a", 60)]).await;
    assert!(matches!(replayed, Err(StoreError::Replayed)));
}
