//! What a bundle is refused for, and that Cedar alone would have taken it.

use std::collections::BTreeSet;

use super::*;
use crate::{finding::Severity, scenario};

/// A world with two systems, to write policies against.
const WORLD: &str = r#"
title = "world"

[systems.crm]
domains = ["sales"]
minimum = ["crm:read"]
[systems.crm.tools.search]
class = "read"
input = { query = "string" }
field_classes = { pii = ["email"] }
[systems.crm.tools.update]
class = "write"
input = { id = "string", note = "string?", amount = "integer" }
resource = { type = "Contact", id = "id" }

[systems.hr]
domains = ["hr"]
[systems.hr.tools.read]
class = "read"
input = { id = "string" }
resource = { type = "Person", id = "id" }
facts = { touched = ["read:pii"] }

[calendar.zones.hq]
timezone = "Europe/Berlin"

[roles.support]
purpose = "Answer customers"
allow = ["crm:read"]
"#;

fn compile(extra: &str) -> Result<Snapshot, Vec<Finding>> {
    let text = format!("{WORLD}\n{extra}");
    Snapshot::compile(&scenario::bundle("world.toml", text.as_bytes()).map_err(|finding| vec![finding])?)
}

fn with_policy(folder: &str, cedar: &str) -> Result<Snapshot, Vec<Finding>> {
    compile(&format!("[policies]\n{folder} = '''\n{cedar}'''\n"))
}

/// The policy refuses the bundle with one error of this code on this line.
#[track_caller]
fn refused(cedar: &str, code: &str, line: usize) {
    refused_in("organisation", cedar, code, line);
}

#[track_caller]
fn refused_in(folder: &str, cedar: &str, code: &str, line: usize) {
    let findings = with_policy(folder, cedar).expect_err("it must be refused");
    let errors: BTreeSet<_> =
        findings.iter().filter(|f| f.severity == Severity::Error).map(|f| (f.code, f.line)).collect();
    assert_eq!(errors, BTreeSet::from([(code, Some(line))]), "{findings:#?}");
}

