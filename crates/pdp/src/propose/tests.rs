//! Proposals for the fixtures: conservative, readable, and valid as they stand.

use std::collections::BTreeMap as Map;

use bailiwick_model::{bundle::BundleFiles, operation::ActionClass};
use serde_json::json;

use super::*;
use crate::{
    catalogue::Catalogue,
    fixtures::{DATABASE_TOOLS, FILES, GIT_TOOLS, MAIL, MEMORY},
    schema,
};

const HEAD: &str = "environment = \"staging\"\n\n[upstream]\nstdio = [\"server\"]\n";

fn proposal(name: &str, toml: &str, lock_json: &str) -> Proposal {
    let lock: Value = serde_json::from_str(lock_json).unwrap();
    let none = Vec::new();
    let discovery = Discovery {
        protocol_version: "2025-11-25",
        server_info: &lock["server_info"],
        instructions: None,
        tools: lock["tools"].as_array().unwrap_or(&none),
        prompts: lock["prompts"].as_array().unwrap_or(&none),
    };
    propose(&name.parse().unwrap(), &discovery, Some(Existing { toml, lock_json: None })).unwrap()
}

fn tools(tools: Value) -> String {
    json!({"tools": tools}).to_string()
}

/// The entry proposed for one tool, without description, pin and header.
#[track_caller]
fn check(name: &str, input_schema: Value, expected: &str) {
    let lock = tools(json!([{"name": name, "inputSchema": input_schema}]));
    let toml = proposal("crm", "", &lock).toml;
    let lines: Vec<&str> =
        toml.lines().skip(1).filter(|line| !line.starts_with("definition") && !line.starts_with('#')).collect();
    assert_eq!(lines.join("\n"), expected);
}

fn read_back(name: &str, proposal: &Proposal) -> (Catalogue, Vec<Finding>) {
    let files = Map::from([
        (format!("systems/{name}.toml"), proposal.toml.clone().into_bytes()),
        (format!("systems/{name}.tools.json"), proposal.lock_json.clone().into_bytes()),
    ]);
    Catalogue::read(&BundleFiles::new(files).unwrap())
}

#[test]
fn a_proposal_can_be_published_as_it_stands() {
    for (name, lock) in
        [("files", FILES.2), ("memory", MEMORY.2), ("mail", MAIL.2), ("database", DATABASE_TOOLS), ("git", GIT_TOOLS)]
    {
        let first = proposal(name, HEAD, lock);
        let (catalogue, findings) = read_back(name, &first);
        assert_eq!(findings, [], "{}", first.toml);
        let generated = schema::generate(&catalogue, &schema::Vocabulary::default());
        let (_, mut warnings) = cedar_policy::Schema::from_cedarschema_str(&generated.text).unwrap();
        assert!(warnings.next().is_none());

        let again = proposal(name, &first.toml, lock);
        assert_eq!(again.toml, first.toml, "nothing is added twice");
        assert_eq!(again.lock_json, first.lock_json);
        assert!(
            again.notes.iter().all(|note| matches!(note.kind, NoteKind::Claims | NoteKind::Opaque)),
            "{:?}",
            again.notes
        );
    }
}

