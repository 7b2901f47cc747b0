//! One message on its way to an upstream, whoever made it: a permitted forward
//! or a control message. Built only inside [`super`].

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{
    control::{Control, TaskVerb},
    era::Era,
};
use crate::envelope::{self, Id};

/// A call to send.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// The caller's own id, to be found again in what comes back.
    pub(crate) id: Option<Id>,
    pub(crate) method: Cow<'static, str>,
    pub(crate) params: Option<Bytes>,
    /// `Mcp-Param-*`.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Whose call it is: `resources/updated` of a shared child goes to who subscribed.
    pub(crate) holder: String,
}

impl Outgoing {
    pub(crate) fn control(control: &Control, era: Era) -> Self {
        Self {
            id: None,
            method: Cow::Borrowed(control.method()),
            params: Some(control.params(era)),
            headers: Vec::new(),
            holder: String::new(),
        }
    }

    pub(crate) fn params_text(&self) -> Option<&str> {
        self.params.as_ref().and_then(|raw| std::str::from_utf8(raw).ok())
    }

    /// The tool, prompt or MCP resource that the parameters themselves name.
    pub(crate) fn target(&self) -> Option<String> {
        target(&self.method, self.params_text()?)
    }

    /// Whether the call stays open to bring notifications.
    pub(crate) fn is_endless(&self) -> bool {
        self.method == "subscriptions/listen"
    }
}

/// What raw parameters name: the value that goes into `Mcp-Name`.
pub(crate) fn target(method: &str, params: &str) -> Option<String> {
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        method if TaskVerb::of(method).is_some() => "taskId",
        _ => return None,
    };
    envelope::text_member(params, key)
}
