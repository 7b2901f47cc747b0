//! The generated schema: Cedar accepts it, and policies over it type-check.

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use serde_json::json;

use super::*;
use crate::fixtures::{self, FILES, MAIL, MEMORY};

fn vocabulary() -> Vocabulary {
    Vocabulary { zones: ["hq".to_owned(), "the in".to_owned()].into(), ..Vocabulary::default() }
}

fn schema(catalogue: &Catalogue) -> Schema {
    let generated = generate(catalogue, &vocabulary());
    match Schema::from_cedarschema_str(&generated.text) {
        Ok((schema, warnings)) => {
            let warnings: Vec<_> = warnings.collect();
            assert!(warnings.is_empty(), "{warnings:?}");
            schema
        }
        Err(error) => panic!("{error:?}\n{}", generated.text),
    }
}

/// What strict validation says of a policy: empty if nothing.
fn findings(catalogue: &Catalogue, policy: &str) -> Vec<String> {
    let set: PolicySet = policy.parse().unwrap();
    let result = Validator::new(schema(catalogue)).validate(&set, ValidationMode::Strict);
    result
        .validation_errors()
        .map(ToString::to_string)
        .chain(result.validation_warnings().map(ToString::to_string))
        .collect()
}

#[track_caller]
fn check_valid(policy: &str) {
    let found = findings(&fixtures::catalogue(&[FILES, MAIL, MEMORY]), policy);
    assert!(found.is_empty(), "{policy}\n{found:#?}");
}

#[track_caller]
fn check_refused(policy: &str) {
    let found = findings(&fixtures::catalogue(&[FILES, MAIL, MEMORY]), policy);
    assert!(!found.is_empty(), "{policy} was not refused");
}

#[test]
fn arguments_are_typed() {
    check_valid(
        r#"permit(principal is Bailiwick::Agent, action == Bailiwick::Action::"files.write_file", resource is Files::File)
           when { resource.id like "/data/*" && context.input.path like "/data/*" && context.input.content like "*x*" };"#,
    );
    check_valid(
        r#"forbid(principal, action == Bailiwick::Action::"mail.transfer_funds", resource)
           when { context.input.amount.greaterThan(decimal("100.0")) && resource.amount.greaterThan(decimal("100.0")) };"#,
    );
    check_valid(
        r#"forbid(principal, action == Bailiwick::Action::"mail.send_email", resource)
           unless { resource.id like "*@example.com" && context.input.to.contains(resource.id) };"#,
    );
    check_valid(
        r#"forbid(principal, action == Bailiwick::Action::"memory.create_entities", resource)
           when { resource has kind && resource.kind == "person" || context.input.entities.contains({name: "x", entityType: "y", observations: ["z"]}) };"#,
    );
    check_valid(
        r#"forbid(principal, action == Bailiwick::Action::"mail.read.weird-name", resource)
           when { context.input has "in" && context.input["in"] == "x" };"#,
    );
    check_valid(
        r#"forbid(principal, action == Bailiwick::Action::"files:resources/read", resource is Bailiwick::System)
           unless { context.input.uri like "file:///data/*" && resource.risk == "low" };"#,
    );
}

