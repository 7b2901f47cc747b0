//! What an agent is told about itself holds for real decisions, on generated bundles and calls; and it is not vague
//! where it need not be.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::{
    agent::Environment,
    evaluation::{Authority, Evaluation, Party, TaskContext},
    id::{EvaluationId, TaskId},
    name::ActionName,
    principal::Principal,
    task::{Pin, ToolGrant},
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Call, Listing, scenario, snapshot::Snapshot};

const SYSTEMS: &str = r#"
title = "prospects"
[systems.bank]
domains = ["finance"]
[systems.bank.tools.pay]
class = "write"
input = { account = "string", amount = "integer", note = "string?" }
resource = { type = "Account", id = "account" }
effect = { records = "input:amount", reversible = true }
[systems.bank.tools.look]
class = "read"
input = { account = "string", amount = "integer", note = "string?" }
[roles.clerk]
purpose = "Pay"
delegates_to = ["clerk", "boss"]
[roles.boss]
purpose = "Pay more"
inherits = ["clerk"]
"#;

fn snapshot(policies: &str) -> Result<Snapshot, Vec<crate::Finding>> {
    let text = format!("{SYSTEMS}\n[policies]\norganisation = '''\n{policies}'''");
    Snapshot::compile(&scenario::bundle("test.toml", text.as_bytes()).unwrap())
}

fn party(name: &str, role: &str, promoted: bool) -> Party {
    Party {
        principal: Principal::Agent(name.parse().unwrap()),
        owner: "team".into(),
        environment: Some(Environment::Production),
        role: Some(role.parse().unwrap()),
        groups: BTreeSet::new(),
        promoted,
        task_required: false,
    }
}

/// Who asks, and in which situation.
#[derive(Debug, Clone)]
struct Asker {
    parties: Vec<Party>,
    zone: &'static str,
    scopes: Vec<&'static str>,
    pin: Option<i64>,
}

impl Asker {
    fn task(&self, action: &ActionName) -> TaskContext {
        let tools = self.pin.map(|amount| {
            let pins = BTreeMap::from([(
                "amount".to_owned(),
                serde_json::from_value::<Pin>(json!({"one_of": [amount]})).unwrap(),
            )]);
            vec![ToolGrant { action: action.clone(), pins }]
        });
        TaskContext {
            id: tools.is_some().then(|| TaskId::new(0, [0; 10])),
            tools,
            self_made: false,
            facts: BTreeSet::new(),
        }
    }

    fn authority(&self) -> Authority {
        let scopes = self.scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        Authority {
            scopes,
            details: None,
            safe_modes: BTreeSet::new(),
            observations: BTreeSet::new(),
            authentication: None,
        }
    }

    fn prospect(&self, snapshot: &Snapshot, action: &ActionName) -> Prospect {
        let (task, authority) = (self.task(action), self.authority());
        let listing = Listing {
            now: "2026-06-15T10:00:00Z".parse().unwrap(),
            parties: &self.parties,
            network_zone: self.zone,
            task: &task,
            authority: &authority,
        };
        snapshot.lookout(listing).prospect(action)
    }

    /// What a call really comes to.
    fn decides(&self, snapshot: &Snapshot, tool: &str, arguments: &serde_json::Value) -> Outcome {
        let system = "bank".parse().unwrap();
        let arguments = arguments.as_object().unwrap();
        let call = Call { system: &system, method: "tools/call", name: Some(tool), arguments };
        let action: ActionName = format!("bank.{tool}").parse().unwrap();
        let evaluated = snapshot.evaluate(&Evaluation {
            id: EvaluationId::new(0, [0; 10]),
            now: "2026-06-15T10:00:00Z".parse().unwrap(),
            parties: self.parties.clone(),
            operations: snapshot.map(&call).unwrap(),
            arguments: arguments.clone().into_iter().collect(),
            network_zone: self.zone.into(),
            task: self.task(&action),
            approvals: BTreeSet::new(),
            authority: self.authority(),
        });
        match evaluated.decision.as_str() {
            "allow" => Outcome::Allow,
            "ask" => Outcome::Ask,
            _ => Outcome::Deny,
        }
    }
}

fn calls() -> Vec<serde_json::Value> {
    let amounts = [0, 1, 5, 50, 51, 1_000, i64::MAX];
    let accounts = ["7", "8"];
    let whole = amounts.iter().flat_map(|amount| accounts.map(|account| json!({"account": account, "amount": amount})));
    whole
        .chain([json!({"account": "7", "amount": 5, "note": "x"}), json!({"account": "8", "amount": 60, "note": "y"})])
        .collect()
}

