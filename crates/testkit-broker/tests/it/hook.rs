//! The door that Claude Code's hook knocks at, attacked: nothing but a hook of this machine with its own token is
//! answered, a question is good once, and nothing of it reaches an upstream.

use bailiwick_testkit_broker::tools::{Need, ready};
use serde_json::{Value, json};

use crate::real_claude_code::Desk;

fn question(id: &str, tool: &str, input: &Value) -> Value {
    json!({
        "session_id": "s", "transcript_path": "/t", "cwd": "/w", "prompt_id": "p", "permission_mode": "default",
        "effort": { "level": "medium" }, "hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": input,
        "tool_use_id": id,
    })
}

fn lookup(id: &str) -> Value {
    question(id, "mcp__bailiwick__depot__lookup", &json!({ "path": "/public/a" }))
}

struct Door {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Door {
    async fn ask(&self, body: String, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut message = self.http.post(&self.url).body(body);
        let given = |name: &str| headers.iter().any(|(given, _)| *given == name);
        if !given("authorization") {
            message = message.header("authorization", format!("Bearer {}", self.token));
        }
        if !given("content-type") {
            message = message.header("content-type", "application/json");
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            message = message.header(*name, *value);
        }
        // Who sends far too much may be hung up on before all of it was sent.
        let answer = match message.send().await {
            Err(error) if error.is_request() => return (413, Value::Null),
            answer => answer.unwrap(),
        };
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn ruled(&self, body: Value) -> (String, String) {
        let (status, told) = self.ask(body.to_string(), &[]).await;
        assert_eq!(status, 200, "{told}");
        let output = &told["hookSpecificOutput"];
        let text = |name: &str| output[name].as_str().unwrap().to_owned();
        (text("permissionDecision"), text("permissionDecisionReason"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_hook_of_this_machine_is_answered() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let desk = Desk::connected(&tools);
    let broker = &desk.depot.broker;
    let url = format!("{}/hook/claude-code", broker.url());
    let door = Door { http: reqwest::Client::new(), url, token: desk.hook_token() };
    let body = || lookup("toolu_refused").to_string();

    let refused = |what: &'static str, expected: u16, told: (u16, Value)| {
        assert_eq!(told.0, expected, "{what}: {}", told.1);
        assert!(told.1.get("hookSpecificOutput").is_none(), "{what} got an answer: {}", told.1);
    };
    refused("no token", 401, door.ask(body(), &[("authorization", "")]).await);
    refused("a made-up token", 401, door.ask(body(), &[("authorization", "Bearer e30.e30.e30")]).await);
    let key = desk.agent.key_file.to_string_lossy().into_owned();
    let elsewhere = format!("{}/mcp/depot", broker.url());
    let scripted = broker.register("scripted-1", "clerk", &["--danger-allow-bearer-tokens"]);
    let other_key = scripted.key_file.to_string_lossy().into_owned();
    let other = broker.run(&["token", "--agent", "scripted-1", "--key", &other_key, "--resource", &elsewhere]);
    let other = format!("Bearer {}", other.succeeded().stdout.trim());
    refused("a token for the gateway", 401, door.ask(body(), &[("authorization", &other)]).await);
    for origin in ["https://evil.example", "null", &broker.url(), "http://localhost:3000"] {
        refused("a page", 403, door.ask(body(), &[("origin", origin)]).await);
    }
    refused("another host", 421, door.ask(body(), &[("host", "evil.example")]).await);
    refused("a form", 415, door.ask(body(), &[("content-type", "text/plain")]).await);
    let mut large = lookup("toolu_large");
    large["tool_input"]["path"] = "x".repeat(5 << 20).into();
    refused("too much", 413, door.ask(large.to_string(), &[]).await);
    for (what, text) in [
        ("no JSON", "nonsense".to_owned()),
        ("an unknown member", body().replacen('{', "{\"tool_input_v2\":{},", 1)),
        ("a member twice", body().replacen('{', "{\"tool_name\":\"Read\",", 1)),
        ("another event", body().replace("PreToolUse", "PostToolUse")),
        ("no id", body().replace("toolu_refused", "")),
        ("a long id", body().replace("toolu_refused", &"x".repeat(129))),
        ("no input", body().replace("\"tool_input\"", "\"cwd2\"")),
        ("too many values", body().replace("\"/public/a\"", &format!("[{}0]", "0,".repeat(100_000)))),
        ("too deep", body().replace("\"/public/a\"", &format!("{}1{}", "[".repeat(70), "]".repeat(70)))),
    ] {
        refused(what, 400, door.ask(text, &[]).await);
    }
    // The hook's token opens nothing but the hook's door, though it is no bound one.
    let gateway = door.http.post(format!("{}/mcp/depot", broker.url())).bearer_auth(&door.token);
    let told = gateway.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(told.status(), 401);
    // And only for the hook is a token given that no key is bound to.
    let plain = broker.run(&["token", "--agent", &desk.agent.name, "--key", &key, "--resource", &elsewhere]);
    assert_ne!(plain.code, 0, "{}", plain.stdout);
    assert_eq!(desk.depot.ledger.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hook_is_told_is_policy_and_a_question_is_good_once() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let desk = Desk::connected(&tools);
    let broker = &desk.depot.broker;
    let url = format!("{}/hook/claude-code", broker.url());
    let door = Door { http: reqwest::Client::new(), url, token: desk.hook_token() };

    assert_eq!(door.ruled(lookup("toolu_1")).await.0, "allow");
    let (decision, why) = door.ruled(lookup("toolu_1")).await;
    assert!(decision == "deny" && why.contains("replayed"), "the same question again: {why}");
    let write = |id: &str| question(id, "Write", &json!({ "file_path": "/w/allowed/a", "content": "x" }));
    assert_eq!(door.ruled(write("toolu_2")).await.0, "allow");
    assert_eq!(door.ruled(write("toolu_2")).await.0, "deny");

    let denied = [
        ("toolu_3", "Bash", json!({ "command": "true" })),
        ("toolu_4", "NoSuchTool", json!({})),
        ("toolu_5", "mcp__other__lookup", json!({ "path": "/public/a" })),
        ("toolu_6", "mcp__bailiwick__depot__no_such_tool", json!({})),
        ("toolu_7", "mcp__bailiwick__claude_code__Write", json!({ "file_path": "/w/allowed/a", "content": "x" })),
        ("toolu_8", "mcp__bailiwick__depot__lookup", json!({ "path": "/public/../private/a" })),
        ("toolu_9", "Write", json!({ "file_path": "/w/allowed/a", "content": "x", "undeclared": true })),
        ("toolu_10", "Write", json!({ "file_path": ["/w/allowed/a"], "content": "x" })),
        ("toolu_11", "bash", json!({ "command": "true" })),
        ("toolu_12", "B\u{430}sh", json!({ "command": "true" })),
    ];
    for (id, tool, input) in denied {
        let (decision, why) = door.ruled(question(id, tool, &input)).await;
        assert_eq!(decision, "deny", "{tool} {input}: {why}");
        assert!(why.contains("eval_"), "{tool}: {why}");
    }
    // Another server that takes the bridge's name for its own.
    let mut taken = lookup("toolu_20");
    taken["mcp_server"] = json!({ "name": "bailiwick__depot", "source": "project" });
    assert_eq!(door.ruled(taken).await.0, "deny");
    let mut own = lookup("toolu_21");
    own["mcp_server"] = json!({ "name": "bailiwick", "source": "project" });
    assert_eq!(door.ruled(own).await.0, "allow");
    // And one that has a tool of the same name as the client.
    let mut foreign = write("toolu_22");
    foreign["mcp_server"] = json!({ "name": "other" });
    let (decision, why) = door.ruled(foreign).await;
    assert!(decision == "deny" && why.contains("unknown_tool"), "{decision}: {why}");
    // What the client does itself cannot be called over the gateway, and is in no list of it.
    let resource = format!("{}/mcp/claude_code", broker.url());
    let key = desk.agent.key_file.to_string_lossy().into_owned();
    let token = broker.run(&["token", "--agent", &desk.agent.name, "--key", &key, "--resource", &resource]);
    assert_ne!(token.code, 0);

    broker.run(&["agents", "suspend", &desk.agent.name, "--reason", "a test"]).succeeded();
    let (status, told) = door.ask(lookup("toolu_13").to_string(), &[]).await;
    assert_eq!(status, 403, "{told}");
    assert_eq!(desk.depot.ledger.acts(), 0, "asking sends nothing");
}

/// A stolen token of the hook ends with the key that it came from.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_key_ends_the_hooks_tokens_that_it_got() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    let desk = Desk::connected(&tools);
    let broker = &desk.depot.broker;
    let url = format!("{}/hook/claude-code", broker.url());
    let old = Door { http: reqwest::Client::new(), url, token: desk.hook_token() };
    assert_eq!(old.ruled(lookup("toolu_before")).await.0, "allow");

    let agent = broker.run(&["agents", "show", "coder-1", "--output", "json"]).succeeded().json();
    let kid = agent["keys"][0]["kid"].as_str().unwrap_or_else(|| panic!("{agent}")).to_owned();
    // One key has to stay: that of RFC 7517, appendix A.1.
    let (x, y) = ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
    let second = broker.scratch().join("second.jwk");
    std::fs::write(&second, json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }).to_string()).unwrap();
    broker.run(&["agents", "add-key", "coder-1", "--public-key", second.to_str().unwrap()]).succeeded();
    assert_eq!(old.ruled(lookup("toolu_both")).await.0, "allow");

    broker.run(&["agents", "remove-key", "coder-1", &kid]).succeeded();
    let (status, told) = old.ask(lookup("toolu_after").to_string(), &[]).await;
    assert!(status == 401 && told.get("hookSpecificOutput").is_none(), "{status}: {told}");
    assert_eq!(desk.depot.ledger.acts(), 0, "asking sends nothing");
}
