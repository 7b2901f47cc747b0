//! Catalogues that are read, and catalogues that are refused with a line and a hint.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::fixtures::{self, FILES, MAIL, MEMORY};

const HEAD: &str = "environment = \"production\"\n[upstream]\nstdio = [\"server\"]\n";

/// Findings of one system `crm` with one tool `act`, as text without the file's name.
fn findings(toml: &str) -> Vec<String> {
    let lock = json!({"tools": [{"name": "act", "inputSchema": {"type": "object", "properties": {
        "path": {"type": "string"}, "ids": {"type": "array", "items": {"type": "string"}}, "limit": {"type": "integer"},
        "any": {}, "items": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}},
        "amount": {"type": "number"}, "flag": {"type": "boolean"}}, "required": ["path"]}}]});
    let (_, findings) = Catalogue::read(&fixtures::bundle(&[("crm", toml, &lock.to_string())]));
    findings.iter().map(|finding| finding.to_string().replace(" systems/crm.toml", "")).collect()
}

/// `entry` stands under `[tools.act]`, which is line 4; its pin is line 5.
#[track_caller]
fn check_entry(entry: &str, expected: &[&str]) {
    assert_eq!(findings(&format!("{HEAD}[tools.act]\nclass = \"write\"\n{entry}\n")), expected, "{entry}");
}

#[test]
fn the_fixtures_are_read_as_written() {
    let catalogue = fixtures::catalogue(&[FILES, MAIL, MEMORY]);
    let files = catalogue.system(&"files".parse().unwrap()).unwrap();
    assert_eq!((files.title.as_str(), files.namespace.as_str(), files.risk), ("Project files", "Files", Risk::High));
    assert_eq!((files.call_timeout_s, files.verify_every_s), (CALL_TIMEOUT_S, VERIFY_EVERY_S));
    let Upstream::Stdio { command, args, shared, .. } = &files.upstream else { panic!("{:?}", files.upstream) };
    assert_eq!((command.as_str(), args.len(), *shared), ("node", 2, false));

    let read = &files.tools[&"read_text_file".parse().unwrap()];
    assert_eq!((read.class, read.tags.len(), read.classified), (ActionClass::Read, 0, true));
    assert_eq!(read.opaque, ["head", "tail"]);
    assert_eq!(read.digest, crate::definition::digest(&read.definition));

    let tree = &files.tools[&"directory_tree".parse().unwrap()];
    assert_eq!((tree.class, tree.tags.len(), tree.classified), (ActionClass::Write, 6, false));
    assert_eq!(tree.effect, EffectMapping::UNKNOWN);

    let mail = catalogue.system(&"mail".parse().unwrap()).unwrap();
    let Upstream::Http { credential: Some(HttpCredential::Header(credential)), .. } = &mail.upstream else {
        panic!("{:?}", mail.upstream)
    };
    assert_eq!((credential.header.as_str(), credential.prefix.as_str()), ("authorization", "Bearer "));
    assert_eq!(mail.call_timeout_s, 10);
    assert_eq!(catalogue.facts().len(), 2);
    assert_eq!(catalogue.domains().len(), 1);
}

#[test]
fn records_know_what_their_tools_give() {
    let catalogue = fixtures::catalogue(&[FILES, MAIL, MEMORY]);
    let attribute = |system: &str, record: &str, name: &str| {
        let system = catalogue.system(&system.parse().unwrap()).unwrap();
        system.records[record].attributes.get(name).cloned()
    };
    let typed = |kind, required| Some(crate::json_schema::Attribute::Typed { kind, required, nullable: false });
    use crate::json_schema::Type;
    assert_eq!(attribute("files", "File", "id"), typed(Type::String, true));
    // Only one of several tools on files gives it.
    assert_eq!(attribute("files", "File", "trial"), typed(Type::Bool, false));
    assert_eq!(attribute("memory", "Entity", "kind"), typed(Type::String, false));
    assert_eq!(attribute("mail", "Account", "amount"), typed(Type::Decimal, true));
}

