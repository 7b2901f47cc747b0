//! What `doctor --probe` says: `enforced` only of what was proven, of a client's own tools too, and nothing of it reaches
//! a system.

use std::{fs, path::PathBuf};

use axum::{Json, Router, http::HeaderMap, routing::post};
use bailiwick_testkit_broker::tools::{Need, ready};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::real_claude_code::Desk;

/// What a probe said: how it ended, of the bridge, and of the hook.
type Said = (Option<i32>, String, String);

/// Probes from the project's folder, whose user's home is beside it.
fn probed(desk: &Desk, token: Option<&str>) -> Said {
    probed_with(desk, token, &[])
}

fn probed_with(desk: &Desk, token: Option<&str>, flags: &[&str]) -> Said {
    let words = ["doctor", "--probe", "--output", "json"];
    let mut command = desk.depot.broker.command(&[&words[..], flags].concat());
    command.current_dir(desk.project()).env("HOME", home(desk)).env_remove("CLAUDE_CONFIG_DIR");
    command.env("BAILIWICK_HOOK_TOKEN", token.unwrap_or_default());
    let output = command.output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = told["connections"].as_array().unwrap();
    let of = |name: &str| {
        let found = found.iter().find(|one| one["connection"] == name);
        found.map_or_else(
            || "missing".to_owned(),
            |one| format!("{} {}: {}", one["enforcement"], one["why"], one["fix"]),
        )
    };
    (output.status.code(), of("bailiwick"), of("hook"))
}

/// A change of a hook's entry.
type Change = fn(&mut Value);

fn home(desk: &Desk) -> PathBuf {
    desk.project().with_file_name("home")
}

fn is_proven(what: &str) -> bool {
    what.starts_with("\"enforced\"")
}

fn is_not_proven(what: &str) -> bool {
    what.starts_with("\"unknown\"")
}

/// Each of a connection that holds, of one that lacks its token, and of a broker that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_what_is_enforced_and_touches_nothing() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut desk = Desk::connected(&tools);
    let token = desk.hook_token();
    let (_, bridge, hook) = probed(&desk, Some(&token));
    assert!(is_proven(&bridge), "{bridge}");
    assert!(is_proven(&hook), "{hook}");
    let (code, bridge, hook) = probed(&desk, None);
    assert!(code == Some(8) && is_proven(&bridge) && is_not_proven(&hook), "{bridge}, {hook}");
    assert_eq!(desk.depot.ledger.acts(), 0, "a probe reaches no system");

    // Without its hook the client's own tools are asked about by nobody.
    let settings = desk.project().join(".claude/settings.json");
    let kept = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, "{}").unwrap();
    let (code, _, hook) = probed(&desk, Some(&token));
    assert!(code == Some(8) && is_not_proven(&hook) && hook.contains("there is no hook"), "{hook}");
    fs::write(&settings, kept).unwrap();

    // A configuration that would start something else is not obeyed.
    let file = desk.project().join(".mcp.json");
    let text = fs::read_to_string(&file).unwrap();
    let marker = desk.project().join("started");
    let other = json!({ "mcpServers": { "bailiwick": { "command": "touch", "args": [marker] } } });
    fs::write(&file, other.to_string()).unwrap();
    let (code, bridge, _) = probed(&desk, Some(&token));
    assert!(code == Some(8) && is_not_proven(&bridge) && !marker.exists(), "{bridge}");
    fs::write(&file, text).unwrap();

    desk.depot.broker.kill();
    let (code, bridge, hook) = probed(&desk, Some(&token));
    assert!(code == Some(8) && is_not_proven(&bridge) && is_not_proven(&hook), "{bridge}, {hook}");
}

