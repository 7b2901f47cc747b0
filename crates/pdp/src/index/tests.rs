//! Through the index or by stock Cedar over the whole set: the same decision,
//! the same determining policies, the same errors.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use bailiwick_model::{
    agent::Environment,
    decision::Decision,
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::EvaluationId,
    operation::{ActionClass, DeclaredEffect, Operation, Resource},
    principal::Principal,
    value::Value,
};
use cedar_policy_core::{
    ast::{self, Context, Entity, Request, RequestSchemaAllPass},
    authorizer::{AuthorizationError, Authorizer, Decision as CedarDecision},
    entities::{Entities, NoEntitiesSchema, TCComputation},
    extensions::Extensions,
};
use proptest::prelude::*;

use crate::{policies, scenario, snapshot::Snapshot};

const WORLD: &str = r#"
title = "world"
[systems.crm]
domains = ["sales"]
[systems.crm.tools.search]
class = "read"
[systems.crm.tools.update]
class = "write"
tags = ["bulk"]
input = { id = "string" }
resource = { type = "Contact", id = "id" }
[systems.hr]
domains = ["people", "sales"]
[systems.hr.tools.read]
class = "read"
tags = ["egress"]
input = { id = "string" }
resource = { type = "Person", id = "id" }
[systems.hr.tools.fire]
class = "delete"
[roles.reader]
purpose = "Read"
delegates_to = ["reader", "writer", "boss"]
[roles.writer]
purpose = "Write"
delegates_to = ["writer"]
inherits = ["reader"]
[roles.boss]
purpose = "All"
delegates_to = ["boss"]
inherits = ["writer"]
"#;

const ACTIONS: [&str; 5] = ["crm.search", "crm.update", "hr.read", "hr.fire", "hr:resources/read"];
const GROUPS: [&str; 8] = ["read", "write", "delete", "egress", "bulk", "crm:read", "hr:*", "crm:write"];

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(from).prop_map(str::to_owned)
}

fn principal_scope() -> impl Strategy<Value = String> {
    pick(&[
        "principal",
        "principal is Bailiwick::Agent",
        "principal is Bailiwick::User",
        "principal == Bailiwick::Agent::\"a1\"",
        "principal == Bailiwick::Agent::\"a2\"",
        "principal == Bailiwick::User::\"u1\"",
        "principal in Bailiwick::Role::\"reader\"",
        "principal in Bailiwick::Role::\"boss\"",
        "principal is Bailiwick::Agent in Bailiwick::Role::\"writer\"",
        "principal is Bailiwick::User in Bailiwick::Role::\"reader\"",
        "principal in Bailiwick::Group::\"sales\"",
        "principal in Bailiwick::Organization::\"self\"",
        "principal in Bailiwick::Agent::\"a1\"",
    ])
}

fn action_scope() -> impl Strategy<Value = String> {
    let name = || prop::sample::select([ACTIONS.as_slice(), GROUPS.as_slice()].concat());
    let uid = |name: &str| format!("Bailiwick::Action::\"{name}\"");
    prop_oneof![
        Just(String::from("action")),
        name().prop_map(move |name| format!("action == {}", uid(name))),
        name().prop_map(move |name| format!("action in {}", uid(name))),
        prop::collection::vec(name(), 1..4).prop_map(move |names| {
            let uids: Vec<String> = names.into_iter().map(uid).collect();
            format!("action in [{}]", uids.join(", "))
        }),
    ]
}

fn resource_scope() -> impl Strategy<Value = String> {
    pick(&[
        "resource",
        "resource is Bailiwick::Tool",
        "resource is Crm::Contact",
        "resource == Crm::Contact::\"1\"",
        "resource == Hr::Person::\"2\"",
        "resource == Bailiwick::Tool::\"crm.search\"",
        "resource in Bailiwick::System::\"crm\"",
        "resource in Bailiwick::DataDomain::\"sales\"",
        "resource is Hr::Person in Bailiwick::DataDomain::\"people\"",
        "resource is Bailiwick::Tool in Bailiwick::System::\"hr\"",
        "resource in Bailiwick::Tool::\"hr.fire\"",
    ])
}

