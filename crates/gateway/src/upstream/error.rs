//! What can go wrong on the way to an upstream and back, and whose move it is.
//! Never holds a secret, and nothing that an upstream wrote.

use std::time::Duration;

use bailiwick_model::{
    blame::Blame,
    name::{SecretName, SystemName},
};

use super::Revision;

/// A forward that brought no answer. Whether the upstream acted on it is told by [`Self::reached_upstream`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No such system.
    #[error("system `{0}` is not configured")]
    Unknown(SystemName),
    /// The message is not the one that was permitted.
    #[error("the message to forward is not the one that was permitted")]
    NotPermitted,
    /// The upstream does not speak this revision.
    #[error("system `{system}` does not speak MCP {revision}")]
    Revision {
        /// Which system.
        system: SystemName,
        /// The revision asked for.
        revision: Revision,
    },
    /// The tool that this connection offers is not the one that was pinned.
    #[error("`{0}` is not defined as it was pinned\nhint: ask an operator to review its definition")]
    DefinitionChanged(String),
    /// A secret that the upstream needs cannot be had.
    #[error("secret `{0}` is not to be had from the vault\nhint: put it there with `bailiwick secrets put {0}`")]
    Secret(SecretName),
    /// The program does not start.
    #[error("the server's program does not start: {0}")]
    Start(String),
    /// It was started, or called, too recently without success.
    #[error("the server failed before and is not tried again yet")]
    BackingOff {
        /// When to try again.
        retry_after: Duration,
    },
    /// A named maximum is reached.
    #[error("too many {what} at once, {max} at most")]
    Busy {
        /// Of what.
        what: &'static str,
        /// How many may be.
        max: usize,
    },
    /// The server does not listen.
    #[error("the server cannot be reached: {0}")]
    Unreachable(&'static str),
    /// The server refuses the credential of the broker.
    #[error("the server refuses the broker's credential (status {0})")]
    CredentialRefused(u16),
    /// The system holds its own users, and nobody of them is behind the caller.
    #[error(
        "the system holds its own users, and no user is behind this agent\nhint: ask a user to let the agent act for them"
    )]
    NoUser,
    /// The system holds its own users, and the caller's has no account connected.
    #[error("the user for whom this agent acts has no account connected there, or has to connect it again")]
    NotConnected,
    /// A token has to be had or renewed, and cannot be now.
    #[error("its authorization server gives no token now")]
    NotRenewed,
    /// The server answers with an HTTP status that carries no MCP message.
    #[error("the server answers with HTTP status {0}")]
    Status(u16),
    /// The server's answer is not MCP.
    #[error("the server's answer is not MCP: {0}")]
    Malformed(String),
    /// No answer in time; the call was cancelled.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection ended before the answer.
    #[error("the connection ended before the answer: {0}")]
    Gone(String),
    /// What was asked for is over: the call has ended, or it was never asked.
    #[error("nobody waits for this answer any more")]
    NotWaiting,
    /// The answer of the server to a control message was an error.
    #[error("the server refuses `{method}`: error {code}")]
    Refused {
        /// Which control message.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
    },
}

impl UpstreamError {
    /// Whose move it is.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Unknown(_) | Self::Secret(_) | Self::Start(_) | Self::CredentialRefused(_) => Blame::Operator,
            Self::DefinitionChanged(_) => Blame::Operator,
            Self::NotPermitted => Blame::Us,
            Self::Revision { .. } | Self::NotWaiting | Self::Busy { .. } => Blame::Agent,
            Self::NoUser | Self::NotConnected => Blame::Agent,
            Self::NotRenewed
            | Self::BackingOff { .. }
            | Self::Unreachable(_)
            | Self::Status(_)
            | Self::Malformed(_)
            | Self::TimedOut(_)
            | Self::Gone(_)
            | Self::Refused { .. } => Blame::Upstream,
        }
    }

    /// Whether the upstream may have acted on the message: then nobody must repeat it unasked.
    pub const fn reached_upstream(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::TimedOut(_) | Self::Gone(_) | Self::Status(_))
    }

    /// When a repetition makes sense, if it does.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BackingOff { retry_after } => Some(*retry_after),
            Self::Busy { .. } | Self::Unreachable(_) | Self::NotRenewed => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