fn condition() -> impl Strategy<Value = String> {
    let atoms = prop::sample::select(vec![
        "context.input.amount <= 50",
        "context.input.amount > 5",
        "context.input.amount * 2 < 100",
        "context.input.account == \"7\"",
        "context.input has note",
        "context.input has note && context.input.note == \"x\"",
        "context.effect.records > 50",
        "context.network.zone == \"office\"",
        "context.task.implicit",
        "principal in Bailiwick::Role::\"boss\"",
        "resource in Bailiwick::DataDomain::\"finance\"",
    ]);
    let leaf = atoms.prop_map(str::to_owned);
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

/// One policy, its id aside.
fn policy() -> impl Strategy<Value = (u8, String)> {
    let principal = prop::sample::select(vec![
        "principal",
        "principal is Bailiwick::Agent",
        "principal in Bailiwick::Role::\"clerk\"",
        "principal in Bailiwick::Role::\"boss\"",
    ]);
    let action = prop::sample::select(vec![
        "action == Bailiwick::Action::\"bank.pay\"",
        "action == Bailiwick::Action::\"bank.look\"",
        "action in Bailiwick::Action::\"write\"",
    ]);
    let resource = prop::sample::select(vec!["resource", "resource", "resource in Bailiwick::System::\"bank\""]);
    let when = prop_oneof![1 => Just(String::new()), 2 => condition().prop_map(|text| format!(" when {{ {text} }}"))];
    (prop::sample::select(vec![0_u8, 0, 0, 1, 2]), principal, action, resource, when).prop_map(
        |(kind, principal, action, resource, when)| (kind, format!("({principal}, {action}, {resource}){when}")),
    )
}

fn written(policies: &[(u8, String)]) -> String {
    let text = |(number, (kind, body)): (usize, &(u8, String))| match kind {
        0 => format!("@id(\"p{number}\") permit {body};\n"),
        1 => format!("@id(\"p{number}\") forbid {body};\n"),
        _ => format!(
            "@id(\"p{number}\") @approvers(\"group:x\") forbid {body} unless {{ context.approvals.contains(\"p{number}\") }};\n"
        ),
    };
    policies.iter().enumerate().map(text).collect()
}

fn asker() -> impl Strategy<Value = Asker> {
    let one = (prop::sample::select(vec!["clerk", "boss"]), prop::bool::weighted(0.8));
    (
        prop::collection::vec(one, 1..3),
        prop::sample::select(vec!["office", "home"]),
        prop::sample::select(vec![vec!["bank:read", "bank:write"], vec!["bank:read", "bank:write"], vec!["bank:read"]]),
        prop_oneof![4 => Just(None), 1 => Just(Some(5_i64))],
    )
        .prop_map(|(parties, zone, scopes, pin)| Asker {
            parties: parties
                .iter()
                .enumerate()
                .map(|(n, (role, new))| party(&format!("bot-{n}"), role, *new))
                .collect(),
            zone,
            scopes,
            pin,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_holds_for_every_call(policies in prop::collection::vec(policy(), 1..6), askers in prop::collection::vec(asker(), 1..5)) {
        // What never matches is refused at publish; such a bundle decides nothing.
        let Ok(snapshot) = snapshot(&written(&policies)) else { return Ok(()) };
        for asker in askers {
            for tool in ["pay", "look"] {
                let prospect = asker.prospect(&snapshot, &format!("bank.{tool}").parse().unwrap());
                prop_assert!(!prospect.outcomes.is_empty());
                for arguments in calls() {
                    let real = asker.decides(&snapshot, tool, &arguments);
                    prop_assert!(
                        prospect.outcomes.contains(&real),
                        "{tool} {arguments} by {asker:?} is {real:?}, told was {prospect:?}\n{}", written(&policies)
                    );
                }
            }
        }
    }
}

/// What an agent of role `clerk` in the office is told of `bank.pay`.
#[track_caller]
fn check(policies: &str, outcomes: &[Outcome], deciding: &[&str]) -> Prospect {
    let asker = Asker {
        parties: vec![party("bot", "clerk", true)],
        zone: "office",
        scopes: vec!["bank:read", "bank:write"],
        pin: None,
    };
    let snapshot = snapshot(policies).unwrap_or_else(|findings| panic!("{findings:#?}"));
    let prospect = asker.prospect(&snapshot, &"bank.pay".parse().unwrap());
    assert_eq!(prospect.outcomes, outcomes.iter().copied().collect(), "{prospect:?}");
    assert_eq!(prospect.deciding.iter().map(|one| one.policy.as_str()).collect::<Vec<_>>(), deciding);
    prospect
}

const PERMIT: &str = "@id(\"p\") permit (principal, action == Bailiwick::Action::\"bank.pay\", resource)";
const GATE: &str =
    "@id(\"g\") @approvers(\"group:x\") forbid (principal, action == Bailiwick::Action::\"bank.pay\", resource)";
const LIFTED: &str = "unless { context.approvals.contains(\"g\") };";

#[test]
fn what_is_certain_is_said_as_certain() {
    use Outcome::{Allow, Ask, Deny};
    check(&format!("{PERMIT};"), &[Allow], &[]);
    check(&format!("{PERMIT} when {{ context.network.zone == \"office\" }};"), &[Allow], &[]);
    let never = check(&format!("{PERMIT} when {{ context.network.zone == \"home\" }};"), &[Deny], &[]);
    assert_eq!(never.reason.unwrap().code, ReasonCode::NoPermit);
    check(&format!("{PERMIT};\n{GATE} {LIFTED}"), &[Ask], &["g"]);
    let wall = format!("{PERMIT};\n@id(\"f\") forbid (principal, action in Bailiwick::Action::\"write\", resource);");
    assert_eq!(check(&wall, &[Deny], &[]).reason.unwrap().rule.unwrap().as_str(), "f");
}

#[test]
fn what_policy_has_against_it_is_told_before_what_the_token_lacks() {
    let told = |promoted: bool| {
        let asker = Asker {
            parties: vec![party("bot", "clerk", promoted)],
            zone: "office",
            scopes: vec!["bank:read"],
            pin: None,
        };
        let snapshot = snapshot(&format!("{PERMIT};")).unwrap();
        let prospect = asker.prospect(&snapshot, &"bank.pay".parse().unwrap());
        assert_eq!(prospect.outcomes, BTreeSet::from([Outcome::Deny]));
        let reason = prospect.reason.unwrap();
        (reason.code, reason.rule.map(|rule| rule.to_string()))
    };
    let read_only = Some("bailiwick:unpromoted-is-read-only".to_owned());
    assert_eq!(told(false), (ReasonCode::Forbidden, read_only));
    assert_eq!(told(true), (ReasonCode::InsufficientScope, None));
}

#[test]
fn what_depends_on_arguments_says_on_which() {
    use Outcome::{Allow, Ask, Deny};
    let told = check(&format!("{PERMIT} when {{ context.input.amount <= 50 }};"), &[Allow, Deny], &["p"]);
    assert_eq!(told.deciding[0].when, ["context.input.amount <= 50"]);
    let gate = format!("{PERMIT};\n{GATE} when {{ context.effect.records > 50 }} {LIFTED}");
    let told = check(&gate, &[Allow, Ask], &["g"]);
    assert_eq!(
        (&told.deciding[0].approvers, &told.deciding[0].when),
        (&vec!["group:x".to_owned()], &vec!["context.effect.records > 50".to_owned()])
    );
    // A permit that can err can deny, though another one permits.
    check(
        &format!(
            "{PERMIT};\n@id(\"q\") permit (principal, action == Bailiwick::Action::\"bank.pay\", resource) when {{ context.input.amount * 2 < 9 }};"
        ),
        &[Allow, Deny],
        &["q"],
    );
    check(
        &format!(
            "{PERMIT};\n@id(\"q\") permit (principal, action == Bailiwick::Action::\"bank.pay\", resource) when {{ context.input.amount < 9 }};"
        ),
        &[Allow],
        &["q"],
    );
}

#[test]
fn what_is_told_is_bounded() {
    let many: String = (0..40).map(|n| format!("@id(\"p{n}\") permit (principal, action == Bailiwick::Action::\"bank.pay\", resource) when {{ context.input.amount > {n} }};\n")).collect();
    let asker =
        Asker { parties: vec![party("bot", "clerk", true)], zone: "office", scopes: vec!["bank:write"], pin: None };
    let prospect = asker.prospect(&snapshot(&many).unwrap(), &"bank.pay".parse().unwrap());
    assert_eq!((prospect.deciding.len(), prospect.more), (RULES_MAX, 40 - RULES_MAX));
}