fn condition() -> impl Strategy<Value = String> {
    pick(&[
        "",
        "",
        "",
        "when { context.effect.records > 10 }",
        "unless { context.effect.reversible }",
        "when { context.effect.records + 9000000000000000000 > 0 }",
        "when { principal.promoted }",
        "when { principal has promoted && principal.promoted }",
        "when { resource.id == \"1\" }",
        "when { context.network.zone == \"office\" }",
        "when { resource in Bailiwick::System::\"crm\" }",
        "when { action in Bailiwick::Action::\"egress\" }",
        "when { Bailiwick::System::\"hr\".risk == \"high\" }",
        "when { principal in [Bailiwick::Role::\"writer\", Bailiwick::Group::\"sales\"] }",
    ])
}

fn policy_set() -> impl Strategy<Value = String> {
    let effect = prop::sample::select(vec!["permit", "permit", "forbid"]);
    let policy = (effect, principal_scope(), action_scope(), resource_scope(), condition());
    prop::collection::vec(policy, 0..40).prop_map(|policies| {
        let mut text = String::new();
        for (number, (effect, principal, action, resource, condition)) in policies.iter().enumerate() {
            writeln!(text, "@id(\"p{number}\")\n{effect} ({principal}, {action}, {resource}) {condition};").unwrap();
        }
        text
    })
}

fn party() -> impl Strategy<Value = Party> {
    let role = prop::option::of(pick(&["reader", "writer", "boss"]));
    (prop::sample::select(vec!["agent:a1", "agent:a2", "user:u1"]), role, any::<bool>(), any::<bool>()).prop_map(
        |(who, role, promoted, sales)| {
            let (kind, name) = who.split_once(':').unwrap();
            let agent = kind == "agent";
            Party {
                principal: if agent {
                    Principal::Agent(name.parse().unwrap())
                } else {
                    Principal::User(name.parse().unwrap())
                },
                owner: "team".into(),
                environment: agent.then_some(Environment::Production),
                role: role.map(|role| role.parse().unwrap()),
                groups: if sales && !agent { BTreeSet::from(["sales".to_owned()]) } else { BTreeSet::new() },
                promoted,
                task_required: false,
            }
        },
    )
}

