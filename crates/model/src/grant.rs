//! What somebody allowed a client to do: tokens are issued from it until it ends, and end with it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::authentication::Authentication;
use crate::{
    id::{GrantId, TaskId, TokenId},
    name::{AgentName, Scope},
    principal::{DelegationChain, Principal},
    task::ToolGrant,
};

/// How a grant came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// A user consented in a browser (RFC 6749 §4.1).
    AuthorizationCode,
    /// A user consented on another device (RFC 8628).
    DeviceCode,
    /// A user consented to a request that came by the back channel (CIBA).
    Ciba,
    /// An agent exchanged a token that was meant for it (RFC 8693).
    TokenExchange,
    /// Another domain vouched for a user (RFC 7523 §2.1, ID-JAG).
    JwtBearer,
}

impl GrantKind {
    /// As written in evidence and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::DeviceCode => "device_code",
            Self::Ciba => "ciba",
            Self::TokenExchange => "token_exchange",
            Self::JwtBearer => "jwt_bearer",
        }
    }
}

/// What a grant's state allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum GrantStatus {
    /// Tokens may be issued from it, and hold.
    Active,
    /// It ended, and all its tokens with it.
    Ended {
        /// When.
        at: Timestamp,
        /// Why, one of our own phrases or an operator's words.
        reason: String,
    },
}

/// The token that a grant was exchanged for: it ends with it, and with the task that one was bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectToken {
    /// Its id.
    pub id: TokenId,
    /// The task of whoever handed it over.
    pub task: Option<TaskId>,
}

/// Who vouched for the user of a grant, where that user was not asked here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouched {
    /// The issuer, byte for byte; the grant ends when it is trusted no longer.
    pub issuer: String,
    /// The id of what it signed, by which its own records know it.
    pub assertion: String,
}

/// A grant. Nothing of it changes but its status: what is wanted anew is a new grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// How it came to be.
    pub kind: GrantKind,
    /// Everybody on whose authority its tokens act: the initiating principal first, its client last.
    pub chain: DelegationChain,
    /// The grant of the token that it was exchanged for; ends with it.
    pub parent: Option<GrantId>,
    /// The token that it was exchanged for, if it came by an exchange.
    pub subject: Option<SubjectToken>,
    /// The resources that its tokens may be for.
    pub resources: BTreeSet<String>,
    /// What its tokens may be used for at most.
    pub scopes: BTreeSet<Scope>,
    /// The tools, and their arguments, that its tokens may be used for (RFC 9396); `None` is all that its scopes open.
    pub details: Option<Vec<ToolGrant>>,
    /// The task that all its tokens are bound to; ends with it.
    pub task: Option<TaskId>,
    /// How its user proved who they are; `None` where nobody was asked.
    pub authentication: Option<Authentication>,
    /// Who vouched for its user; `None` is a user whom we know ourselves.
    pub vouched: Option<Vouched>,
    /// Its state.
    pub status: GrantStatus,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Grant {
    /// Whether its tokens hold at `now`, as far as it alone can tell.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.status == GrantStatus::Active && now < self.expires_at
    }

    /// Whether it works in a task: its own, or the one that its work was handed over in.
    pub fn is_of_task(&self, task: TaskId) -> bool {
        self.tasks().any(|one| one == task)
    }

    /// The tasks that it works in.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.task.into_iter().chain(self.subject.and_then(|subject| subject.task))
    }

    /// The client that it was given to: the current actor. `None` if that is no agent, which no grant of ours has.
    pub fn client(&self) -> Option<&AgentName> {
        match self.chain.current() {
            Principal::Agent(name) => Some(name),
            Principal::User(_) | Principal::Workload(_) | Principal::Operator(_) => None,
        }
    }
}
