//! Suggestions keep their word: over stories that a person can read, and over generated corpora.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    agent::Environment,
    bundle::BundleFiles,
    decision::Decision,
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::{EvaluationId, TaskId},
    name::RoleName,
    observation::Observation,
    principal::Principal,
    task::ToolGrant,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Mark, NoSuggestion, Question, Seen, Suggestion, VALUES_MAX, for_denial, permit::canonical, suggest};
use crate::{coaz::Claims, mapping::Call, scenario, snapshot::Snapshot};

const WORLD: &str = r#"
title = "what support does"
[systems.crm.tools.find]
class = "read"
input = { query = "string", limit = "integer?" }
[systems.crm.tools.erase]
class = "delete"
input = { id = "string" }
[systems.files.tools.read]
class = "read"
input = { path = "string" }
normalise = { path = "path" }
[systems.mail.tools.send]
class = "write"
tags = ["egress"]
input = { to = "string[]", text = "string" }
[systems.billing.tools.refund]
class = "write"
input = { cents = "integer", fast = "boolean" }
[systems.billing.tools.show]
class = "read"
input = { id = "string" }
[roles.support]
purpose = "Answer customers"
allow = ["crm:read", "files:read", "mail:write", "billing.refund"]
out_of_scope = ["crm.erase"]
[policies]
organisation = '''
@id("no-mail-to-evil")
forbid (principal, action == Bailiwick::Action::"mail.send", resource)
when { context.input.to.contains("eve@evil.example") };
@id("everybody-shows-bills")
permit (principal is Bailiwick::Agent, action == Bailiwick::Action::"billing.show", resource);
'''
[[calls]]
call = "crm.find"
expect = "allow"
"#;

fn world() -> BundleFiles {
    scenario::bundle("world.toml", WORLD.as_bytes()).unwrap()
}

fn role() -> RoleName {
    "support".parse().unwrap()
}

/// A call as evidence has it, number `id`; `None` if mapping refuses it.
fn evaluation(snapshot: &Snapshot, id: u64, action: &str, arguments: &Value) -> Option<Evaluation> {
    let (system, tool) = action.split_once('.')?;
    let system = system.parse().unwrap();
    let arguments = arguments.as_object()?.clone();
    let call = Call { system: &system, method: "tools/call", name: Some(tool), arguments: &arguments };
    let operations = snapshot.map(&call).ok()?;
    Some(Evaluation {
        id: EvaluationId::new(id, [0; 10]),
        now: "2026-06-15T10:00:00Z".parse().unwrap(),
        parties: vec![Party {
            principal: Principal::Agent("support-bot".parse().unwrap()),
            owner: "team".to_owned(),
            environment: Some(Environment::Production),
            role: Some(role()),
            groups: BTreeSet::new(),
            promoted: true,
            task_required: false,
        }],
        authority: Authority {
            scopes: snapshot.required_scopes(&operations).into_iter().collect(),
            details: None,
            safe_modes: BTreeSet::new(),
            observations: BTreeSet::new(),
            authentication: None,
        },
        operations,
        arguments: arguments.into_iter().collect(),
        network_zone: "unknown".to_owned(),
        task: TaskContext { id: None, tools: None, self_made: false, facts: BTreeSet::new() },
        approvals: BTreeSet::new(),
    })
}

fn seen(snapshot: &Snapshot, calls: &[(&str, Value, Mark)]) -> Vec<Seen> {
    let one = |(id, (action, arguments, mark)): (u64, &(&str, Value, Mark))| {
        let evaluation = evaluation(snapshot, id, action, arguments).unwrap();
        Seen { evaluation, mark: *mark }
    };
    (1..).zip(calls).map(one).collect()
}

fn ask(files: &BundleFiles, calls: &[Seen]) -> Result<Suggestion, NoSuggestion> {
    suggest(&Question { files, role: &role(), system: None, calls, values_max: VALUES_MAX })
}

fn after(files: &BundleFiles, changes: &BTreeMap<String, super::Change>) -> Snapshot {
    let mut all: BTreeMap<String, Vec<u8>> = files.iter().map(|(p, b)| (p.to_owned(), b.to_vec())).collect();
    all.extend(changes.iter().map(|(path, change)| (path.clone(), change.after.clone().into_bytes())));
    Snapshot::compile(&BundleFiles::new(all).unwrap()).unwrap()
}