#[track_caller]
fn accepted(cedar: &str) -> Snapshot {
    with_policy("organisation", cedar).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

#[test]
fn every_policy_has_one_id_of_its_own() {
    let rest = "permit (principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.search\", resource);\n";
    refused(rest, "policy-id-missing", 1);
    refused(&format!("// why\n\n@id(\"with space\")\n{rest}"), "policy-id-invalid", 3);
    refused(&format!("@id(\"role:support:allow:1\")\n{rest}"), "policy-id-reserved", 1);
    refused(&format!("@id(\"bailiwick:mine\")\n{rest}"), "policy-id-reserved", 1);
    refused(&format!("@id(\"a\")\n{rest}@id(\"a\")\n{rest}"), "policy-id-duplicate", 3);
}

#[test]
fn what_is_not_cedar_says_where() {
    refused("@id(\"a\")\npermit (principal, action, resource) when { 1 + };\n", "policy-syntax", 2);
    refused(
        "@id(\"a\")\npermit (principal == ?principal, action == Bailiwick::Action::\"crm.search\", resource);\n",
        "policy-template",
        1,
    );
}

#[test]
fn an_invalid_policy_says_where_within_it() {
    let cedar = |when: &str| {
        format!(
            "@id(\"a\")\nforbid (principal, action == Bailiwick::Action::\"crm.update\", resource)\nwhen {{\n  {when}\n}};\n"
        )
    };
    refused(&cedar("context.input.id == 7"), "policy-invalid", 4);
    refused(&cedar("context.input.misspelt == \"x\""), "policy-invalid", 4);
    refused(&cedar("context.input.note == \"an optional argument without `has`\""), "policy-invalid", 4);
    refused(&cedar("context.local.lab.weekday == 7"), "policy-invalid", 4);
    refused(&cedar("context.task.facts.contains(Bailiwick::Fact::\"read:pij\")"), "policy-invalid", 4);
    refused(
        "@id(\"a\")\nforbid (principal, action == Bailiwick::Action::\"crm.serch\", resource);\n",
        "policy-invalid",
        2,
    );
}

#[test]
fn a_warning_refuses_as_an_error_does() {
    // It can never match: a Contact is never the resource of a search.
    refused(
        "@id(\"a\")\nforbid (principal, action == Bailiwick::Action::\"crm.search\", resource is Crm::Contact);\n",
        "policy-suspicious",
        1,
    );
}

#[test]
fn annotations_are_a_closed_list_and_stand_where_they_mean_something() {
    let permit = "permit (principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.search\", resource);\n";
    let forbid = "forbid (principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.search\", resource);\n";
    refused(&format!("@id(\"a\") @aprovers(\"group:x\")\n{forbid}"), "annotation-unknown", 1);
    refused(&format!("@id(\"a\") @approvers(\"group:x\")\n{permit}"), "annotation-misplaced", 1);
    refused(&format!("@id(\"a\") @quorum(\"2\")\n{forbid}"), "annotation-without-approvers", 1);
    refused(&format!("@id(\"a\") @obligation(\"capture_payload\")\n{forbid}"), "annotation-misplaced", 1);
    refused(&format!("@id(\"a\") @obligation(\"notify=me\")\n{permit}"), "annotation-invalid", 1);
    refused(&format!("@id(\"a\") @obligation(\"mask=secrets\")\n{permit}"), "field-class-unknown", 1);
    accepted(&format!("@id(\"a\") @obligation(\"mask=pii;capture_payload\")\n{permit}"));
}

fn gate(annotations: &str, conditions: &str) -> String {
    format!(
        "@id(\"g\") {annotations}\nforbid (principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.update\", resource)\n{conditions};\n"
    )
}

#[test]
fn a_gate_names_itself_and_its_approvers() {
    let own = "unless { context.approvals.contains(\"g\") }";
    let snapshot =
        accepted(&gate("@approvers(\"group:a, user:u1\") @quorum(\"2\") @step_up(\"passkey\") @expires(\"1h\")", own));
    let compiled = snapshot.policies.iter().find(|policy| policy.id.as_str() == "g").unwrap();
    let found = compiled.annotations.gate.as_ref().unwrap();
    assert_eq!((found.approvers.len(), found.quorum, found.expires_s), (2, 2, 3_600));
    accepted(&gate("@approvers(\"group:a\")", &format!("when {{ context.input.amount > 5 }} {own}")));

    refused(&gate("", own), "approval-without-approvers", 1);
    refused(&gate("@approvers(\"group:a\")", ""), "approvers-without-gate", 1);
    refused(&gate("@approvers(\"everybody\")", own), "annotation-invalid", 1);
    refused(&gate("@approvers(\"group:a\") @quorum(\"0\")", own), "annotation-invalid", 1);
    refused(&gate("@approvers(\"group:a\") @expires(\"48h\")", own), "annotation-invalid", 1);
    refused(&gate("@approvers(\"group:a\") @step_up(\"sms\")", own), "annotation-invalid", 1);
    refused_in("boundary", &gate("@approvers(\"group:a\")", own), "boundary-gate", 1);
}

#[test]
fn approvals_do_nothing_else_than_lift_their_own_forbid() {
    for misuse in [
        "when { context.approvals.contains(\"g\") }",
        "unless { !context.approvals.contains(\"g\") }",
        "unless { context.approvals.contains(\"other\") }",
        "unless { context.approvals.contains(\"g\") || context.effect.reversible }",
        "unless { context.approvals.contains(\"g\") && context.effect.reversible }",
        "unless { context.approvals.containsAny([\"g\"]) }",
        "unless { context.approvals.isEmpty() }",
        "unless { context.approvals == [\"g\"] }",
        "unless { [\"g\"].containsAll(context.approvals) }",
        "unless { if context.approvals.contains(\"g\") then true else false }",
        "when { context.effect.reversible } unless { {a: context.approvals}.a.contains(\"g\") }",
    ] {
        refused(&gate("@approvers(\"group:a\")", misuse), "approval-misuse", 1);
    }
    refused(
        "@id(\"p\")\npermit (principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.update\", resource)\nunless { context.approvals.contains(\"p\") };\n",
        "approval-misuse",
        1,
    );
    // By a side door: the context as a whole.
    refused(
        &gate("", "unless { (if context.effect.reversible then context else context).approvals.contains(\"g\") }"),
        "context-whole",
        1,
    );
    refused(&gate("", "when { context == context }"), "context-whole", 1);
}

#[test]
fn the_boundary_only_forbids() {
    refused_in(
        "boundary",
        "@id(\"a\")\npermit (principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.search\", resource);\n",
        "boundary-permit",
        1,
    );
    let findings = with_policy("elsewhere", "@id(\"a\")\nforbid (principal, action, resource);\n").unwrap_err();
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["policy-folder-unknown"]);
}