/// Whether each may have handed work on to the next.
fn handed_on(parties: &[Party]) -> bool {
    parties.windows(2).all(|pair| match (&pair[0].principal, &pair[1].principal) {
        (Principal::User(_), Principal::Agent(_)) => true,
        (Principal::Agent(_), Principal::Agent(_)) => pair[0].role.is_some() && pair[1].role.is_some(),
        _ => false,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    (0..ACTIONS.len(), 1..3_u8, prop::sample::select(vec![0, 11, 500_000_000_000_000_000]), any::<bool>()).prop_map(
        |(number, id, records, reversible)| {
            let action = ACTIONS[number];
            let system = action.split(['.', ':']).next().unwrap().parse().unwrap();
            let text = |value: String| Value::String(value);
            let record = |type_name: &str| Resource::Record {
                system: action.split('.').next().unwrap().parse().unwrap(),
                type_name: type_name.into(),
                id: id.to_string(),
                attributes: [("id".to_owned(), text(id.to_string()))].into(),
            };
            let (resource, input) = match action {
                "crm.update" => (record("Contact"), vec![("id".to_owned(), text(id.to_string()))]),
                "hr.read" => (record("Person"), vec![("id".to_owned(), text(id.to_string()))]),
                "hr:resources/read" => (Resource::System { system }, vec![("uri".to_owned(), text("x:y".into()))]),
                tool => {
                    let tool = tool.split('.').nth(1).unwrap().parse().unwrap();
                    (Resource::Tool { system, tool }, vec![])
                }
            };
            Operation {
                action: action.parse().unwrap(),
                class: ActionClass::Write,
                tags: vec![],
                resource,
                input: input.into_iter().collect(),
                effect: DeclaredEffect { records, reversible },
                facts_touched: vec![],
                facts_completed: vec![],
                arguments: None,
            }
        },
    )
}

/// What stock Cedar says to one request, over all policies and all entities.
struct Stock {
    allowed: bool,
    reasons: BTreeSet<String>,
    errors: BTreeSet<String>,
}

fn stock(snapshot: &Snapshot, party: &Party, operation: &Operation, network_zone: &str) -> Stock {
    let principal = snapshot.store().principal(party).unwrap();
    let resource = snapshot.store().resource(&operation.resource).unwrap();
    let action = snapshot.callable(&operation.action).unwrap();
    let groups = party.groups.iter().map(|group| format!("Bailiwick::Group::\"{group}\"").parse().unwrap());
    let whole = snapshot.store().iter().cloned();
    let whole = whole.chain(groups.map(|uid| std::sync::Arc::new(Entity::with_uid(uid))));
    let entities = Entities::new().add_entities(
        whole.chain([principal.clone(), resource.clone()]),
        None::<&NoEntitiesSchema>,
        TCComputation::EnforceAlreadyComputed,
        Extensions::all_available(),
    );
    let context = serde_json::json!({
        "effect": {"records": operation.effect.records, "reversible": operation.effect.reversible},
        "network": {"zone": network_zone},
    });
    let uid = |entity: &Entity| (entity.uid().clone(), None);
    let request = Request::new(
        uid(&principal),
        uid(action),
        uid(&resource),
        Context::from_json_value(context).unwrap(),
        None::<&RequestSchemaAllPass>,
        Extensions::all_available(),
    );
    let mut set = ast::PolicySet::new();
    for policy in snapshot.policies() {
        set.add(AsRef::<ast::Policy>::as_ref(&policy.policy).clone()).unwrap();
    }
    let response = Authorizer::new().is_authorized(request.unwrap(), &set, &entities.unwrap());
    Stock {
        allowed: response.decision == CedarDecision::Allow,
        reasons: response.diagnostics.reason.iter().map(ToString::to_string).collect(),
        errors: response
            .diagnostics
            .errors
            .iter()
            .map(|AuthorizationError::PolicyEvaluationError { id, .. }| id.to_string())
            .collect(),
    }
}

/// The world with these policies, compiled once for all cases.
fn world(policies: &str) -> MutexGuard<'static, Snapshot> {
    static WORLD_SNAPSHOT: LazyLock<Mutex<Snapshot>> = LazyLock::new(|| {
        let files = scenario::bundle("world.toml", WORLD.as_bytes()).unwrap();
        Mutex::new(Snapshot::compile(&files).unwrap_or_else(|findings| panic!("{findings:#?}")))
    });
    let mut snapshot = WORLD_SNAPSHOT.lock().unwrap_or_else(PoisonError::into_inner);
    snapshot.replace_policies(&policies::parse(policies));
    snapshot
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn indexed_is_full(
        policies in policy_set(),
        mut parties in prop::collection::vec(party(), 1..3),
        operations in prop::collection::vec(operation(), 1..3),
        office in any::<bool>(),
    ) {
        let snapshot = world(&policies);
        if !handed_on(&parties) {
            // Denied before any policy is asked, which is not what is compared here.
            parties.truncate(1);
        }
        let network_zone = if office { "office" } else { "unknown" };
        let evaluation = Evaluation {
            id: EvaluationId::new(0, [0; 10]),
            now: "2026-06-15T10:00:00Z".parse().unwrap(),
            authority: Authority {
                scopes: snapshot.required_scopes(&operations).into_iter().collect(),
                details: None,
                safe_modes: BTreeSet::new(),
                observations: BTreeSet::new(),
                authentication: None,
            },
            parties,
            operations,
            arguments: Default::default(),
            network_zone: network_zone.to_owned(),
            task: TaskContext { id: None, tools: None, self_made: false, facts: BTreeSet::new() },
            approvals: BTreeSet::new(),
        };
        let mut allowed = true;
        let mut permits = BTreeSet::new();
        let mut forbids = BTreeSet::new();
        let mut errors = BTreeSet::new();
        for party in &evaluation.parties {
            for operation in &evaluation.operations {
                let stock = stock(&snapshot, party, operation, network_zone);
                allowed &= stock.allowed && stock.errors.is_empty();
                errors.extend(stock.errors);
                if stock.allowed { permits.extend(stock.reasons) } else { forbids.extend(stock.reasons) }
            }
        }
        let evaluated = snapshot.evaluate(&evaluation);
        prop_assert_eq!(matches!(evaluated.decision, Decision::Allow { .. }), allowed, "{:#?}", evaluated);
        let determining: BTreeSet<String> = evaluated.determining.iter().map(|one| one.policy.to_string()).collect();
        prop_assert_eq!(determining, if allowed { permits } else { forbids });
        prop_assert_eq!(evaluated.errors.keys().map(ToString::to_string).collect::<BTreeSet<_>>(), errors);
    }
}

#[test]
fn a_policy_about_others_is_left_out() {
    let mut text = String::new();
    for number in 0..100 {
        writeln!(
            text,
            "@id(\"p{number}\") permit (principal == Bailiwick::Agent::\"other-{number}\", action == Bailiwick::Action::\"crm.search\", resource);"
        )
        .unwrap();
    }
    text.push_str("@id(\"mine\") permit (principal == Bailiwick::Agent::\"a1\", action in Bailiwick::Action::\"crm:read\", resource);");
    let snapshot = world(&text);
    let party = nobody("a1");
    let side = snapshot.index().side(&snapshot.store().principal(&party).unwrap());
    let action = snapshot.callable(&"crm.search".parse().unwrap()).unwrap();
    assert_eq!(snapshot.index().candidates(&side, action, None), [100]);
}

#[test]
fn no_more_near_misses_are_looked_at_than_asked_for() {
    let permit = |id: &str, who: &str, action: &str| {
        format!(
            "@id(\"{id}\") permit (principal == Bailiwick::Agent::\"{who}\", {action}, resource is Bailiwick::Tool);\n"
        )
    };
    let own = "action == Bailiwick::Action::\"crm.search\"";
    let text = [
        permit("any", "other", "action"),
        permit("group", "other", "action in Bailiwick::Action::\"crm:read\""),
        permit("one", "other", own),
        permit("mine", "a1", own),
        permit("two", "other", own),
    ];
    let snapshot = world(&text.concat());
    let action = snapshot.callable(&"crm.search".parse().unwrap()).unwrap();
    let principal = snapshot.index().side(&snapshot.store().principal(&nobody("a1")).unwrap());
    let resource = Resource::Tool { system: "crm".parse().unwrap(), tool: "search".parse().unwrap() };
    let resource = snapshot.index().side(&snapshot.store().resource(&resource).unwrap());
    let near = |most: usize| {
        let misses = snapshot.index().near_misses(&principal, action, &resource, most);
        let found = misses.into_iter().filter_map(|(number, _)| Some(snapshot.policy(number)?.id.to_string()));
        found.filter(|id| !id.starts_with("bailiwick:")).collect::<Vec<_>>()
    };
    assert_eq!(near(100), ["any", "group", "one", "two"]);
    // Those of the action come first, hits among them.
    assert_eq!(near(2), ["one"]);
    assert_eq!(near(3), ["one", "two"]);
    assert_eq!(near(4), ["group", "one", "two"]);
}

fn nobody(name: &str) -> Party {
    Party {
        principal: Principal::Agent(name.parse().unwrap()),
        owner: String::new(),
        environment: Some(Environment::Production),
        role: None,
        groups: BTreeSet::new(),
        promoted: true,
        task_required: false,
    }
}
