//! Where a message goes: one system, or the aggregate of all of them, and the
//! resource indicator that a token must be made for.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_model::{
    name::{Scope, SystemName},
    operation::ActionClass,
};
use bailiwick_pdp::{catalogue::Tool, snapshot::Snapshot};
use bailiwick_web::refused::ProtectedResource;

use crate::mcp::Gateway;

/// What stands between system and name in the aggregate.
pub(crate) const SEPARATOR: &str = "__";

/// The endpoint that a message came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/mcp/<system>`
    System(SystemName),
    /// `/mcp`
    All,
}

impl Place {
    /// The one system, if there is one.
    pub(crate) const fn system(&self) -> Option<&SystemName> {
        match self {
            Self::System(system) => Some(system),
            Self::All => None,
        }
    }

    /// What tokens must be made for, and which scopes to begin with.
    pub(crate) fn protected_resource(&self, gateway: &Gateway) -> ProtectedResource {
        let (path, scopes) = match self {
            Self::System(system) => (format!("/mcp/{system}"), read_scope(system).into_iter().collect()),
            Self::All => ("/mcp".to_owned(), BTreeSet::new()),
        };
        ProtectedResource { audience: gateway.entrance.external_url(&path), scopes, only_asks: false, at: "mcp" }
    }
}

/// The scope that a client begins with: the mildest of the system.
fn read_scope(system: &SystemName) -> Option<Scope> {
    format!("{system}:{}", ActionClass::Read.as_str()).parse().ok()
}

/// The system and its own name that an aggregate name stands for: `files__read` is `read` of `files`. A name that
/// two systems could mean is nobody's.
pub(crate) fn split(policy: &Snapshot, name: &str) -> Option<(SystemName, String)> {
    let mut found = policy.catalogue().servers().filter_map(|system| {
        let own = name.strip_prefix(system.name.as_str())?.strip_prefix(SEPARATOR)?;
        (!own.is_empty()).then(|| (system.name.clone(), own.to_owned()))
    });
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// The catalogue's entry of a tool.
pub(crate) fn tool<'a>(policy: &'a Arc<Snapshot>, system: &SystemName, name: &str) -> Option<&'a Tool> {
    policy.catalogue().tool(system, &name.parse().ok()?)
}
