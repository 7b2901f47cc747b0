//! The tools that clients have themselves. No client can be asked for them, so they are kept here, as the version that
//! our tests run describes them: a tool or an argument that a later one adds is unknown, and denied, until it is pinned.

use bailiwick_model::name::SystemName;
use bailiwick_pdp::catalogue::ClientKind;
use bailiwick_ports::upstreams::{DiscoverError, Discovered};

const CLAUDE_CODE: &str = include_str!("../clients/claude-code.json");

/// What a system says of itself that stands for a client's tools.
pub(crate) fn discovered(kind: ClientKind, system: &SystemName) -> Result<Discovered, DiscoverError> {
    let text = match kind {
        ClientKind::ClaudeCode => CLAUDE_CODE,
    };
    let tools = serde_json::from_str(text)
        .map_err(|error| DiscoverError { system: system.clone(), reason: error.to_string() })?;
    Ok(Discovered { tools, ..Discovered::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_tools_can_be_read() {
        let found = discovered(ClientKind::ClaudeCode, &"claude_code".parse().unwrap()).unwrap();
        assert!(found.tools.iter().any(|tool| tool["name"] == "Bash"));
    }

    /// What a person publishes without a further look: nothing that sends is a plain read, nothing that only looks is
    /// held to be more, and each tool that is kept here is known.
    #[test]
    fn the_kept_tools_are_proposed_as_what_they_are() {
        use bailiwick_pdp::propose::{Discovery, Existing, propose};
        let name: SystemName = "claude_code".parse().unwrap();
        let found = discovered(ClientKind::ClaudeCode, &name).unwrap();
        let discovery = Discovery {
            protocol_version: "",
            server_info: &serde_json::Value::Null,
            instructions: None,
            tools: &found.tools,
            prompts: &[],
        };
        let existing = Existing { toml: "[upstream]\nclient = \"claude-code\"\n", lock_json: None };
        let toml = propose(&name, &discovery, Some(existing)).unwrap().toml;
        let tools = toml.parse::<toml::Table>().unwrap()["tools"].as_table().unwrap().clone();
        assert_eq!(tools.len(), found.tools.len());
        let of = |tool: &str| {
            let tags = tools[tool].get("tags").and_then(toml::Value::as_array).cloned().unwrap_or_default();
            let tags: Vec<_> = tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
            (tools[tool]["class"].as_str().unwrap(), tags.join(" "))
        };
        for tool in ["Read", "Glob", "Grep", "ToolSearch"] {
            assert_eq!(of(tool), ("read", String::new()), "{tool}");
        }
        for tool in ["WebSearch", "WebFetch"] {
            assert_eq!(of(tool), ("read", "egress".to_owned()), "{tool}");
        }
        for tool in ["Write", "Edit", "NotebookEdit"] {
            assert_eq!(of(tool), ("write", String::new()), "{tool}");
        }
        for tool in ["Agent", "Bash", "Skill"] {
            let (class, tags) = of(tool);
            assert!(class == "execute" && tags.contains("egress") && tags.contains("production"), "{tool}: {tags}");
        }
        // A record that a call must name is one that it cannot leave out.
        assert_eq!(tools["Read"]["resource"]["id"].as_str(), Some("file_path"));
        assert!(tools["Glob"].get("resource").is_none() && tools["Grep"].get("resource").is_none(), "{toml}");
        assert!(toml.matches("known of claude-code's own tools").count() == tools.len(), "{toml}");
    }
}
