//! The clients that can be connected: the files that they read, and what goes into them. No secret ever does: the
//! bridge reads the agent's key itself, the hook's token comes from the environment.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::document::{Dialect, Edit};
use crate::exit::{Exit, Failure};

/// The variable that Claude Code's hook takes its token from.
pub(crate) const HOOK_TOKEN: &str = "BAILIWICK_HOOK_TOKEN";
/// Where the broker answers Claude Code's hook.
pub(crate) const HOOK_PATH: &str = "/hook/claude-code";
/// How the bridge is called in a client's configuration; a single system's follows after a hyphen.
pub(crate) const SERVER: &str = "bailiwick";
/// Seconds that the hook may take: the broker answers in milliseconds, and what takes longer is blocked.
const HOOK_TIMEOUT_S: u32 = 10;

/// A client that can be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Client {
    /// Anthropic's Claude Code: the bridge, and the hook before every tool.
    ClaudeCode,
    /// Cursor: the bridge.
    Cursor,
    /// Visual Studio Code: the bridge.
    Vscode,
}

/// Which of a client's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scope {
    /// Of the project in this folder.
    Project,
    /// Of this user, for all projects.
    User,
}

/// Where files are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The project.
    pub(crate) project: PathBuf,
    /// The user's home.
    pub(crate) home: PathBuf,
    /// `CLAUDE_CONFIG_DIR`, where it is set.
    pub(crate) claude: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`, where it is set.
    pub(crate) config: Option<PathBuf>,
    /// What the machine's administrator says to Claude Code.
    pub(crate) managed: PathBuf,
}

impl Places {
    /// As this process sees them.
    pub(crate) fn of_environment(project: Option<&Path>) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let project = match project {
            Some(folder) => folder.to_owned(),
            None => std::env::current_dir().map_err(|error| Failure::new(format!("no current folder: {error}")))?,
        };
        let project = project.canonicalize().map_err(|error| Failure::file(&project, &error))?;
        let home = variable("HOME").ok_or_else(|| Failure::new("`HOME` is not set").exit(Exit::Usage))?;
        let managed =
            if cfg!(target_os = "macos") { "/Library/Application Support/ClaudeCode" } else { "/etc/claude-code" };
        let (claude, config) = (variable("CLAUDE_CONFIG_DIR"), variable("XDG_CONFIG_HOME"));
        Ok(Self { project, home, claude, config, managed: managed.into() })
    }
}

/// The bridge as a client starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connected {
    /// The program.
    pub(crate) program: PathBuf,
    /// One system, or all.
    pub(crate) system: Option<String>,
    /// Who calls.
    pub(crate) agent: String,
    /// Where its key lies.
    pub(crate) key: PathBuf,
    /// In which task.
    pub(crate) task: Option<String>,
    /// The broker.
    pub(crate) url: String,
}

/// One file and what is to change in it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The file.
    pub(crate) path: PathBuf,
    /// How it is written.
    pub(crate) dialect: Dialect,
    /// What is ours in it.
    pub(crate) edit: Edit,
}

impl Client {
    /// As it is typed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Cursor => "cursor",
            Self::Vscode => "vscode",
        }
    }

    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::ClaudeCode, Self::Cursor, Self::Vscode];

    /// The file with the client's MCP servers.
    pub(crate) fn servers_file(self, scope: Scope, places: &Places) -> PathBuf {
        match (self, scope) {
            (Self::ClaudeCode, Scope::Project) => places.project.join(".mcp.json"),
            (Self::ClaudeCode, Scope::User) => places.claude.as_ref().unwrap_or(&places.home).join(".claude.json"),
            (Self::Cursor, Scope::Project) => places.project.join(".cursor/mcp.json"),
            (Self::Cursor, Scope::User) => places.home.join(".cursor/mcp.json"),
            (Self::Vscode, Scope::Project) => places.project.join(".vscode/mcp.json"),
            (Self::Vscode, Scope::User) if cfg!(target_os = "macos") => {
                places.home.join("Library/Application Support/Code/User/mcp.json")
            }
            (Self::Vscode, Scope::User) => {
                let config = places.config.clone().unwrap_or_else(|| places.home.join(".config"));
                config.join("Code/User/mcp.json")
            }
        }
    }

    /// The file with the client's hooks, where it has any that we know to fail closed.
    pub(crate) fn hooks_file(self, scope: Scope, places: &Places) -> Option<PathBuf> {
        match (self, scope) {
            (Self::ClaudeCode, Scope::Project) => Some(places.project.join(".claude/settings.json")),
            (Self::ClaudeCode, Scope::User) => {
                let folder = places.claude.clone().unwrap_or_else(|| places.home.join(".claude"));
                Some(folder.join("settings.json"))
            }
            (Self::Cursor | Self::Vscode, _) => None,
        }
    }

    /// Every file of settings that counts in the project, and may switch hooks off.
    pub(crate) fn settings_files(self, places: &Places) -> Vec<PathBuf> {
        let Self::ClaudeCode = self else { return Vec::new() };
        let mut files: Vec<PathBuf> =
            [Scope::User, Scope::Project].into_iter().filter_map(|scope| self.hooks_file(scope, places)).collect();
        files.push(places.project.join(".claude/settings.local.json"));
        files.push(places.managed.join("managed-settings.json"));
        files
    }

    /// The member that holds the servers.
    pub(crate) const fn servers_member(self) -> &'static str {
        match self {
            Self::ClaudeCode | Self::Cursor => "mcpServers",
            Self::Vscode => "servers",
        }
    }

    /// How its files are written.
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::ClaudeCode | Self::Cursor => Dialect::Json,
            Self::Vscode => Dialect::Commented,
        }
    }

    /// Everything that connecting changes; the hook last, so that no tool is blocked before its server is there.
    pub(crate) fn changes(self, scope: Scope, places: &Places, connected: &Connected) -> Vec<Change> {
        let mut changes = vec![Change {
            path: self.servers_file(scope, places),
            dialect: self.dialect(),
            edit: Edit::Server {
                member: self.servers_member(),
                name: server_name(connected.system.as_deref()),
                entry: server(connected),
            },
        }];
        let hook = self.hooks_file(scope, places).map(|path| Change {
            path,
            dialect: self.dialect(),
            edit: Edit::Hook { entry: hook(&connected.url) },
        });
        changes.extend(hook);
        changes
    }
}

/// How the bridge to one system, or to all, is called: Claude Code makes `mcp__<name>__<tool>` of it, and the broker
/// reads it back.
pub(crate) fn server_name(system: Option<&str>) -> String {
    match system {
        Some(system) => format!("{SERVER}-{system}"),
        None => SERVER.to_owned(),
    }
}

/// Whether a server of that name is the bridge.
pub(crate) fn is_our_server(name: &str) -> bool {
    name.strip_prefix(SERVER).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn server(connected: &Connected) -> Value {
    let Connected { program, system, agent, key, task, url } = connected;
    let mut arguments = vec!["bridge".to_owned()];
    arguments.extend(system.clone());
    let key = key.to_string_lossy().into_owned();
    arguments.extend(["--agent".to_owned(), agent.clone(), "--key".to_owned(), key, "--url".to_owned(), url.clone()]);
    if let Some(task) = task {
        arguments.extend(["--task".to_owned(), task.clone()]);
    }
    json!({"type": "stdio", "command": program.to_string_lossy(), "args": arguments})
}

/// The hook before every tool, which asks the broker at `url`.
pub(crate) fn hook(url: &str) -> Value {
    json!({
        "hooks": [{
            "type": "http",
            "url": format!("{url}{HOOK_PATH}"),
            "headers": {"Authorization": format!("Bearer ${{{HOOK_TOKEN}}}")},
            "allowedEnvVars": [HOOK_TOKEN],
            "timeout": HOOK_TIMEOUT_S,
            "onFailure": "block",
        }]
    })
}

/// Whether a hook of somebody's settings is ours.
pub(crate) fn is_our_hook(entry: &Value) -> bool {
    let hooks = entry.get("hooks").and_then(Value::as_array);
    hooks.is_some_and(|hooks| {
        !hooks.is_empty()
            && hooks.iter().all(|hook| {
                let url = hook.get("url").and_then(Value::as_str);
                url.is_some_and(|url| url.ends_with(HOOK_PATH))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_files() {
        let (project, home, managed) = ("/p".into(), "/h".into(), "/m".into());
        let places = Places { project, home, claude: None, config: None, managed };
        let check = |client: Client, scope, servers: &str, hooks: Option<&str>| {
            assert_eq!(client.servers_file(scope, &places), Path::new(servers));
            assert_eq!(client.hooks_file(scope, &places).as_deref(), hooks.map(Path::new));
        };
        check(Client::ClaudeCode, Scope::Project, "/p/.mcp.json", Some("/p/.claude/settings.json"));
        check(Client::ClaudeCode, Scope::User, "/h/.claude.json", Some("/h/.claude/settings.json"));
        check(Client::Cursor, Scope::Project, "/p/.cursor/mcp.json", None);
        check(Client::Cursor, Scope::User, "/h/.cursor/mcp.json", None);
        check(Client::Vscode, Scope::Project, "/p/.vscode/mcp.json", None);
        let moved = Places { claude: Some("/c".into()), config: Some("/x".into()), ..places.clone() };
        assert_eq!(Client::ClaudeCode.servers_file(Scope::User, &moved), Path::new("/c/.claude.json"));
        assert_eq!(Client::ClaudeCode.hooks_file(Scope::User, &moved).unwrap(), Path::new("/c/settings.json"));
        let counting = Client::ClaudeCode.settings_files(&moved);
        let (project, local) = ("/p/.claude/settings.json", "/p/.claude/settings.local.json");
        assert_eq!(counting, ["/c/settings.json", project, local, "/m/managed-settings.json"].map(PathBuf::from));
        assert!(Client::Cursor.settings_files(&moved).is_empty());
    }

    #[test]
    fn the_hook_fails_closed_and_names_its_token_without_holding_it() {
        let entry = hook("http://127.0.0.1:8420");
        assert!(is_our_hook(&entry));
        assert_eq!(entry["hooks"][0]["onFailure"], "block");
        assert_eq!(entry["hooks"][0]["headers"]["Authorization"], "Bearer ${BAILIWICK_HOOK_TOKEN}");
        // With somebody else's hook in the same entry, it is not ours to take out.
        assert!(!is_our_hook(&json!({"hooks": [entry["hooks"][0], {"type": "command", "command": "x"}]})));
        assert!(!is_our_hook(&json!({"hooks": []})));
    }
}
