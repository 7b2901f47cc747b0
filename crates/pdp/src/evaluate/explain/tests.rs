//! What an explanation says of denials: the nearest permits in order, what failed, what it saw; and what it hides.

use bailiwick_model::{
    decision::{Effect, Evaluated},
    examined::Part,
};
use serde_json::json;

use super::{TOLD_MAX, TOLD_PER_REQUEST_MAX};
use crate::{
    evaluate::tests::{call, evaluation, party, snapshot},
    snapshot::Snapshot,
};

const WORLD: &str = r#"
title = "bank"
[systems.bank]
domains = ["finance"]
[systems.bank.tools.pay]
class = "write"
input = { account = "string", amount = "integer", email = "string" }
resource = { type = "Account", id = "account" }
field_classes = { pii = ["owner.email"] }
[roles.clerk]
purpose = "Pay"
[roles.boss]
purpose = "Pay more"
allow = ["bank.pay"]
"#;

fn world(policies: &str) -> Snapshot {
    snapshot(&format!("{WORLD}\n[policies]\norganisation = '''{policies}'''"))
}

fn asked(snapshot: &Snapshot, role: &str, amount: i64) -> Evaluated {
    let arguments = json!({"account": "7", "amount": amount, "email": "ann@example.org"});
    let operations = call(snapshot, "bank.pay", arguments);
    snapshot.evaluate(&evaluation(snapshot, party("bot", role), operations))
}

/// Each examined policy as `policy:line part: text (holds) saw what=value`.
fn told(evaluated: &Evaluated) -> Vec<String> {
    let lines = evaluated.examined.iter().map(|one| {
        let conditions = one.conditions.iter().map(|condition| {
            let saw: Vec<_> = condition.saw.iter().map(|saw| format!("{}={}", saw.what, saw.value)).collect();
            let line = condition.line.map_or_else(String::new, |line| format!("{line}: "));
            format!("{line}{} is {} [{}]", condition.text, condition.holds, saw.join(", "))
        });
        format!("{} {:?} {}", one.policy, one.part, conditions.collect::<Vec<_>>().join(" & "))
    });
    lines.collect()
}

#[test]
fn the_nearest_permits_say_what_failed_and_what_they_saw() {
    let snapshot = world(
        r#"
@id("far")
permit (principal in Bailiwick::Role::"clerk", action == Bailiwick::Action::"bank.pay", resource)
when { context.network.zone == "home" && context.input.amount > 900 };

@id("near")
permit (principal in Bailiwick::Role::"clerk", action == Bailiwick::Action::"bank.pay", resource)
when { context.network.zone == "office" }
when { context.input.amount <= 100 };

@id("never-on-seven")
permit (principal in Bailiwick::Role::"clerk", action == Bailiwick::Action::"bank.pay", resource)
unless { resource == Bank::Account::"7" };
"#,
    );
    assert_eq!(
        told(&asked(&snapshot, "clerk", 500)),
        [
            "near Conditions 8: context.input.amount <= 100 is false [context.input.amount=500]",
            "never-on-seven Conditions 12: resource == Bank::Account::\"7\" is true [resource=Bank::Account::\"7\" in \
             [Bailiwick::DataDomain::\"finance\", Bailiwick::System::\"bank\"]]",
            "far Conditions 3: context.network.zone == \"home\" is false [context.network.zone=\"office\"] & \
             3: context.input.amount > 900 is false [context.input.amount=500]",
            "role:boss:allow:1 Principal 1: principal in Bailiwick::Role::\"boss\" is false \
             [principal=Bailiwick::Agent::\"bot\" in [Bailiwick::Organization::\"self\", Bailiwick::Role::\"clerk\"]]",
        ]
    );
    assert!(asked(&snapshot, "boss", 500).examined.is_empty(), "an allow needs none");
    let one = &asked(&snapshot, "clerk", 500).examined[0];
    assert_eq!((one.file.as_str(), one.line, one.part), ("policies/organisation/scenario.cedar", 5, Part::Conditions));
}

#[test]
fn a_forbid_says_what_held_and_a_gate_does_not_blame_its_own_lifting() {
    let snapshot = world(
        r#"
@id("large")
@approvers("group:leads")
forbid (principal, action == Bailiwick::Action::"bank.pay", resource)
when { context.input.amount > 100 }
unless { context.approvals.contains("large") };
"#,
    );
    let evaluated = asked(&snapshot, "boss", 500);
    assert_eq!(evaluated.decision.as_str(), "ask");
    assert_eq!(told(&evaluated), ["large Conditions 4: context.input.amount > 100 is true [context.input.amount=500]"]);
    assert_eq!(evaluated.examined[0].effect, Effect::Forbid);
}

