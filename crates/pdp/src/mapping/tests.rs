//! Calls and the operations that they stand for; calls that are refused.

use bailiwick_model::operation::ActionTag;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::fixtures::{self, FILES, MAIL, MEMORY};

fn operations(system: &str, method: &str, name: Option<&str>, arguments: Json) -> Result<Vec<Operation>, Reason> {
    static CATALOGUE: std::sync::OnceLock<Catalogue> = std::sync::OnceLock::new();
    let catalogue = CATALOGUE.get_or_init(|| fixtures::catalogue(&[FILES, MAIL, MEMORY]));
    let arguments = arguments.as_object().unwrap();
    map(catalogue, &Call { system: &system.parse().unwrap(), method, name, arguments })
}

fn tool(action: &str, arguments: Json) -> Result<Vec<Operation>, Reason> {
    let (system, tool) = action.split_once('.').unwrap();
    operations(system, "tools/call", Some(tool), arguments)
}

/// `Type::id` of every record of a call.
fn records(action: &str, arguments: Json) -> Vec<String> {
    tool(action, arguments)
        .unwrap()
        .into_iter()
        .map(|operation| match operation.resource {
            Resource::Record { type_name, id, .. } => format!("{type_name}::{id}"),
            Resource::Tool { tool, .. } => format!("Tool::{tool}"),
            Resource::System { system } => format!("System::{system}"),
        })
        .collect()
}

#[track_caller]
fn check_refused(action: &str, arguments: Json, code: ReasonCode, message: &str) {
    let reason = tool(action, arguments).unwrap_err();
    assert_eq!((reason.code, reason.message.as_str()), (code, message));
}

#[test]
fn a_call_becomes_one_operation() {
    let all = tool("files.write_file", json!({"path": "/data/./a//b.txt", "content": "hi"})).unwrap();
    let [operation] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(operation.action.as_str(), "files.write_file");
    assert_eq!((operation.class, operation.tags.as_slice()), (ActionClass::Write, &[][..]));
    assert_eq!(operation.effect, DeclaredEffect { records: 1, reversible: false });
    assert_eq!(operation.input["path"], Value::String("/data/a/b.txt".into()));
    let Resource::Record { type_name, id, attributes, .. } = &operation.resource else { panic!("{operation:?}") };
    assert_eq!((type_name.as_str(), id.as_str()), ("File", "/data/a/b.txt"));
    assert_eq!(attributes["id"], Value::String("/data/a/b.txt".into()));
}