#[test]
fn a_name_that_is_nowhere_refuses() {
    let scope = |resource: &str| format!("@id(\"a\")\nforbid (principal, action, {resource});\n");
    refused(&scope("resource in Bailiwick::DataDomain::\"hrr\""), "entity-unknown", 1);
    refused(&scope("resource in Bailiwick::System::\"erp\""), "entity-unknown", 1);
    let when = |when: &str| {
        format!(
            "@id(\"a\")\nforbid (principal is Bailiwick::Agent, action == Bailiwick::Action::\"hr.read\", resource) when {{ {when} }};\n"
        )
    };
    refused(&when("principal in Bailiwick::Role::\"suport\""), "entity-unknown", 1);
    refused(
        &when("[Bailiwick::Role::\"support\", Bailiwick::Role::\"boss\"].contains(Bailiwick::Role::\"boss\")"),
        "entity-unknown",
        1,
    );
    accepted(&when("principal in Bailiwick::Role::\"support\""));
    accepted(&when("Bailiwick::System::\"hr\".risk == \"high\""));
    accepted(&when("principal == Bailiwick::Agent::\"comes-with-the-call\""));
}

#[test]
fn what_need_not_exist_cannot_be_looked_into() {
    let when = |when: &str| {
        format!(
            "@id(\"a\")\nforbid (principal is Bailiwick::Agent, action == Bailiwick::Action::\"hr.read\", resource) when {{ {when} }};\n"
        )
    };
    for opened in [
        "Bailiwick::Agent::\"bob\".promoted",
        "Bailiwick::Agent::\"bob\" in Bailiwick::Role::\"support\"",
        "Hr::Person::\"7\" in Bailiwick::DataDomain::\"hr\"",
        "(if principal.promoted then Bailiwick::Agent::\"bob\" else principal).promoted",
    ] {
        refused(&when(opened), "entity-opened", 1);
    }
}