#[test]
fn a_mapping_that_names_what_is_not_there_is_refused() {
    check_entry("", &[]);
    check_entry(
        "resource = { type = \"File\", id = \"pth\" }",
        &[
            "error[record-id]:4: tool `crm.act`: `id` names `pth`, which is neither one text nor one integer\nhint: did you mean `path`?",
        ],
    );
    check_entry(
        "resource = { type = \"File\", id = \"path\" }",
        &[
            "warning[record-id-spelling]:4: tool `crm.act`: `path` names a record, but has many spellings\nhint: add `normalise = { \"path\" = \"path\" }`",
        ],
    );
    check_entry(
        "resource = { type = \"File\", id = \"flag\" }",
        &["error[record-id]:4: tool `crm.act`: `id` names `flag`, which is neither one text nor one integer"],
    );
    check_entry(
        "resource = { type = \"Item\", id = \"items.id\" }",
        &["error[record-id]:4: tool `crm.act`: `id` names `items.id`, which is neither one text nor one integer"],
    );
    check_entry("resource = { type = \"Item\", id = \"items.id\" }\neach = \"items\"", &[]);
    check_entry(
        "resource = { type = \"Item\", id = \"path\" }\neach = \"items\"",
        &[
            "error[record-id]:4: tool `crm.act`: with `each`, an `id` is part of an element, and `path` is not\nhint: write `items.<name>`",
        ],
    );
    check_entry(
        "resource = { type = \"Item\", id = \"items.id\" }\neach = [\"items\", \"ids\"]",
        &[
            "error[record-id]:4: tool `crm.act`: no `id` says which part of an element of `ids` names the record\nhint: add `ids` or `ids.<name>`",
        ],
    );
    check_entry("resource = { type = \"Item\", id = [\"items.id\", \"ids\"] }\neach = [\"items\", \"ids\"]", &[]);
    check_entry(
        "each = \"ids\"",
        &[
            "error[each-without-resource]:4: tool `crm.act`: `each` needs a `resource`\nhint: say what the elements are: `resource = { type = \"File\" }`",
        ],
    );
    check_entry(
        "resource = { type = \"Item\" }\neach = \"path\"",
        &["error[each-invalid]:4: tool `crm.act`: `each` names `path`, which is not an array that policy can see"],
    );
    check_entry("resource = { type = \"Item\" }", &["error[record-id]:4: tool `crm.act`: `resource` names no `id`"]);
    for reserved in ["String", "Set", "Action", "Long", "lower", "With Space", "Ns::Type", ""] {
        let found = findings(&format!(
            "{HEAD}[tools.act]\nclass = \"write\"\nresource = {{ type = \"{reserved}\", id = \"ids\" }}\n"
        ));
        assert!(found[0].starts_with("error[record-type]:4: "), "{found:?}");
    }
    check_entry(
        "normalise = { flag = \"path\" }",
        &[
            "error[normalise-invalid]:4: tool `crm.act`: `normalise` names `flag`, which is neither text nor a list of texts",
        ],
    );
    check_entry(
        "decimal = [\"path\"]",
        &["error[decimal-invalid]:4: tool `crm.act`: `decimal` names `path`, which is not a number"],
    );
    check_entry("decimal = [\"amount\", \"items.id\"]", &[]);
    check_entry(
        "resource = { type = \"A\", id = \"limit\", attributes = { id = \"flag\" } }",
        &["error[record-attribute]:4: tool `crm.act`: a record attribute cannot be called `id`"],
    );
    check_entry(
        "resource = { type = \"A\", id = \"limit\", attributes = { x = \"any\" } }",
        &["error[record-attribute]:4: tool `crm.act`: attribute `x` names `any`, which policy cannot see"],
    );
}

#[test]
fn effects_count_what_is_there() {
    check_entry("effect = { records = \"len:ids\" }", &[]);
    check_entry("effect = { records = \"len:any\" }", &[]);
    check_entry("effect = { records = \"input:limit\" }", &[]);
    check_entry("effect = { records = 0, reversible = true }", &[]);
    check_entry(
        "effect = { records = -1 }",
        &["error[effect-invalid]:4: tool `crm.act`: `records` is -1, but nothing touches less than none"],
    );
    check_entry(
        "effect = { records = \"len:limt\" }",
        &[
            "error[effect-invalid]:4: tool `crm.act`: `records` counts `limt`, which is not an array\nhint: did you mean `limit`?",
        ],
    );
    check_entry(
        "effect = { records = \"input:path\" }",
        &["error[effect-invalid]:4: tool `crm.act`: `records` reads `path`, which is not an integer"],
    );
    check_entry(
        "effect = { records = \"many:path\" }",
        &[
            "error[effect-invalid]:4: tool `crm.act`: `many:path` is not a number of records\nhint: write a number, `len:<array argument>` or `input:<integer argument>`",
        ],
    );
}

