//! A chain of delegation as text: the call, and under it everybody on whose authority it was made. Decides nothing.

use serde_json::Value;

use crate::output::{fields, table, text};

/// The call, then a row for each hop, the one that made the call first.
pub(super) fn page(found: &Value) -> String {
    let head = fields(&[
        ("call", text(found, "/id")),
        ("action", text(found, "/action")),
        ("decision", text(found, "/decision")),
        ("at", text(found, "/at")),
        ("bundle", text(found, "/bundle")),
    ]);
    let hops = found.get("hops").and_then(Value::as_array).cloned().unwrap_or_default();
    let rows = hops.iter().map(|hop| {
        [
            text(hop, "/principal"),
            text(hop, "/on_behalf_of"),
            text(hop, "/token/id"),
            text(hop, "/token/issued_at").chars().take(19).collect(),
            text(hop, "/grant/id"),
            how(hop),
        ]
    });
    format!("{head}\n\n{}", table(["WHO", "FOR", "TOKEN", "ISSUED", "GRANT", "BY"], rows))
}

/// By what somebody came to act for another: the policy, or how the grant was given.
fn how(hop: &Value) -> String {
    ["/grant/delegated_by", "/grant/kind"]
        .into_iter()
        .find(|pointer| hop.pointer(pointer).is_some_and(Value::is_string))
        .map_or_else(|| "itself".to_owned(), |pointer| text(hop, pointer))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_hop_has_its_line_and_what_let_it_be() {
        let found = json!({
            "id": "eval_1", "action": "files.write_file", "decision": "allow", "at": "2026-11-29T17:00:00Z", "bundle": "sha256:1",
            "hops": [
                {"principal": "agent:writer", "on_behalf_of": "agent:support", "token": {"id": "tok_2", "issued_at": null},
                 "grant": {"id": "grant_1", "kind": "token_exchange", "delegated_by": "role:support:delegates-to:writer"}},
                {"principal": "agent:support", "on_behalf_of": null, "token": {"id": "tok_1"}, "grant": null}
            ]
        });
        let page = page(&found);
        let line = |word: &str| page.lines().find(|line| line.starts_with(word)).unwrap().to_owned();
        assert!(line("agent:writer").ends_with("role:support:delegates-to:writer"), "{page}");
        assert!(line("agent:support").ends_with("itself"), "{page}");
    }
}