#[test]
fn roles_are_checked() {
    #[track_caller]
    fn check(role: &str, code: &str) {
        let findings = compile(role).expect_err("it must be refused");
        let codes: BTreeSet<_> = findings.iter().filter(|f| f.severity == Severity::Error).map(|f| f.code).collect();
        assert_eq!(codes, BTreeSet::from([code]), "{findings:#?}");
        assert!(findings.iter().all(|finding| finding.file.starts_with("roles/")), "{findings:#?}");
    }
    check("[roles.a]\npurpose = \" \"", "role-purpose");
    check("[roles.a]\npurpose = \"x\"\nalow = []", "key-unknown");
    check("[roles.a]\npurpose = \"x\"\nallow = [\"crm.serch\"]", "action-unknown");
    check("[roles.a]\npurpose = \"x\"\nallow = [\"erp:read\"]", "action-unknown");
    check("[roles.a]\npurpose = \"x\"\nallow = [\"read\"]", "action-unknown");
    check("[roles.a]\npurpose = \"x\"\nallow = [\"crm:*\"]", "allow-whole-system");
    check("[roles.a]\npurpose = \"x\"\ninherits = [\"suport\"]", "role-unknown");
    check("[roles.a]\npurpose = \"x\"\ninherits = [\"a\"]", "role-cycle");
    check(
        "[roles.a]\npurpose = \"x\"\ninherits = [\"b\"]\n[roles.b]\npurpose = \"y\"\ninherits = [\"a\"]",
        "role-cycle",
    );
    let holds = "[roles.b]\npurpose = \"y\"\nallow = [\"crm.search\"]\n";
    let excludes = "[roles.c]\npurpose = \"z\"\nout_of_scope = [\"crm:read\"]\n";
    check("[roles.a]\npurpose = \"x\"\nallow = [\"crm.search\"]\nout_of_scope = [\"crm:read\"]", "role-overlap");
    check(
        &format!("[roles.a]\npurpose = \"x\"\ninherits = [\"b\"]\nout_of_scope = [\"crm:*\"]\n{holds}"),
        "role-overlap",
    );
    check(&format!("[roles.a]\npurpose = \"x\"\ninherits = [\"b\", \"c\"]\n{holds}{excludes}"), "role-overlap");
    let limit = |name: &str, window: i64| {
        format!("[[roles.a.limits]]\nname = \"{name}\"\nwindow_s = {window}\ncalls_max = 1\n")
    };
    check(&format!("[roles.a]\npurpose = \"x\"\n{}", limit("x", 0)), "limit-window");
    check(&format!("[roles.a]\npurpose = \"x\"\n{}", limit("a/b", 60)), "limit-name");
    check(&format!("[roles.a]\npurpose = \"x\"\n{}{}", limit("x", 60), limit("x", 3_600)), "limit-duplicate");
}

#[test]
fn a_class_is_narrowed_by_what_is_out_of_scope() {
    // Two writes, one of them out of scope: the usual way to narrow a class.
    const CASES: [&str; 2] = [
        "[roles.a]\npurpose = \"x\"\nallow = [\"erp:write\"]\nout_of_scope = [\"erp.pay\"]\n",
        "[roles.a]\npurpose = \"x\"\ninherits = [\"b\"]\nout_of_scope = [\"erp.pay\"]\n\
         [roles.b]\npurpose = \"y\"\nallow = [\"erp:write\"]\n",
    ];
    let erp = "[systems.erp]\ndomains = [\"sales\"]\nminimum = [\"erp:write\"]\n\
               [systems.erp.tools.book]\nclass = \"write\"\ninput = { id = \"string\" }\n\
               [systems.erp.tools.pay]\nclass = \"write\"\ninput = { id = \"string\" }\n";
    for roles in CASES {
        let snapshot = compile(&format!("{erp}{roles}")).unwrap_or_else(|findings| panic!("{findings:#?}"));
        let overlaps: Vec<_> = crate::lint(&snapshot).into_iter().filter(|one| one.code.contains("overlap")).collect();
        assert!(overlaps.is_empty() && snapshot.warnings().is_empty(), "{overlaps:#?} {:#?}", snapshot.warnings());
    }
}

#[test]
fn a_class_of_which_nothing_is_left_is_a_warning() {
    let void = |out_of_scope: &str| {
        let role = format!("[roles.a]\npurpose = \"x\"\nallow = [\"crm:read\"]\nout_of_scope = [\"{out_of_scope}\"]");
        let snapshot = compile(&role).unwrap_or_else(|findings| panic!("{findings:#?}"));
        let found = crate::lint(&snapshot).into_iter().chain(snapshot.warnings().iter().cloned());
        let overlaps: BTreeSet<_> =
            found.filter(|one| one.code.contains("overlap")).map(|one| (one.code, one.severity)).collect();
        assert_eq!(overlaps, BTreeSet::from([("role-overlap", Severity::Warning)]));
    };
    void("crm:read");
    void("crm:*");
}