#[test]
fn what_the_tool_masks_in_results_is_not_shown() {
    let snapshot = world(
        r#"
@id("known")
permit (principal in Bailiwick::Role::"clerk", action == Bailiwick::Action::"bank.pay", resource)
when { context.input.email == "bob@example.org" };
"#,
    );
    let evaluated = asked(&snapshot, "clerk", 1);
    assert!(!format!("{:?}", evaluated.examined).contains("ann@"), "{:?}", evaluated.examined);
    assert_eq!(evaluated.examined[0].conditions[0].saw[0].value, "masked");
}

#[test]
fn what_a_record_has_is_hidden_by_the_argument_that_gives_it() {
    let check = |mapping: &str, condition: &str, saw: &[(&str, &str)]| {
        let text = WORLD.replace("{ type = \"Account\", id = \"account\" }", mapping);
        let policy = format!(
            "@id(\"known\") permit (principal in Bailiwick::Role::\"clerk\", action == \
             Bailiwick::Action::\"bank.pay\", resource) {condition};"
        );
        let snapshot = snapshot(&format!("{text}\n[policies]\norganisation = '''{policy}'''"));
        let evaluated = asked(&snapshot, "clerk", 1);
        assert!(!format!("{:?}", evaluated.examined).contains("ann@"), "{:?}", evaluated.examined);
        let told = &evaluated.examined[0].conditions[0].saw;
        let told: Vec<_> = told.iter().map(|saw| (saw.what.as_str(), saw.value.as_str())).collect();
        assert_eq!(told, saw, "{condition}");
    };
    let by_email = r#"{ type = "Account", id = "email" }"#;
    check(by_email, r#"when { resource.id == "bob@example.org" }"#, &[("resource.id", "masked")]);
    check(by_email, r#"when { resource == Bank::Account::"bob@example.org" }"#, &[("resource", "masked")]);
    let described = r#"{ type = "Account", id = "account", attributes = { holder = "email", sum = "amount" } }"#;
    check(described, r#"when { resource has holder && resource.holder == "b" }"#, &[("resource.holder", "masked")]);
    check(described, "when { resource has sum && resource.sum > 5 }", &[("resource.sum", "1")]);
    check(described, r#"when { resource.id == "8" }"#, &[("resource.id", "\"7\"")]);
}

#[test]
fn the_record_that_another_scope_misses_is_hidden_too() {
    let text = WORLD.replace("id = \"account\"", "id = \"email\"");
    let policy = r#"@id("bobs") permit (principal in Bailiwick::Role::"clerk", action == Bailiwick::Action::"bank.pay",
        resource == Bank::Account::"bob@example.org");"#;
    let snapshot = snapshot(&format!("{text}\n[policies]\norganisation = '''{policy}'''"));
    let evaluated = asked(&snapshot, "clerk", 1);
    let missed = evaluated.examined.iter().find(|one| one.part == Part::Resource).unwrap();
    assert_eq!(missed.conditions[0].saw[0].value, "masked");
}

#[test]
fn what_is_told_is_bounded_and_repeats_nothing() {
    let many: String = (0..300)
        .map(|number| {
            format!(
                "@id(\"p{number}\") permit (principal in Bailiwick::Role::\"clerk\", \
                 action == Bailiwick::Action::\"bank.pay\", resource) when {{ context.input.amount < {number} }};\n"
            )
        })
        .collect();
    let snapshot = world(&many);
    let arguments = json!({"account": "7", "amount": 500, "email": "x".repeat(5_000)});
    let operations = vec![call(&snapshot, "bank.pay", arguments)[0].clone(); 200];
    let evaluated = snapshot.evaluate(&evaluation(&snapshot, party("bot", "clerk"), operations));
    assert_eq!(evaluated.examined.len(), TOLD_PER_REQUEST_MAX);
    let chain = vec![party("a", "clerk"), party("b", "clerk"), party("c", "clerk"), party("d", "clerk")];
    let mut question = evaluation(
        &snapshot,
        party("bot", "clerk"),
        call(
            &snapshot,
            "bank.pay",
            json!({
                "account": "7", "amount": 500, "email": "",
            }),
        ),
    );
    question.parties.extend(chain.clone());
    question.parties.extend(chain.into_iter().take(3));
    assert!(snapshot.evaluate(&question).examined.len() <= TOLD_MAX);
}
