//! The three silent ways in which Cedar alone fails open, each with the proof
//! that it does; and the totality of the decision.

use std::collections::BTreeSet;

use bailiwick_model::{
    agent::Environment,
    decision::{Decision, ReasonCode},
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::EvaluationId,
    operation::{Operation, Resource},
    principal::Principal,
    value::Value,
};
use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request};

use crate::{Call, scenario, snapshot::Snapshot};

pub(super) fn snapshot(text: &str) -> Snapshot {
    let bundle = scenario::bundle("test.toml", text.as_bytes()).unwrap();
    Snapshot::compile(&bundle).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

pub(super) fn party(name: &str, role: &str) -> Party {
    Party {
        principal: Principal::Agent(name.parse().unwrap()),
        owner: "team".into(),
        environment: Some(Environment::Production),
        role: Some(role.parse().unwrap()),
        groups: BTreeSet::new(),
        promoted: true,
        task_required: false,
    }
}

pub(super) fn call(snapshot: &Snapshot, tool: &str, arguments: serde_json::Value) -> Vec<Operation> {
    let (system, name) = tool.split_once('.').unwrap();
    let system = system.parse().unwrap();
    let arguments = arguments.as_object().unwrap().clone();
    snapshot.map(&Call { system: &system, method: "tools/call", name: Some(name), arguments: &arguments }).unwrap()
}

pub(super) fn evaluation(snapshot: &Snapshot, party: Party, operations: Vec<Operation>) -> Evaluation {
    Evaluation {
        id: EvaluationId::new(0, [0; 10]),
        now: "2026-06-15T10:00:00Z".parse().unwrap(),
        parties: vec![party],
        authority: Authority {
            scopes: snapshot.required_scopes(&operations).into_iter().collect(),
            details: None,
            safe_modes: BTreeSet::new(),
            observations: BTreeSet::new(),
            authentication: None,
        },
        operations,
        arguments: std::collections::BTreeMap::new(),
        network_zone: "office".into(),
        task: TaskContext { id: None, tools: None, self_made: false, facts: BTreeSet::new() },
        approvals: BTreeSet::new(),
    }
}

fn codes(decision: &Decision) -> Vec<ReasonCode> {
    decision.reasons().iter().map(|reason| reason.code).collect()
}

/// What Cedar alone says to a policy set, an entity store and a context.
fn stock(policies: &str, entities: serde_json::Value, context: serde_json::Value) -> cedar_policy::Decision {
    let request = Request::new(
        r#"Bailiwick::Agent::"bot""#.parse().unwrap(),
        r#"Bailiwick::Action::"bank.pay""#.parse().unwrap(),
        r#"Bank::Account::"7""#.parse().unwrap(),
        Context::from_json_value(context, None).unwrap(),
        None,
    );
    let policies: PolicySet = policies.parse().unwrap();
    let entities = Entities::from_json_value(entities, None).unwrap();
    Authorizer::new().is_authorized(&request.unwrap(), &policies, &entities).decision()
}

const BANK: &str = r#"
title = "bank"
[systems.bank]
domains = ["finance"]
[systems.bank.tools.pay]
class = "write"
input = { account = "string", amount = "integer" }
resource = { type = "Account", id = "account" }
[roles.clerk]
purpose = "Pay"
allow = ["bank.pay"]
"#;

#[test]
fn first_silent_way_a_forbid_that_errs() {
    let forbid = r#"@id("limit") forbid (principal, action == Bailiwick::Action::"bank.pay", resource)
        when { context.input.amount * 2 > 100 };"#;
    let permit = "permit (principal, action, resource);";
    let amount = i64::MAX;

    let alone =
        stock(&format!("{permit} {forbid}"), serde_json::json!([]), serde_json::json!({"input": {"amount": amount}}));
    assert_eq!(alone, cedar_policy::Decision::Allow, "Cedar skips the forbid");

    let snapshot = snapshot(&format!("{BANK}\n[policies]\norganisation = '''{forbid}'''"));
    let operations = call(&snapshot, "bank.pay", serde_json::json!({"account": "7", "amount": amount}));
    let evaluated = snapshot.evaluate(&evaluation(&snapshot, party("bot", "clerk"), operations));
    assert_eq!(codes(&evaluated.decision), [ReasonCode::EvaluationError]);
    let errors: Vec<_> = evaluated.errors.iter().map(|(id, why)| (id.as_str(), why.as_str())).collect();
    assert_eq!(errors, [("limit", "a number in it becomes too large")], "and no value of the call");
}

#[test]
fn second_silent_way_a_parent_that_is_missing() {
    let forbid = r#"@id("closed") forbid (principal, action, resource in Bailiwick::DataDomain::"finance");"#;
    let permit = "permit (principal, action, resource);";
    // The account knows its system; the system itself, and so its domain, is missing.
    let store = serde_json::json!([{
        "uid": {"type": "Bank::Account", "id": "7"}, "attrs": {},
        "parents": [{"type": "Bailiwick::System", "id": "bank"}],
    }]);
    let alone = stock(&format!("{permit} {forbid}"), store, serde_json::json!({}));
    assert_eq!(alone, cedar_policy::Decision::Allow, "Cedar finds no way to the domain");

    let snapshot = snapshot(&format!("{BANK}\n[policies]\nboundary = '''{forbid}'''"));
    let operations = call(&snapshot, "bank.pay", serde_json::json!({"account": "7", "amount": 1}));
    let evaluated = snapshot.evaluate(&evaluation(&snapshot, party("bot", "clerk"), operations.clone()));
    assert_eq!(codes(&evaluated.decision), [ReasonCode::Forbidden], "the store is closed");

    // A record of a system that the bundle does not have cannot be placed, so it is denied.
    let mut elsewhere = operations;
    elsewhere[0].resource = Resource::Record {
        system: "erp".parse().unwrap(),
        type_name: "Account".into(),
        id: "7".into(),
        attributes: [("id".to_owned(), Value::String("7".into()))].into(),
    };
    let evaluated = snapshot.evaluate(&evaluation(&snapshot, party("bot", "clerk"), elsewhere));
    assert_eq!(codes(&evaluated.decision), [ReasonCode::EvaluationError]);

    // So is a principal whose role is nowhere.
    let operations = call(&snapshot, "bank.pay", serde_json::json!({"account": "7", "amount": 1}));
    let evaluated = snapshot.evaluate(&evaluation(&snapshot, party("bot", "gone"), operations));
    assert_eq!(codes(&evaluated.decision), [ReasonCode::NoPermit]);
}

#[test]
fn third_silent_way_has_on_an_entity_that_is_missing() {
    let forbid = r#"@id("watched") forbid (principal is Bailiwick::Agent, action == Bailiwick::Action::"bank.pay", resource)
        when { Bailiwick::Agent::"supervisor" has promoted };"#;
    let permit = "permit (principal, action, resource);";
    let alone = stock(&format!("{permit} {forbid}"), serde_json::json!([]), serde_json::json!({}));
    assert_eq!(alone, cedar_policy::Decision::Allow, "Cedar says that what is missing has nothing");

    let text = format!("{BANK}\n[policies]\norganisation = '''{forbid}'''");
    let bundle = scenario::bundle("test.toml", text.as_bytes()).unwrap();
    let findings = Snapshot::compile(&bundle).unwrap_err();
    assert!(findings.iter().any(|finding| finding.code == "entity-opened"), "{findings:#?}");
}

#[test]
fn questions_that_are_none_are_denied() {
    let snapshot = snapshot(BANK);
    let operations = call(&snapshot, "bank.pay", serde_json::json!({"account": "7", "amount": 1}));
    let whole = evaluation(&snapshot, party("bot", "clerk"), operations.clone());
    assert_eq!(snapshot.evaluate(&whole).decision, Decision::Allow { obligations: vec![] });

    let nobody = Evaluation { parties: vec![], ..whole.clone() };
    assert_eq!(codes(&snapshot.evaluate(&nobody).decision), [ReasonCode::EvaluationError]);
    let nothing = Evaluation { operations: vec![], ..whole.clone() };
    assert_eq!(codes(&snapshot.evaluate(&nothing).decision), [ReasonCode::OperationCount]);
    let crowd = Evaluation { parties: vec![party("bot", "clerk"); 9], ..whole.clone() };
    assert_eq!(codes(&snapshot.evaluate(&crowd).decision), [ReasonCode::EvaluationError]);
    let flood = Evaluation { operations: vec![operations[0].clone(); 257], ..whole.clone() };
    assert_eq!(codes(&snapshot.evaluate(&flood).decision), [ReasonCode::OperationCount]);

    // An input that is not what the schema says, whoever built it.
    let mut wrong = whole.clone();
    wrong.operations[0].input.insert("amount".into(), Value::String("1".into()));
    assert_eq!(codes(&snapshot.evaluate(&wrong).decision), [ReasonCode::EvaluationError]);
    let mut extra = whole.clone();
    extra.operations[0].input.insert("smuggled".into(), Value::Bool(true));
    assert_eq!(codes(&snapshot.evaluate(&extra).decision), [ReasonCode::EvaluationError]);

    // An agent that runs nowhere, and an operator, who has no business here.
    let mut homeless = whole.clone();
    homeless.parties[0].environment = None;
    assert_eq!(codes(&snapshot.evaluate(&homeless).decision), [ReasonCode::EvaluationError]);
    let mut operator = whole;
    operator.parties[0].principal = Principal::Operator("root".parse().unwrap());
    operator.parties[0].role = None;
    assert_eq!(codes(&snapshot.evaluate(&operator).decision), [ReasonCode::EvaluationError]);
}

#[test]
fn workloads_are_decided_on_like_agents() {
    let snapshot = snapshot(BANK);
    let operations = call(&snapshot, "bank.pay", serde_json::json!({"account": "7", "amount": 1}));
    let mut workload = party("bot", "clerk");
    workload.principal = Principal::Workload("nightly".parse().unwrap());
    let allowed = snapshot.evaluate(&evaluation(&snapshot, workload.clone(), operations.clone()));
    assert_eq!(allowed.decision, Decision::Allow { obligations: vec![] });
    workload.role = None;
    let denied = snapshot.evaluate(&evaluation(&snapshot, workload, operations));
    assert_eq!(codes(&denied.decision), [ReasonCode::NoPermit]);
}

#[test]
fn an_array_of_many_elements_fails_for_one_reason() {
    let snapshot = snapshot(BANK);
    let operations = call(&snapshot, "bank.pay", serde_json::json!({"account": "7", "amount": 1}));
    let many = vec![operations[0].clone(); 200];
    let mut reader = party("bot", "clerk");
    reader.role = None;
    let evaluated = snapshot.evaluate(&evaluation(&snapshot, reader, many));
    assert_eq!(codes(&evaluated.decision), [ReasonCode::NoPermit]);
}

#[test]
fn budgets_have_fixed_windows() {
    let text = format!(
        "{BANK}\n[[roles.clerk.limits]]\nname = \"pays\"\nactions = [\"bank.pay\"]\nwindow_s = 3600\ncalls_max = 5\n"
    );
    let snapshot = snapshot(&text);
    let operations = call(&snapshot, "bank.pay", serde_json::json!({"account": "7", "amount": 1}));
    let evaluated = snapshot.evaluate(&evaluation(&snapshot, party("bot", "clerk"), operations));
    let [draw] = evaluated.budgets.as_slice() else { panic!("{:?}", evaluated.budgets) };
    assert_eq!(draw.budget, "agent:bot/pays");
    assert_eq!(draw.window_start_s, 1_781_517_600, "2026-06-15T10:00:00Z");
    assert_eq!((draw.window_s, draw.amount, draw.amount_max), (3_600, 1, 5));
}
