//! What a list shows when part of a call is unknown. Scenarios with `listed`
//! show the rest.

use crate::scenario;

/// One organisation forbid or permit, and whether a contact's update is listed.
#[track_caller]
fn check(policy: &str, listed: bool) {
    let text = format!(
        r#"
title = "lists"
[systems.crm]
domains = ["sales"]
[systems.crm.tools.search]
class = "read"
input = {{ query = "string" }}
[systems.crm.tools.update]
class = "write"
input = {{ id = "string", amount = "integer" }}
resource = {{ type = "Contact", id = "id" }}
facts = {{ touched = ["read:pii"] }}
[systems.crm.tools.tick]
class = "write"
facts = {{ touched = ["ticked"] }}
[roles.writer]
purpose = "Write"
allow = ["crm.search"]
[policies]
organisation = '''
{policy}
'''
[calendar.zones.hq]
timezone = "UTC"
[agents.bot]
role = "writer"
[[calls]]
call = "crm.update"
arguments = {{ id = "1", amount = 1 }}
network_zone = "office"
facts = ["ticked"]
expect = "deny"
listed = {listed}
"#
    );
    let report = scenario::run_file("lists.toml", text.as_bytes());
    assert!(report.unreadable.is_empty(), "{report}");
    // The decision itself is not what this is about.
    let difference =
        report.cases.iter().filter_map(|case| case.difference.as_ref()).find(|text| text.contains("listed: "));
    let wrong = difference.is_some_and(|text| text.contains("-listed") || text.contains("+listed"));
    assert!(!wrong, "{report}");
}

fn permit(when: &str) -> String {
    format!(
        "@id(\"p\") permit (principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.update\", resource) {when};"
    )
}

fn with_forbid(when: &str) -> String {
    let forbid = "forbid (principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.update\", resource)";
    format!("{}\n@id(\"f\") {forbid} {when};", permit(""))
}

#[test]
fn what_arguments_could_satisfy_is_shown() {
    check(&permit(""), true);
    check(&permit("when { context.input.amount < 5 }"), true);
    check(&permit("when { context.effect.records < 5 }"), true);
    check(&permit("when { resource.id == \"another\" }"), true);
    check(&permit("when { resource == Crm::Contact::\"another\" }"), true);
    check(&with_forbid("when { context.input.amount > 5 }"), true);
    check(&with_forbid("when { resource.id like \"vip-*\" }"), true);
}

#[test]
fn what_no_argument_could_satisfy_is_hidden() {
    check(&with_forbid(""), false);
    check(&permit("when { context.network.zone == \"home\" && context.input.amount < 5 }"), false);
    check(&permit("when { context.local.hq.weekday == 7 && context.input.amount < 5 }"), false);
    check(
        &permit("when { context.task.facts.contains(Bailiwick::Fact::\"read:pii\") && context.input.amount < 5 }"),
        false,
    );
    check(
        &permit("when { context.task.facts.contains(Bailiwick::Fact::\"ticked\") && context.input.amount < 5 }"),
        true,
    );
    check(&permit("when { principal.owner == \"another team\" && context.input.amount < 5 }"), false);
    check(&with_forbid("when { context.task.implicit || context.input.amount > 5 }"), false);
    check(&with_forbid("when { context.local.hq.weekday == 1 && principal.promoted }"), false);
    check(&permit("when { 9223372036854775807 + context.local.hq.weekday > 0 }"), false);
}

#[test]
fn what_can_be_asked_for_is_shown() {
    let gate =
        "@approvers(\"group:x\") @id(\"g\") forbid (principal, action == Bailiwick::Action::\"crm.update\", resource)";
    let lifted = "unless { context.approvals.contains(\"g\") };";
    check(&format!("{}\n{gate} {lifted}", permit("")), true);
    check(&format!("{}\n{gate} when {{ context.input.amount > 5 }} {lifted}", permit("")), true);
}