fn allows(snapshot: &Snapshot, action: &str, arguments: &Value) -> bool {
    let evaluation = evaluation(snapshot, 0, action, arguments).unwrap();
    matches!(snapshot.evaluate(&evaluation).decision, Decision::Allow { .. })
}

#[test]
fn few_values_stay_and_many_become_a_range_or_a_folder() {
    let files = world();
    let current = Snapshot::compile(&files).unwrap();
    let mut calls: Vec<(&str, Value, Mark)> = (1..=12)
        .flat_map(|n| {
            [
                ("files.read", json!({"path": format!("/srv/orders/{n}/a.txt")}), Mark::Good),
                ("billing.refund", json!({"cents": n * 100, "fast": false}), Mark::Good),
                ("mail.send", json!({"to": ["ann@example.com"], "text": format!("Hello {n}")}), Mark::Good),
            ]
        })
        .collect();
    calls.push(("crm.find", json!({"query": "ann"}), Mark::Good));
    calls.push(("billing.show", json!({"id": "1"}), Mark::Good));
    let suggestion = ask(&files, &seen(&current, &calls)).unwrap();
    assert_eq!((suggestion.replay.good, suggestion.lines.len()), (38, 4));
    assert_eq!(suggestion.kept, BTreeMap::from([("everybody-shows-bills".to_owned(), 1)]));
    assert_eq!(suggestion.warnings, []);
    assert!(suggestion.lines.iter().all(|line| !line.widens && !line.samples.is_empty()));
    let cedar: String = suggestion.lines.iter().map(|line| line.cedar.as_str()).collect();
    for expected in [
        "// 12 calls: eval_",
        "when { context.input.path == \"/srv/orders\" || context.input.path like \"/srv/orders/*\" }",
        "when { context.input.cents >= 100 && context.input.cents <= 1200 }",
        "when { context.input.fast == false }",
        "when { context.input.to == [\"ann@example.com\"] }",
        "// `text`: free, 12 different values",
        "when { context.input.query == \"ann\" }",
        "when { !(context.input has limit) }",
    ] {
        assert!(cedar.contains(expected), "{expected}\n{cedar}");
    }
    let narrow = after(&files, &suggestion.files);
    let check = |action: &str, arguments: Value, expected: bool| {
        assert_eq!(allows(&narrow, action, &arguments), expected, "{action} {arguments}");
    };
    check("files.read", json!({"path": "/srv/orders/99/b.txt"}), true);
    check("files.read", json!({"path": "/srv/orders/../other"}), false);
    check("files.read", json!({"path": "/srv/ordersx/1"}), false);
    check("billing.refund", json!({"cents": 1201, "fast": false}), false);
    check("mail.send", json!({"to": ["ann@example.com", "bob@example.com"], "text": "x"}), false);
    check("crm.find", json!({"query": "bob"}), false);
    check("crm.find", json!({"query": "ann", "limit": 1}), false);
}

#[test]
fn a_bad_call_makes_the_permit_closer_until_it_is_denied() {
    let files = world();
    let current = Snapshot::compile(&files).unwrap();
    let mut calls: Vec<(&str, Value, Mark)> =
        (1..=12).map(|n| ("billing.refund", json!({"cents": n * 100, "fast": n > 6}), Mark::Good)).collect();
    calls.push(("billing.refund", json!({"cents": 650, "fast": true}), Mark::Bad));
    let suggestion = ask(&files, &seen(&current, &calls)).unwrap();
    assert_eq!((suggestion.lines.len(), suggestion.replay.bad), (1, 1), "exact values are enough");
    calls.push(("billing.refund", json!({"cents": 100, "fast": true}), Mark::Bad));
    let suggestion = ask(&files, &seen(&current, &calls)).unwrap();
    assert_eq!((suggestion.lines.len(), suggestion.replay.bad), (12, 2), "only whole calls tell them apart");
    calls.push(("billing.refund", json!({"cents": 200, "fast": false}), Mark::Bad));
    let error = ask(&files, &seen(&current, &calls)).unwrap_err();
    assert!(error.message.contains("look the same"), "{error}");
    let stays = [("billing.show", json!({"id": "1"}), Mark::Bad), ("crm.find", json!({"query": "a"}), Mark::Good)];
    let error = ask(&files, &seen(&current, &stays)).unwrap_err();
    assert!(error.message.contains("`everybody-shows-bills` permits it"), "{error}");
}

