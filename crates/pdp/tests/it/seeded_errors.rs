//! Mistakes that people make, seeded one at a time into a sound bundle: each is refused, under its own word and with
//! its line, or the first line of the policy or table that holds it. The sound bundle publishes without a warning.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::bundle::BundleFiles;
use bailiwick_pdp::{
    definition,
    finding::{Finding, Severity},
    snapshot::Snapshot,
};
use serde_json::{Value, json};

const SYSTEM: &str = r#"title = "Customers"
environment = "production"
domains = ["sales"]
minimum = ["crm:read"]

[upstream]
url = "https://crm.example/mcp"
credential = { header = "authorization", prefix = "Bearer ", secret = "crm/token" }
call_timeout_s = 60

[tools.search]
class = "read"
definition = "DIGEST OF search"
effect = { records = "input:limit", reversible = true }
field_classes = { pii = ["email"] }

[tools.update]
class = "write"
tags = ["billing"]
definition = "DIGEST OF update"
resource = { type = "Contact", id = "id" }
normalise = { email = "email" }
decimal = ["amount"]
facts = { completed = ["completed:update"] }
"#;

const ROLE: &str = r#"purpose = "Answer customers"
allow = ["crm:read"]
out_of_scope = ["crm.update"]
inherits = ["reader"]

[[limits]]
name = "searches"
classes = ["read"]
window_s = 3600
calls_max = 100
"#;

const PARENT: &str = "purpose = \"Read\"\n";

const CALENDAR: &str = r#"[zones.hq]
timezone = "Europe/Berlin"
holidays = ["2026-12-25"]
"#;

const RULES: &str = r#"// Rules of the whole organisation.
@id("hours")
@reason("writes wait for office hours")
forbid (
  principal is Bailiwick::Agent,
  action == Bailiwick::Action::"crm.update",
  resource is Crm::Contact
) when {
  context.local.hq.weekday > 5 ||
  context.input.amount.greaterThan(decimal("100.0")) ||
  resource in Bailiwick::DataDomain::"hr"
};

@id("large")
@approvers("group:leads")
@quorum("1")
@expires("30m")
forbid (
  principal in Bailiwick::Role::"support",
  action == Bailiwick::Action::"crm.update",
  resource
) unless { context.approvals.contains("large") };

@id("look")
@obligation("mask=pii;result_bytes_max=65536")
permit (principal in Bailiwick::Role::"reader", action == Bailiwick::Action::"crm.search", resource);
"#;

const BOUNDARY: &str = r#"@id("never")
forbid (principal, action in Bailiwick::Action::"permission_change", resource);
"#;

const OTHER: &str = "environment = \"production\"\ndomains = [\"hr\"]\n[upstream]\nurl = \"https://hr.example/mcp\"\n";

/// One mistake: the file, what stands there, what somebody wrote instead, and what must be said about which line.
type Seed = (&'static str, &'static str, &'static str, &'static str, usize);

const RULES_FILE: &str = "policies/organisation/rules.cedar";
const BOUNDARY_FILE: &str = "policies/boundary/never.cedar";
const SYSTEM_FILE: &str = "systems/crm.toml";
const ROLE_FILE: &str = "roles/support.toml";
const CALENDAR_FILE: &str = "policies/calendar.toml";

