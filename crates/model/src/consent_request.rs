//! A request for a user's consent that is answered apart from its client: the user has another device at hand, or is told
//! by the back channel. It waits for minutes, outlives a restart, and is answered and redeemed once.

use std::{collections::BTreeSet, net::IpAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    confirmation::Confirmation,
    digest::Digest,
    grant::{Authentication, GrantKind},
    id::{ConsentRequestId, GrantId},
    name::{Acr, AgentName, Scope, UserId},
    task::ToolGrant,
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedConsent {
    /// The resource that the tokens are to be for.
    pub resource: String,
    /// Scopes.
    pub scopes: BTreeSet<Scope>,
    /// Tools and arguments; `None` is all that the scopes open.
    pub details: Option<Vec<ToolGrant>>,
    /// How well its user has to prove who they are: any of these classes; empty is any way.
    pub acr_values: BTreeSet<Acr>,
    /// What the client shows its user as well, so that they can tell that it is the same request.
    pub binding_message: Option<String>,
    /// The key that was proved with the request: only it gets a token.
    pub confirmation: Option<Confirmation>,
    /// Where the request came from.
    pub from: Option<IpAddr>,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum ConsentStatus {
    /// Nobody answered.
    Waiting,
    /// Its user allowed it.
    Allowed {
        /// How they proved who they are.
        authentication: Authentication,
        /// When what they allowed ends.
        until: Timestamp,
    },
    /// Its user refused it or took it back, or they or the client were stopped.
    Refused,
    /// Its client came for what was allowed.
    Redeemed {
        /// What it got.
        grant: GrantId,
    },
}

impl ConsentStatus {
    /// One word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Allowed { .. } => "allowed",
            Self::Refused => "refused",
            Self::Redeemed { .. } => "redeemed",
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRequest {
    /// Its id.
    pub id: ConsentRequestId,
    /// How it came: [`GrantKind::DeviceCode`] or [`GrantKind::Ciba`].
    pub kind: GrantKind,
    /// The digest of what its client holds.
    pub secret: Digest,
    /// The digest of what its user types in, if they have to.
    pub user_code: Option<Digest>,
    /// The client.
    pub client: AgentName,
    /// Who is asked; `None` until somebody typed the code in.
    pub user: Option<UserId>,
    /// What is asked for.
    pub asked: AskedConsent,
    /// How far it has come.
    pub status: ConsentStatus,
    /// When it came.
    pub created_at: Timestamp,
    /// When it ends, answered or not.
    pub expires_at: Timestamp,
}

/// What a request for consent is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentKey {
    /// Its id.
    Id(ConsentRequestId),
    /// The digest of what its client holds.
    Secret(Digest),
    /// The digest of what its user types in.
    UserCode(Digest),
}