#[test]
fn classes_are_what_the_names_say_or_the_worst() {
    let mut classes = Map::new();
    for (name, lock) in
        [("files", FILES.2), ("memory", MEMORY.2), ("mail", MAIL.2), ("database", DATABASE_TOOLS), ("git", GIT_TOOLS)]
    {
        let (catalogue, _) = read_back(name, &proposal(name, HEAD, lock));
        for tool in catalogue.systems().next().unwrap().tools.values() {
            classes.insert(tool.name.to_string(), (tool.class, tool.tags.len() == 6));
        }
    }
    use ActionClass::{Delete, Read, Write};
    for (name, class, worst) in [
        ("read_text_file", Read, false),
        ("read_multiple_files", Read, false),
        ("write_file", Write, false),
        ("edit_file", Write, false),
        ("create_directory", Write, false),
        ("list_directory", Read, false),
        ("directory_tree", Read, false),
        ("move_file", Write, false),
        ("search_files", Read, false),
        ("get_file_info", Read, false),
        ("list_allowed_directories", Read, false),
        ("create_entities", Write, false),
        ("delete_entities", Delete, false),
        ("delete_observations", Delete, false),
        ("read_graph", Read, false),
        ("open_nodes", Write, true),
        ("read_query", Read, false),
        ("write_query", Write, false),
        ("describe_table", Read, false),
        ("git_status", Read, false),
        ("git_diff_unstaged", Read, false),
        ("git_log", Read, false),
        ("git_commit", Write, false),
        ("git_reset", Delete, false),
        ("git_checkout", Write, false),
        ("send_email", Write, false),
        ("transfer_funds", Write, false),
        ("fetch_page", Read, false),
        ("frobnicate", Write, true),
        // Its description speaks of deleting.
        ("read.weird-name", Write, true),
    ] {
        assert_eq!(classes[name], (class, worst), "{name}");
    }
}

#[test]
fn arguments_become_records_normalisers_and_counts() {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    check(
        "read_text_file",
        json!({"type": "object", "properties": {"path": text}}),
        "class = \"read\" # its name says `read`\nresource = { type = \"File\", id = \"path\" }\nnormalise = { path = \"path\" }\neffect = { records = 1, reversible = true }",
    );
    check(
        "read_multiple_files",
        json!({"type": "object", "properties": {"paths": texts}}),
        "class = \"read\" # its name says `read`\ntags = [\"bulk\"]\nresource = { type = \"File\" }\neach = \"paths\"\nnormalise = { paths = \"path\" }\neffect = { records = \"len:paths\", reversible = true }",
    );
    check(
        "move_file",
        json!({"type": "object", "properties": {"destination": text, "source": text}}),
        "class = \"write\" # its name says `move`\nresource = { type = \"File\", id = [\"source\", \"destination\"] }\nnormalise = { destination = \"path\", source = \"path\" }\neffect = { records = 2 }",
    );
    check(
        "delete_folder",
        json!({"type": "object", "properties": {"folder": text}}),
        "class = \"delete\" # its name says `delete`\nresource = { type = \"File\", id = \"folder\" }\nnormalise = { folder = \"path\" }",
    );
    check(
        "update_contact",
        json!({"type": "object", "properties": {"id": {"type": "integer"}, "email": text}}),
        "class = \"write\" # its name says `update`\ntags = [\"egress\"]\nresource = { type = \"Contact\", id = \"id\" }\nnormalise = { email = \"email\" }\neffect = { records = 1 }",
    );
    check(
        "delete_contacts",
        json!({"type": "object", "properties": {"contact_ids": texts}}),
        "class = \"delete\" # its name says `delete`\nresource = { type = \"Contact\" }\neach = \"contact_ids\"\neffect = { records = \"len:contact_ids\" }",
    );
    check(
        "create_entities",
        json!({"type": "object", "properties": {"entities": {"type": "array", "items": {"type": "object", "properties": {"name": text}}}}}),
        "class = \"write\" # its name says `create`\nresource = { type = \"Entity\", id = \"entities.name\" }\neach = \"entities\"\neffect = { records = \"len:entities\" }",
    );
    check(
        "send_email",
        json!({"type": "object", "properties": {"to": texts, "cc": texts, "body": text}}),
        "class = \"write\" # its name says `send`\ntags = [\"egress\"]\nresource = { type = \"Recipient\" }\neach = [\"to\", \"cc\"]\nnormalise = { cc = \"email\", to = \"email\" }",
    );
    check(
        "search_contacts",
        json!({"type": "object", "properties": {"query": text, "limit": {"type": "integer"}}}),
        "class = \"read\" # its name says `search`\neffect = { records = \"input:limit\", reversible = true }",
    );
    check(
        "pay_invoice",
        json!({"type": "object", "properties": {"invoice_id": text, "amount": {"type": "number"}}}),
        "class = \"write\" # its name says `pay`\ntags = [\"billing\"]\nresource = { type = \"Invoice\", id = \"invoice_id\" }\ndecimal = [\"amount\"]\neffect = { records = 1 }",
    );
    check(
        "read_notes",
        json!({"type": "object", "properties": {"path": {"type": "string", "description": "relative to the vault"}}}),
        "class = \"read\" # its name says `read`\neffect = { reversible = true }",
    );
}

