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
    let discovered = discovered();
    let discovery = Discovery {
        protocol_version: &discovered.protocol_version,
        server_info: &discovered.server_info,
        instructions: None,
        tools: &discovered.tools,
        prompts: &discovered.prompts,
    };
    let existing = Existing { toml: FILES_TOML, lock_json: None };
    let proposal = propose::propose(&system(), &discovery, Some(existing)).unwrap();
    let files = BTreeMap::from([
        ("systems/files.toml".to_owned(), proposal.toml.into_bytes()),
        ("systems/files.tools.json".to_owned(), proposal.lock_json.into_bytes()),
        ("roles/reader.toml".to_owned(), ROLE.as_bytes().to_vec()),
    ]);
    BundleFiles::new(files).unwrap()
}
