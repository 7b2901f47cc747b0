//! What the main verbs print on a good day.

use crate::installation::Installation;

#[test]
fn a_fresh_installation() {
    let here = Installation::none();
    let told = here.session(&[
        &["agents", "list"],
        &["init", "--dir", "D"],
        &["init", "--dir", "D"],
        &["policy", "validate"],
        &["policy", "test"],
        &["policy", "publish"],
        &["agents", "list"],
        &["systems", "list"],
        &["tasks", "list"],
        &["safe-mode", "list"],
        &["doctor"],
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn an_agent_from_registration_to_its_end() {
    let here = Installation::fresh();
    let register =
        ["agents", "register", "reader", "--owner", "you@example.com", "--purpose", "read", "--role", "reader"];
    let with_key: Vec<&str> = register.iter().copied().chain(["--generate-key", "reader.pem"]).collect();
    let told = here.session(&[
        &register,
        &with_key,
        &["agents", "list"],
        &["agents", "promote", "reader", "--reason", "its reads look right"],
        &["agents", "suspend", "reader"],
        &["agents", "suspend", "reader", "--reason", "it reads too much"],
        &["check", "--agent", "reader", "files.read_text_file"],
        &["agents", "retire", "reader", "--reason", "done"],
        &["agents", "resume", "reader"],
        &["agents", "show", "nobody"],
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn an_installation_that_has_been_worked_in() {
    let here = Installation::lived_in();
    let told = here.session(&[
        &["systems", "show", "helpdesk"],
        &["systems", "add", "desk", "--stdio", "no-such-program"],
        &["agents", "show", "support-bot"],
        &["audit", "tail", "--kind", "denial"],
        &["audit", "verify"],
        &["policy", "revisions"],
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn a_system_is_added_with_a_proposal_to_read() {
    let here = Installation::lived_in();
    let command = format!("{} sample-system --database D/helpdesk.db", env!("CARGO_BIN_EXE_bailiwick"));
    let told = here.session(&[
        &["agents", "resume", "support-bot", "--quiet"],
        &["systems", "add", "desk", "--stdio", &command, "--title", "A second desk"],
        &["systems", "add", "desk", "--stdio", &command],
        &["policy", "publish"],
        &["tasks", "create", "--agent", "support-bot", "--purpose", "answer T-1", "--tool", "desk.read_ticket"],
        &[
            "tasks",
            "create",
            "--agent",
            "support-bot",
            "--purpose",
            "answer T-1",
            "--tool",
            "desk.send_mail",
            "--pin",
            "desk.send_mail:to=noor@haddad.example",
            "--minutes",
            "5",
        ],
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn evidence_is_verified_against_what_an_auditor_kept() {
    let here = Installation::lived_in();
    let check = |arguments: &[&str], expected: &str| {
        let told = here.told(arguments);
        assert!(told.contains(expected), "{told}");
    };
    check(&["audit", "export", "--to", "before.jsonl"], "wrote ");
    let note = here.told(&["audit", "checkpoint", "--quiet"]);
    assert!(note.contains("bailiwick-log/"), "{note}");
    let kept = std::fs::read_to_string(here.path().join("D/data/checkpoint.note")).unwrap();
    std::fs::write(here.path().join("kept.note"), kept).unwrap();
    check(&["safe-mode", "enter", "everything", "--reason", "one entry more"], "is in safe mode");
    check(&["audit", "export", "--to", "after.jsonl"], "wrote ");
    let later = std::fs::read_to_string(here.path().join("D/data/checkpoint.note")).unwrap();
    std::fs::write(here.path().join("later.note"), later).unwrap();
    check(&["audit", "verify", "after.jsonl", "--key", "D/keys/log.vkey", "--checkpoint", "kept.note"], "verified: ");
    check(&["audit", "verify", "before.jsonl", "--checkpoint", "later.note"], "truncated");
    check(&["audit", "verify", "before.jsonl", "--checkpoint", "later.note"], "[exit code 6]");
    check(&["audit", "verify", "after.jsonl", "--checkpoint", "nowhere.note"], "error: `nowhere.note`");
    check(&["audit", "export", "--agent", "support-bot", "--to", "extract.jsonl"], "an extract shows");
    check(&["audit", "verify", "extract.jsonl"], "is an extract, which cannot be verified");
}

#[test]
fn a_database_that_was_put_back_is_noticed_by_everybody() {
    let here = Installation::fresh();
    let check = |arguments: &[&str], expected: &str| {
        let told = here.told(arguments);
        assert!(told.contains(expected), "{told}");
    };
    check(&["backup", "old.db"], "wrote ");
    check(&["safe-mode", "enter", "everything", "--reason", "one entry more"], "is in safe mode");
    check(&["audit", "checkpoint"], "bailiwick-log/");
    check(&["audit", "export", "--to", "all.jsonl"], "wrote ");
    check(&["restore", "old.db"], "is in place");
    check(&["doctor"], "FAIL  `checkpoint.note` signs");
    check(&["doctor"], "[exit code 8]");
    check(&["audit", "verify"], "[exit code 6]");
}
