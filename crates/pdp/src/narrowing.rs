//! Delegation only ever narrows: what a hop of a chain may do at most, and whether that lies within what the hop before
//! it may do. Decides about no call.

use std::collections::BTreeSet;

use bailiwick_model::{
    name::{AgentName, Scope},
    principal::{DelegationChain, Principal},
    task::{Pin, ToolGrant},
};
use jiff::Timestamp;

use crate::{evaluate::pin_holds, normalise};

/// What a hop of a delegation may do at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// On whose authority, its own agent last.
    pub chain: DelegationChain,
    /// The resources that its tokens may be for; one stands for all below its path.
    pub resources: BTreeSet<String>,
    /// Scopes.
    pub scopes: BTreeSet<Scope>,
    /// The tools and pins of its task; `None` is no task, and all that its role has.
    pub tools: Option<Vec<ToolGrant>>,
    /// The tools and pins of its token's `authorization_details`; `None` is all that its scopes open.
    pub details: Option<Vec<ToolGrant>>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What the next hop asks for. What it does not name it takes as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Who.
    pub agent: AgentName,
    /// The one resource.
    pub resource: String,
    /// Scopes.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The tools and pins of its own task.
    pub tools: Option<Vec<ToolGrant>>,
    /// `authorization_details`.
    pub details: Option<Vec<ToolGrant>>,
    /// When it may end at the latest, for reasons of its own.
    pub expires_at: Timestamp,
}

/// A way in which one hop can be compared with the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dimension {
    /// Everybody of the chain before it, in the same order, and one more.
    #[error("its chain is not the one before it with one agent more")]
    Chain,
    /// Resources.
    #[error("it is for a resource that was not handed over")]
    Resources,
    /// Scopes.
    #[error("it has a scope that was not handed over")]
    Scopes,
    /// Tools and pins.
    #[error("its task allows a call that the task before it does not")]
    Tools,
    /// `authorization_details`.
    #[error("its `authorization_details` allow a call that those before it do not")]
    Details,
    /// The end.
    #[error("it lasts longer than what was handed over")]
    Expiry,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Chain, Self::Resources, Self::Scopes, Self::Tools, Self::Details, Self::Expiry];

    /// Refuses a hop that is wider in this respect than the one before it.
    pub fn check(self, child: &Bounds, parent: &Bounds) -> Result<(), Self> {
        let within = match self {
            Self::Chain => child.chain.principals().split_last().is_some_and(|(last, before)| {
                matches!(last, Principal::Agent(_)) && before == parent.chain.principals()
            }),
            Self::Resources => child.resources.iter().all(|one| parent.resources.iter().any(|all| covers(all, one))),
            Self::Scopes => child.scopes.is_subset(&parent.scopes),
            Self::Tools => tools_within(child.tools.as_deref(), parent.tools.as_deref()),
            Self::Details => tools_within(child.details.as_deref(), parent.details.as_deref()),
            Self::Expiry => child.expires_at <= parent.expires_at,
        };
        if within { Ok(()) } else { Err(self) }
    }
}

/// What the next hop may do at most, of what this one may; refused where it asks for more.
pub fn hand_down(parent: &Bounds, wanted: Wanted) -> Result<Bounds, Dimension> {
    let Wanted { agent, resource, scopes, tools, details, expires_at } = wanted;
    let mut chain = parent.chain.principals().to_vec();
    chain.push(Principal::Agent(agent));
    let child = Bounds {
        chain: DelegationChain::new(chain).map_err(|_| Dimension::Chain)?,
        resources: BTreeSet::from([resource]),
        scopes: scopes.unwrap_or_else(|| parent.scopes.clone()),
        tools: tools.or_else(|| parent.tools.clone()),
        details: details.or_else(|| parent.details.clone()),
        expires_at: expires_at.min(parent.expires_at),
    };
    Dimension::ALL.into_iter().try_for_each(|dimension| dimension.check(&child, parent))?;
    Ok(child)
}

/// Whether a resource is another one or lies below its path: `…/mcp` stands for each `…/mcp/<system>`.
fn covers(all: &str, one: &str) -> bool {
    one.strip_prefix(all).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether every call that the one list of tools lets through passes the other; no list lets everything through. A list
/// that cannot be compared, such as one with a folder that is not in its one spelling, is within none.
pub fn tools_within(child: Option<&[ToolGrant]>, parent: Option<&[ToolGrant]>) -> bool {
    let Some(parent) = parent else { return true };
    child.is_some_and(|child| child.iter().all(|tool| parent.iter().any(|all| tool_within(tool, all))))
}

fn tool_within(child: &ToolGrant, parent: &ToolGrant) -> bool {
    let pinned = |(argument, all): (&String, &Pin)| child.pins.get(argument).is_some_and(|one| pin_within(one, all));
    child.action == parent.action && parent.pins.iter().all(pinned)
}

/// Whether every value that fits the one pin fits the other.
fn pin_within(child: &Pin, parent: &Pin) -> bool {
    match (child, parent) {
        (Pin::OneOf(values), _) => values.iter().all(|value| pin_holds(parent, value)),
        (Pin::Under(folder), Pin::Under(all)) => normalise::path_is_under(all, folder) == Ok(true),
        (Pin::AtMost(most), Pin::AtMost(all)) => most <= all,
        (Pin::Under(_) | Pin::AtMost(_), _) => false,
    }
}

#[cfg(test)]
mod order;
#[cfg(test)]
mod tests;