#[test]
fn what_the_schema_does_not_say_cannot_be_relied_on() {
    // A misspelt argument, an opaque one, an optional one without a check, a wrong type, a resource of another kind.
    check_refused(
        r#"permit(principal, action == Bailiwick::Action::"files.write_file", resource) when { context.input.pth == "x" };"#,
    );
    check_refused(
        r#"permit(principal, action == Bailiwick::Action::"mail.transfer_funds", resource) when { context.input has meta };"#,
    );
    check_refused(
        r#"permit(principal, action == Bailiwick::Action::"mail.transfer_funds", resource) when { context.input.note == "x" };"#,
    );
    check_refused(
        r#"permit(principal, action == Bailiwick::Action::"files.write_file", resource) when { context.input.path == 1 };"#,
    );
    check_refused(
        r#"permit(principal, action == Bailiwick::Action::"files.write_file", resource is Bailiwick::Tool);"#,
    );
    check_refused(r#"permit(principal, action == Bailiwick::Action::"files.wrte_file", resource);"#);
    check_refused(
        r#"permit(principal is Bailiwick::Operator, action == Bailiwick::Action::"files.write_file", resource);"#,
    );
    check_refused(
        r#"forbid(principal, action in Bailiwick::Action::"egress", resource) when { context.task.facts.contains(Bailiwick::Fact::"read:flies") };"#,
    );
}

#[test]
fn trusted_context_is_there_for_every_action() {
    for action in [
        "read",
        "write",
        "delete",
        "execute",
        "egress",
        "billing",
        "production",
        "bulk",
        "files:*",
        "mail:execute",
        "memory:delete",
    ] {
        check_valid(&format!(
            r#"forbid(principal, action in Bailiwick::Action::"{action}", resource) when {{
                context.now > datetime("2026-01-01") && context.local.hq.minute_of_day < 540 && context.local["the in"].weekday == 7
                && !context.local.hq.holiday && context.local.hq.date == "2026-12-25" && context.network.zone == "office"
                && context.effect.records > 100 && !context.effect.reversible && context.task.implicit
                && context.task.facts.contains(Bailiwick::Fact::"read:files") && context.approvals.contains("x")
            }};"#
        ));
    }
    check_valid(
        r#"forbid(principal is Bailiwick::Agent, action in Bailiwick::Action::"write", resource) unless {
            principal.promoted && principal in Bailiwick::Role::"support" && principal in Bailiwick::Organization::"self"
            && principal.environment == "production" && principal.owner != "" && !principal.task_required
        };"#,
    );
    check_valid(r#"forbid(principal, action, resource in Bailiwick::DataDomain::"hr");"#);
    check_valid(
        r#"forbid(principal is Bailiwick::User in Bailiwick::Group::"interns", action in Bailiwick::Action::"billing", resource);"#,
    );
}

