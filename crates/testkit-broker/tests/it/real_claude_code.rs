//! The real Claude Code before a real broker, with a script for a model: what policy forbids does not happen, by the
//! gateway or by the hook, and without a broker nothing does.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bailiwick_testkit_broker::{
    broker::Agent,
    model_api::ModelApi,
    tools::{Need, Tools, ready},
};
use serde_json::{Value, json};

use crate::world::Depot;

/// What the agent may do with the client's own tools: write below one folder, and nothing else.
const OWN_TOOLS: &str = r#"
@id("own-tools-write-in-the-project")
permit (principal is Bailiwick::Agent, action == Bailiwick::Action::"claude_code.Write", resource)
when { context.input.file_path like "*/allowed/*" };

@id("own-tools-execute-nothing")
@reason("agents run no commands here")
@help("use a tool of the depot")
forbid (principal is Bailiwick::Agent, action == Bailiwick::Action::"claude_code.Bash", resource);
"#;

/// A budget that one allowed call uses up half: it shows what is counted.
const CLERK: &str = r#"
purpose = "Keep the depot in order"
allow = ["depot:read", "depot:write"]

[[limits]]
name = "two-reads"
classes = ["read"]
window_s = 3600
calls_max = 2
"#;

pub(crate) struct Desk {
    pub(crate) depot: Depot,
    pub(crate) agent: Agent,
    project: PathBuf,
    tools: Tools,
}

impl Desk {
    /// A depot with Claude Code's own tools in its catalogue, and a project that is connected to it.
    pub(crate) fn connected(tools: &Tools) -> Self {
        let depot = Depot::stdio(tools);
        let broker = &depot.broker;
        broker.run(&["systems", "add", "claude_code", "--client", "claude-code"]).succeeded();
        broker.write("policies/organisation/own-tools.cedar", OWN_TOOLS);
        broker.write("roles/clerk.toml", CLERK);
        broker.publish();
        let agent = broker.register("coder-1", "clerk", &[]);
        let project = broker.scratch().join("project");
        std::fs::create_dir_all(project.join("allowed")).unwrap();
        let desk = Self { agent, project, tools: tools.clone(), depot };
        desk.connect(&["--yes"]);
        desk
    }

    /// The project.
    pub(crate) fn project(&self) -> &Path {
        &self.project
    }

    fn connect(&self, flags: &[&str]) {
        let (key, project) = (self.agent.key_file.to_string_lossy(), self.project.to_string_lossy());
        let mut words = vec!["connect", "claude-code", "--agent", &self.agent.name, "--key", &key];
        words.extend(["--project", &project]);
        words.extend(flags);
        self.depot.broker.run(&words).succeeded();
    }

    /// A token of the hook, as its user gets one.
    pub(crate) fn hook_token(&self) -> String {
        let resource = format!("{}/hook/claude-code", self.depot.broker.url());
        let key = self.agent.key_file.to_string_lossy().into_owned();
        let words = ["token", "--agent", &self.agent.name, "--key", &key, "--resource", &resource];
        self.depot.broker.run(&words).succeeded().stdout.trim().to_owned()
    }