/// What a client may be told that keeps some of its tools from being asked about: none of it is called enforced.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_asks_about_less_than_every_tool_is_not_called_enforced() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let desk = Desk::connected(&tools);
    let token = desk.hook_token();
    let settings = desk.project().join(".claude/settings.json");
    let kept = fs::read_to_string(&settings).unwrap();
    let check = |case: &str, expected: &str| {
        let (code, _, hook) = probed(&desk, Some(&token));
        assert!(code == Some(8) && is_not_proven(&hook) && hook.contains(expected), "{case}: {code:?} {hook}");
    };

    // An entry that is found by its address, and is not what `connect` writes.
    let with = |change: Change| {
        let mut text: Value = serde_json::from_str(&kept).unwrap();
        change(&mut text["hooks"]["PreToolUse"][0]);
        fs::write(&settings, text.to_string()).unwrap();
    };
    let changes: [(&str, Change); 5] = [
        ("one tool only", |entry| entry["matcher"] = "Bash".into()),
        ("another type", |entry| entry["hooks"][0]["type"] = "command".into()),
        ("no block", |entry| drop(entry["hooks"][0].as_object_mut().unwrap().remove("onFailure"))),
        ("no token", |entry| entry["hooks"][0]["headers"] = json!({})),
        ("a condition", |entry| entry["hooks"][0]["if"] = "Bash(git *)".into()),
    ];
    for (case, change) in changes {
        with(change);
        check(case, "`connect` writes");
    }
    fs::write(&settings, &kept).unwrap();

    // Each of the settings that count here can turn all hooks off, and what cannot be read may do so.
    let (project, user) = (desk.project().join(".claude"), home(&desk).join(".claude"));
    fs::create_dir_all(&user).unwrap();
    let off = kept.replacen('{', "{\"disableAllHooks\": true,", 1);
    for file in [project.join("settings.json"), project.join("settings.local.json"), user.join("settings.json")] {
        let text = if file == settings { off.as_str() } else { r#"{"disableAllHooks": true}"# };
        fs::write(&file, text).unwrap();
        check("switched off", "`disableAllHooks` is set");
        fs::write(&file, [0xff]).unwrap();
        check("not UTF-8", "cannot be read");
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        check("no file", "cannot be read");
        fs::remove_dir(&file).unwrap();
        fs::write(&settings, &kept).unwrap();
    }

    // Servers that cannot be read are as good as unknown ones.
    let servers = home(&desk).join(".claude.json");
    fs::write(&servers, [0xff]).unwrap();
    let mut command = desk.depot.broker.command(&["doctor", "--probe"]);
    command.current_dir(desk.project()).env("HOME", home(&desk)).env_remove("CLAUDE_CONFIG_DIR");
    let told = command.env("BAILIWICK_HOOK_TOKEN", &token).output().unwrap();
    assert_eq!(told.status.code(), Some(8), "{}", String::from_utf8_lossy(&told.stdout));
    fs::remove_file(&servers).unwrap();

    let (_, bridge, hook) = probed(&desk, Some(&token));
    assert!(is_proven(&bridge) && is_proven(&hook), "as it was: {bridge}, {hook}");
    assert_eq!(desk.depot.ledger.acts(), 0, "a probe reaches no system");
}

/// Rules that only watch are not enforced: the probe says so, and it is a problem unless it is meant.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_observed_is_not_called_enforced() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let desk = Desk::connected(&tools);
    let broker = &desk.depot.broker;
    let token = desk.hook_token();
    let is_observed = |what: &str| what.starts_with("\"observed\"") && what.contains("--accept-observed");
    for (scope, of_bridge, of_hook) in
        [("system:depot", true, false), ("system:claude_code", false, true), ("agent:coder-1", true, true)]
    {
        let words = ["observe", "start", scope, "--for", "1h", "--reason", "a trial", "--danger-production"];
        broker.run(&words).succeeded();
        let (code, bridge, hook) = probed(&desk, Some(&token));
        assert_eq!(code, Some(8), "{scope}: {bridge}, {hook}");
        assert_eq!((is_observed(&bridge), is_proven(&bridge)), (of_bridge, !of_bridge), "{scope}: {bridge}");
        assert_eq!((is_observed(&hook), is_proven(&hook)), (of_hook, !of_hook), "{scope}: {hook}");
        let (code, ..) = probed_with(&desk, Some(&token), &["--accept-observed"]);
        assert_eq!(code, Some(0), "{scope}");
        let (code, ..) = probed_with(&desk, None, &["--accept-observed"]);
        assert_eq!(code, Some(8), "{scope}: what is not proven is a problem all the same");
        broker.run(&["observe", "stop", scope, "--reason", "seen enough"]).succeeded();
    }
    let (code, bridge, hook) = probed(&desk, Some(&token));
    assert!(code == Some(0) && is_proven(&bridge) && is_proven(&hook), "{bridge}, {hook}");
    assert_eq!(desk.depot.ledger.acts(), 0, "a probe reaches no system");
}

