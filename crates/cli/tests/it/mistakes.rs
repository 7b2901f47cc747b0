//! Mistakes that everybody makes once, and what is said about them.

use crate::installation::Installation;

#[test]
fn mistakes_in_files() {
    // A file, what stands in it, what somebody wrote instead.
    let mistakes = [
        ("bailiwick.toml", "[store]", "[stor]"),
        ("bailiwick.toml", "127.0.0.1:8420", "0.0.0.0:8420"),
        ("roles/reader.toml", "purpose", "purpos"),
        ("roles/reader.toml", "purpose = \"Look", "purpose = Look"),
        ("roles/reader.toml", "[[limits]]", "allow = [\"crm:read\", \"helpdesk.read_tickt\"]\n[[limits]]"),
        ("policies/roles/reader.cedar", "permit (", "permt ("),
        ("policies/roles/reader.cedar", "Role::\"reader\"", "Role::\"raeder\""),
        ("policies/roles/reader.cedar", "Action::\"read\"", "Action::\"reed\""),
        ("policies/roles/reader.cedar", "@id(\"reader-reads\")\n", ""),
        ("policies/organisation/billing-and-bulk.cedar", "@approvers", "@aprovers"),
        ("policies/organisation/billing-and-bulk.cedar", "context.effect.records", "context.effect.recods"),
        (
            "policies/calendar.toml",
            "# [zones.office]\n# timezone = \"Europe/Berlin\"",
            "[zones.office]\ntimezone = \"Europe/Berln\"",
        ),
        ("systems/helpdesk.toml", "class =", "clas ="),
        ("systems/helpdesk.toml", "[tools.add_note]", "[tools.ad_note]"),
    ];
    let here = Installation::lived_in();
    let mut told = String::new();
    for (file, from, to) in mistakes {
        let path = format!("D/{file}");
        let before = std::fs::read(here.path().join(&path)).unwrap();
        here.edit(&path, from, to);
        let command: &[&str] = if file == "bailiwick.toml" { &["agents", "list"] } else { &["policy", "validate"] };
        told.push_str(&format!("# {file}: `{}`\n{}\n", to.replace('\n', "⏎"), here.told(command)));
        std::fs::write(here.path().join(&path), before).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn mistakes_in_commands() {
    let here = Installation::lived_in();
    let told = here.session(&[
        &["agents", "register", "W 2", "--owner", "me", "--purpose", "x", "--role", "reader", "--generate-key", "k"],
        &["agents", "register", "w", "--owner", "me", "--purpose", "x", "--role", "raeder", "--generate-key", "k"],
        &["agents", "resume", "support-bot"],
        &["check", "--agent", "support-bot", "helpdesk.read_tickt"],
        &["check", "--agent", "support-bot", "helpdesk.read_ticket", "--arguments", "{"],
        &["tasks", "create", "--agent", "support-bot", "--purpose", "x", "--tool", "helpdesk.read_tickt"],
        &[
            "tasks",
            "create",
            "--agent",
            "support-bot",
            "--purpose",
            "x",
            "--tool",
            "helpdesk.read_ticket",
            "--pin",
            "id=1",
        ],
        &["safe-mode", "enter", "agent:suport-bot", "--reason", "now"],
        &["safe-mode", "enter", "everybody", "--reason", "now"],
        &["audit", "tail", "--kind", "denials"],
        &["audit", "show", "eval_1"],
        &["explain", "eval_1"],
        &["policy", "rollback", "beef"],
        &["secrets", "put", "token"],
        &["restore", "nowhere.db"],
        &["systems", "show", "desk"],
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn what_ships_is_clean_and_a_suspicious_rule_stops_a_pipeline() {
    for here in [Installation::fresh(), Installation::lived_in()] {
        let told = here.told(&["policy", "lint"]);
        assert!(told.contains("is clean") && !told.contains("exit code"), "{told}");
        here.edit(
            "D/policies/roles/reader.cedar",
            "resource\n);",
            "resource\n);\n\n@id(\"again\")\npermit (principal in Bailiwick::Role::\"reader\", action in Bailiwick::Action::\"read\", resource)\n\
             when { context.effect.records >= 0 };",
        );
        let told = here.told(&["policy", "lint"]);
        let place = |code: &str, at: &str| format!("warning[{code}] policies/roles/reader.cedar:{at}: ");
        assert!(told.contains(&place("policy-shadowed", "10:1")), "{told}");
        assert!(told.contains(&place("always-true", "12:8")), "{told}");
        assert!(told.contains("hint: ") && told.contains("2 findings") && told.contains("[exit code 5]"), "{told}");
        let json = here.told(&["policy", "lint", "--output", "json"]);
        assert!(json.contains("\"column\": 8") && json.contains("\"clean\": false"), "{json}");
        // Suspicious is not invalid.
        let told = here.told(&["policy", "validate"]);
        assert!(told.contains("is valid, 2 warnings") && !told.contains("exit code"), "{told}");
    }
}
