//! The one bundle of these tests: a system `files` and a role that may read it.

use std::collections::BTreeMap;

use bailiwick_model::{bundle::BundleFiles, name::SystemName};
use bailiwick_pdp::propose::{self, Discovery, Existing};
use bailiwick_ports::upstreams::Discovered;
use serde_json::json;

/// How the system is described, pins aside.
const FILES_TOML: &str = r#"title = "Project files"
environment = "production"
risk = "low"

[upstream]
stdio = ["server", "/data"]

[tools.read_text_file]
class = "read"
resource = { type = "File", id = "path" }
normalise = { path = "path" }
effect = { records = 1, reversible = true }

[tools.write_file]
class = "write"
resource = { type = "File", id = "path" }
normalise = { path = "path" }
effect = { records = 1 }
"#;

const CLIENT_TOML: &str = "environment = \"production\"\n[upstream]\nclient = \"claude-code\"\n";

const ONE_WRITE: &str = "[[limits]]\nname = \"one-write\"\nclasses = [\"write\"]\nwindow_s = 3600\ncalls_max = 1\n";

const ROLE: &str = "purpose = \"Read files\"\nallow = [\"files:read\"]\n";

/// The system's name.
pub fn system() -> SystemName {
    "files".parse().unwrap()
}

/// What the system offers.
pub fn discovered() -> Discovered {
    let path = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
    let both = json!({"type": "object", "required": ["path", "content"],
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}}});
    Discovered {
        protocol_version: "2025-11-25".to_owned(),
        server_info: json!({"name": "files", "version": "1.0.0"}),
        capabilities: json!({"tools": {}}),
        tools: vec![
            json!({"name": "read_text_file", "description": "Reads one file.", "inputSchema": path}),
            json!({"name": "write_file", "description": "Writes one file.", "inputSchema": both}),
        ],
        ..Discovered::default()
    }
}

/// The files of the bundle.
pub fn files() -> BundleFiles {
    BundleFiles::new(base()).unwrap()
}

/// The same with Claude Code's own `Write` as the system `claude_code`, a budget of one write for the role, and a rule of
/// the organisation.
pub fn with_own_tools(rule: &str) -> BundleFiles {
    let write = json!({"name": "Write", "description": "Writes one file.", "inputSchema": {"type": "object",
        "properties": {"file_path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["file_path", "content"]}});
    let client = Discovered { tools: vec![write], ..Discovered::default() };
    let mut files = base();
    files.extend(of_system("claude_code", CLIENT_TOML, &client));
    files.insert("roles/reader.toml".to_owned(), format!("{ROLE}{ONE_WRITE}").into_bytes());
    files.insert("policies/organisation/own-tools.cedar".to_owned(), rule.as_bytes().to_vec());
    BundleFiles::new(files).unwrap()
}

/// The same with agents that work together: `support` reads and writes and delegates to `writer`, who writes only; `other`
/// may do all of it and is delegated to by nobody; users of the group `sales` may do what `support` may.
pub fn with_delegation() -> BundleFiles {
    let mut files = base();
    files.extend(
        [
            (
                "roles/support.toml",
                "purpose = \"Answer\"\nallow = [\"files:read\", \"files:write\"]\ndelegates_to = [\"writer\"]\n",
            ),
            (
                "roles/writer.toml",
                "purpose = \"Draft\"\nallow = [\"files:write\"]\ndelegates_to = [\"support\", \"proof\"]\n",
            ),
            ("roles/proof.toml", "purpose = \"Correct\"\nallow = [\"files:write\"]\n"),
            ("roles/other.toml", "purpose = \"Do something else\"\nallow = [\"files:read\", \"files:write\"]\n"),
            (
                "policies/users/sales.cedar",
                "@id(\"sales\")\npermit (principal in Bailiwick::Group::\"sales\", action in \
             [Bailiwick::Action::\"files:read\", Bailiwick::Action::\"files:write\"], resource);\n",
            ),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())),
    );
    BundleFiles::new(files).unwrap()
}

/// The same with other files beside them, such as `issuers/corp.toml`.
pub fn with_files(more: &[(&str, &str)]) -> BundleFiles {
    let mut files = base();
    files.extend(more.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())));
    BundleFiles::new(files).unwrap()
}

fn base() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from(of_system(system().as_str(), FILES_TOML, &discovered()));
    files.insert("roles/reader.toml".to_owned(), ROLE.as_bytes().to_vec());
    files
}

/// The two files of a system: what is written about it, and what is pinned.
fn of_system(name: &str, toml: &str, discovered: &Discovered) -> [(String, Vec<u8>); 2] {
    let discovery = Discovery {
        protocol_version: &discovered.protocol_version,
        server_info: &discovered.server_info,
        instructions: None,
        tools: &discovered.tools,
        prompts: &discovered.prompts,
    };
    let existing = Existing { toml, lock_json: None };
    let proposal = propose::propose(&name.parse().unwrap(), &discovery, Some(existing)).unwrap();
    [
        (format!("systems/{name}.toml"), proposal.toml.into_bytes()),
        (format!("systems/{name}.tools.json"), proposal.lock_json.into_bytes()),
    ]
}
