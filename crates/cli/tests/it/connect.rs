//! `connect` and `disconnect` on real files: what is not ours stays, whatever happens.

use std::os::unix::fs::PermissionsExt as _;

use crate::installation::Installation;

const COMMENTED: &str =
    "// of this project\n{\n  \"servers\": {\n    \"other\": { \"command\": \"other\" }, // keep\n  },\n}\n";

fn with_key() -> Installation {
    let here = Installation::fresh();
    let words = ["agents", "register", "coder-1", "--owner", "me", "--purpose", "x", "--role", "reader"];
    let made = here.output(&[&words[..], &["--generate-key", "k.pem"]].concat());
    assert!(made.status.success(), "{made:?}");
    here
}

fn connect(here: &Installation, client: &str, flags: &[&str]) -> (Option<i32>, String) {
    let words = ["connect", client, "--agent", "coder-1", "--key", "k.pem"];
    let output = here.output(&[&words[..], flags].concat());
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), told)
}

#[test]
fn a_client_is_connected_once_and_disconnected_byte_for_byte() {
    let here = with_key();
    let file = here.path().join(".vscode/mcp.json");
    std::fs::create_dir(here.path().join(".vscode")).unwrap();
    std::fs::write(&file, COMMENTED).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();

    // Nobody said yes.
    let (code, told) = connect(&here, "vscode", &[]);
    assert!(code == Some(2) && told.contains("+    \"bailiwick\"") && told.contains("--yes"), "{told}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), COMMENTED);

    let (code, told) = connect(&here, "vscode", &["--yes"]);
    assert_eq!(code, Some(0), "{told}");
    let connected = std::fs::read_to_string(&file).unwrap();
    assert!(connected.contains("// of this project") && connected.contains("// keep"), "{connected}");
    assert!(connected.contains("\"bridge\"") && connected.contains("k.pem") && !connected.contains("PRIVATE"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);

    let (code, told) = connect(&here, "vscode", &["--yes"]);
    assert!(code == Some(0) && told.contains("nothing to change"), "{told}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), connected);

    let undone = here.output(&["disconnect", "vscode", "--yes"]);
    assert!(undone.status.success(), "{undone:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), COMMENTED);
    assert_eq!(std::fs::read_dir(here.path().join(".vscode")).unwrap().count(), 1, "the copy is gone too");
}

#[test]
fn what_was_changed_since_stays_and_what_was_not_there_goes() {
    let here = with_key();
    let (servers, hooks) = (here.path().join(".mcp.json"), here.path().join(".claude/settings.json"));
    let (code, told) = connect(&here, "claude-code", &["--yes"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(std::fs::read_to_string(&hooks).unwrap().contains("\"onFailure\": \"block\""));
    let text = std::fs::read_to_string(&servers).unwrap();
    std::fs::write(&servers, text.replacen("{\n", "{\n  \"mine\": 1,\n", 1)).unwrap();
    assert!(here.output(&["disconnect", "claude-code", "--yes"]).status.success());
    assert!(!hooks.exists());
    let left: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&servers).unwrap()).unwrap();
    assert_eq!(left, serde_json::json!({ "mine": 1 }));
}

/// The hook guards the client's own tools as long as any connection is left, and what was there before us comes back.
#[test]
fn two_connections_share_a_hook_and_a_copy() {
    let here = with_key();
    let (servers, hooks) = (here.path().join(".mcp.json"), here.path().join(".claude/settings.json"));
    let before = "{ \"mcpServers\": { \"mine\": { \"command\": \"mine\" } } }\n";
    for existing in [Some(before), None] {
        if let Some(text) = existing {
            std::fs::write(&servers, text).unwrap();
        }
        for system in ["files", "crm"] {
            let (code, told) = connect(&here, "claude-code", &[system, "--yes"]);
            assert_eq!(code, Some(0), "{told}");
        }
        let backup = here.path().join(".mcp.json.before-bailiwick");
        assert_eq!(std::fs::read_to_string(&backup).ok().as_deref(), existing);
        let undone = here.output(&["disconnect", "claude-code", "crm", "--yes"]);
        let told = String::from_utf8_lossy(&undone.stderr).into_owned();
        assert!(undone.status.success() && told.contains("bailiwick-files"), "{told}");
        assert!(std::fs::read_to_string(&hooks).unwrap().contains("\"onFailure\": \"block\""));
        let left = std::fs::read_to_string(&servers).unwrap();
        assert!(left.contains("bailiwick-files") && !left.contains("bailiwick-crm"), "{left}");
        assert!(here.output(&["disconnect", "claude-code", "files", "--yes"]).status.success());
        assert!(!hooks.exists() && !backup.exists());
        assert_eq!(std::fs::read_to_string(&servers).ok().as_deref(), existing);
        let _ = std::fs::remove_file(&servers);
    }
}

/// Where only one of two files can be written, the client is left with its hook and not without.
#[test]
fn a_hook_is_taken_out_last() {
    let here = with_key();
    let (servers, hooks) = (here.path().join(".mcp.json"), here.path().join(".claude/settings.json"));
    let (code, told) = connect(&here, "claude-code", &["--yes"]);
    assert_eq!(code, Some(0), "{told}");
    let large = format!("{{\n  \"mine\": \"{}\",", "x".repeat(4_096));
    let text = std::fs::read_to_string(&servers).unwrap().replacen('{', &large, 1);
    std::fs::write(&servers, &text).unwrap();
    let undone = here.output_without_space(&["disconnect", "claude-code", "--yes"]);
    assert_eq!(undone.status.code(), Some(1), "{undone:?}");
    assert_eq!(std::fs::read_to_string(&servers).unwrap(), text);
    assert!(hooks.exists(), "its own tools run unasked");
    assert!(here.output(&["disconnect", "claude-code", "--yes"]).status.success());
    assert!(!hooks.exists());
}

#[test]
fn claude_code_is_not_connected_to_a_broker_that_answers_no_hook() {
    let here = with_key();
    for url in ["https://broker.example", "https://10.0.0.1:8420", "https://127.0.0.1.example"] {
        let (code, told) = connect(&here, "claude-code", &["--yes", "--url", url]);
        assert!(code == Some(2) && told.contains("own machine only") && told.contains("--url"), "{told}");
        assert!(!here.path().join(".mcp.json").exists() && !here.path().join(".claude").exists());
    }
    let (code, told) = connect(&here, "cursor", &["--yes", "--url", "https://broker.example"]);
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_malformed_file_stops_everything_before_anything_is_written() {
    let here = with_key();
    std::fs::create_dir(here.path().join(".claude")).unwrap();
    let hooks = here.path().join(".claude/settings.json");
    for text in ["{\"hooks\": {\"PreToolUse\": {}}}", "{\"a\": 1,}", "[]", "{} // mine", "\u{feff}{"] {
        std::fs::write(&hooks, text).unwrap();
        let (code, told) = connect(&here, "claude-code", &["--yes"]);
        assert!(code == Some(1) && told.contains("nothing was changed"), "{text}: {told}");
        assert_eq!(std::fs::read_to_string(&hooks).unwrap(), text);
        assert!(!here.path().join(".mcp.json").exists(), "the other file is not written either");
    }
    // A URL with a password in it never comes into a file.
    std::fs::remove_file(&hooks).unwrap();
    let (code, told) = connect(&here, "cursor", &["--yes", "--url", "http://me:secret@127.0.0.1:8420/?token=secret"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!std::fs::read_to_string(here.path().join(".cursor/mcp.json")).unwrap().contains("secret"));
}
