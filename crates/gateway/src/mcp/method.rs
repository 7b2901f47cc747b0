//! Every MCP method that passes, and what has to happen before it does. What is
//! not in this list is refused; there is no default.

use crate::upstream::{Era, ListKind, TaskVerb};

/// What a method is to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reaches into a system: decided, recorded, then forwarded.
    Operation,
    /// The 2025-11-25 handshake, answered by the gateway.
    Initialize,
    /// The 2026-07-28 introduction, answered by the gateway.
    Discover,
    /// A sign of life, answered by the gateway.
    Ping,
    /// A list, asked for upstream and filtered for the caller.
    List(ListKind),
    /// The 2026-07-28 stream of change notifications.
    Listen,
    /// Concerns a call of the caller's own that its server goes on with.
    Deferred(TaskVerb),
}

/// The method that uses an item of a list: whoever could never call it is not shown the list. Tools are judged one by
/// one.
pub(crate) const fn used_by(list: ListKind) -> Option<&'static str> {
    match list {
        ListKind::Tools => None,
        ListKind::Prompts => Some("prompts/get"),
        ListKind::Resources | ListKind::ResourceTemplates => Some("resources/read"),
    }
}

/// The newest revision with a handshake.
pub(crate) const HANDSHAKE_REVISION: &str = "2025-11-25";
/// The stateless revision.
pub(crate) const STATELESS_REVISION: &str = "2026-07-28";
/// Handshake revisions that a session may be opened with, newest first.
pub(crate) const HANDSHAKE_REVISIONS: [&str; 3] = [HANDSHAKE_REVISION, "2025-06-18", "2025-03-26"];
/// All that this endpoint speaks, newest first.
pub(crate) const SUPPORTED: [&str; 4] = [STATELESS_REVISION, HANDSHAKE_REVISION, "2025-06-18", "2025-03-26"];

/// What `method` is in `era`; `None` is refused.
pub(crate) fn kind(method: &str, era: Era) -> Option<Kind> {
    let handshake = era == Era::Handshake;
    match method {
        "tools/call" | "resources/read" | "prompts/get" | "completion/complete" => Some(Kind::Operation),
        "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" if handshake => Some(Kind::Operation),
        "initialize" if handshake => Some(Kind::Initialize),
        "ping" if handshake => Some(Kind::Ping),
        "server/discover" if !handshake => Some(Kind::Discover),
        "subscriptions/listen" if !handshake => Some(Kind::Listen),
        "tasks/get" | "tasks/update" | "tasks/cancel" if !handshake => TaskVerb::of(method).map(Kind::Deferred),
        "tools/list" => Some(Kind::List(ListKind::Tools)),
        "prompts/list" => Some(Kind::List(ListKind::Prompts)),
        "resources/list" => Some(Kind::List(ListKind::Resources)),
        "resources/templates/list" => Some(Kind::List(ListKind::ResourceTemplates)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_refused_in_either_era() {
        for method in [
            "tools/delete",
            "tasks/list",
            "tasks/result",
            "sampling/createMessage",
            "",
            "TOOLS/CALL",
            "tools/call ",
            "rpc.discover",
        ] {
            assert_eq!(kind(method, Era::Handshake), None, "{method}");
            assert_eq!(kind(method, Era::Stateless), None, "{method}");
        }
        for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe"] {
            assert!(kind(method, Era::Handshake).is_some(), "{method}");
            assert_eq!(kind(method, Era::Stateless), None, "{method}");
        }
        for method in ["server/discover", "subscriptions/listen", "tasks/get", "tasks/update", "tasks/cancel"] {
            assert_eq!(kind(method, Era::Handshake), None, "{method}");
            assert!(kind(method, Era::Stateless).is_some(), "{method}");
        }
    }
}