#[test]
fn what_policy_denies_widens_only_by_a_mark_exactly_and_never_past_a_forbid() {
    let files = world();
    let current = Snapshot::compile(&files).unwrap();
    let calls = [
        ("crm.find", json!({"query": "ann"}), Mark::Good),
        ("crm.erase", json!({"id": "7"}), Mark::Good),
        ("mail.send", json!({"to": ["eve@evil.example"], "text": "x"}), Mark::Good),
    ];
    let suggestion = ask(&files, &seen(&current, &calls)).unwrap();
    assert_eq!((suggestion.lines.len(), suggestion.replay.good), (1, 1));
    let beyond: Vec<&str> = suggestion.beyond.iter().flat_map(|b| &b.because).map(String::as_str).collect();
    assert!(beyond.contains(&"forbidden: role:support:out-of-scope"), "{beyond:?}");
    assert!(beyond.contains(&"forbidden: no-mail-to-evil"), "{beyond:?}");
    let narrow = after(&files, &suggestion.files);
    assert!(!allows(&narrow, "mail.send", &json!({"to": ["ann@example.com"], "text": "x"})), "nobody sent mail");
    let lost: Vec<&str> = suggestion.lost.iter().map(|action| action.as_str()).filter(|a| !a.contains(':')).collect();
    assert_eq!(lost, ["billing.refund", "files.read", "mail.send"]);
    // The role that is left is what the next call is denied by: the same call, marked, comes back and nothing else.
    let mut less: BTreeMap<String, Vec<u8>> = files.iter().map(|(p, b)| (p.to_owned(), b.to_vec())).collect();
    less.extend(suggestion.files.iter().map(|(path, change)| (path.clone(), change.after.clone().into_bytes())));
    let less = BundleFiles::new(less).unwrap();
    let wanted = [("files.read", json!({"path": "/srv/a"}), Mark::Good)];
    // It went through under observation, which says nothing of what policy allows.
    let mut wanted = seen(&narrow, &wanted);
    let observation = Observation { scope: "agent:support-bot".parse().unwrap(), production: true };
    wanted[0].evaluation.authority.observations.insert(observation);
    let went_through = narrow.evaluate(&wanted[0].evaluation).decision;
    assert!(matches!(went_through, Decision::Allow { .. }), "{went_through:?}");
    let suggestion = ask(&less, &wanted).unwrap();
    assert!(suggestion.lines.iter().all(|line| line.widens && line.policy == "suggested-support-2"));
    let wider = after(&less, &suggestion.files);
    assert!(allows(&wider, "files.read", &json!({"path": "/srv/a"})));
    assert!(!allows(&wider, "files.read", &json!({"path": "/srv/b"})));
    assert!(allows(&wider, "crm.find", &json!({"query": "ann"})), "what was there stays");
}

#[test]
fn what_an_operator_took_away_does_not_come_back_unmarked() {
    let narrowed = WORLD.replace("\"billing.refund\"]", "\"crm.find\"]");
    let files = scenario::bundle("world.toml", narrowed.as_bytes()).unwrap();
    let current = Snapshot::compile(&files).unwrap();
    let refund = |cents: i64| json!({"cents": cents, "fast": false});
    let mut calls = vec![
        ("crm.find", json!({"query": "ann"}), Mark::Allowed),
        ("billing.refund", refund(100), Mark::Allowed),
        ("billing.refund", refund(200), Mark::Allowed),
    ];
    let suggestion = ask(&files, &seen(&current, &calls)).unwrap();
    assert!(suggestion.lines.iter().all(|line| !line.widens), "{:#?}", suggestion.lines);
    assert_eq!((suggestion.replay.good, suggestion.beyond.len()), (1, 2));
    assert_eq!(suggestion.beyond[0].because, ["no_permit: denied by now; mark it good to widen"]);
    assert!(!allows(&after(&files, &suggestion.files), "billing.refund", &refund(100)));
    calls[2].2 = Mark::Good;
    let suggestion = ask(&files, &seen(&current, &calls)).unwrap();
    let wider = after(&files, &suggestion.files);
    assert!(allows(&wider, "billing.refund", &refund(200)) && !allows(&wider, "billing.refund", &refund(100)));
}