const SEEDS: &[Seed] = &[
    // Cedar as text.
    (RULES_FILE, "  context.local.hq.weekday > 5 ||", "  context.local.hq.weekday > > 5 ||", "policy-syntax", 9),
    (RULES_FILE, "principal is Bailiwick::Agent,", "principal == ?principal,", "policy-template", 2),
    // Cedar against the schema.
    (RULES_FILE, "context.input.amount", "context.input.amont", "policy-invalid", 10),
    (
        RULES_FILE,
        "context.input.amount.greaterThan(decimal(\"100.0\"))",
        "context.input.amount > 100",
        "policy-invalid",
        10,
    ),
    (RULES_FILE, "context.input.amount.greater", "context.input.email.greater", "policy-invalid", 10),
    (RULES_FILE, "context.local.hq", "context.local.lab", "policy-invalid", 9),
    (RULES_FILE, "resource is Crm::Contact", "resource is Crm::Contract", "policy-invalid", 7),
    (RULES_FILE, "principal is Bailiwick::Agent,", "principal is Bailiwick::Robot,", "policy-invalid", 5),
    (
        RULES_FILE,
        "  action == Bailiwick::Action::\"crm.update\",\n  resource is",
        "  action == Bailiwick::Action::\"crm.udpate\",\n  resource is",
        "policy-invalid",
        6,
    ),
    // What can never match is refused, though Cedar only warns.
    (
        RULES_FILE,
        "action == Bailiwick::Action::\"crm.update\",\n  resource is",
        "action == Bailiwick::Action::\"crm.search\",\n  resource is",
        "policy-suspicious",
        2,
    ),
    // Names that are nowhere, which Cedar takes for `false`.
    (RULES_FILE, "DataDomain::\"hr\"", "DataDomain::\"hrr\"", "entity-unknown", 2),
    (RULES_FILE, "Role::\"support\"", "Role::\"suport\"", "entity-unknown", 14),
    (RULES_FILE, "resource in Bailiwick::DataDomain::\"hr\"", "Bailiwick::Agent::\"bob\".promoted", "entity-opened", 2),
    // Ids and annotations.
    (RULES_FILE, "@id(\"look\")\n", "", "policy-id-missing", 24),
    (RULES_FILE, "@id(\"look\")", "@id(\"hours\")", "policy-id-duplicate", 24),
    (RULES_FILE, "@id(\"look\")", "@id(\"look here\")", "policy-id-invalid", 24),
    (RULES_FILE, "@id(\"look\")", "@id(\"role:reader:allow:1\")", "policy-id-reserved", 24),
    (RULES_FILE, "@quorum(\"1\")", "@quorom(\"1\")", "annotation-unknown", 14),
    (RULES_FILE, "@quorum(\"1\")", "@quorum(\"none\")", "annotation-invalid", 14),
    (RULES_FILE, "@expires(\"30m\")", "@expires(\"a while\")", "annotation-invalid", 14),
    (RULES_FILE, "@approvers(\"group:leads\")\n", "", "annotation-without-approvers", 14),
    (RULES_FILE, "mask=pii;", "notify=me;", "annotation-invalid", 24),
    (RULES_FILE, "mask=pii;", "mask=secrets;", "field-class-unknown", 24),
    (RULES_FILE, "@reason(", "@quorum(\"2\") @reason(", "annotation-without-approvers", 2),
    (RULES_FILE, "@obligation(", "@approvers(\"group:leads\") @obligation(", "annotation-misplaced", 24),
    // Approvals lift their own forbid and do nothing else.
    (RULES_FILE, " unless { context.approvals.contains(\"large\") }", "", "approvers-without-gate", 14),
    (RULES_FILE, "contains(\"large\")", "contains(\"hours\")", "approval-misuse", 14),
    (RULES_FILE, "contains(\"large\")", "contains(\"large\") || context.effect.reversible", "approval-misuse", 14),
    // The boundary.
    (BOUNDARY_FILE, "forbid (", "permit (", "boundary-permit", 1),
    (
        BOUNDARY_FILE,
        "resource);",
        "resource) unless { context.approvals.contains(\"never\") };",
        "approval-without-approvers",
        1,
    ),
    // Roles.
    (ROLE_FILE, "out_of_scope", "out_of_scop", "key-unknown", 3),
    (ROLE_FILE, "purpose = \"Answer customers\"", "purpose = \" \"", "role-purpose", 1),
    (ROLE_FILE, "allow = [\"crm:read\"]", "allow = [\"crm.serch\"]", "action-unknown", 2),
    (ROLE_FILE, "allow = [\"crm:read\"]", "allow = [\"crm:*\"]", "allow-whole-system", 2),
    (ROLE_FILE, "allow = [\"crm:read\"]", "allow = [\"crm.update\"]", "role-overlap", 2),
    (ROLE_FILE, "[\"reader\"]", "[\"raeder\"]", "role-unknown", 4),
    (ROLE_FILE, "[\"reader\"]", "[\"support\"]", "role-cycle", 4),
    (ROLE_FILE, "window_s = 3600", "window_s = 0", "limit-window", 7),
    (ROLE_FILE, "name = \"searches\"", "name = \"a/b\"", "limit-name", 7),
    (ROLE_FILE, "calls_max = 100", "calls_max = \"many\"", "toml-invalid", 10),
    // The calendar.
    (CALENDAR_FILE, "Europe/Berlin", "Europe/Berlim", "calendar-invalid", 2),
    (CALENDAR_FILE, "2026-12-25", "2026-13-25", "calendar-invalid", 3),
    // Systems.
    (SYSTEM_FILE, "minimum = [\"crm:read\"]", "minimum = [\"hr:read\"]", "minimum-foreign", 4),
    (SYSTEM_FILE, "url = \"https://crm.example/mcp\"", "url = \"crm.example\"", "url-invalid", 6),
    (SYSTEM_FILE, "url = \"https://", "url = \"http://", "url-plain", 6),
    (SYSTEM_FILE, "secret = \"crm/token\"", "secret = \"hr/token\"", "secret-foreign", 6),
    (SYSTEM_FILE, "header = \"authorization\"", "header = \"host\"", "header-reserved", 6),
    (SYSTEM_FILE, "call_timeout_s = 60", "call_timeout_s = 0", "upstream-seconds", 6),
    (SYSTEM_FILE, "class = \"write\"", "class = \"wirte\"", "key-unknown", 18),
    (SYSTEM_FILE, "[\"billing\"]", "[\"biling\"]", "key-unknown", 19),
    (SYSTEM_FILE, "\"input:limit\"", "\"input:limt\"", "effect-invalid", 11),
    (SYSTEM_FILE, "id = \"id\"", "id = \"nr\"", "record-id", 17),
    (SYSTEM_FILE, "normalise = { email", "normalise = { mail", "normalise-invalid", 17),
    (SYSTEM_FILE, "[\"amount\"]", "[\"id\"]", "decimal-invalid", 17),
];