#[test]
fn a_role_above_the_minimum_of_a_system_is_a_warning() {
    let snapshot = compile("[roles.writer]\npurpose = \"Write\"\nallow = [\"crm:read\", \"crm.update\"]\n").unwrap();
    let [finding] = snapshot.warnings() else { panic!("{:#?}", snapshot.warnings()) };
    assert_eq!((finding.code, finding.file.as_str(), finding.line), ("over-grant", "roles/writer.toml", Some(1)));
    assert!(finding.message.contains("`crm.update`"), "{}", finding.message);
}

#[test]
fn a_policy_that_lifts_a_role_above_the_minimum_is_a_warning() {
    let permit = "@id(\"a\")\npermit (principal in Bailiwick::Role::\"support\", action in Bailiwick::Action::\"write\", resource);\n";
    let snapshot = accepted(permit);
    let finding = snapshot.warnings().iter().find(|finding| finding.code == "over-grant").unwrap();
    assert!(finding.message.contains("role `support`"), "{}", finding.message);
}

#[test]
fn a_policy_without_scope_is_a_warning() {
    let snapshot =
        accepted("@id(\"a\")\nforbid (principal, action, resource) when { context.network.zone == \"unknown\" };\n");
    let [finding] = snapshot.warnings() else { panic!("{:#?}", snapshot.warnings()) };
    assert_eq!((finding.code, finding.line), ("policy-unscoped", Some(1)));
}

#[test]
fn the_empty_bundle_compiles() {
    let snapshot = Snapshot::compile(&BundleFiles::default()).unwrap_or_else(|findings| panic!("{findings:#?}"));
    assert_eq!(snapshot.policies.len(), 2, "the built-in ones");
    assert!(snapshot.warnings().is_empty());
}

#[test]
fn files_that_nothing_reads_are_a_warning() {
    let files = ["README.md", "policies/notes.txt", "roles/support.md"].map(|path| (path.to_owned(), b"x".to_vec()));
    let snapshot = Snapshot::compile(&BundleFiles::new(files.into()).unwrap()).unwrap();
    assert!(snapshot.warnings().iter().all(|finding| finding.code == "file-ignored"));
    assert_eq!(snapshot.warnings().len(), 3);
}

/// A bundle with one permit that has this condition.
fn with_condition(condition: &str) -> Result<Snapshot, Vec<Finding>> {
    let scope = "principal is Bailiwick::Agent, action == Bailiwick::Action::\"crm.search\", resource";
    with_policy("organisation", &format!("@id(\"a\")\npermit ({scope}) when {{ {condition} }};\n"))
}

#[test]
fn text_that_nests_does_not_end_the_process() {
    let brackets = |count: usize| format!("{}context.effect.reversible{}", "(".repeat(count), ")".repeat(count));
    let chain = |count: usize| vec!["context.effect.reversible"; count].join(" && ");
    let branches = |count: usize| format!("{}true", "if context.effect.reversible then true else ".repeat(count));
    let sum = |count: usize| format!("{} > 0", vec!["context.effect.records"; count].join(" + "));
    for accepted in [brackets(30), chain(100), branches(100), sum(100)] {
        assert!(with_condition(&accepted).is_ok(), "{accepted:.60}");
    }
    for refused in [
        brackets(33),
        brackets(8_000),
        chain(150),
        branches(150),
        sum(400),
        format!("principal{}", ".a".repeat(8_000)),
        format!("principal{}", ".a".repeat(1_020)),
        format!("{}1 > 0", "1+".repeat(1_020)),
    ] {
        let findings = with_condition(&refused).expect_err("it must be refused");
        assert!(findings.iter().any(|finding| finding.code.starts_with("policy-")), "{refused:.60} {findings:#?}");
    }
}