#[test]
fn misspelt_keys_and_words_are_refused_with_their_line() {
    check_entry(
        "resorce = { }",
        &["error[key-unknown]:7:1: unknown key or word `resorce`\nhint: did you mean `resource`?"],
    );
    check_entry(
        "tags = [\"egres\"]",
        &["error[key-unknown]:7:9: unknown key or word `egres`\nhint: did you mean `egress`?"],
    );
    check_entry(
        "normalise = { path = \"pth\" }",
        &["error[key-unknown]:7:22: unknown key or word `pth`\nhint: did you mean `path`?"],
    );
    check_entry(
        "effect = { record = 1 }",
        &["error[key-unknown]:7:12: unknown key or word `record`\nhint: did you mean `records`?"],
    );
    check_entry(
        "effect = { records = true }",
        &[
            "error[toml-invalid]:7:22: invalid type: boolean `true`, expected a number, `len:<argument>` or `input:<argument>`",
        ],
    );
    check_entry(
        "field_classes = { \"P II\" = [\"x\"] }",
        &[
            "error[field-class]:4: tool `crm.act`: `P II` is not a field class with fields\nhint: a field class is written in lower-case letters, digits and `_`",
        ],
    );
    check_entry(
        "facts = { touched = [\"bailiwick:none\"] }",
        &["error[fact-reserved]:4: tool `crm.act`: fact `bailiwick:none` starts with `bailiwick:`, which is reserved"],
    );
}

#[test]
fn only_the_pinned_definition_counts() {
    let toml = format!("{HEAD}[tools.act]\nclass = \"read\"\ndefinition = \"sha256:{}\"\n", "0".repeat(64));
    let tools = json!({"tools": [{"name": "act"}, {"name": "new"}]}).to_string();
    let files = BTreeMap::from([
        ("systems/crm.toml".to_owned(), toml.into_bytes()),
        ("systems/crm.tools.json".to_owned(), tools.into_bytes()),
    ]);
    let (catalogue, findings) = Catalogue::read(&BundleFiles::new(files).unwrap());
    let codes: Vec<_> = findings.iter().map(|finding| (finding.code, finding.line)).collect();
    assert_eq!(codes, [("definition-changed", Some(4)), ("tool-unclassified", None)]);
    assert_eq!(catalogue.systems().next().unwrap().tools.len(), 2);

    let unpinned = format!("{HEAD}[tools.act]\nclass = \"read\"\n[tools.atc]\nclass = \"read\"\n");
    let files = BTreeMap::from([
        ("systems/crm.toml".to_owned(), unpinned.into_bytes()),
        ("systems/crm.tools.json".to_owned(), json!({"tools": [{"name": "act"}]}).to_string().into_bytes()),
    ]);
    let (_, findings) = Catalogue::read(&BundleFiles::new(files).unwrap());
    let codes: Vec<_> = findings.iter().map(|finding| (finding.code, finding.line)).collect();
    assert_eq!(codes, [("tool-unpinned", Some(6)), ("definition-missing", Some(4))]);
    assert_eq!(findings[0].help.as_deref(), Some("did you mean `act`?"));
}

#[test]
fn upstreams_keep_secrets_out_of_sight() {
    let check = |upstream: &str, expected: &[&str]| {
        let toml = format!("environment = \"staging\"\n[upstream]\n{upstream}\n");
        let found = findings(&toml);
        let codes: Vec<&str> = found
            .iter()
            .map(|text| text.split([']', '[']).nth(1).unwrap())
            .filter(|c| *c != "tool-unclassified")
            .collect();
        assert_eq!(codes, expected, "{upstream}: {found:?}");
    };
    check("stdio = [\"a\"]", &[]);
    check("url = \"https://a.example/mcp\"", &[]);
    check("url = \"http://127.0.0.1:3000/mcp\"", &[]);
    check("url = \"http://[::1]:3000/mcp\"", &[]);
    check("url = \"http://a.example/mcp\"", &["url-plain"]);
    check("url = \"http://127.0.0.1.a.example/mcp\"", &["url-plain"]);
    check("url = \"http://a.example/mcp\"\ndanger_plain_http = true", &[]);
    check("url = \"https://user:password@a.example/mcp\"", &["url-invalid"]);
    check("url = \"file:///etc/passwd\"", &["url-invalid"]);
    check("", &["upstream-unclear"]);
    check("stdio = [\"a\"]\nurl = \"https://a.example\"", &["upstream-unclear"]);
    check("stdio = []", &["command-invalid"]);
    check("stdio = [\"a\\u0000b\"]", &["command-invalid"]);
    check("stdio = [\"a\"]\nenv = { API_KEY = \"hunter2\" }", &["secret-in-plain-sight"]);
    check("stdio = [\"a\"]\nsecret_env = { API_KEY = \"crm/api-key\" }", &[]);
    check("stdio = [\"a\"]\nsecret_env = { API_KEY = \"files/api-key\" }", &["secret-foreign"]);
    check("stdio = [\"a\"]\nenv = { \"A=B\" = \"x\" }", &["env-name"]);
    check("stdio = [\"a\"]\ncall_timeout_s = 0", &["upstream-seconds"]);
    check("stdio = [\"a\"]\nverify_every_s = 9999999", &["upstream-seconds"]);
    check("url = \"https://a.example\"\nshared = true", &["upstream-mixed"]);
    check("url = \"https://a.example\"\ncredential = { header = \"X-Key\", secret = \"crm/key\" }", &[]);
    check(
        "url = \"https://a.example\"\ncredential = { header = \"Host\", secret = \"crm/key\" }",
        &["header-reserved"],
    );
    check(
        "url = \"https://a.example\"\ncredential = { header = \"Mcp-Session-Id\", secret = \"crm/key\" }",
        &["header-reserved"],
    );
    check("url = \"https://a.example\"\ncredential = { header = \"a b\", secret = \"crm/key\" }", &["header-invalid"]);
    check(
        "url = \"https://a.example\"\ncredential = { header = \"a\", prefix = \"x\\r\\ny: \", secret = \"crm/key\" }",
        &["header-invalid"],
    );
}