/// What the server said that its tools are.
fn tools() -> Vec<Value> {
    vec![
        json!({"name": "search", "inputSchema": {
            "type": "object", "additionalProperties": false,
            "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}},
            "required": ["query", "limit"],
        }}),
        json!({"name": "update", "inputSchema": {
            "type": "object", "additionalProperties": false,
            "properties": {"id": {"type": "string"}, "email": {"type": "string"}, "amount": {"type": "number"}},
            "required": ["id", "email", "amount"],
        }}),
    ]
}

/// The sound bundle.
fn sound() -> BTreeMap<String, String> {
    let tools = tools();
    let mut system = SYSTEM.to_owned();
    for tool in &tools {
        let name = tool["name"].as_str().unwrap();
        system = system.replace(&format!("DIGEST OF {name}"), &definition::digest(tool).to_string());
    }
    [
        (SYSTEM_FILE, system),
        ("systems/crm.tools.json", json!({ "tools": tools }).to_string()),
        ("systems/hr.toml", OTHER.to_owned()),
        ("systems/hr.tools.json", json!({ "tools": [] }).to_string()),
        (ROLE_FILE, ROLE.to_owned()),
        ("roles/reader.toml", PARENT.to_owned()),
        (CALENDAR_FILE, CALENDAR.to_owned()),
        (RULES_FILE, RULES.to_owned()),
        (BOUNDARY_FILE, BOUNDARY.to_owned()),
    ]
    .map(|(path, text)| (path.to_owned(), text))
    .into()
}

fn compile(files: BTreeMap<String, String>) -> Result<Snapshot, Vec<Finding>> {
    let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
    Snapshot::compile(&BundleFiles::new(files).unwrap())
}

#[test]
fn the_sound_bundle_publishes_without_a_warning() {
    let snapshot = compile(sound()).unwrap_or_else(|findings| panic!("{findings:#?}"));
    assert_eq!(snapshot.warnings(), [] as [Finding; 0]);
}

#[test]
fn every_seeded_mistake_is_refused_on_its_line() {
    let kinds: BTreeSet<&str> = SEEDS.iter().map(|(.., code, _)| *code).collect();
    assert!(kinds.len() >= 30, "{} kinds", kinds.len());
    let mut missed = Vec::new();
    for (file, from, to, code, line) in SEEDS {
        let mut files = sound();
        let text = files.get_mut(*file).unwrap();
        assert_eq!(text.matches(from).count(), 1, "`{from}` must stand once in {file}");
        *text = text.replacen(from, to, 1);
        let errors: Vec<Finding> = match compile(files) {
            Ok(_) => Vec::new(),
            Err(findings) => findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect(),
        };
        let hit = |finding: &Finding| finding.code == *code && finding.file == *file && finding.line == Some(*line);
        if !errors.iter().any(hit) {
            let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
            missed.push(format!("`{to}` in {file}: wanted {code} on line {line}, got {said:#?}"));
        }
    }
    assert!(missed.is_empty(), "{} of {} missed:\n{}", missed.len(), SEEDS.len(), missed.join("\n"));
}