    /// Runs Claude Code in print mode until the script is played.
    fn play(&self, model: &ModelApi, token: Option<&str>) {
        let mut command = Command::new(self.tools.claude_code());
        let allowed = "Bash,Write,mcp__bailiwick__depot__lookup";
        command
            .args(["-p", "play the script", "--output-format", "json", "--mcp-config", ".mcp.json"])
            .args(["--strict-mcp-config", "--allowed-tools", allowed])
            .current_dir(&self.project)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.project.parent().unwrap())
            .env("ANTHROPIC_BASE_URL", model.url())
            .env("ANTHROPIC_API_KEY", "nobody's")
            .stdin(Stdio::null());
        for name in [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "DISABLE_TELEMETRY",
            "DISABLE_ERROR_REPORTING",
        ] {
            command.env(name, "1");
        }
        if let Some(token) = token {
            command.env("BAILIWICK_HOOK_TOKEN", token);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    fn of(&self, kind: &str) -> Vec<Value> {
        let ours = |entry: &Value| entry["entry"]["kind"] == kind && entry["entry"]["body"]["agent"] == "coder-1";
        self.depot.broker.evidence().into_iter().filter(ours).collect()
    }
}

fn lookup(path: &str) -> (&'static str, Value) {
    ("mcp__bailiwick__depot__lookup", json!({ "path": path }))
}

fn bash(file: &Path) -> (&'static str, Value) {
    ("Bash", json!({ "command": format!("touch {}", file.display()), "description": "try" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_forbids_does_not_happen_and_each_call_is_one() {
    let Some(tools) = ready(&[Need::Broker, Need::Node, Need::ClaudeCode]) else { return };
    let desk = Desk::connected(&tools);
    let (touched, written) = (desk.project.join("touched"), desk.project.join("allowed/note.txt"));
    let write = ("Write", json!({ "file_path": written, "content": "kept" }));
    let elsewhere = ("Write", json!({ "file_path": desk.project.join("elsewhere.txt"), "content": "lost" }));
    let script = [lookup("/public/a"), lookup("/private/a"), bash(&touched), write, elsewhere, lookup("/public/b")];
    let model = ModelApi::start(&script).await;
    desk.play(&model, Some(&desk.hook_token()));

    let results = model.results();
    assert_eq!(results.len(), script.len(), "{results:?}");
    assert!(results[0].0.contains("/public/a") && !results[0].1, "{results:?}");
    assert!(results[1].1 && results[1].0.contains("only items under /public"), "{results:?}");
    assert!(results[2].1 && results[2].0.contains("agents run no commands here"), "{results:?}");
    assert!(!results[3].1 && results[4].1, "{results:?}");
    // The budget is two reads: had the hook counted too, the second would be refused.
    assert!(results[5].0.contains("/public/b") && !results[5].1, "{results:?}");
    assert!(!touched.exists() && !desk.project.join("elsewhere.txt").exists());
    assert_eq!(std::fs::read_to_string(written).unwrap(), "kept");
    assert_eq!(desk.depot.ledger.acts(), 2, "only what was allowed reached the upstream");

    // The hook's question and the gateway's call are one call: one id, in this order.
    let intents = desk.of("intent");
    let of_depot: Vec<&Value> = intents.iter().filter(|entry| entry["entry"]["body"]["system"] == "depot").collect();
    assert_eq!(of_depot.len(), 2, "{intents:?}");
    for intent in of_depot {
        let id = intent["entry"]["id"].as_str().unwrap();
        let shown = desk.depot.broker.run(&["audit", "show", id, "--output", "json"]).succeeded().json();
        let kinds: Vec<_> = shown["entries"].as_array().unwrap().iter().map(|entry| &entry["entry"]["kind"]).collect();
        assert_eq!(kinds, ["evaluated", "intent", "outcome"], "{shown}");
    }
    // A tool of the client itself is recorded once, and nobody claims to know what came of it.
    let left: Vec<_> =
        desk.of("outcome").into_iter().filter(|entry| entry["entry"]["body"]["system"] == "claude_code").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["entry"]["body"]["status"], "left_to_client");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_or_a_token_every_tool_is_blocked() {
    let Some(tools) = ready(&[Need::Broker, Need::Node, Need::ClaudeCode]) else { return };
    let mut desk = Desk::connected(&tools);
    let token = desk.hook_token();
    let written = desk.project.join("allowed/note.txt");
    let write = || ("Write", json!({ "file_path": written, "content": "kept" }));
    let touched = desk.project.join("touched");

    let model = ModelApi::start(&[write(), bash(&touched)]).await;
    desk.play(&model, None);
    assert!(model.results().iter().all(|(_, failed)| *failed), "{:?}", model.results());
    assert!(!written.exists() && !touched.exists(), "no token, no tool");

    desk.depot.broker.kill();
    let model = ModelApi::start(&[write(), bash(&touched), lookup("/public/a")]).await;
    desk.play(&model, Some(&token));
    let results = model.results();
    assert!(results.len() == 3 && results.iter().all(|(_, failed)| *failed), "{results:?}");
    assert!(!written.exists() && !touched.exists(), "no broker, no tool");
    assert_eq!(desk.depot.ledger.acts(), 0);
}
