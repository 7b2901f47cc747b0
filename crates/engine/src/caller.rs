//! Who calls, once token and proof are verified; and what is called, before it is mapped.

use std::{collections::BTreeSet, net::IpAddr};

use bailiwick_model::{
    confirmation::Confirmation,
    id::{GrantId, TaskId, TokenId},
    name::{Scope, SystemName},
    principal::DelegationChain,
    task::ToolGrant,
};
use bailiwick_ports::store::Spent;

/// A verified caller. Made by `web` alone, after the token and its proof of possession were checked.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Everybody on whose authority the call is made.
    pub chain: DelegationChain,
    /// The access token.
    pub token: TokenId,
    /// The grant that it was issued from; `None` is an agent acting for itself.
    pub grant: Option<GrantId>,
    /// Its scopes.
    pub scopes: BTreeSet<Scope>,
    /// The tools, and their arguments, that it may be used for; `None` is all that its scopes open.
    pub details: Option<Vec<ToolGrant>>,
    /// What it is for: the one `aud`.
    pub audience: String,
    /// The task that it is bound to.
    pub task: Option<TaskId>,
    /// The key that it is bound to; `None` is a bearer token.
    pub confirmation: Option<Confirmation>,
    /// Where the call came from, as the listener or the declared proxy says.
    pub address: Option<IpAddr>,
    /// Identifiers to use up with the first durable record of this call: the proof's `jti`.
    pub spent: Vec<Spent>,
}

/// A call as the wire gave it, parsed but not understood.
#[derive(Debug, Clone, Copy)]
pub struct RawCall<'a> {
    /// The system that it is for.
    pub system: &'a SystemName,
    /// The MCP method.
    pub method: &'a str,
    /// The tool's or prompt's name, or the MCP resource's uri.
    pub name: Option<&'a str>,
    /// The arguments, duplicates already refused.
    pub arguments: &'a serde_json::Map<String, serde_json::Value>,
    /// What the client declared of the prompt or its own call id (`_meta`), recorded as declared and never trusted.
    pub declared: Option<&'a str>,
    /// The id that the client gave to this call, by which its hook asked about it before. Joins records, decides nothing.
    pub client_call: Option<&'a str>,
}