#[test]
fn what_widens_allows_no_mixture_of_marked_calls() {
    let narrowed = WORLD.replace("\"mail:write\", ", "");
    let files = scenario::bundle("world.toml", narrowed.as_bytes()).unwrap();
    let current = Snapshot::compile(&files).unwrap();
    let mail = |to: &str, text: &str| json!({"to": [to], "text": text});
    let long = |begin: &str| format!("{begin}{}", "x".repeat(600));
    let marked = [
        mail("ann@example.com", "Your key is 1"),
        mail("bob@example.com", "Your key is 2"),
        mail("ann@example.com", &long("Dear Ann")),
        mail("bob@example.com", &long("Dear Bob")),
    ];
    let calls: Vec<_> = marked.iter().map(|arguments| ("mail.send", arguments.clone(), Mark::Good)).collect();
    let suggestion = ask(&files, &seen(&current, &calls)).unwrap();
    assert_eq!(suggestion.lines.len(), 4);
    let wider = after(&files, &suggestion.files);
    for arguments in &marked {
        assert!(allows(&wider, "mail.send", arguments), "{arguments}");
    }
    for mixture in [
        mail("ann@example.com", "Your key is 2"),
        mail("bob@example.com", "Your key is 1"),
        mail("bob@example.com", &long("Dear Ann")),
        mail("ann@example.com", "Something else"),
    ] {
        assert!(!allows(&wider, "mail.send", &mixture), "{mixture}");
    }
}

#[test]
fn calls_that_ask_for_others_are_refused_by_name() {
    let mapped = "[systems.files.tools.copy]\nclass = \"write\"\ninput = { from = \"string\", to = \"string\" }\n\
        [systems.files.tools.copy.authzen.evaluation]\naction = { name = \"files.read\" }\n\
        resource = { type = \"tool\", id = \"files.read\" }\n\
        context = { arguments = { path = \"$params.arguments.from\" } }\n[systems.mail.tools.send]";
    let world =
        WORLD.replace("[systems.mail.tools.send]", mapped).replace("\"files:read\"", "\"files:read\", \"files.copy\"");
    let files = scenario::bundle("world.toml", world.as_bytes()).unwrap();
    let current = Snapshot::compile(&files).unwrap();
    let agent = Principal::Agent("support-bot".parse().unwrap());
    let mut copy = evaluation(&current, 1, "files.copy", &json!({"from": "/srv/a", "to": "/srv/b"})).unwrap();
    let arguments = json!({"from": "/srv/a", "to": "/srv/b"});
    let system = "files".parse().unwrap();
    let arguments = arguments.as_object().unwrap();
    let call = Call { system: &system, method: "tools/call", name: Some("copy"), arguments };
    copy.operations = current.map_for(&call, &Claims::of("https://broker.test", &agent, &agent)).unwrap();
    copy.authority.scopes = current.required_scopes(&copy.operations).into_iter().collect();
    let actions: Vec<&str> = copy.operations.iter().map(|operation| operation.action.as_str()).collect();
    assert_eq!(actions, ["files.copy", "files.read"]);
    let refused =
        |none: NoSuggestion| assert!(none.message.starts_with("`files.copy` asks for other actions"), "{none}");
    let calls = [Seen { evaluation: copy.clone(), mark: Mark::Allowed }];
    refused(ask(&files, &calls).unwrap_err());
    // Where it is denied, a grant is not made of half of it either.
    let less = WORLD.replace("[systems.mail.tools.send]", mapped);
    let files = scenario::bundle("world.toml", less.as_bytes()).unwrap();
    refused(for_denial(&files, &copy).unwrap_err());
    // Permitted by hand, it stands in nobody's way.
    let by_hand = "organisation = '''\n@id(\"copies\") permit (principal in Bailiwick::Role::\"support\", action in \
        [Bailiwick::Action::\"files.copy\", Bailiwick::Action::\"files.read\"], resource);";
    let files = scenario::bundle("world.toml", world.replace("organisation = '''", by_hand).as_bytes()).unwrap();
    let suggestion = ask(&files, &calls).unwrap();
    assert_eq!(suggestion.kept, BTreeMap::from([(String::from("copies"), 1)]));
}