#[test]
fn a_rule_on_an_empty_group_validates_before_its_first_tool() {
    for catalogue in [Catalogue::default(), fixtures::catalogue(&[FILES])] {
        for group in [
            "read",
            "write",
            "delete",
            "execute",
            "egress",
            "billing",
            "production",
            "export",
            "permission_change",
            "bulk",
        ] {
            let policy =
                format!(r#"forbid(principal is Bailiwick::Agent, action in Bailiwick::Action::"{group}", resource);"#);
            assert_eq!(findings(&catalogue, &policy), Vec::<String>::new(), "{group}");
        }
    }
    let policy = r#"forbid(principal, action in Bailiwick::Action::"production", resource is Files::File) when { resource.id like "/srv/*" };"#;
    // All ungrouped tools of the fixture have every tag, so `production` has real members here.
    assert_eq!(
        findings(&fixtures::catalogue(&[FILES]), &policy.replace("production", "files:delete")),
        Vec::<String>::new()
    );
}

#[test]
fn witnesses_are_nobodys_actions() {
    let generated = generate(&fixtures::catalogue(&[FILES]), &vocabulary());
    assert!(generated.witnesses.iter().any(|name| name.as_str() == "bailiwick:files:delete"));
    for witness in &generated.witnesses {
        assert!(witness.system().parse::<bailiwick_model::name::SystemName>().is_err(), "{witness}");
    }
}

#[test]
fn what_policy_cannot_see_is_written_down() {
    let text = generate(&fixtures::catalogue(&[FILES, MAIL]), &vocabulary()).text;
    assert!(text.contains("// Not visible to policy: \"head\", \"tail\".\n"), "{text}");
    assert!(text.contains("// Not visible to policy: \"meta\", \"when\".\n"), "{text}");
    assert!(text.contains("// Not classified: judged as the worst.\n  action \"mail.frobnicate\" in [\"mail:write\", \"egress\", \"billing\""));
    assert!(text.contains("input: { account_id: String, amount: decimal, note?: String },"), "{text}");
}

#[test]
fn names_that_need_quotes_get_them() {
    assert_eq!(attribute_name("a_b1"), "a_b1");
    assert_eq!(attribute_name("in"), "\"in\"");
    assert_eq!(attribute_name("1a"), "\"1a\"");
    assert_eq!(attribute_name("a\"b\\c"), "\"a\\\"b\\\\c\"");
    assert_eq!(attribute_name("größe"), "\"größe\"");
    let odd = json!({"tools": [{"name": "t", "inputSchema": {"type": "object", "properties": {
        "a\"b\\c{}": {"type": "string"}, "größe": {"type": "integer"}, "has": {"type": "boolean"}, "Long": {"type": "string"}, "Set": {"type": "string"}}}}]});
    schema(&fixtures::catalogue(&[(
        "odd",
        "environment = \"staging\"\nupstream = { stdio = [\"x\"] }\n",
        &odd.to_string(),
    )]));
}

#[test]
fn namespaces_and_record_types_may_be_called_like_cedar_things() {
    let lock = json!({"tools": [{"name": "t", "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}, "n": {"type": "integer"}}}}]});
    for system in
        ["set", "long", "string", "record", "entity", "extension", "type", "in", "ip", "decimal", "user", "tool"]
    {
        for record in ["Entity", "Record", "Extension", "Type", "User", "Tool", "System", "Namespace", "Decimal"] {
            let toml = format!(
                "environment = \"staging\"\nupstream = {{ stdio = [\"x\"] }}\n[tools.t]\nclass = \"read\"\nresource = {{ type = \"{record}\", id = \"id\", attributes = {{ n = \"n\" }} }}\n"
            );
            schema(&fixtures::catalogue(&[(system, &toml, &lock.to_string())]));
        }
    }
}

#[test]
#[expect(clippy::disallowed_types, reason = "how long it takes is what is tested")]
fn a_thousand_tools_take_seconds() {
    use std::time::{Duration, Instant};

    let mut systems = Vec::new();
    for system in 0..20 {
        let tools: Vec<_> = (0..50)
            .map(|tool| {
                let mut whole = serde_json::from_str::<serde_json::Value>(MAIL.2).unwrap()["tools"][tool % 4].clone();
                whole["name"] = json!(format!("tool_{tool}"));
                whole
            })
            .collect();
        let mut toml = String::from("environment = \"production\"\nupstream = { stdio = [\"x\"] }\n");
        for tool in 0..50 {
            let mapping = [
                "resource = { type = \"R\" }\neach = \"to\"",
                "resource = { type = \"A\", id = \"account_id\" }",
                "",
                "",
            ][tool % 4];
            toml.push_str(&format!("[tools.tool_{tool}]\nclass = \"read\"\n{mapping}\n"));
        }
        systems.push((format!("system_{system}"), toml, json!({"tools": tools}).to_string()));
    }
    let systems: Vec<(&str, &str, &str)> =
        systems.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    let bundle = fixtures::bundle(&systems);
    let started = Instant::now();
    let (catalogue, _) = Catalogue::read(&bundle);
    let generated = generate(&catalogue, &vocabulary());
    let read = started.elapsed();
    let schema = Schema::from_cedarschema_str(&generated.text).unwrap().0;
    let parsed = started.elapsed();
    let rules = r#"forbid(principal is Bailiwick::Agent, action in Bailiwick::Action::"billing", resource);
        permit(principal in Bailiwick::Role::"r", action in Bailiwick::Action::"system_3:read", resource);
        forbid(principal, action, resource) when { context.network.zone == "unknown" };"#;
    let result = Validator::new(schema).validate(&rules.parse().unwrap(), ValidationMode::Strict);
    assert!(result.validation_passed_without_warnings(), "{result}");
    let validated = started.elapsed();
    println!(
        "1,000 tools: {} KB of schema, read {read:?}, parsed {parsed:?}, validated {validated:?}",
        generated.text.len() / 1024
    );
    assert!(validated < Duration::from_secs(30), "{validated:?}");
}
