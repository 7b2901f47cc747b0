//! "Narrower" of `authorization_details` is an order, and what is narrower allows no call more: held against real decisions
//! on generated calls.

use std::collections::BTreeMap;

use bailiwick_model::{
    agent::Environment,
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::EvaluationId,
    task::{Pin, ToolGrant},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Call, scenario, snapshot::Snapshot};

const BUNDLE: &str = r#"
title = "order"
[systems.bank]
domains = ["finance"]
[systems.bank.tools.pay]
class = "write"
input = { to = "string?", amount = "integer?", path = "string?" }
[systems.bank.tools.look]
class = "read"
input = { to = "string?", amount = "integer?", path = "string?" }
[roles.clerk]
purpose = "Pay"
allow = ["bank.pay", "bank.look"]
"#;

fn snapshot() -> Snapshot {
    Snapshot::compile(&scenario::bundle("test.toml", BUNDLE.as_bytes()).unwrap()).unwrap()
}

fn pins() -> impl Strategy<Value = (String, Pin)> {
    let under = |folder: &str| Pin::Under(folder.to_owned());
    let named = |argument: &str, pin: Pin| (argument.to_owned(), pin);
    prop_oneof![
        proptest::sample::subsequence(vec![json!("a"), json!("b"), json!(7)], 1..=3)
            .prop_map(move |values| named("to", Pin::OneOf(values))),
        proptest::sample::select(vec!["/", "/data", "/data/a", "/etc"])
            .prop_map(move |folder| named("path", under(folder))),
        proptest::sample::select(vec!["/data", "/data/a", "/data/../etc"])
            .prop_map(move |path| named("path", Pin::OneOf(vec![json!(path)]))),
        (-1_i64..3).prop_map(move |most| named("amount", Pin::AtMost(most))),
        (-1_i64..3).prop_map(move |one| named("amount", Pin::OneOf(vec![json!(one)]))),
    ]
}

fn tools() -> impl Strategy<Value = Vec<ToolGrant>> {
    let tool = (proptest::bool::ANY, prop::collection::vec(pins(), 0..3)).prop_map(|(pays, pins)| ToolGrant {
        action: if pays { "bank.pay" } else { "bank.look" }.parse().unwrap(),
        pins: pins.into_iter().collect(),
    });
    prop::collection::vec(tool, 0..4)
}

/// One list, and another that is often near it: a tool more or less, a pin more or less.
fn near() -> impl Strategy<Value = (Vec<ToolGrant>, Vec<ToolGrant>)> {
    (tools(), tools(), pins(), 0_usize..4).prop_map(|(one, other, (argument, pin), how)| {
        let mut changed = one.clone();
        match how {
            0 => changed.extend(other.into_iter().take(1)),
            1 => drop(changed.pop()),
            2 => changed.iter_mut().for_each(|tool| drop(tool.pins.insert(argument.clone(), pin.clone()))),
            _ => changed.iter_mut().for_each(|tool| drop(tool.pins.pop_first())),
        }
        (one, changed)
    })
}

fn calls() -> Vec<(&'static str, Value)> {
    let mut calls = Vec::new();
    for tool in ["pay", "look"] {
        for to in [json!(null), json!("a"), json!("b"), json!("c")] {
            for (amount, path) in [(0, "/data"), (2, "/data/a/x"), (-1, "/data/../etc"), (3, "/database")] {
                let mut arguments = json!({"amount": amount, "path": path});
                if !to.is_null() {
                    arguments["to"] = to.clone();
                }
                calls.push((tool, arguments));
            }
        }
    }
    calls
}

/// Which calls the decision lets through with a token of these details.
fn allowed(snapshot: &Snapshot, details: &[ToolGrant]) -> Vec<bool> {
    let decided = |(tool, arguments): (&str, Value)| {
        let (system, arguments) = ("bank".parse().unwrap(), arguments.as_object().unwrap().clone());
        let call = Call { system: &system, method: "tools/call", name: Some(tool), arguments: &arguments };
        let operations = snapshot.map(&call).unwrap();
        let party = Party {
            principal: Principal::Agent("bot".parse().unwrap()),
            owner: "team".into(),
            environment: Some(Environment::Production),
            role: Some("clerk".parse().unwrap()),
            groups: BTreeSet::new(),
            promoted: true,
            task_required: false,
        };
        let evaluation = Evaluation {
            id: EvaluationId::new(0, [0; 10]),
            now: "2026-06-15T10:00:00Z".parse().unwrap(),
            parties: vec![party],
            authority: Authority {
                scopes: snapshot.required_scopes(&operations).into_iter().collect(),
                details: Some(details.to_vec()),
                safe_modes: BTreeSet::new(),
                observations: BTreeSet::new(),
                authentication: None,
            },
            operations,
            arguments: BTreeMap::from_iter(arguments.clone()),
            network_zone: "office".into(),
            task: TaskContext { id: None, tools: None, self_made: false, facts: BTreeSet::new() },
            approvals: BTreeSet::new(),
        };
        matches!(snapshot.evaluate(&evaluation).decision, bailiwick_model::decision::Decision::Allow { .. })
    };
    calls().into_iter().map(decided).collect()
}

fn within(one: &[ToolGrant], other: &[ToolGrant]) -> bool {
    tools_within(Some(one), Some(other))
}

#[test]
fn what_is_narrower_allows_no_call_more_and_narrower_is_an_order() {
    let (snapshot, mut runner) = (snapshot(), proptest::test_runner::TestRunner::deterministic());
    let (mut narrower, mut open) = (0, 0);
    for _ in 0..250 {
        let mut tree = || near().new_tree(&mut runner).unwrap().current();
        let ((a, b), (c, _)) = (tree(), tree());
        let of = |list: &[ToolGrant]| allowed(&snapshot, list);
        for one in [&a, &b, &c] {
            assert!(within(one, one), "reflexive: {one:#?}");
            assert!(tools_within(Some(one), None) && !tools_within(None, Some(one)), "no list is the widest");
        }
        for (one, other) in [(&a, &b), (&b, &a), (&a, &c), (&c, &b)] {
            if !within(one, other) {
                continue;
            }
            let (less, more) = (of(one), of(other));
            assert!(less.iter().zip(&more).all(|(less, more)| *more || !less), "{one:#?} allows more than {other:#?}");
            assert!(!within(other, one) || less == more, "those within each other allow the same");
            narrower += 1;
            open += usize::from(less.contains(&true));
        }
        for [one, two, three] in [[&a, &b, &c], [&c, &a, &b], [&b, &a, &c]] {
            assert!(!(within(one, two) && within(two, three)) || within(one, three), "transitive");
        }
    }
    assert!(narrower > 200 && open > 100, "{narrower} comparisons held, {open} of which let a call through");
}

use proptest::strategy::ValueTree as _;
