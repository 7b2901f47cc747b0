//! No byte is lost that is not ours, whatever stands in the file.

use serde_json::json;

use super::*;
use crate::connect::client::HOOK_PATH;

fn server(arguments: &[&str]) -> Edit {
    let entry = json!({"type": "stdio", "command": "/opt/bailiwick", "args": arguments});
    Edit::Server { member: "servers", name: "bailiwick".to_owned(), entry }
}

fn hook() -> Edit {
    let url = format!("http://127.0.0.1:8420{HOOK_PATH}");
    Edit::Hook { entry: json!({"hooks": [{"type": "http", "url": url, "onFailure": "block"}]}) }
}

/// Connects, connects again, and disconnects.
fn check(text: &str, dialect: Dialect, edit: &Edit) {
    let connected = connect(text, dialect, edit).unwrap();
    assert_ne!(connected, text);
    assert_eq!(find(&connected, dialect, edit).unwrap().as_ref(), Some(entry(edit)), "{connected}");
    assert_eq!(connect(&connected, dialect, edit).unwrap(), connected, "twice is once");
    for line in text.lines().filter(|line| line.contains("//")) {
        assert!(connected.contains(line.trim().trim_end_matches(',')), "`{line}` is gone from\n{connected}");
    }
    let disconnected = disconnect(&connected, dialect, edit).unwrap();
    assert_eq!(find(&disconnected, dialect, edit).unwrap(), None);
    let emptied = text.trim().is_empty() || text.contains("\"servers\": {}");
    assert!(same(&disconnected, text, dialect) || emptied, "{text}\nbecame\n{disconnected}");
    for line in text.lines().filter(|line| line.contains("//")) {
        assert!(disconnected.contains(line.trim()), "`{line}` is gone from\n{disconnected}");
    }
}

const COMMENTED: &str = r#"// Servers of this project
{
  "inputs": [ /* none */ ],
  "servers": {
    // the other one
    "other": { "command": "other", "args": ["a", "b"], }, // keep
  },
}
"#;

#[test]
fn what_is_not_ours_stays() {
    for text in ["", "{}", "{\"servers\": {}}", COMMENTED, "{\"other\": 1}", "\t{\r\n\t\"other\": {}\r\n}"] {
        check(text, Dialect::Commented, &server(&["bridge"]));
    }
    let foreign = json!({"hooks": {"PostToolUse": [], "PreToolUse": [{"matcher": "Bash", "hooks": []}]}});
    for text in ["{}", "{\"hooks\": {\"Stop\": []}}", &foreign.to_string(), "{\n  \"other\": 1.50\n}\n"] {
        check(text, Dialect::Json, &hook());
    }
}

#[test]
fn a_changed_entry_is_replaced_in_its_place() {
    let old = connect(COMMENTED, Dialect::Commented, &server(&["bridge", "--agent", "one"])).unwrap();
    let new = connect(&old, Dialect::Commented, &server(&["bridge", "--agent", "two"])).unwrap();
    assert!(new.contains("\"two\"") && !new.contains("\"one\"") && new.contains("// keep"), "{new}");
    assert_eq!(new.matches("\"bailiwick\"").count(), 1);
    let older = connect("{}", Dialect::Json, &hook()).unwrap();
    let moved = Edit::Hook { entry: json!({"hooks": [{"url": format!("http://127.0.0.1:1{HOOK_PATH}")}]}) };
    let newer = connect(&older, Dialect::Json, &moved).unwrap();
    assert_eq!(newer.matches(HOOK_PATH).count(), 1, "{newer}");
}

#[test]
fn a_document_that_is_not_one_is_refused() {
    let refused = |text: &str, dialect, edit: &Edit| {
        assert!(connect(text, dialect, edit).is_err(), "{text}");
        assert!(disconnect(text, dialect, edit).is_err(), "{text}");
    };
    let ours = server(&["bridge"]);
    for text in [
        "[]",
        "{",
        "{} {}",
        "nonsense",
        "{\"servers\": []}",
        "{\"servers\": null}",
        "{\"servers\": {}, \"servers\": {}}",
        "{\"servers\": {\"bailiwick\": 1, \"\\u0062ailiwick\": 2}}",
        "{'servers': {}}",
        "{\"a\": 0x10}",
    ] {
        refused(text, Dialect::Commented, &ours);
    }
    // A file that its own reader would refuse is not made to look whole.
    refused("{\"a\": 1,}", Dialect::Json, &ours);
    refused("{} // note", Dialect::Json, &ours);
    refused("{\"hooks\": []}", Dialect::Json, &hook());
    refused("{\"hooks\": {\"PreToolUse\": {}}}", Dialect::Json, &hook());
}