#[test]
fn a_tools_own_hints_are_shown_and_not_believed() {
    let lock = tools(
        json!([{"name": "delete_all", "description": "Deletes\n  all. \u{202e}hidden", "annotations": {"readOnlyHint": true, "title": "x"}, "inputSchema": {"type": "object"}}]),
    );
    let proposed = proposal("crm", "", &lock);
    assert!(proposed.toml.contains("class = \"delete\""), "{}", proposed.toml);
    assert!(proposed.toml.contains("# It describes itself as: Deletes all. \\u{202e}hidden\n"), "{}", proposed.toml);
    assert!(
        proposed.toml.contains("# it says of itself, which is not believed: readOnlyHint = true.\n"),
        "{}",
        proposed.toml
    );
    assert!(
        proposed.notes.iter().any(|note| note.kind == NoteKind::Claims && note.message.contains("does not see")),
        "{:?}",
        proposed.notes
    );
    // The lock is plain JSON in which the character can be seen.
    assert!(proposed.lock_json.contains("\\u202ehidden"));
    let (catalogue, _) = read_back("crm", &proposal("crm", HEAD, &lock));
    assert_eq!(catalogue.systems().count(), 1);
}

#[test]
fn a_hostile_definition_cannot_write_configuration() {
    let lock = tools(
        json!([{"name": "a]\n[tools.b", "inputSchema": {}}, {"name": "read_x", "description": "x\nclass = \"read\"\n[tools.evil]\r\nclass = \"read\"",
        "inputSchema": {"type": "object", "properties": {"a\"\npath = \"b": {"type": "string"}, "p\"} #path": {"type": "string"}}, "description": "\u{85}y = 1"}}]),
    );
    let proposed = proposal("crm", HEAD, &lock);
    assert_eq!(proposed.notes[0].kind, NoteKind::Skipped);
    let (catalogue, findings) = read_back("crm", &proposed);
    assert_eq!(findings, []);
    let names: Vec<_> = catalogue.systems().next().unwrap().tools.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["read_x"]);
}

#[test]
fn what_a_person_wrote_is_kept() {
    let written = "# our CRM\nenvironment = \"production\" # really\n\n[upstream]\nstdio = [\"x\"]\n\n[tools.wipe]   # we know better\nclass = 'read'\n\n[tools.\"old\"]\nclass = \"read\"\n\n[tools.get]\nclass = \"write\"\ndefinition = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\" # approved by Jo\n";
    let lock = tools(
        json!([{"name": "wipe", "inputSchema": {}}, {"name": "get", "inputSchema": {"type": "object"}}, {"name": "new_one", "inputSchema": {}}]),
    );
    let previous = tools(json!([{"name": "get", "inputSchema": {}}]));
    let value: Value = serde_json::from_str(&lock).unwrap();
    let discovery = Discovery {
        protocol_version: "x",
        server_info: &Value::Null,
        instructions: None,
        tools: value["tools"].as_array().unwrap(),
        prompts: &[],
    };
    let proposed =
        propose(&"crm".parse().unwrap(), &discovery, Some(Existing { toml: written, lock_json: Some(&previous) }))
            .unwrap();
    let digest = |index: usize| definition::digest(&value["tools"][index]).to_string();
    let kept = written
        .replace("class = 'read'\n", &format!("class = 'read'\ndefinition = \"{}\"\n", digest(0)))
        .replace(&format!("sha256:{}", "0".repeat(64)), &digest(1));
    assert_eq!(
        proposed.toml.strip_prefix(&kept).and_then(|rest| rest.lines().nth(1)),
        Some("[tools.new_one]"),
        "{}",
        proposed.toml
    );
    let notes: Vec<_> = proposed
        .notes
        .iter()
        .filter(|n| !matches!(n.kind, NoteKind::Opaque))
        .map(|n| (n.tool.as_deref().unwrap(), n.kind))
        .collect();
    assert_eq!(
        notes,
        [("get", NoteKind::Changed), ("new_one", NoteKind::Added), ("wipe", NoteKind::Pinned), ("old", NoteKind::Gone)]
    );
    let changed = &proposed.notes.iter().find(|note| note.kind == NoteKind::Changed).unwrap().message;
    assert!(changed.starts_with("the definition changed from `000000000000` to `"), "{changed}");
    assert!(changed.contains("\n-  \"inputSchema\": {},\n"), "{changed}");
}

