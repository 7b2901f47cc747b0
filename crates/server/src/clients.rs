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
}