/// Who says no to everything, and calls it a decision.
async fn impostor() -> String {
    async fn hook(headers: HeaderMap) -> (axum::http::StatusCode, Json<Value>) {
        if !headers.contains_key("authorization") {
            return (axum::http::StatusCode::UNAUTHORIZED, Json(json!({})));
        }
        let why = format!("denied by policy ({MADE_UP})");
        let output = json!({ "permissionDecision": "deny", "permissionDecisionReason": why });
        (axum::http::StatusCode::OK, Json(json!({ "hookSpecificOutput": output })))
    }
    async fn token() -> Json<Value> {
        Json(json!({ "access_token": "e30.e30.e30", "token_type": "DPoP", "expires_in": 900, "scope": "" }))
    }
    async fn mcp(Json(message): Json<Value>) -> Json<Value> {
        let denial = json!({ "bailiwick/denial": { "evaluation_id": MADE_UP } });
        let result = match message["method"].as_str().unwrap() {
            "tools/list" => json!({ "tools": [] }),
            "tools/call" => json!({ "content": [], "isError": true, "_meta": denial }),
            _ => json!({
                "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "x", "version": "1" },
            }),
        };
        Json(json!({ "jsonrpc": "2.0", "id": message.get("id"), "result": result }))
    }
    let routes = Router::new().route("/hook/claude-code", post(hook)).route("/oauth/token", post(token));
    let routes = routes.route("/mcp", post(mcp)).route("/mcp/{system}", post(mcp));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

const MADE_UP: &str = "eval_019a0000000070008000000000000001";

/// Anybody can answer at an address. At the installation's own the denial must be in its evidence, and elsewhere it is
/// said who denied.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_by_somebody_else_is_not_this_brokers() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let mut desk = Desk::connected(&tools);
    let url = impostor().await;
    for file in [desk.project().join(".mcp.json"), desk.project().join(".claude/settings.json")] {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(&desk.depot.broker.url(), &url)).unwrap();
    }
    let (_, bridge, hook) = probed(&desk, Some("e30.e30.e30"));
    for told in [bridge, hook] {
        assert!(told.contains(&format!("the broker at `{url}`; it is not of this installation")), "{told}");
    }

    // The installation's own broker is called by the same address.
    let text = desk.depot.broker.read("bailiwick.toml");
    desk.depot.broker.write("bailiwick.toml", &format!("public_url = \"{url}\"\n{text}"));
    desk.depot.broker.kill();
    let (code, bridge, hook) = probed(&desk, Some("e30.e30.e30"));
    for told in [bridge, hook] {
        assert!(code == Some(8) && is_not_proven(&told) && told.contains("is not running here"), "{told}");
    }
    desk.depot.broker.serve();
    let (code, bridge, hook) = probed(&desk, Some("e30.e30.e30"));
    for told in [bridge, hook] {
        assert!(code == Some(8) && is_not_proven(&told) && told.contains("evidence does not have"), "{told}");
    }
}

/// Where nothing is connected, nothing is wrong.
#[test]
fn where_no_client_is_connected_there_is_nothing_to_probe() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let broker = bailiwick_testkit_broker::broker::Broker::started(&tools);
    let project = broker.scratch().join("empty");
    fs::create_dir_all(project.join(".cursor")).unwrap();
    fs::create_dir_all(project.join(".claude")).unwrap();
    // What a client leaves before anybody configured a server, and a server that is not ours.
    fs::write(project.join(".mcp.json"), "").unwrap();
    fs::write(project.join(".claude/settings.json"), "{}").unwrap();
    fs::write(project.join(".cursor/mcp.json"), r#"{"mcpServers": {"other": {"command": "false"}}}"#).unwrap();
    let mut command = broker.command(&["doctor", "--probe"]);
    command.current_dir(&project).env("HOME", &project).env_remove("CLAUDE_CONFIG_DIR");
    let told = command.output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.code() == Some(0) && text.contains("nothing to probe"), "{text}");
}
