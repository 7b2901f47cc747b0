//! What a role's file may say about delegation, and what is remarked on.

use crate::{Finding, Severity, scenario, snapshot::Snapshot};

const CRM: &str = r#"
title = "delegation"
[systems.crm.tools.search]
class = "read"
input = { query = "string" }
[systems.crm.tools.update]
class = "write"
input = { id = "string" }
"#;

fn findings(roles: &str) -> (bool, Vec<Finding>) {
    let files = scenario::bundle("test.toml", format!("{CRM}{roles}").as_bytes()).unwrap();
    match Snapshot::compile(&files) {
        Ok(snapshot) => (true, snapshot.warnings().to_vec()),
        Err(findings) => (false, findings),
    }
}

#[track_caller]
fn check(roles: &str, published: bool, code: &str, words: &str) {
    let (compiled, found) = findings(roles);
    assert_eq!(compiled, published, "{found:#?}");
    let finding = found.iter().find(|finding| finding.code == code).unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(finding.severity == Severity::Error, !published);
    assert!(finding.file.starts_with("roles/") && finding.line.is_some(), "{finding:?}");
    let whole = format!("{} {}", finding.message, finding.help.as_deref().unwrap_or_default());
    assert!(whole.contains(words), "{whole}");
}

#[test]
fn a_role_that_is_nowhere_is_refused_with_the_one_that_was_meant() {
    let roles = "[roles.a]\npurpose = \"A\"\nallow = [\"crm:read\"]\ndelegates_to = [\"writr\"]\n[roles.writer]\npurpose = \"W\"\nallow = [\"crm:read\"]\n";
    check(roles, false, "role-unknown", "did you mean `writer`?");
    check(
        "[roles.a]\npurpose = \"A\"\ndelegates_to = [\"No Name\"]\n",
        false,
        "role-unknown",
        "no role of this bundle",
    );
}

#[test]
fn what_tells_nobody_apart_or_gives_nothing_is_remarked_on() {
    check(
        "[roles.a]\npurpose = \"A\"\nallow = [\"crm:read\"]\ndelegates_to = [\"a\"]\n",
        true,
        "delegation-to-itself",
        "narrower role",
    );
    let useless = "[roles.a]\npurpose = \"A\"\nallow = [\"crm.search\"]\nout_of_scope = [\"crm.update\"]\ndelegates_to = [\"b\"]\n[roles.b]\npurpose = \"B\"\nallow = [\"crm.update\"]\n";
    check(useless, true, "delegation-useless", "out of scope by role `a`");
    let partly = useless.replace("allow = [\"crm.update\"]", "allow = [\"crm.update\", \"crm.search\"]");
    assert_eq!(findings(&partly).1, [], "what is left is a delegation");
}

#[test]
fn it_is_inherited_and_cited_by_the_role_whose_file_says_it() {
    let roles = "[roles.base]\npurpose = \"B\"\nallow = [\"crm:read\"]\ndelegates_to = [\"w\", \"heir\"]\n[roles.heir]\npurpose = \"H\"\ninherits = [\"base\"]\n[roles.w]\npurpose = \"W\"\nallow = [\"crm:read\"]\n";
    let files = scenario::bundle("test.toml", format!("{CRM}{roles}").as_bytes()).unwrap();
    let snapshot = Snapshot::compile(&files).unwrap();
    let name = |text: &str| text.parse().unwrap();
    assert_eq!(snapshot.delegation(&name("heir"), &name("w")).as_deref(), Some("role:base:delegates-to:w"));
    assert_eq!(snapshot.delegation(&name("base"), &name("heir")).as_deref(), Some("role:base:delegates-to:heir"));
    assert_eq!(snapshot.delegation(&name("heir"), &name("heir")), None, "to each other by their own file alone");
    assert_eq!(snapshot.delegation(&name("w"), &name("base")), None, "never back");
    assert_eq!(snapshot.delegates_to(&name("heir")).map(ToString::to_string).collect::<Vec<_>>(), ["w"]);
}
