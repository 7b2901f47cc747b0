//! That a scenario that does not hold is told, readably, and one that cannot be read too.

use super::*;

const WORLD: &str = r#"
title = "t"
[systems.crm.tools.search]
class = "read"
input = { query = "string" }
[roles.reader]
purpose = "Read"
allow = ["crm:read"]
[agents.bot]
role = "reader"
"#;

fn run(calls: &str) -> Report {
    run_file("t.toml", format!("{WORLD}{calls}").as_bytes())
}

#[test]
fn a_difference_is_readable() {
    let report = run(
        "[[calls]]\nname = \"c\"\ncall = \"crm.search\"\narguments = { query = \"a\" }\nscopes = []\nexpect = \"allow\"\nreasons = []\nrules = [\"role:reader:allow:1\"]\n",
    );
    assert_eq!((report.passed(), report.failed()), (0, 1));
    let difference = report.cases[0].difference.as_deref().unwrap();
    for line in ["-decision: allow", "+decision: deny", "+  - insufficient_scope", "-  - role:reader:allow:1"] {
        assert!(difference.contains(line), "{difference}");
    }
    assert!(difference.contains("because: insufficient_scope: the token lacks the scope `crm:read`"), "{difference}");
    assert!(report.to_string().ends_with("0 passed, 1 failed"), "{report}");
}

#[test]
fn only_what_is_stated_is_compared() {
    let report = run("[[calls]]\ncall = \"crm.search\"\narguments = { query = \"a\" }\nexpect = \"allow\"\n");
    assert_eq!((report.passed(), report.failed()), (1, 0), "{report}");
}

#[test]
fn what_cannot_be_read_fails() {
    #[track_caller]
    fn check(calls: &str, code: &str) {
        let report = run(calls);
        assert_eq!(report.unreadable.iter().map(|finding| finding.code).collect::<Vec<_>>(), [code], "{report}");
        assert!(report.failed() > 0);
    }
    check("", "scenario-empty");
    check("[[calls]]\ncall = \"crm.search\"\nexpected = \"allow\"\n", "key-unknown");
    check("[[calls]]\ncall = \"crm.search\"\nexpect = \"allow\"\nby = [\"nobody\"]\n", "caller-unknown");
    check("[[calls]]\ncall = \"crm.search\"\nexpect = \"allow\"\nat = \"noon\"\n", "scenario-call");
}

#[test]
fn a_misspelt_name_is_no_reason_to_pass() {
    let said =
        |text: String| run_file("test.toml", text.as_bytes()).unreadable.iter().map(ToString::to_string).collect();
    let deny = "expect = \"deny\"\n";
    #[track_caller]
    fn check(said: Vec<String>, expected: &str) {
        assert_eq!(said, [expected]);
    }
    let agents = |role: &str| format!("{WORLD}\n[agents.extra]\nrole = \"{role}\"\n");
    let call = |rest: &str| format!("{WORLD}\n[[calls]]\ncall = \"crm.search\"\n{rest}{deny}");
    let line = WORLD.lines().count();
    check(
        said(format!("{}[[calls]]\ncall = \"crm.search\"\n{deny}", agents("raeder"))),
        &format!(
            "error[role-unknown] test.toml:{}:8: `raeder` is no role of this bundle\nhint: did you mean `reader`?",
            line + 3
        ),
    );
    check(
        said(format!("{WORLD}\n[[calls]]\ncall = \"crm.serch\"\n{deny}")),
        &format!(
            "error[action-unknown] test.toml:{}:8: `crm.serch` is no action of this bundle\nhint: did you mean `crm.search`?",
            line + 3
        ),
    );
    check(
        said(call("by = [\"bto\"]\n")),
        &format!(
            "error[caller-unknown] test.toml:{}:7: `bto` is no agent or user of this file\nhint: did you mean `bot`?",
            line + 4
        ),
    );
    check(
        said(call("approvals = [\"lagre\"]\n")),
        &format!(
            "error[gate-unknown] test.toml:{}:14: `lagre` is no policy that approvers can lift\n\
             hint: correct it: a misspelt name is denied for the wrong reason",
            line + 4
        ),
    );
    check(
        said(call("task = [{ call = \"crm.serach\" }]\n")),
        &format!(
            "error[action-unknown] test.toml:{}:18: `crm.serach` is no action of this bundle\nhint: did you mean `crm.search`?",
            line + 4
        ),
    );
    check(
        said(call("facts = [\"touched:crm\"]\n")),
        &format!(
            "error[fact-unknown] test.toml:{}:10: `touched:crm` is no fact that a system of this bundle declares\n\
             hint: correct it: a misspelt name is denied for the wrong reason",
            line + 4
        ),
    );
    // Somebody who tests that an unknown tool is denied says so.
    let meant = run_file(
        "test.toml",
        format!("{WORLD}\n[[calls]]\ncall = \"crm.serch\"\nreasons = [\"unknown_tool\"]\n{deny}").as_bytes(),
    );
    assert_eq!((meant.passed(), meant.failed()), (1, 0), "{meant}");
}

#[test]
fn a_bundle_runs_its_own_tests() {
    let test = "title = \"t\"\n[agents.bot]\nrole = \"reader\"\n[[calls]]\ncall = \"crm.search\"\narguments = { query = \"a\" }\nexpect = \"allow\"\n";
    let world = bundle("t.toml", WORLD.as_bytes()).unwrap();
    let with = |path: &str, text: &str| {
        let mut files: std::collections::BTreeMap<_, _> =
            world.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
        files.insert(path.to_owned(), text.as_bytes().to_vec());
        super::run(&BundleFiles::new(files).unwrap())
    };
    let report = with("policies/roles/reader.test.toml", test);
    assert_eq!((report.passed(), report.failed()), (1, 0), "{report}");
    assert_eq!(report.cases[0].file, "policies/roles/reader.test.toml");

    let report = with("policies/a.test.toml", &format!("{test}\n[roles.other]\npurpose = \"x\"\n"));
    assert_eq!(report.unreadable.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["scenario-policy"]);

    let report = with("policies/organisation/broken.cedar", "permit (");
    assert!(report.failed() > 0 && report.cases.is_empty());
}