#[test]
fn what_nobody_can_tell_apart_is_left_out() {
    let lock = tools(
        json!([{"name": "a", "inputSchema": {}}, {"name": "a", "inputSchema": {"type": "object"}}, {"name": "b"}, {}]),
    );
    let proposed = proposal("crm", HEAD, &lock);
    let skipped: Vec<_> = proposed
        .notes
        .iter()
        .filter(|note| note.kind == NoteKind::Skipped)
        .map(|note| note.tool.as_deref().unwrap())
        .collect();
    assert_eq!(skipped, ["", "a"]);
    assert!(!proposed.toml.contains("[tools.a]") && proposed.toml.contains("[tools.b]"));
}

#[test]
fn a_file_that_cannot_be_extended_is_refused() {
    let lock = tools(json!([{"name": "b"}]));
    let value: Value = serde_json::from_str(&lock).unwrap();
    let discovery = Discovery {
        protocol_version: "",
        server_info: &Value::Null,
        instructions: None,
        tools: value["tools"].as_array().unwrap(),
        prompts: &[],
    };
    let refused =
        |toml| propose(&"crm".parse().unwrap(), &discovery, Some(Existing { toml, lock_json: None })).unwrap_err();
    assert_eq!(refused("tools = { a = { class = \"read\" } }\n").code, "tools-inline");
    assert_eq!((refused("\nx = \n").code, refused("\nx = \n").line), ("toml-invalid", Some(2)));
}

#[test]
fn a_started_file_is_valid() {
    let client = || crate::catalogue::OauthClient {
        issuer: "https://login.example".to_owned(),
        token_endpoint: "https://login.example/token".parse().unwrap(),
        client_id: "bailiwick \"x\"".to_owned(),
        authentication: crate::catalogue::ClientAuthentication::SecretPost("crm/c".parse().unwrap()),
        scopes: ["a".parse().unwrap(), "b".parse().unwrap()].into(),
        resource: None,
    };
    let upstreams = [
        Upstream::Stdio {
            command: String::from("node"),
            args: vec![String::from("a \"b\"\\")],
            env: Map::from([("LOG".to_owned(), "1".to_owned())]),
            secret_env: Map::from([("API_KEY".to_owned(), "crm/api-key".parse().unwrap())]),
            shared: true,
        },
        Upstream::Http { url: "https://crm.example/mcp".parse().unwrap(), credential: None, accounts: None },
        Upstream::Http {
            url: "https://crm.example/mcp".parse().unwrap(),
            credential: None,
            accounts: Some(Box::new(crate::catalogue::Accounts {
                client: client(),
                authorization_endpoint: "https://login.example/authorize".parse().unwrap(),
                revocation_endpoint: Some("https://login.example/revoke".parse().unwrap()),
            })),
        },
        Upstream::Http {
            url: "https://crm.example/mcp".parse().unwrap(),
            credential: Some(crate::catalogue::HttpCredential::Token(Box::new(client()))),
            accounts: None,
        },
    ];
    for upstream in upstreams {
        let toml = start(&"crm".parse().unwrap(), &upstream, Environment::Staging);
        let proposed = proposal("crm", &toml, DATABASE_TOOLS);
        let (catalogue, findings) = read_back("crm", &proposed);
        assert_eq!(findings, [], "{toml}");
        assert_eq!(catalogue.systems().next().unwrap().upstream, upstream);
    }
}
