//! Golden grants, and every way in which a template is refused.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Stated, stated};
use crate::{scenario, snapshot::Snapshot};

const SYSTEMS: &str = r#"
title = "handle a ticket"
[systems.helpdesk.tools.get_ticket]
class = "read"
input = { id = "integer" }
[systems.helpdesk.tools.reply]
class = "write"
input = { id = "integer", text = "string" }
[systems.crm.tools.find_customer]
class = "read"
input = { ticket = "string" }
[systems.mail.tools.send]
class = "write"
tags = ["egress"]
input = { to = "string[]", subject = "string" }
[systems.calendar.tools.book]
class = "write"
input = { minutes = "integer", room = "string" }
[systems.files.tools.read]
class = "read"
input = { path = "string" }
normalise = { path = "path" }
[roles.support]
purpose = "Answer customers"
allow = ["helpdesk:read", "helpdesk:write", "crm:read", "mail:write", "calendar:write", "files:read"]
[roles.reader]
purpose = "Look things up"
allow = ["crm:read"]
out_of_scope = ["mail:*"]
[[calls]]
call = "crm.find_customer"
expect = "allow"
"#;

const TICKET: &str = r#"purpose = "Handle one ticket"
roles = ["support"]
minutes = 60

[parameters]
ticket = "the number of the ticket"
customer = "whom to answer"
folder = "where its files are"
longest = "minutes of the meeting at most"

[[tools]]
action = "helpdesk.get_ticket"
pins = { id = { one_of = "$ticket" } }
[[tools]]
action = "crm.find_customer"
pins = { ticket = { one_of = "$ticket" } }
[[tools]]
action = "mail.send"
pins = { to = { one_of = "$customer" } }
[[tools]]
action = "calendar.book"
pins = { minutes = { at_most = "$longest" }, room = { one_of = ["blue", "green"] } }
[[tools]]
action = "files.read"
pins = { path = { under = "$folder" } }
"#;

fn compile(template: &str) -> Result<Snapshot, Vec<String>> {
    let carried = scenario::bundle("world.toml", SYSTEMS.as_bytes()).unwrap();
    let mut files: BTreeMap<String, Vec<u8>> =
        carried.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    files.insert("templates/handle-ticket.toml".to_owned(), template.as_bytes().to_vec());
    let files = bailiwick_model::bundle::BundleFiles::new(files).unwrap();
    Snapshot::compile(&files).map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

fn given(value: Value) -> Stated {
    let Value::Object(map) = value else { return BTreeMap::new() };
    stated(map)
}

fn all() -> Value {
    json!({"ticket": 4711, "customer": ["ann@example.com"], "folder": "/srv/4711", "longest": "30"})
}

#[test]
fn a_template_becomes_exactly_the_golden_grants() {
    let snapshot = compile(TICKET).unwrap();
    let template = snapshot.template(&"handle-ticket".parse().unwrap()).unwrap();
    let grants = template.expand(&given(all())).unwrap();
    let golden = json!([
        {"action": "helpdesk.get_ticket", "pins": {"id": {"one_of": [4711]}}},
        {"action": "crm.find_customer", "pins": {"ticket": {"one_of": ["4711"]}}},
        {"action": "mail.send", "pins": {"to": {"one_of": ["ann@example.com"]}}},
        {"action": "calendar.book", "pins": {"minutes": {"at_most": 30}, "room": {"one_of": ["blue", "green"]}}},
        {"action": "files.read", "pins": {"path": {"under": "/srv/4711"}}},
    ]);
    assert_eq!(serde_json::to_value(&grants).unwrap(), golden);
}

#[test]
fn what_is_stated_is_all_and_only_what_the_template_asks_for() {
    let snapshot = compile(TICKET).unwrap();
    let template = snapshot.template(&"handle-ticket".parse().unwrap()).unwrap();
    let check = |change: &dyn Fn(&mut Map<String, Value>), expected: &str| {
        let Value::Object(mut map) = all() else { return };
        change(&mut map);
        let error = template.expand(&stated(map)).unwrap_err();
        assert!(error.message.contains(expected), "{error}");
        assert!(!error.hint.is_empty());
    };
    check(&|map| drop(map.remove("ticket")), "needs `ticket`: the number of the ticket");
    check(&|map| drop(map.insert("tickte".into(), json!(1))), "has no parameter `tickte`");
    check(&|map| drop(map.insert("ticket".into(), json!([]))), "needs `ticket`");
    check(&|map| drop(map.insert("ticket".into(), json!("many"))), "is not a whole number");
    check(&|map| drop(map.insert("ticket".into(), json!({"a": 1}))), "is not a whole number");
    check(&|map| drop(map.insert("customer".into(), json!(""))), "is not text of");
    check(&|map| drop(map.insert("customer".into(), json!([true]))), "is not text");
    check(&|map| drop(map.insert("folder".into(), json!("/"))), "is not one absolute path");
    check(&|map| drop(map.insert("folder".into(), json!("/a/../.."))), "is not one absolute path");
    check(&|map| drop(map.insert("folder".into(), json!(["/a", "/b"]))), "is not one absolute path");
    check(&|map| drop(map.insert("longest".into(), json!("1e3"))), "is not one whole number");
    check(&|map| drop(map.insert("customer".into(), json!(vec!["a"; 257]))), "257 values");
}

#[test]
fn a_template_that_promises_too_much_refuses_the_bundle_at_its_place() {
    let check = |from: &str, to: &str, expected: &str| {
        let findings = compile(&TICKET.replacen(from, to, 1)).unwrap_err();
        assert!(findings.iter().any(|finding| finding.contains(expected)), "{expected}: {findings:#?}");
    };
    check(
        "\"support\"",
        "\"reader\"",
        "error[template-wider] templates/handle-ticket.toml:12:10: no policy permits `helpdesk.get_ticket`",
    );
    check("\"support\"", "\"support\", \"reader\"", "templates/handle-ticket.toml:18:10: `mail.send` is out of scope");
    check("[\"support\"]", "[]", "error[template-roles]");
    check("\"support\"", "\"suport\"", "did you mean `support`?");
    check("mail.send", "mail.sned", "did you mean `mail.send`?");
    check("\"mail.send\"", "\"mail:write\"", "error[template-action]");
    check("\"crm.find_customer\"", "\"helpdesk.get_ticket\"", "error[template-tool-twice]");
    check("one_of = \"$customer\"", "one_of = \"$custmer\"", "did you mean `\"$customer\"`?");
    check("one_of = \"$customer\"", "one_of = \"customer\"", "error[parameter-unknown]");
    check("one_of = \"$customer\"", "one_of = [\"ann\"]", "error[parameter-unused]");
    check("at_most = \"$longest\"", "at_most = \"$longest\", under = \"/a\"", "error[template-pin]");
    check("one_of = [\"blue\", \"green\"]", "at_most = 3", "error[template-pin]");
    check("one_of = [\"blue\", \"green\"]", "one_of = []", "error[template-pin]");
    check("under = \"$folder\"", "under = \"/\"", "error[template-pin]");
    check("pins = { to", "pins = { too", "did you mean `to`?");
    check("minutes = 60", "minutes = 0", "error[template-minutes]");
    check("minutes = 60", "minuets = 60", "error[key-unknown]");
}