#[test]
fn names_that_would_collide_are_refused() {
    let codes = |names: &[&str]| {
        let files = names.iter().map(|name| (format!("systems/{name}.toml"), HEAD.as_bytes().to_vec())).collect();
        let (_, findings) = Catalogue::read(&BundleFiles::new(files).unwrap());
        findings
            .iter()
            .map(|finding| finding.code)
            .filter(|code| *code != "system-without-definitions")
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(&["a_b", "ab"]), Vec::<&str>::new());
    assert_eq!(codes(&["a_b", "a__b"]), ["namespace-taken"]);
    assert_eq!(codes(&["bailiwick_"]), ["namespace-reserved"]);
    assert_eq!(codes(&["bailiwick"]), ["system-name"]);
    assert_eq!(codes(&["Files"]), ["system-name"]);
    assert_eq!(codes(&["sub/files"]), ["system-name"]);
}

#[test]
fn stray_files_and_broken_definitions_are_refused() {
    let codes = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        let (_, findings) = Catalogue::read(&BundleFiles::new(files).unwrap());
        findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&[("systems/readme.md", "")]), ["file-unknown"]);
    assert_eq!(codes(&[("systems/crm.tools.json", "{}")]), ["system-missing"]);
    let with = |lock: &str| codes(&[("systems/crm.toml", HEAD), ("systems/crm.tools.json", lock)]);
    assert_eq!(with("{"), ["definitions-invalid"]);
    assert_eq!(with("{\"tool\": []}"), ["definitions-invalid"]);
    assert_eq!(with("{\"tools\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}"), ["tool-twice", "tool-unclassified"]);
    assert_eq!(with("{\"tools\": [{\"name\": \"a b\"}]}"), ["tool-name"]);
    assert_eq!(with("{\"tools\": [{}]}"), ["tool-name"]);
    assert_eq!(with("{\"prompts\": [{\"name\": \"a\\u202e\"}]}"), ["prompt-name"]);
    assert_eq!(codes(&[("systems/crm.toml", "environment = \"prod\"")]), ["system-without-definitions", "key-unknown"]);
}

#[test]
fn a_record_attribute_has_one_type() {
    let lock = json!({"tools": [
        {"name": "a", "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}, "x": {"type": "string"}}}},
        {"name": "b", "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}, "x": {"type": "integer"}}}}]});
    let mapping = "class = \"read\"\nresource = { type = \"R\", id = \"id\", attributes = { x = \"x\" } }";
    let toml = format!("{HEAD}[tools.a]\n{mapping}\n[tools.b]\n{mapping}\n");
    let (_, findings) = Catalogue::read(&fixtures::bundle(&[("crm", &toml, &lock.to_string())]));
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["record-attribute"]);
}

#[test]
fn a_step_up_asks_for_something_that_can_be_had() {
    let (none, class) = ("`step_up` asks for nothing", "is not a valid authentication context class");
    for (entry, wrong) in [
        ("step_up = {}", Some(none)),
        ("step_up = { acr = [] }", Some(none)),
        ("step_up = { acr = \"two words\" }", Some(class)),
        ("step_up = { max_age_s = 59 }", Some("can be 60 to 43200")),
        ("step_up = { max_age_s = 43201 }", Some("can be 60 to 43200")),
        ("step_up = { acr = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\"] }", Some("more than 8")),
        ("step_up = { acr = \"phr\" }", None),
        ("step_up = { acr = [\"phr\", \"phrh\"], max_age_s = 60 }", None),
    ] {
        let of_tool = findings(&format!("{HEAD}[tools.act]\nclass = \"write\"\n{entry}\n"));
        let of_system = findings(&format!("{entry}\n{HEAD}"));
        for found in [of_tool, of_system] {
            let told = found.iter().filter(|finding| finding.contains("step-up-invalid")).collect::<Vec<_>>();
            match wrong {
                None => assert!(told.is_empty(), "{entry}: {told:?}"),
                Some(wrong) => assert!(told.len() == 1 && told[0].contains(wrong), "{entry}: {told:?}"),
            }
        }
    }
}