#[test]
fn tasks_that_were_seen_become_a_kind_of_task() {
    let files = world();
    let current = Snapshot::compile(&files).unwrap();
    let mut calls = Vec::new();
    for (task, who) in [(1_u64, "ann"), (2, "bob"), (3, "eva")] {
        let steps = [
            ("crm.find", json!({"query": who})),
            ("files.read", json!({"path": format!("/srv/{who}/a.txt")})),
            ("mail.send", json!({"to": [format!("{who}@example.com")], "text": "Hello"})),
            ("mail.send", json!({"to": [format!("{who}@example.com")], "text": format!("Dear {who}")})),
        ];
        for (step, (action, arguments)) in (0..).zip(steps) {
            let mut evaluation = evaluation(&current, task * 10 + step, action, &arguments).unwrap();
            evaluation.task.id = Some(TaskId::new(task, [0; 10]));
            let grant = |action: &str| ToolGrant { action: action.parse().unwrap(), pins: BTreeMap::new() };
            evaluation.task.tools = Some(["crm.find", "files.read", "mail.send"].map(grant).to_vec());
            calls.push(Seen { evaluation, mark: Mark::Good });
        }
    }
    let suggestion = ask(&files, &calls).unwrap();
    assert_eq!(suggestion.templates.len(), 1, "{suggestion:#?}");
    let text = &suggestion.files["templates/support-task-1.toml"].after;
    for expected in
        ["roles = [\"support\"]", "pins.query = { one_of = \"$query\" }", "pins.path = { one_of = \"$path\" }"]
    {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let snapshot = after(&files, &suggestion.files);
    let template = snapshot.template(&"support-task-1".parse().unwrap()).unwrap();
    assert_eq!(template.tools.len(), 3);
}

#[test]
fn a_denial_becomes_a_permit_of_exactly_that_call_or_nothing() {
    let files = world();
    let current = Snapshot::compile(&files).unwrap();
    let of = |action: &str, arguments: Value| evaluation(&current, 9, action, &arguments).unwrap();
    let forbidden = for_denial(&files, &of("crm.erase", json!({"id": "7"}))).unwrap();
    assert!(forbidden.files.is_empty() && forbidden.then.is_none() && !forbidden.stands.is_empty());
    let allowed = for_denial(&files, &of("crm.find", json!({"query": "a"}))).unwrap_err();
    assert!(allowed.message.contains("allows this call by now"));

    let mut less: BTreeMap<String, Vec<u8>> = files.iter().map(|(p, b)| (p.to_owned(), b.to_vec())).collect();
    less.insert("roles/support.toml".to_owned(), b"purpose = \"Answer customers\"\nallow = [\"crm:read\"]\n".to_vec());
    let less = BundleFiles::new(less).unwrap();
    let missing = for_denial(&less, &of("billing.refund", json!({"cents": 5, "fast": true}))).unwrap();
    assert!(matches!(missing.then, Some(Decision::Allow { .. })), "{missing:#?}");
    assert!(missing.lines[0].cedar.contains("principal == Bailiwick::Agent::\"support-bot\""));
    let wider = after(&less, &missing.files);
    assert!(allows(&wider, "billing.refund", &json!({"cents": 5, "fast": true})));
    assert!(!allows(&wider, "billing.refund", &json!({"cents": 6, "fast": true})));

    let mut in_task = of("mail.send", json!({"to": ["ann@example.com"], "text": "x"}));
    in_task.task = TaskContext {
        id: Some(TaskId::new(1, [0; 10])),
        tools: Some(Vec::new()),
        self_made: false,
        facts: BTreeSet::new(),
    };
    let task = for_denial(&files, &in_task).unwrap();
    let tools = serde_json::to_value(&task.task.unwrap().tools).unwrap();
    let pins = json!({"to": {"one_of": ["ann@example.com"]}, "text": {"one_of": ["x"]}});
    assert_eq!(tools, json!([{"action": "mail.send", "pins": pins}]));
    assert!(task.files.is_empty() && matches!(task.then, Some(Decision::Allow { .. })));
}

#[test]
fn what_an_upstream_named_cannot_write_policy() {
    let world = WORLD.replace(
        "[systems.crm.tools.erase]",
        "[systems.crm.tools.odd]\nclass = \"read\"\nschema_note = 1\n[systems.crm.tools.erase]",
    );
    let world = world.replace(
        "schema_note = 1",
        "input = { \"a\\n@id(\\\"x\\\") permit (principal, action, resource); //\" = \"string\" }",
    );
    let files = scenario::bundle("world.toml", world.as_bytes()).unwrap();
    let current = Snapshot::compile(&files).unwrap();
    let calls =
        [("crm.odd", json!({"a\n@id(\"x\") permit (principal, action, resource); //": "\"; } */ *"}), Mark::Good)];
    let suggestion = ask(&files, &seen(&current, &calls)).unwrap();
    let narrow = after(&files, &suggestion.files);
    assert!(narrow.policy_source(&"x".parse().unwrap()).is_none());
    assert!(!allows(&narrow, "crm.find", &json!({"query": "a"})));
}

/// A call of a small world: few enough values that good, bad and probes meet.
fn any_call() -> impl Strategy<Value = (&'static str, Value)> {
    let word =
        prop::sample::select(vec!["a", "b", "*", "\"", "é", "/srv/a/1", "/srv/a/2", "/srv/b/3", "/srv/c*/4", "/"]);
    let number = prop::sample::select(vec![-3_i64, 0, 1, 2, 5, 8, 13, 21, 34, 55, 89]);
    prop_oneof![
        (word.clone(), prop::option::of(number.clone())).prop_map(|(query, limit)| (
            "crm.find",
            limit.map_or(json!({"query": query}), |n| json!({"query": query, "limit": n}))
        )),
        word.clone().prop_map(|path| ("files.read", json!({"path": format!("/x{}", path.trim_start_matches('/'))}))),
        word.clone().prop_map(|path| ("files.read", json!({"path": format!("/data/{path}")}))),
        (prop::collection::vec(word.clone(), 0..3), word.clone())
            .prop_map(|(to, text)| ("mail.send", json!({"to": to, "text": text}))),
        (number, any::<bool>()).prop_map(|(cents, fast)| ("billing.refund", json!({"cents": cents, "fast": fast}))),
        word.clone().prop_map(|id| ("billing.show", json!({"id": id}))),
        word.prop_map(|id| ("crm.erase", json!({"id": id}))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn a_suggestion_allows_every_good_call_no_bad_one_and_nothing_new(
        corpus in prop::collection::vec((any_call(), prop::bool::weighted(0.15)), 1..40),
        probes in prop::collection::vec(any_call(), 60),
        values_max in 1..10_usize,
    ) {
        let files = world();
        let current = Snapshot::compile(&files).unwrap();
        let calls: Vec<Seen> = (1..).zip(&corpus).filter_map(|(id, ((action, arguments), bad))| {
            let evaluation = evaluation(&current, id, action, arguments)?;
            // What policy denies is good only by an operator's mark: another test.
            let allowed = matches!(current.evaluate(&evaluation).decision, Decision::Allow { .. });
            allowed.then_some(Seen { evaluation, mark: if *bad { Mark::Bad } else { Mark::Allowed } })
        }).collect();
        let question = Question { files: &files, role: &role(), system: None, calls: &calls, values_max };
        let suggestion = match suggest(&question) {
            Ok(suggestion) => suggestion,
            Err(none) => {
                let no_good = !calls.iter().any(|call| call.mark == Mark::Allowed);
                let bill = |call: &Seen| call.mark == Mark::Bad && call.action().unwrap().as_str() == "billing.show";
                let same = calls.iter().any(|bad| bad.mark == Mark::Bad && calls.iter().any(|good| {
                    let input = |call: &Seen| canonical(&call.evaluation.operations[0].input);
                    good.mark == Mark::Allowed && good.action() == bad.action() && input(good) == input(bad)
                }));
                prop_assert!(no_good || same || calls.iter().any(bill), "{none} {}", none.hint);
                return Ok(());
            }
        };
        let narrow = after(&files, &suggestion.files);
        for call in &calls {
            let allowed = matches!(narrow.evaluate(&call.evaluation).decision, Decision::Allow { .. });
            prop_assert_eq!(allowed, call.mark == Mark::Allowed, "{:?}", call.evaluation.arguments);
        }
        let used: BTreeSet<&str> = calls.iter().filter(|call| call.mark == Mark::Allowed).map(|call| call.action().unwrap().as_str()).collect();
        for (action, arguments) in &probes {
            if evaluation(&current, 0, action, arguments).is_none() { continue }
            let now = allows(&narrow, action, arguments);
            prop_assert!(!now || allows(&current, action, arguments), "wider: {action} {arguments}");
            prop_assert!(!now || used.contains(action) || *action == "billing.show", "unused: {action} {arguments}");
        }
        prop_assert!(suggestion.lines.iter().all(|line| !line.widens));
    }
}
