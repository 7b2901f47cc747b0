//! The control messages: a closed list, and the only bytes besides a permitted
//! forward that ever go to an upstream. None of them acts on anything.

use bytes::Bytes;
use serde_json::json;

use super::era::{Era, Revision};
use crate::envelope;

/// How a server says that its tools are no longer what they were.
pub(crate) const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

/// What the upstream is asked to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    Tools,
    Prompts,
    Resources,
    ResourceTemplates,
}

impl ListKind {
    /// The member of the result that holds the items.
    pub(crate) const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
        }
    }

    /// The server capability that announces it.
    pub(crate) const fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::ResourceTemplates => "resources",
        }
    }
}

/// What whoever made a call may do while the server goes on with it (the extension `io.modelcontextprotocol/tasks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskVerb {
    /// Asks how it stands; an ended one brings its result.
    Fetch,
    /// Answers what the server asked.
    Answer,
    /// Asks to stop it.
    Cancel,
}

impl TaskVerb {
    /// The verb of a method, if it is one.
    pub(crate) fn of(method: &str) -> Option<Self> {
        [Self::Fetch, Self::Answer, Self::Cancel].into_iter().find(|verb| verb.method() == method)
    }

    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Fetch => "tasks/get",
            Self::Answer => "tasks/update",
            Self::Cancel => "tasks/cancel",
        }
    }
}

/// Control messages that want an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// Opens a session, with the client capabilities that can be relayed (raw JSON object).
    Initialize { capabilities: String },
    /// Asks a stateless server about itself.
    Discover,
    /// Asks for one page.
    List { kind: ListKind, cursor: Option<String> },
    /// Asks a stateless server to say when its lists change.
    Listen,
    /// Concerns a call that a stateless server goes on with, in the words of whoever made it (raw parameters).
    Task { verb: TaskVerb, params: Bytes },
}

impl Control {
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Initialize { .. } => "initialize",
            Self::Discover => "server/discover",
            Self::Listen => "subscriptions/listen",
            Self::Task { verb, .. } => verb.method(),
            Self::List { kind, .. } => match kind {
                ListKind::Tools => "tools/list",
                ListKind::Prompts => "prompts/list",
                ListKind::Resources => "resources/list",
                ListKind::ResourceTemplates => "resources/templates/list",
            },
        }
    }

    /// The parameters in the form of that era.
    pub(crate) fn params(&self, era: Era) -> Bytes {
        let broker = json!({ "name": "bailiwick", "version": env!("CARGO_PKG_VERSION") });
        let params = match self {
            Self::Initialize { capabilities } => {
                let version = Revision::V2025_11_25;
                return format!(
                    r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{broker}}}"#
                )
                .into();
            }
            Self::Task { params, .. } => return params.clone(),
            Self::Discover => json!({}),
            Self::Listen => {
                let wanted =
                    json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
                json!({ "notifications": wanted })
            }
            Self::List { cursor: None, .. } => json!({}),
            Self::List { cursor: Some(cursor), .. } => json!({ "cursor": cursor }),
        };
        let mut params = params;
        if let (Era::Stateless, Some(params)) = (era, params.as_object_mut()) {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": Revision::V2026_07_28.as_str(),
                "io.modelcontextprotocol/clientInfo": broker,
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            params.insert("_meta".into(), meta);
        }
        params.to_string().into()
    }
}

/// Control messages that want no answer, and our answers to what a server asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice<'a> {
    /// The session is open.
    Initialized,
    /// Nobody waits for that call any more.
    Cancelled { id: u64, reason: &'static str },
    /// A server's ping was heard. `id` is raw.
    Pong { id: &'a str },
    /// Nobody can answer what the server asks. `id` is raw.
    CannotAnswer { id: &'a str },
    /// Whom the server asked went away. `id` is raw.
    Abandoned { id: &'a str },
}

impl Notice<'_> {
    pub(crate) fn message(&self) -> Bytes {
        match self {
            Self::Initialized => envelope::notification("notifications/initialized", None),
            Self::Cancelled { id, reason } => {
                let params = json!({ "requestId": id, "reason": reason }).to_string();
                envelope::notification("notifications/cancelled", Some(&params))
            }
            Self::Pong { id } => envelope::result(id, "{}"),
            Self::CannotAnswer { id } => {
                envelope::error(id, &envelope::error_object(-32601, "no client can answer this"))
            }
            Self::Abandoned { id } => envelope::error(id, &envelope::error_object(-32603, "the client went away")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;

    #[test]
    fn control_messages_are_messages() {
        let list = Control::List { kind: ListKind::Tools, cursor: Some("c\"1".into()) };
        for (control, era) in [
            (Control::Initialize { capabilities: r#"{"roots":{}}"#.into() }, Era::Handshake),
            (Control::Discover, Era::Stateless),
            (Control::Listen, Era::Stateless),
            (list.clone(), Era::Handshake),
            (list, Era::Stateless),
        ] {
            let params = control.params(era);
            let text = std::str::from_utf8(&params).unwrap();
            let message = envelope::call("1", control.method(), Some(text));
            assert!(matches!(Envelope::parse(&message), Ok(Envelope::Call { .. })), "{control:?}");
            assert_eq!(envelope::member(text, "_meta").is_some(), era == Era::Stateless, "{control:?}");
        }
        for notice in [
            Notice::Initialized,
            Notice::Cancelled { id: 3, reason: "gone" },
            Notice::Pong { id: "\"a\"" },
            Notice::CannotAnswer { id: "1" },
            Notice::Abandoned { id: "1" },
        ] {
            assert!(Envelope::parse(&notice.message()).is_ok(), "{notice:?}");
        }
    }
}