#[test]
fn every_element_is_an_operation() {
    assert_eq!(
        records("files.read_multiple_files", json!({"paths": ["/data/a", "/data/../etc/passwd", "/data/a"]})),
        ["File::/data/a", "File::/etc/passwd", "File::/data/a"]
    );
    assert_eq!(
        records("files.move_file", json!({"source": "/data/a", "destination": "/etc/../b"})),
        ["File::/data/a", "File::/b"]
    );
    assert_eq!(
        records(
            "memory.create_relations",
            json!({"relations": [
            {"from": "a", "to": "b", "relationType": "knows"}, {"from": "c", "to": "d", "relationType": "knows"}]})
        ),
        ["Entity::a", "Entity::b", "Entity::c", "Entity::d"]
    );
    assert_eq!(
        records(
            "mail.send_email",
            json!({"to": ["A@Example.com"], "cc": ["b@example.com", "c@example.com"], "subject": "", "body": ""})
        ),
        ["Recipient::A@example.com", "Recipient::b@example.com", "Recipient::c@example.com"]
    );
    assert_eq!(
        records("mail.send_email", json!({"to": ["a@example.com"], "subject": "", "body": ""})),
        ["Recipient::a@example.com"]
    );
    let all = tool("memory.create_entities", json!({"entities": [
        {"name": "a", "entityType": "person", "observations": []}, {"name": "b", "entityType": "firm", "observations": ["x"]}]}))
    .unwrap();
    let kinds: Vec<_> = all
        .iter()
        .map(|operation| match &operation.resource {
            Resource::Record { attributes, .. } => attributes["kind"].clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, [Value::String("person".into()), Value::String("firm".into())]);
    assert!(all.iter().all(|operation| operation.effect.records == 2 && operation.input == all[0].input));
}

#[test]
fn an_array_that_names_nothing_or_too_much_is_refused() {
    check_refused(
        "files.read_multiple_files",
        json!({"paths": []}),
        ReasonCode::OperationCount,
        "the call names 0 records, but must name from 1 to 256",
    );
    let many = |count: usize| json!({"paths": vec!["/data/a"; count]});
    assert_eq!(records("files.read_multiple_files", many(OPERATIONS_PER_CALL_MAX)).len(), OPERATIONS_PER_CALL_MAX);
    let reason = tool("files.read_multiple_files", many(OPERATIONS_PER_CALL_MAX + 1)).unwrap_err();
    assert_eq!(reason.code, ReasonCode::OperationCount);
    // Two ids per element count twice.
    let relation = json!({"from": "a", "to": "b", "relationType": "c"});
    let reason = tool("memory.create_relations", json!({"relations": vec![relation; OPERATIONS_PER_CALL_MAX / 2 + 1]}))
        .unwrap_err();
    assert_eq!(reason.code, ReasonCode::OperationCount);
}

#[test]
fn a_fan_out_cannot_multiply_a_large_input() {
    let to: Vec<String> = (0..200).map(|n| format!("a{n}@example.com")).collect();
    let mail = |bytes: usize| tool("mail.send_email", json!({"to": to, "subject": "s", "body": "x".repeat(bytes)}));
    assert_eq!(mail(32 * 1_024).unwrap().len(), 200);
    let reason = mail(128 * 1_024).unwrap_err();
    assert_eq!(reason.code, ReasonCode::OperationCount);
    assert_eq!(reason.help.as_deref(), Some("split the call"));
}

#[test]
fn what_does_not_fit_its_type_is_refused() {
    let invalid = ReasonCode::ArgumentInvalid;
    check_refused("files.write_file", json!({"path": 1, "content": ""}), invalid, "argument `path` is not text");
    check_refused(
        "files.write_file",
        json!({"path": ["/data/a"], "content": ""}),
        invalid,
        "argument `path` is not text",
    );
    check_refused("files.write_file", json!({"path": null, "content": ""}), invalid, "argument `path` is not text");
    check_refused("files.write_file", json!({"content": ""}), invalid, "argument `path` is missing");
    check_refused(
        "files.write_file",
        json!({"path": "/a", "content": "", "Path": "/etc/passwd"}),
        invalid,
        "argument `Path` is not one that the tool declares",
    );
    check_refused(
        "files.read_multiple_files",
        json!({"paths": ["/a", {"path": "/etc/passwd"}]}),
        invalid,
        "argument `paths` is not text",
    );
    check_refused("files.read_multiple_files", json!({"paths": "/a"}), invalid, "argument `paths` is not an array");
    check_refused(
        "files.write_file",
        json!({"path": "data/a", "content": ""}),
        invalid,
        "argument `path` is not an absolute path that starts with `/`",
    );
    check_refused(
        "files.edit_file",
        json!({"path": "/a", "edits": [{"oldText": "a"}]}),
        invalid,
        "argument `edits.newText` is missing",
    );
    check_refused(
        "files.edit_file",
        json!({"path": "/a", "edits": [{"oldText": "a", "newText": "b", "mode": 1}]}),
        invalid,
        "argument `edits.mode` is not one that the tool declares",
    );
    check_refused(
        "files.edit_file",
        json!({"path": "/a", "edits": [], "dryRun": "yes"}),
        invalid,
        "argument `dryRun` is not `true` or `false`",
    );
    check_refused(
        "mail.get_contact",
        json!({"contact_id": 1.0}),
        invalid,
        "argument `contact_id` is not an integer of 64 bits",
    );
    check_refused(
        "mail.get_contact",
        json!({"contact_id": u64::MAX}),
        invalid,
        "argument `contact_id` is not an integer of 64 bits",
    );
    check_refused(
        "mail.send_email",
        json!({"to": ["a@example.com", "b@example.com, eve@example.org"], "subject": "", "body": ""}),
        invalid,
        "argument `to` has no plain domain after the `@`",
    );
    check_refused(
        "memory.delete_entities",
        json!({"entityNames": ["a", "b\u{202e}"]}),
        invalid,
        "`entityNames` contains a control character, or one that is invisible or turns the direction of text",
    );
    check_refused("memory.delete_entities", json!({"entityNames": ["a", ""]}), invalid, "`entityNames` is empty");
}

#[test]
fn a_made_up_name_is_safe_to_repeat() {
    let reason = tool("files.write_file", json!({"path": "/a", "content": "", "x\n\u{202e}`": 1})).unwrap_err();
    assert_eq!(
        reason.message,
        "argument `x\\u{a}\\u{202e}`` is not one that the tool declares".replace("\\u{a}", "\\n")
    );
    let reason = operations("files", "tools/call", Some("x\n\u{202e}"), json!({})).unwrap_err();
    assert_eq!(reason.message, "tool `x\\n\\u{202e}` is not in the catalogue of system `files`");
}

#[test]
fn an_open_schema_lets_undeclared_arguments_through_unseen() {
    // `get_contact` does not close its schema.
    let all = tool("mail.get_contact", json!({"contact_id": 42, "trace": {"a": 1}})).unwrap();
    assert_eq!(all[0].input.keys().collect::<Vec<_>>(), ["contact_id"]);
    assert_eq!(records("mail.get_contact", json!({"contact_id": 42})), ["Contact::42"]);
    let catalogue = fixtures::catalogue(&[MAIL]);
    let tool = catalogue.tool(&"mail".parse().unwrap(), &"get_contact".parse().unwrap()).unwrap();
    assert!(tool.input.open);
}

#[test]
fn opaque_arguments_are_absent_and_null_is_absence_where_declared() {
    let all = tool(
        "mail.transfer_funds",
        json!({"account_id": "a", "amount": 1, "note": null, "meta": {"x": "y"}, "when": 3}),
    )
    .unwrap();
    assert_eq!(all[0].input.keys().collect::<Vec<_>>(), ["account_id", "amount"]);
}

#[test]
fn decimals_are_exact_or_refused() {
    let amount = |amount: Json| {
        tool("mail.transfer_funds", json!({"account_id": "a", "amount": amount}))
            .map(|all| all[0].input["amount"].clone())
    };
    for (written, expected) in [
        (json!(1), 10_000),
        (json!(12.34), 123_400),
        (json!(-0.5), -5_000),
        (json!(0.0001), 1),
        (json!(100.0), 1_000_000),
        (json!(922337203685477_i64), 9_223_372_036_854_770_000),
    ] {
        assert_eq!(amount(written.clone()).unwrap(), Value::Decimal(expected), "{written}");
    }
    for refused in [json!(0.00001), json!(1e300), json!(922337203685478_i64), json!(u64::MAX), json!("1"), json!(null)]
    {
        assert_eq!(amount(refused.clone()).unwrap_err().code, ReasonCode::ArgumentInvalid, "{refused}");
    }
}

#[test]
fn an_unknown_effect_is_the_largest() {
    let records_of = |arguments: Json| tool("mail.fetch_page", arguments).unwrap()[0].effect.records;
    assert_eq!(records_of(json!({"url": "https://example.com", "max_length": 5})), 5);
    for unlimited in [json!(0), json!(-1)] {
        assert_eq!(records_of(json!({"url": "https://example.com", "max_length": unlimited})), i64::MAX);
    }
    assert_eq!(records_of(json!({"url": "https://example.com"})), i64::MAX);
    assert_eq!(tool("files.list_directory", json!({"path": "/"})).unwrap()[0].effect, DeclaredEffect::UNKNOWN);
}

#[test]
fn nobody_classified_means_the_worst() {
    let all = tool("mail.frobnicate", json!({"thing": "x"})).unwrap();
    assert_eq!(
        (all[0].class, all[0].tags.len(), all[0].effect),
        (ActionClass::Write, ActionTag::ALL.len(), DeclaredEffect::UNKNOWN)
    );
    assert_eq!(records("mail.frobnicate", json!({})), ["Tool::frobnicate"]);
}

#[test]
fn what_is_not_in_the_catalogue_is_unknown() {
    for (system, method, name, code) in [
        ("crm", "tools/call", Some("x"), ReasonCode::UnknownTool),
        ("files", "tools/call", Some("format_disk"), ReasonCode::UnknownTool),
        ("files", "tools/call", Some(""), ReasonCode::UnknownTool),
        ("files", "tools/call", None, ReasonCode::UnknownTool),
        ("files", "tools/list", None, ReasonCode::UnknownMethod),
        ("files", "sampling/createMessage", None, ReasonCode::UnknownMethod),
        ("files", "", None, ReasonCode::UnknownMethod),
        ("files", "resources/read", None, ReasonCode::ArgumentInvalid),
        ("files", "resources/read", Some("file:///data/%2e%2e%2fetc/passwd"), ReasonCode::ArgumentInvalid),
        ("files", "resources/read", Some("/etc/passwd"), ReasonCode::ArgumentInvalid),
        ("files", "prompts/get", Some("a\0b"), ReasonCode::ArgumentInvalid),
    ] {
        assert_eq!(operations(system, method, name, json!({})).unwrap_err().code, code, "{method} {name:?}");
    }
}

#[test]
fn other_methods_act_on_the_system() {
    let all = operations("files", "resources/read", Some("FILE:///data/../etc/passwd"), json!({})).unwrap();
    assert_eq!(all[0].action.as_str(), "files:resources/read");
    assert_eq!(all[0].input["uri"], Value::String("file:///etc/passwd".into()));
    assert!(matches!(all[0].resource, Resource::System { .. }));
    for mapped in MAPPED_METHODS {
        let all = operations("files", mapped.method, Some("a://b"), json!({})).unwrap();
        assert_eq!(all[0].input.keys().collect::<Vec<_>>(), [mapped.attribute]);
    }
}

/// A value of a schema's type; sometimes one of another type.
fn any_argument() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[/a-z.@]{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((prop_oneof![Just("name"), Just("from"), Just("to"), Just("oldText")], inner), 0..4)
                .prop_map(|members| Json::Object(
                    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
                )),
        ]
    })
}

proptest! {
    #[test]
    fn a_fan_out_covers_every_element(paths in prop::collection::vec("(/[a-c.]{1,3}){1,4}", 1..20)) {
        let expected: Vec<String> = paths.iter().map(|path| format!("File::{}", normalise::path(path).unwrap())).collect();
        prop_assert_eq!(records("files.read_multiple_files", json!({"paths": paths})), expected);
    }

    #[test]
    fn mapping_is_total_and_what_it_yields_fits(arguments in prop::collection::btree_map(
        prop_oneof![Just("path"), Just("paths"), Just("edits"), Just("relations"), Just("to"), Just("amount"), Just("account_id")], any_argument(), 0..5)) {
        let arguments: Json = arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into();
        for action in ["files.edit_file", "files.read_multiple_files", "memory.create_relations", "mail.send_email", "mail.transfer_funds"] {
            if let Ok(all) = tool(action, arguments.clone()) {
                prop_assert!(!all.is_empty() && all.len() <= OPERATIONS_PER_CALL_MAX);
                for operation in all {
                    prop_assert!(operation.input.keys().all(|name| arguments.get(name).is_some()));
                }
            }
        }
    }
}
