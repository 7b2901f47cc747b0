//! `mcp-server-git`: a repository argument that must be the right one, and a destructive tool that its role excludes.

use std::{path::Path, process::Command};

use bailiwick_testkit_broker::{
    broker::Broker,
    stdio_client::{StdioClient, codes, denial, succeeded},
    tools::{Need, ready},
};
use serde_json::json;

const CLASSES: &str = r#"
[git_log]
class = "read"
resource = { type = "Repository", id = "repo_path" }
normalise = { repo_path = "path" }
effect = { records = 1, reversible = true }

[git_status]
class = "read"
resource = { type = "Repository", id = "repo_path" }
normalise = { repo_path = "path" }
effect = { records = 1, reversible = true }

[git_add]
class = "write"
resource = { type = "Repository", id = "repo_path" }
normalise = { repo_path = "path" }
effect = { records = "len:files", reversible = true }

[git_commit]
class = "write"
resource = { type = "Repository", id = "repo_path" }
normalise = { repo_path = "path" }
effect = { records = 1, reversible = true }

[git_reset]
class = "delete"
resource = { type = "Repository", id = "repo_path" }
normalise = { repo_path = "path" }
effect = { records = 1, reversible = false }
"#;

const DEVELOPER: &str = r#"
purpose = "Commit to the shop's repository"
allow = ["git:read", "git:write"]
out_of_scope = ["git.git_reset"]
"#;

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn commits_go_to_the_right_repository_and_nothing_is_reset() {
    let Some(tools) = ready(&[Need::Broker, Need::Python]) else { return };
    let mut broker = Broker::init(&tools);
    let folder = broker.scratch().canonicalize().unwrap();
    for name in ["shop", "payroll"] {
        let repository = folder.join(name);
        std::fs::create_dir(&repository).unwrap();
        git(&repository, &["init", "-q"]);
        git(&repository, &["config", "user.email", "a@example.com"]);
        git(&repository, &["config", "user.name", "A"]);
        git(&repository, &["commit", "-q", "--allow-empty", "-m", "first"]);
        std::fs::write(repository.join("new.txt"), "x").unwrap();
    }
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    broker.add_stdio("git", &[&tools.python("current", "mcp-server-git"), "--repository", &path("shop")], &[]);
    broker.classify("git", CLASSES);
    broker.write("roles/developer.toml", DEVELOPER);
    let rule = format!(
        "@id(\"shop-only\")\n@reason(\"this role works on the shop\")\n\
         forbid (principal in Bailiwick::Role::\"developer\", action in Bailiwick::Action::\"git:*\", \
         resource is Git::Repository)\nunless {{ resource.id == \"{}\" }};\n",
        path("shop")
    );
    broker.write("policies/organisation/git.cedar", &rule);
    broker.publish();
    broker.serve_verified();
    let agent = broker.register("developer-1", "developer", &[]);
    let mut client = StdioClient::bridge(&broker, &agent, "git", &[]).await;

    assert!(!client.tools().await.contains(&"git_reset".to_owned()));
    succeeded(&client.call("git_add", json!({ "repo_path": path("shop"), "files": ["new.txt"] })).await);
    let message = json!({ "repo_path": path("shop"), "message": "second" });
    succeeded(&client.call("git_commit", message).await);
    let log = succeeded(&client.call("git_log", json!({ "repo_path": path("shop") })).await);
    assert!(log.contains("second"), "{log}");

    for wrong in [path("payroll"), format!("{}/../payroll", path("shop"))] {
        let answer = client.call("git_log", json!({ "repo_path": wrong })).await;
        assert!(codes(&answer).contains(&"forbidden".to_owned()), "{answer}");
    }
    let reset = client.call("git_reset", json!({ "repo_path": path("shop") })).await;
    assert!(codes(&reset).contains(&"forbidden".to_owned()), "{reset}");
    let rule = denial(&reset)["reasons"][0]["rule"].as_str().unwrap_or_default().to_owned();
    assert!(rule.starts_with("role:developer:out-of-scope"), "it cites the role's list: {reset}");
}
